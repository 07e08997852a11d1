"""The values that every body and stream is full of, made fast: see :func:`clippy_hookspecs.blocks.draft`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clippy_hookspecs import Block, Chunk, Json, Message, Text, Usage
from clippy_hookspecs.blocks import draft
from clippy_hookspecs.types import ChunkKind

from .base import StreamEvent

_Text, _Message, _Usage, _Chunk = draft(Text), draft(Message), draft(Usage), draft(Chunk)
_Event = draft(StreamEvent)


def text_of(words: str, extra: Mapping[str, Json], raw: Json = None) -> Text:
    """``Text(words, extra)`` with its *raw*."""
    value: Any = _Text()
    value.text, value.extra, value.raw = words, extra, raw
    value.__class__ = Text
    return value  # type: ignore[no-any-return]  # it is one now


def message_of(role: str, blocks: tuple[Block, ...], extra: Mapping[str, Json], raw: Json = None) -> Message:
    """``Message(role, blocks, extra)`` with its *raw*."""
    value: Any = _Message()
    value.role, value.blocks, value.extra, value.raw = role, blocks, extra, raw
    value.__class__ = Message
    return value  # type: ignore[no-any-return]  # it is one now


def usage_of(
    taken: int, given: int, cache_read: int, cache_write: int, reasoning: int, extra: Mapping[str, Json]
) -> Usage:
    """``Usage`` of the provider's counts: input, output, and of these the cached and the thought ones."""
    value: Any = _Usage()
    value.input, value.output, value.estimated, value.extra = taken, given, False, extra
    value.cache_read, value.cache_write, value.reasoning = cache_read, cache_write, reasoning
    value.__class__ = Usage
    return value  # type: ignore[no-any-return]  # it is one now


def words_chunk(kind: ChunkKind, words: str, block: int, choice: int, extra: Mapping[str, Json], raw: bytes) -> Chunk:
    """``Chunk(kind, words, block, choice, extra=extra)`` with its *raw*."""
    value: Any = _Chunk()
    value.kind, value.delta, value.block, value.choice = kind, words, block, choice
    value.id = value.name = value.finish_reason = value.usage = value.reason = None
    value.extra, value.raw = extra, raw
    value.__class__ = Chunk
    return value  # type: ignore[no-any-return]  # it is one now


def words_event(raw: bytes, chunks: tuple[Chunk, ...]) -> StreamEvent:
    """``StreamEvent(raw, chunks)`` of an event that only brings words."""
    event: Any = _Event()
    event.raw, event.chunks, event.ends = raw, chunks, False
    event.__class__ = StreamEvent
    return event  # type: ignore[no-any-return]  # it is one now
