"""Lines on a terminal: what is done scrolls by, what goes on is drawn again in place."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import Protocol, TextIO

from attrs import define, field, frozen

from .output import visible

STYLES = {"good": "32", "bad": "31", "warn": "33", "name": "36", "bold": "1", "dim": "2"}
"""Names of our styles as ANSI SGR codes (ECMA-48)."""


@frozen
class Span:
    """A piece of a line in one style, plain by default."""

    text: str = field(converter=visible)
    style: str = ""


Line = tuple[Span, ...]


def line(*parts: str | Span) -> Line:
    """A line of plain texts and spans."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def text_of(shown: Line) -> str:
    """A line without its styles."""
    return "".join(span.text for span in shown)


class Screen(Protocol):
    """Where a demo shows itself."""

    def say(self, shown: Line) -> None:
        """Print a line that stays."""
        ...

    def now(self, *shown: Line) -> None:
        """Draw what goes on, in place of what went on before."""
        ...


@frozen
class Silence:
    """A screen that shows nothing, for JSON."""

    def say(self, shown: Line) -> None:
        """Nothing."""

    def now(self, *shown: Line) -> None:
        """Nothing."""


@frozen
class PlainScreen:
    """Lines as they happen, without codes: for files, pipes and terminals that cannot do more."""

    out: TextIO

    def say(self, shown: Line) -> None:
        """Print a line."""
        self.out.write(text_of(shown).rstrip() + "\n")
        self.out.flush()

    def now(self, *shown: Line) -> None:
        """Nothing: a line that was printed cannot be drawn again."""


@define(eq=False)
class LiveScreen:
    """A terminal.  Lines are cut to its width: a wrapped line would be two, and the next drawing one line too low."""

    out: TextIO
    colours: bool = True
    _drawn: int = field(init=False, default=0)

    def say(self, shown: Line) -> None:
        """Print a line, above nothing: what went on is over."""
        self._draw([shown])
        self._drawn = 0

    def now(self, *shown: Line) -> None:
        """Draw lines in place of those drawn before."""
        self._draw(shown)
        self._drawn = len(shown)

    def _draw(self, lines: Sequence[Line]) -> None:
        width = max(20, shutil.get_terminal_size().columns - 1)
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        rows = "".join(f"{self._painted(cut(one, width))}\x1b[K\n" for one in lines)
        self.out.write(f"\r{up}{rows}\x1b[J")
        self.out.flush()

    def _painted(self, shown: Line) -> str:
        return "".join(
            f"\x1b[{STYLES[span.style]}m{span.text}\x1b[0m" if self.colours and span.style else span.text
            for span in shown
        )


def cut(shown: Line, width: int) -> Line:
    """The line's first *width* characters; an ellipsis says that there were more."""
    if sum(len(span.text) for span in shown) <= width:
        return shown
    left, kept = width - 1, list[Span]()
    for span in shown:
        kept.append(Span(span.text[:left], span.style))
        left -= len(kept[-1].text)
        if left <= 0:
            break
    return (*kept, Span("…"))


def screen_for(out: TextIO | None = None, *, plain: bool = False) -> Screen:
    """The screen that *out* (by default stdout) can show; NO_COLOR takes the colours (https://no-color.org)."""
    out = out or sys.stdout
    if plain or not out.isatty() or os.environ.get("TERM") == "dumb":
        return PlainScreen(out)
    return LiveScreen(out, colours=not os.environ.get("NO_COLOR"))


def marks(out: TextIO | None = None) -> dict[str, str]:
    """The signs for how a scene ended, in what *out* can encode."""
    encoding = getattr(out or sys.stdout, "encoding", None) or "ascii"
    try:
        "✓✗–".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return {"ok": "ok", "failed": "XX", "skipped": "--"}
    return {"ok": "✓", "failed": "✗", "skipped": "–"}
