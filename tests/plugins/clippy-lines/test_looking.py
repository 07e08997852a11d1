"""What commands show of texts that strangers wrote: a terminal obeys what it is sent, and people read what stays."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from clippy_lines.looking import visible, visible_json
from hypothesis import given
from hypothesis import strategies as st

CORPUS = Path(__file__).parents[3].parent / "shared/data/ansi-dev.jsonl"
STAY = (
    "naïve 日本語 العربية हिन्दी ภาษาไทย ที่", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0d9a\u0dca\u200d\u0dbb\u0dd2", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u2764\ufe0f 1\ufe0f\u20e3 \U0001f44d\U0001f3fd",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "no\u00a0break 10\u202f000 \u3000wide", "\ue0b0",
    "e\u0301 \u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\\x1b[31m ^[[31m [31m ]52;c;", "",
)  # fmt: skip
GO = (
    "\x1b", "\x1b]52;c;eA==\x07", "\x1b]8;;file:///x\x1b\\", "\x1bP+q544e\x1b\\", "\x90q\x9c", "\x9b31m",
    "a\rb", "a\r\r\nb",
    "\b", "\x7f", "\x00", "\x85", "\u202e", "\u2066", "\u061c", "\u200bx", "a\u200db", "\u00ad", "\ufeff",
    "\u3164", "\u115f",
    "\u2028", "\U000e0041", "\U0001f3f4\U000e0067", "\ud800", "x" + "\u0300" * 200, "\ufe0f\ufe0f\ufe0f", "\U000e0100",
)  # fmt: skip


def obeyed(text: str) -> list[str]:
    """What a terminal acts upon: controls, and signs that turn text around or end lines."""
    turning = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    return [sign for sign in text if unicodedata.category(sign) in ("Cc", "Cs") or sign in turning]


@given(st.text() | st.text("\x1b\x9b\r\x07\u202e\u200d\u0300\ufe0f\U0001f3f4\U000e0067]31;ma\u0645"))
def test_nothing_is_left_that_a_terminal_obeys(text):
    assert obeyed(visible(text)) == []
    assert set(obeyed(visible(text, keep="\n\t"))) <= {"\n", "\t"}


@given(st.recursive(st.text(max_size=9), st.lists) | st.just("\x7f\x1b\x9b\u202e"))
def test_json_is_printable_ascii_and_says_the_same(document):
    text = visible_json(document)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == document


def test_what_only_looks_so_stays_and_what_hides_is_written_out():
    assert [visible(text) for text in STAY] == list(STAY)
    assert [text for text in GO if visible(text) == text] == []
    assert max(map(len, visible("x" + "\u0300" * 200).split("\\u0300"))) < 12


def test_the_corpus_is_settled():
    if not CORPUS.exists():
        pytest.skip("the corpus is not here")
    for case in map(json.loads, CORPUS.read_text("utf-8").splitlines()):
        text = case["input"].replace("\r\n", "\n")
        shown = visible(text, keep="\n\t")
        assert (shown == text) == (case["label"] == "benign"), case
        assert set(obeyed(shown)) <= {"\n", "\t"}, case
