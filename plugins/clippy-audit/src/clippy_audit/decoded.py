"""A text with its escapes undone, and the way back from it.

A secret inside nested JSON, a URL or an HTML attribute is written with escapes: ``\\u002d`` for a dash, ``%3D`` before
the key, a backslash before each quote.  The same rules are therefore run once more on the text as it is meant.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from .spans import Span

# One match takes a whole row of backslashes, so text that was escaped several times is undone in one pass.
_ESCAPE = re.compile(
    r"""
    \\++ (?: u[0-9A-Fa-f]{4} | x[0-9A-Fa-f]{2} | . )?
  | % (?:25){0,3} [0-9A-Fa-f]{2}
  | & (?: \#\d{1,7} | \#[xX][0-9A-Fa-f]{1,6} | quot | amp | apos | lt | gt | equals | colon ) ;
  | \x1b \[ [0-9;]{0,16} [A-Za-z]
  | [\u200b-\u200f\u2060-\u2064\u00ad\ufeff\u2010\u2011]
    """,
    re.VERBOSE | re.DOTALL,
)
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\u00ad\ufeff]")
_HYPHENS = "\u2010\u2011"  # what word processors make of the one on a keyboard, so that no line ends there
_ODD = re.compile(rf"{_INVISIBLE.pattern}|[{_HYPHENS}]")
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "b": " ", "f": " "}


class Decoded:
    """``text`` is the original with its escapes undone; :meth:`original` maps a span of it back."""

    __slots__ = ("_lengths", "_origins", "_starts", "text")

    def __init__(self, source: str) -> None:
        parts: list[str] = []
        self._starts: list[int] = []  # where a piece begins in ``text``
        self._origins: list[int] = []  # where it begins in the original
        self._lengths: list[int] = []  # of the original piece behind one character; 0 for pieces copied as they are
        length = position = 0
        for match in _ESCAPE.finditer(source):
            if match.start() > position:
                self._add(length, position, 0)
                parts.append(source[position : match.start()])
                length += match.start() - position
            meant = _undo(match.group())
            if meant:
                self._add(length, match.start(), len(match.group()))
                parts.append(meant)
                length += len(meant)
            position = match.end()
        self._add(length, position, 0)
        parts.append(source[position:])
        self.text = "".join(parts)

    def _add(self, start: int, origin: int, length: int) -> None:
        self._starts.append(start)
        self._origins.append(origin)
        self._lengths.append(length)

    def original(self, span: Span) -> Span:
        """The characters of the original that *span* of the decoded text was made from."""
        return Span(self._origin(span.start), self._origin(span.end - 1, end=True), span.kind)

    def _origin(self, position: int, *, end: bool = False) -> int:
        piece = bisect_right(self._starts, position) - 1
        length = self._lengths[piece]
        if length:
            return self._origins[piece] + (length if end else 0)
        return self._origins[piece] + position - self._starts[piece] + (1 if end else 0)


def decode(source: str) -> Decoded | None:
    """*source* with its escapes undone, None when it holds none."""
    return Decoded(source) if may_hold_escapes(source) and _ESCAPE.search(source) else None


def may_hold_escapes(source: str) -> bool:
    """Whether *source* holds a character that an escape begins with."""
    if "\\" in source or "%" in source or "&" in source or "\x1b" in source:
        return True
    return not source.isascii() and bool(_ODD.search(source))


def _undo(escape: str) -> str:
    """The one character that *escape* stands for, "" for an invisible one."""
    first = escape[0]
    if first == "%":
        return chr(int(escape[-2:], 16))
    if first == "&":
        from html import unescape  # its table of names is a third of a megabyte, which few processes have a use for

        return unescape(escape)[:1]
    if first == "\x1b":
        return " "
    if first != "\\":
        return "-" if first in _HYPHENS else ""
    body = escape.lstrip("\\")
    if len(body) > 1:
        meant = chr(int(body[1:], 16))
        return "" if _INVISIBLE.match(meant) else meant
    return _CONTROL.get(body, body) or "\\"
