"""A streamed answer as a whole one."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve
from clippy_hookspecs import CacheEntry, Chunk, Headers, Response

from .records import new_entry
from .wire import APIS, decode_response, encode_response
from .wire.assemble import Assembler


def assembled(api: str, chunks: Iterable[Chunk], status: int, headers: Headers) -> Response:
    """The answer of which *chunks* are the stream, or as much of it as they are."""
    assembler = Assembler(APIS[api])
    for chunk in chunks:
        assembler.add(chunk)
    return evolve(assembler.response(), status=status, headers=headers)


def entry_of(whole: Response, events: tuple[bytes, ...]) -> CacheEntry:
    """The entry of an answer that came as these events: a plain answer in its wire form, and the stream beside it."""
    headers = whole.headers.replace("content-type", "application/json")
    stored = decode_response(APIS[whole.api], whole.status, headers, encode_response(whole), {})
    return new_entry(stored, events)
