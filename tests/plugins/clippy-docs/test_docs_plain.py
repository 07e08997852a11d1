"""Words of others come out of Markdown as the words they are."""

from __future__ import annotations

from html.parser import HTMLParser

import attrs
import pytest
from clippy_docs import text
from clippy_docs.plain import block, code, plain, visible
from hypothesis import example, given
from hypothesis import strategies as st
from markdown import Markdown

EXTENSIONS = [
    "tables", "attr_list", "def_list", "footnotes", "abbr", "md_in_html", "admonition", "pymdownx.superfences",
    "pymdownx.betterem", "pymdownx.caret", "pymdownx.mark", "pymdownx.tilde", "pymdownx.magiclink", "pymdownx.keys",
    "pymdownx.emoji", "pymdownx.tasklist", "pymdownx.inlinehilite", "pymdownx.arithmatex",
]  # fmt: skip
PIECES = st.sampled_from(
    ["<script>alert(1)</script>", "|", "`", "``", "```", "*", "**", "_", "__", "[a](javascript:x)", "![", "]", "\\",
     "~~",
     "==", "^^", "++", ":smile:", "https://a.test/", "a@b.test", "&lt;", "&#60;", "1. ", "- ", "# ", "> ", "---",
     "!!! ", "    ",
     "\n", "\x1b[2J", "\u202e", "{: .x }", "$x$", "[^1]", "*[a]: b", "???", "<!--", "-->", "x", " ", "+/-"]
)  # fmt: skip
WORDS = st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=12).map("".join)


@attrs.define(eq=False)
class Shown(HTMLParser):
    """What a reader sees of HTML, and the elements it is made of."""

    words: str = ""
    tags: set[str] = attrs.field(factory=set)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, found: list[tuple[str, str | None]]) -> None:
        """One more element."""
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        """Words."""
        self.words += data


def shown(markdown: str) -> Shown:
    page = Shown()
    page.feed(Markdown(extensions=EXTENSIONS).convert(markdown))
    page.close()
    return page


def said(words: str) -> str:
    return " ".join(visible(words, keep=" \t\n\r").split())


@given(WORDS)
@example("1. a")
@example("# a")
@example("<img src=x onerror=alert(1)>")
def test_plain_words_are_shown_and_never_obeyed(words: str) -> None:
    """A paragraph of exactly them, whatever they would mean in Markdown or HTML."""
    page = shown(plain(words))
    assert page.tags <= {"p"}
    assert " ".join(page.words.split()) == said(words)


@given(WORDS)
def test_code_is_shown_as_it_is(words: str) -> None:
    """With every backtick and vertical line in it."""
    page = shown("a " + code(words))
    assert page.tags <= {"p", "code"}
    assert " ".join(page.words.split()) == f"a {said(words)}".strip()


@given(WORDS, WORDS)
def test_a_cell_of_a_table_stays_one_cell(left: str, right: str) -> None:
    """What stands in it ends neither the cell nor the row."""
    rows = [(f"a {plain(left, begins=False)}", code(right)), ("x", "y")]
    page = shown("\n".join(text.table(("one", "two"), rows)))
    assert page.tags <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert "".join(page.words.split()) == "".join(f"one two a {said(left)} {said(right)} x y".split())


@given(WORDS)
def test_a_docstring_makes_no_element_of_its_own(words: str) -> None:
    """Literals and references become code and links to our pages, and nothing else becomes anything."""

    class Documented:
        pass

    Documented.__doc__ = words
    for one in text.paragraphs(Documented):
        assert shown(one).tags <= {"p", "code", "a", "div", "pre", "span"}
        assert "javascript" not in one.partition("](")[2][:12]


@given(st.text(alphabet="`\n ~x", max_size=40))
def test_a_block_of_code_ends_where_it_ends(words: str) -> None:
    """A fence in it is code."""
    lines = block(words).split("\n")
    assert lines[0] == lines[-1]
    assert all(lines[0] not in line for line in lines[1:-1])


@pytest.mark.parametrize("letter", ["\x1b", "\x00", "\u202e", "\u200b", "\u2028", "\ud800"])
def test_what_acts_on_a_terminal_is_written_out(letter: str) -> None:
    """Also in a file that somebody prints."""
    for one in (plain(f"a{letter}b"), code(f"a{letter}b"), block(f"a{letter}b")):
        assert letter not in one
        one.encode()


def test_the_end_of_a_very_long_docstring_is_left_out():
    """A paragraph of 800 kB would keep the maker of pages for half an hour and more."""

    def long() -> None: ...

    long.__doc__ = "Say it.\n\n" + "![" * 400_000
    shown = text.paragraphs(long)
    assert (shown[0], shown[-1]) == ("Say it.", "The rest of its 800009 characters is left out.")
    assert sum(map(len, shown)) < 150_000
