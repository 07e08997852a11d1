"""Commands are sent as redis-py would send them."""

from __future__ import annotations

from clippy_redis.links import _packed
from hypothesis import given
from hypothesis import strategies as st
from redis._parsers.encoders import Encoder
from redis.connection import PythonRespSerializer

WORD = st.text() | st.binary() | st.integers()
COMMAND = st.sampled_from(["GET", "EVALSHA"])


@given(command=COMMAND, words=st.lists(WORD, max_size=4))
def test_a_command_is_packed_as_redis_py_packs_it(command: str, words: list[str | bytes | int]) -> None:
    """Texts, bytes and numbers, with every letter in them."""
    theirs = PythonRespSerializer(6000, Encoder("utf-8", "strict", False).encode)
    assert _packed((command, *words)) == b"".join(theirs.pack(command, *words))
