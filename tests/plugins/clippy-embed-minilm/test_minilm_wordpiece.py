"""Texts are cut as the model was trained: ids of the tokenizer that it was published with are the measure."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import clippy_embed_minilm
import pytest
from clippy_embed_minilm.wordpiece import WordPiece
from hypothesis import given
from hypothesis import strategies as st

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text("utf-8"))
VOCABULARY = (Path(clippy_embed_minilm.__file__).parent / "vocab.txt").read_text("utf-8").split("\n")[:-1]
WORDS = WordPiece({word: number for number, word in enumerate(VOCABULARY)})
UNKNOWN, START, END = map(VOCABULARY.index, ("[UNK]", "[CLS]", "[SEP]"))


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: ascii(case["text"][:24]))
def test_the_tokens_are_those_of_the_published_tokenizer(case: dict[str, object]) -> None:
    assert WORDS.ids(str(case["text"]), 256) == case["ids"]


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.integers(2, 40))
def test_a_text_has_a_beginning_an_end_and_no_more_tokens_than_wanted(text: str, most: int) -> None:
    ids = WORDS.ids(text, most)
    assert (ids[0], ids[-1]) == (START, END)
    assert 2 <= len(ids) <= most
    assert ids[1:-1] == WORDS.ids(text, 10_000)[1:-1][: most - 2]


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_nothing_of_a_text_in_ascii_is_lost(text: str) -> None:
    """The pieces put together are the text in lower case without its white space and controls."""
    ids = WORDS.ids(text, 10_000)[1:-1]
    together = "".join(VOCABULARY[number].removeprefix("##") for number in ids if number != UNKNOWN)
    seen = "".join(c for c in text.lower() if not c.isspace() and unicodedata.category(c) != "Cc")
    assert UNKNOWN in ids or together.replace("##", "") == seen.replace("##", "")


@given(st.lists(st.sampled_from([w for w in VOCABULARY if w.isascii() and w.isalpha()]), max_size=12))
def test_words_of_the_vocabulary_are_one_token_each(words: list[str]) -> None:
    assert WORDS.ids(" ".join(words), 100)[1:-1] == [VOCABULARY.index(word) for word in words]


def test_the_marks_of_the_model_are_text_when_somebody_types_them() -> None:
    """A message cannot end itself in the middle."""
    assert {START, END}.isdisjoint(WORDS.ids("[CLS] one [SEP] two", 100)[1:-1])
