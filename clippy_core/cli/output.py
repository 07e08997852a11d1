"""What every command prints: text that is safe for a terminal, tables, and JSON."""

from __future__ import annotations

import json
import re
import traceback
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

import click

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that a terminal acts upon, hides, reorders or does not know."""
_SELECTORS = "\ufe00-\ufe0f"
_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\uffa0\U000e0100-\U000e01ef]"
    f"|(?<![^{_SELECTORS}])[{_SELECTORS}]|(?<=[{_MARKS}]{{8}})[{_MARKS}]"
)
"""What those categories do not have: letters and marks without a shape, selectors that select nothing, and marks beyond
the eighth on a letter, which bury the lines around it."""
_FRAMES = 5


def visible(text: object, keep: str = "") -> str:
    r"""*text* with its control characters written out, ``\x1b`` for an escape; those in *keep* stay.

    Names and reasons come from plugins, and a terminal obeys what it is sent.
    """
    string = str(text)
    if string.isascii() and string.isprintable():
        return string
    seen = _UNSEEN.sub(lambda found: _written_out(found[0]), string)
    return "".join(
        letter if letter in keep or unicodedata.category(letter) not in _UNSAFE else _written_out(letter)
        for letter in seen
    )


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def place_of(error: BaseException, causes: int = 3) -> str:
    """Kind and innermost places of *error* and of as many *causes*, in a line.

    Without what it says, which may be a key or a part of a conversation; of the system's own errors that too.
    """
    said = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-_FRAMES:])
    places = " < ".join(f"{frame.name} ({PurePath(frame.filename).name}:{frame.lineno})" for frame in frames)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    told = f"{type(error).__name__}{said}{places and f' in {places}'}"
    return told if cause is None or not causes else f"{told}, after {place_of(cause, causes - 1)}"


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
