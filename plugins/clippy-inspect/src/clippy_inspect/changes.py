"""What a plugin changed, as lines: two texts side by side, with what is equal left out."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen

CONTEXT: Final = 2
MOST_LINES: Final = 2000  # comparing is quadratic in the worst case; this takes well under a second


@frozen
class Line:
    """``sign`` is ``+`` (only after), ``-`` (only before), a space (both), or ``~`` for lines that are left out."""

    sign: str
    text: str


def changes(before: str, after: str) -> list[Line]:
    """The lines of a difference, each change with two lines around it."""
    old, new = lines_of(before), lines_of(after)
    if old == new:
        return [Line("~", "no line differs")]
    head, tail = _equal_ends(old, new)
    if len(old) + len(new) - 2 * (head + tail) > MOST_LINES:
        cut = MOST_LINES // 2
        said = f"more than {MOST_LINES} lines differ; the first of them"
        return [
            Line("~", said),
            *(Line("-", text) for text in old[head : head + cut]),
            *(Line("+", text) for text in new[head : head + cut]),
        ]
    return list(_grouped(old, new))


def lines_of(text: str) -> list[str]:
    """*text* as lines to compare: JSON is laid out, and a line feed within one of its strings begins a line too."""
    try:
        laid_out = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text.split("\n")
    found: list[str] = []
    for line in laid_out.split("\n"):
        indent = line[: len(line) - len(line.lstrip(" "))]
        parts = line.split("\\n")
        found += [part if index == 0 else f"{indent}  {part}" for index, part in enumerate(parts)]
    return found


def _equal_ends(old: list[str], new: list[str]) -> tuple[int, int]:
    """How many lines are equal at the beginning and, of the rest, at the end."""
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
    return head, tail


def _grouped(old: list[str], new: list[str]) -> Iterator[Line]:
    end = 0
    for group in difflib.SequenceMatcher(None, old, new).get_grouped_opcodes(CONTEXT):
        begin = group[0][1]
        if begin > end:
            yield _left_out(begin - end)
        for tag, a, b, c, d in group:
            if tag == "equal":
                yield from (Line(" ", text) for text in old[a:b])
            else:
                yield from (Line("-", text) for text in old[a:b])
                yield from (Line("+", text) for text in new[c:d])
        end = group[-1][2]
    if end < len(old):
        yield _left_out(len(old) - end)


def _left_out(lines: int) -> Line:
    return Line("~", f"{lines} equal {'line' if lines == 1 else 'lines'}")


def weight(text: str | None) -> tuple[int, int] | None:
    """Messages and characters of the conversation in a request's JSON text; None where there is none."""
    try:
        value: Any = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list):
        return None
    return len(messages), sum(len(json.dumps(each, ensure_ascii=False)) for each in messages)
