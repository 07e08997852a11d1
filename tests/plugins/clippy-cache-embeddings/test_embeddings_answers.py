"""Bodies are taken apart and joined without a digit changed, and what is no embeddings answer is told from one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from clippy_cache_embeddings.answers import take_apart
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.sampled_from(["0.1", "-0.0", "1e-05", "1E+2", "0.12345678901234567890123", "12345678901234567890", "7"])
SPACE = st.sampled_from(["", " ", "\n  ", "\t\r\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text(max_size=6).filter(lambda name: name not in {"data", "usage", "model", "index", "embedding"})


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, list[str]]:
    """An answer as somebody's server might write it, and the text of each embedding by its index."""
    vectors = [f"[{','.join(draw(st.lists(NUMBERS, max_size=3)))}]" for _ in range(draw(st.integers(1, 4)))]

    def written(members: list[tuple[str, str]]) -> str:
        extra = [(name, json.dumps(value)) for name, value in draw(st.dictionaries(NAMES, VALUES, max_size=2)).items()]
        listed = draw(st.permutations(members + extra))
        gap = draw(SPACE)
        return "{" + gap + f"{gap},{gap}".join(f"{json.dumps(n)}{gap}:{gap}{v}" for n, v in listed) + gap + "}"

    items = [written([("index", str(i)), ("embedding", vector)]) for i, vector in enumerate(vectors)]
    gap = draw(SPACE)
    data = "[" + gap + f"{gap},".join(draw(st.permutations(items))) + gap + "]"
    members = [("data", data), ("model", '"m"')]
    if draw(st.booleans()):
        members.append(("usage", '{"prompt_tokens": 7, "total_tokens": 7}'))
    return gap + written(members) + gap, vectors


@given(bodies())
def test_an_answer_joined_again_says_the_same_to_the_digit(given_body: tuple[str, list[str]]) -> None:
    text, vectors = given_body
    parts = take_apart(text.encode(), len(vectors))
    assert parts is not None
    joined = parts.around.body(parts.items).decode()
    # Numbers as their texts, so that 1e-05 and 0.00001 differ.
    read, original = (json.loads(one, parse_float=str, parse_int=str) for one in (joined, text))
    original["data"].sort(key=lambda item: int(item["index"]))
    assert read == original
    assert all(vector in item.before + item.after for vector, item in zip(vectors, parts.items, strict=True))


@given(bodies())
def test_where_nothing_was_sent_nothing_was_counted(given_body: tuple[str, list[str]]) -> None:
    """And all else is as in the answer that the vectors came with."""
    text, vectors = given_body
    parts = take_apart(text.encode(), len(vectors))
    assert parts is not None
    read, original = json.loads(parts.unasked.body(parts.items[:1])), json.loads(text)
    counted = original.pop("usage", None)
    assert read.pop("usage", None) == (counted and {"prompt_tokens": 0, "total_tokens": 0})
    assert len(read.pop("data")) == 1
    original.pop("data")
    assert read == original


ITEM: dict[str, Any] = {"object": "embedding", "index": 0, "embedding": [0.5]}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"data": [',
        b'{"data": 1}',
        b'{"object": "list"}',
        b"[" * 100_000,
        json.dumps({"data": []}).encode(),
        json.dumps({"data": [ITEM, ITEM]}).encode(),
        json.dumps({"data": [{**ITEM, "index": 1}]}).encode(),
        json.dumps({"data": [{**ITEM, "index": "0"}]}).encode(),
        json.dumps({"data": [{**ITEM, "index": 0.0}]}).encode(),
        json.dumps({"data": [{"index": 0}]}).encode(),
        json.dumps({"data": [[0.5]]}).encode(),
    ],
    ids=lambda body: repr(body[:40]),
)
def test_what_is_not_the_answer_to_one_input_is_none(body: bytes) -> None:
    assert take_apart(body, 1) is None


@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]",: 01adtindexmbg'), max_size=60).map(str.encode))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    assert take_apart(body, 1) is None or b"embedding" in body
