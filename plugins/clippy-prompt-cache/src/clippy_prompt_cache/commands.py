"""``clippy prompt-cache``: where the prefix breaks between the requests in a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from attrs import asdict
from clippy_lines.looking import visible, visible_json

from .breaks import Break, first_break
from .parts import Part, api_of_body, parts_of_body

_PROMPTS = ("messages", "input", "prompt")
"""A request body has one of these: where its prompt stands, or the name of one that the provider keeps."""
_BLANK = re.compile(r"\s*+")
_APIS = ("openai.chat", "openai.responses", "anthropic.messages")


class _Unread(click.ClickException):
    """The file cannot be compared; 1 is the status of a broken prefix."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(visible(message))


def prompt_cache_group() -> click.Group:
    """Say where the prefix of prompts breaks."""

    @click.group("prompt-cache", help=prompt_cache_group.__doc__)
    def prompt_cache() -> None: ...

    @prompt_cache.command(
        "lint",
        help="Compare the request bodies in FILE, JSON objects one after another, each with the one before it. They "
        "may also be as for `clippy cache warm`. Exits with 1 if a prefix broke, with 2 for a file that it cannot "
        "read.",
    )
    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--api", type=click.Choice(_APIS), help="The wire API; told from the bodies by default.")
    @click.option("--content", is_flag=True, help="Show the words that differ.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object for each pair.")
    @click.pass_context
    def lint(ctx: click.Context, file: Path, api: str | None, content: bool, as_json: bool) -> None:
        broken = 0
        before: tuple[Part, ...] | None = None
        first = line_before = 0
        for line, body in _bodies(file):
            parts = parts_of_body(body, api or api_of_body(body))
            if before is not None:
                found = first_break(before, parts)
                broken += found is not None
                size = sum(len(part.text.encode()) for part in before)
                told = _as_json if as_json else _as_line
                click.echo(told(line_before, line, found, size, content))
            first, before, line_before = first or line, parts, line
        if not first:
            raise _Unread(f"{file} has no request in it; it should have JSON objects, one after another")
        if first == line_before:
            click.echo(visible(f"{file} has one request: nothing to compare"), err=True)
        ctx.exit(1 if broken else 0)

    return prompt_cache


def _bodies(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The bodies with the numbers of the lines on which they begin: one a line, or written over several."""
    try:
        text = file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise _Unread(f"{file} is not UTF-8 text: {error.reason}") from None
    at = number = 0
    while (begin := _BLANK.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it matches nothing as well
        number += text.count("\n", at, begin)
        try:
            found, at = json.JSONDecoder().raw_decode(text, begin)
        except (ValueError, RecursionError):
            raise _Unread(f"{file}, line {number + 1}: not JSON; one request body should begin there") from None
        yield number + 1, _body(file, number + 1, found)
        number += text.count("\n", begin, at)


def _body(file: Path, number: int, found: Any) -> dict[str, Any]:
    """The request body that a JSON value is: the value itself, or the ``body`` of what has a ``url`` beside it."""
    body = found["body"] if isinstance(found, dict) and {"url", "body"} <= found.keys() else found
    if isinstance(body, dict) and any(isinstance(body.get(name), (str, list, dict)) for name in _PROMPTS):
        return body
    raise _Unread(
        f"{file} line {number} is no request body: "
        'that is a JSON object with "messages" or "input", or one with a "url" and such a "body"'
    )


def _as_line(first: int, second: int, found: Break | None, size: int, content: bool) -> str:
    if found is None:
        return f"lines {first} and {second}: the prefix holds, {size} bytes"
    share = found.offset / size if size else 1.0
    words = f": {found.before!r} -> {found.after!r}" if content else ""
    return visible(
        f"lines {first} and {second}: broken at byte {found.offset} of {size} ({share:.1%} held), "
        f"{found.path}, character {found.character} ({found.change}){words}"
    )


def _as_json(first: int, second: int, found: Break | None, size: int, content: bool) -> str:
    told = None if found is None else asdict(found)
    if told is not None and not content:
        del told["before"], told["after"]
    return visible_json({"lines": [first, second], "bytes": size, "break": told})
