"""Where a text may be cut although more of it is to come."""

from __future__ import annotations

import unicodedata

import pytest
from clippy_throttle import boundary, last_boundary, last_line, last_word
from hypothesis import given
from hypothesis import strategies as st

WHOLE = {
    "a combining mark": "e\u0301",
    "many marks": "a\u0300\u0316\u0315\u0301",
    "a spacing mark": "\u0928\u093f",
    "an Indic conjunct": "\u0915\u094d\u0937",
    "a conjunct with a joiner": "\u0915\u094d\u200d\u0937",
    "a conjunct with a mark between": "\u0c15\u0c4d\u0329\u0c37",
    "a skin tone": "\U0001f44b\U0001f3fd",
    "a family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "a rainbow flag": "\U0001f3f3\ufe0f\u200d\U0001f308",
    "a keycap": "1\ufe0f\u20e3",
    "a flag": "\U0001f1e9\U0001f1ea",
    "a flag of tags": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "Hangul of three jamo": "\u1112\u1161\u11ab",
    "Hangul of a syllable and a jamo": "\ud558\u11ab",
    "Hangul of two initials": "\u1100\u1100\u1161",
    "a sign before its digits": "\u0600\u0031",
    "a Thai vowel": "\u0e01\u0e33",
    "a newline of two": "\r\n",
}
"""What a reader takes for one character (UAX #29, extended grapheme clusters)."""


@pytest.mark.parametrize("cluster", WHOLE.values(), ids=WHOLE)
def test_what_is_one_character_for_a_reader_is_not_cut(cluster: str) -> None:
    """Neither inside, nor while the rest of it may still come."""
    assert not any(boundary(cluster, at) for at in range(1, len(cluster)))
    for end in range(1, len(cluster) + 1):
        cut = last_boundary("So: " + cluster[:end])
        assert cut == 4 or (cut == 4 + end and cluster == "\r\n"), cluster[:end]


@pytest.mark.parametrize("cluster", WHOLE.values(), ids=WHOLE)
def test_there_is_a_boundary_before_the_next_letter(cluster: str) -> None:
    """Held is only what may still grow: as soon as a plain letter follows it goes out."""
    assert boundary(cluster + "x", len(cluster))
    assert last_boundary(cluster + "x") == len(cluster)


def test_flags_are_cut_in_pairs() -> None:
    """Three flags in a row: two go out, the third waits, since a mark could follow."""
    flags = "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7\U0001f1ee\U0001f1f9"
    assert [boundary(flags, at) for at in range(1, 6)] == [False, True, False, True, False]
    assert last_boundary(flags) == 4


def test_syllables_of_hangul_are_cut_between() -> None:
    """Precomposed syllables stand by themselves."""
    assert boundary("\ud55c\uae00", 1)


def test_plain_text_is_cut_anywhere() -> None:
    assert all(boundary("Hello, World", at) for at in range(1, 12))


TEXT = st.text(st.one_of(st.characters(), st.sampled_from("".join(WHOLE.values()) + "ab \n\r")), max_size=30)


@given(TEXT, TEXT)
def test_what_comes_later_changes_no_boundary(text: str, more: str) -> None:
    """A cut that was right stays right, and the front is what it was."""
    cut = last_boundary(text)
    assert 0 <= cut <= len(text)
    if 0 < cut < len(text + more):
        assert boundary(text + more, cut)


@given(TEXT)
def test_no_mark_is_ever_first(text: str) -> None:
    """What goes on with a character never begins a piece."""
    for at in range(1, len(text)):
        if boundary(text, at) and unicodedata.category(text[at - 1]) not in ("Cc", "Zl", "Zp"):
            assert unicodedata.category(text[at]) not in ("Mn", "Me", "Mc", "Cf")


@given(TEXT)
def test_words_and_lines_are_cut_at_boundaries(text: str) -> None:
    """A word goes with the space before it; a line with its newline."""
    word, line = last_word(text), last_line(text)
    assert word == 0 or boundary(text, word)
    assert line in (0, len(text)) or boundary(text, line)
    assert not text[line:].count("\n")


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("Hello", ""),
        ("Hello ", "Hello"),
        ("Hello wor", "Hello"),
        ("Hello world \u0301", "Hello world"),
        ("one\r\n", "one"),
        ("\u4f60\u597d\u4e16\u754c", "\u4f60\u597d\u4e16"),
        ("\u304b\u3099\u304d", "\u304b\u3099"),
    ],
)
def test_a_word_is_whole_when_the_next_one_begins(text: str, out: str) -> None:
    """Scripts without spaces go letter by letter."""
    assert text[: last_word(text)] == out
