"""What every command prints: text that is safe for a terminal, tables, and JSON."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import click

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that a terminal acts upon, hides, reorders or does not know."""


def visible(text: object, keep: str = "") -> str:
    r"""*text* with its control characters written out, ``\x1b`` for an escape; those in *keep* stay.

    Names and reasons come from plugins, and a terminal obeys what it is sent.
    """
    string = str(text)
    if string.isascii() and string.isprintable():
        return string
    return "".join(
        letter if letter in keep or unicodedata.category(letter) not in _UNSAFE else _written_out(letter)
        for letter in string
    )


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def say(text: object = "", *, err: bool = False) -> None:
    """Print one line, made safe."""
    click.echo(visible(text), err=err)


def say_json(document: Any) -> None:
    """Print one JSON document, in ASCII: nothing in it can act on a terminal."""
    text = json.dumps(document, indent=2, ensure_ascii=True, default=str)
    click.echo(text.replace("\x7f", "\\u007f"))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of columns, as wide as their widest cell; the last one is not padded."""
    lines = [tuple(head), *(tuple(visible(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
