"""The screen of the demo: lines that stay, lines that are drawn again, and nothing that a terminal obeys but ours."""

from __future__ import annotations

import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.cli.output import table, visible
from clippy_core.cli.screen import LiveScreen, PlainScreen, Span, cut, line, marks, screen_for, text_of

CODE = re.compile(r"\x1b\[([0-9]*)([A-Za-z])")


class Terminal:
    """As much of a terminal as the screen uses: rows, a cursor, up, erase to the end of line and of screen."""

    def __init__(self, sent: str) -> None:
        self.rows: list[str] = [""]
        self.row, self.column = 0, 0
        at = 0
        while at < len(sent):
            code = CODE.match(sent, at)
            if code:
                self._obey(int(code[1] or 1), code[2])
                at = code.end()
            else:
                self._show(sent[at])
                at += 1

    def _obey(self, number: int, what: str) -> None:
        if what == "A":
            self.row -= number
            assert self.row >= 0, "the cursor went above the first line"
        elif what == "K":
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif what == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        else:
            assert what == "m"

    def _show(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.rows):
                self.rows.append("")
        else:
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + letter + row[self.column + 1 :]
            self.column += 1


WORDS = st.text(st.characters(codec="ascii", categories=("L", "N", "P")), max_size=12)


@given(st.lists(st.tuples(st.booleans(), st.lists(WORDS, max_size=4))))
def test_what_is_over_stays_and_what_goes_on_is_drawn_in_place(steps: list[tuple[bool, list[str]]]) -> None:
    """However said and drawn lines alternate, the terminal shows all said ones and the last drawing below them."""
    out, said, drawn = io.StringIO(), list[str](), list[str]()
    screen = LiveScreen(out)
    for stays, words in steps:
        if stays:
            for word in words:
                screen.say(line(Span(word, "good")))
            said += words
            drawn = [] if words else drawn
        else:
            screen.now(*(line(word) for word in words))
            drawn = words
    assert Terminal(out.getvalue()).rows == [*said, *drawn, ""]


@given(st.lists(st.tuples(st.text(), st.sampled_from(["", "good", "dim"]))), st.integers(1, 60))
def test_a_cut_line_is_never_wider_than_asked(parts: list[tuple[str, str]], width: int) -> None:
    """A wrapped line would be two, and everything after it one line too low."""
    shown = line(*(Span(text, style) for text, style in parts))
    short = cut(shown, width)
    assert len(text_of(short)) <= width
    whole = text_of(shown)
    assert text_of(short) == (whole if len(whole) <= width else whole[: width - 1] + "…")


@given(st.text(st.characters()))
def test_visible_text_has_nothing_that_a_terminal_obeys(text: str) -> None:
    """What is left is printable or a space of some width, and ASCII that is printable is itself."""
    shown = visible(text)
    assert all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in shown)
    shown.encode("utf-8")
    if text.isascii() and text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    "letter",
    [
        *("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\u200b", "\u2028", "\ud800", "\n", "\r"),
        *("\u3164", "\u115f", "\uffa0", "\u034f", "\u17b4", "\u180b", "\U000e0041", "\U000e0100"),
    ],
)
def test_what_moves_hides_or_rings_is_written_out(letter: str) -> None:
    """By its escape, so that a reader sees that it is there."""
    assert visible(f"a{letter}b").isascii()
    assert visible(f"a{letter}b") != "ab"


@pytest.mark.parametrize(("text", "seen"), [("e" + "\u0300" * 20, 8), ("e\ufe0f\ufe0f\ufe0f", 1), ("\ufe0f", 0)])
def test_marks_that_mark_nothing_are_written_out(text: str, seen: int) -> None:
    """A pile of them buries the lines around it."""
    assert sum(not letter.isascii() for letter in visible(text)) == seen


@pytest.mark.parametrize("text", ["naïve 日本語 हिन्दी ภาษาไทย", "שָׁלוֹם", "❤️ 1️⃣ 👍🏽 🚀", "✓ ─│┌"])
def test_what_people_write_stays(text: str) -> None:
    """Accents, vowels, emoji with their selectors."""
    assert visible(text) == text


def test_a_span_is_safe_whatever_it_is_made_of() -> None:
    """Names of plugins and texts of answers go through spans."""
    out = io.StringIO()
    LiveScreen(out, colours=False).say(line("\x1b[2Jgone", Span("\u202eback", "bad")))
    assert Terminal(out.getvalue()).rows[0] == r"\x1b[2Jgone\u202eback"


def test_plain_output_has_no_codes_and_no_drafts() -> None:
    """What goes on is not printed: it could not be taken back."""
    out = io.StringIO()
    screen = screen_for(out)
    assert isinstance(screen, PlainScreen)
    screen.now(line("working"))
    screen.say(line(Span("done", "good"), "  "))
    assert out.getvalue() == "done\n"


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "ascii"

    def isatty(self) -> bool:
        return True


def test_colours_and_codes_are_as_the_terminal_and_the_user_want(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes the colours and leaves the drawing; TERM=dumb and --plain take both."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    live = screen_for(Tty())
    assert isinstance(live, LiveScreen)
    assert live.colours
    assert isinstance(screen_for(Tty(), plain=True), PlainScreen)
    monkeypatch.setenv("NO_COLOR", "1")
    out = Tty()
    screen = screen_for(out)
    screen.say(line(Span("done", "good")))
    assert "\x1b[32m" not in out.getvalue()
    assert isinstance(screen, LiveScreen)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(screen_for(Tty()), PlainScreen)


def test_the_signs_are_those_that_the_encoding_has() -> None:
    """A terminal without check marks gets words."""
    assert marks(Tty())["ok"] == "ok"
    assert marks(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))["ok"] == "✓"


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1))
def test_columns_stand_below_each_other(rows: list[tuple[str, str, str]]) -> None:
    """The second column begins at the same place in every line that has one."""
    lines = table(("one", "two", "three"), rows)
    start = lines[0].index("two")
    for row, shown in zip(rows, lines[1:], strict=True):
        assert shown[start : start + len(row[1])] == row[1]
