"""Undoing content-encodings: piece by piece, and never more than an answer can be."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import httpx
import pytest
from calling import COLOURS, Caller
from clippy_hookspecs import ProviderError
from hypothesis import given
from hypothesis import strategies as st

from clippy_core import encoding
from clippy_core.encoding import MOST_INFLATED, Bomb, Inflate
from clippy_core.testing import Raw

JSON = ("content-type", "application/json")


def packed(coding: str, data: bytes) -> bytes:
    if coding == "raw deflate":
        made = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        return made.compress(data) + made.flush()
    return gzip.compress(data, 9) if coding == "gzip" else zlib.compress(data, 9)


@given(st.binary(max_size=3000), st.integers(1, 50), st.sampled_from(["gzip", "deflate"]))
def test_a_body_comes_back_however_it_is_cut(data: bytes, cut: int, coding: str) -> None:
    body, inflate = packed(coding, data), Inflate(coding)
    pieces = [inflate.feed(body[at : at + cut]) for at in range(0, len(body), cut)]
    assert b"".join([*pieces, inflate.finish()]) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
def test_what_becomes_larger_than_any_answer_is_refused_before_it_takes_memory(coding: str) -> None:
    body = packed(coding, bytes(4 * MOST_INFLATED))
    tracemalloc.start()
    with pytest.raises(Bomb, match="compressed bytes of the answer became more than"):
        Inflate("gzip" if coding == "gzip" else "deflate").feed(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * MOST_INFLATED


def test_many_small_bombs_in_a_row_are_one() -> None:
    with pytest.raises(Bomb):
        Inflate("gzip").feed(gzip.compress(bytes(MOST_INFLATED // 2)) * 3)


def test_a_large_body_in_one_piece_that_is_no_bomb_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "MOST_INFLATED", 1000)
    data = " ".join(str(number) for number in range(20_000)).encode()
    assert Inflate("gzip").feed(gzip.compress(data)) == data


@pytest.mark.parametrize("colour", COLOURS)
def test_a_bomb_is_a_failed_attempt_like_any_answer_that_cannot_be_read(colour: str) -> None:
    body = gzip.compress(b'{"choices": ["' + bytes(2 * MOST_INFLATED) + b'"]}')
    caller = Caller(colour, httpx).start([], Raw(body, headers=(JSON, ("content-encoding", "gzip"))))
    with pytest.raises(ProviderError):
        caller.chat()
    assert caller.records.last.outcome == "failed"
