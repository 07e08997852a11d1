"""The plugin: remembers what the newest streams brought, and when."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import define, field
from attrs.validators import ge
from clippy_hookspecs import Chunk, Event, Headers, Outcome, Request, RequestContext, StashKey, hookimpl

from .dumps import Line, write

_READS_BODY = ("content-type", "content-encoding")
"""The headers that are kept: cookies and account ids have no place in a file that is sent around."""
_ENTRY = 100
"""Bytes that a record counts for beside its content."""


@define(eq=False)
class _Recording:
    """What one stream brought; the oldest records make room for the newest."""

    id: str
    model: str
    time: float
    began: int
    room: int
    lost: int = 0
    _size: int = 0
    _entries: deque[tuple[int, str, Any, int]] = field(factory=deque, repr=False)

    def add(self, at: int, kind: str, data: Any, size: int) -> None:
        """Remember a record of *size* bytes."""
        entries = self._entries
        entries.append((at, kind, data, size))
        self._size += size
        while self._size > self.room:
            self._size -= entries.popleft()[3]
            self.lost += 1

    def lines(self) -> Iterator[Line]:
        """What is there, as the lines of a file."""
        for at, kind, data, _ in tuple(self._entries):
            chunk = kind == "chunk_in" or kind == "chunk_out"
            yield Line((at - self.began) // 1000, kind, {"chunk": data} if chunk else data)


_RECORDING = StashKey[_Recording]("stream-debug.recording")


@define(eq=False)
class StreamDebugger:
    """Records the bytes and chunks of the newest streams, to be looked at and replayed."""

    enabled: bool = field(default=False, metadata={"doc": "record; what was said is then kept in memory"})
    streams: int = field(default=8, validator=ge(1), metadata={"doc": "streams that are kept, the newest"})
    max_bytes: int = field(
        default=4 * 1024 * 1024, validator=ge(1024), metadata={"doc": "bytes kept of each stream, the newest"}
    )
    _recordings: deque[_Recording] = field(init=False, repr=False)

    observes_only = True  # it changes no request and no answer
    observes_passed = False  # hook calls are nothing that happens to a stream

    @_recordings.default
    def _none_yet(self) -> deque[_Recording]:
        return deque(maxlen=self.streams)

    @property
    def idle(self) -> str | None:
        """Why it has nothing to do, None if it has."""
        return None if self.enabled else "enabled is not set"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the requests whose streams are kept, the newest last."""
        return tuple(recording.id for recording in tuple(self._recordings))

    def dump(self, request_id: str, path: str | os.PathLike[str]) -> None:
        """Write what is kept of a stream into a new file that only its owner can read: ``clippy stream-dump show``.

        It holds what the answer said, and of the request nothing but the model's name.  A stream under way is written
        as far as it is.  Raises LookupError for an id that is not kept, OSError and FileExistsError.
        """
        found = next((one for one in tuple(self._recordings) if one.id == request_id), None)
        if found is None:
            raise LookupError(f"no stream {request_id!r} is kept; there are {', '.join(self.ids) or 'none'}")
        lines = [*found.lines()]
        head = {"id": found.id, "model": found.model, "time": found.time, "lost": found.lost}
        write(Path(path), head, lines)

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """A stream is asked for: record it."""
        if ctx.stream and self.enabled:
            at = int(ctx.clock.now() * 1e9)
            recording = _Recording(ctx.id, request.model, ctx.clock.time(), at, self.max_bytes)
            ctx.stash[_RECORDING] = recording
            self._recordings.append(recording)

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        """Remember what happened to a stream."""
        kind, data = event.kind, event.data
        if kind == "hook":
            return
        recording = ctx.stash.get(_RECORDING)
        if recording is None:
            return
        if kind == "chunk_in" or kind == "chunk_out":
            told = _told(data)  # and not the chunk: it keeps its event's bytes, which a compressed body has for nothing
            size = sum(len(value) for value in told.values() if isinstance(value, str))
            recording.add(event.at, kind, told, _ENTRY + size)
        elif kind == "bytes":
            recording.add(event.at, kind, {"data": data}, _ENTRY + len(data))
        elif kind == "attempt":
            recording.add(event.at, kind, {"number": ctx.attempt}, _ENTRY)
        elif kind == "head":
            recording.add(event.at, kind, _head(*data), _ENTRY)
        elif isinstance(data, Outcome):
            recording.add(event.at, kind, {"state": data.state}, _ENTRY)

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        """``clippy stream-dump``: looks into files."""
        from .commands import dump_group

        cli.add_command(dump_group())


def _head(status: int, headers: Headers) -> dict[str, Any]:
    return {"status": status, "headers": [(name, headers[name]) for name in _READS_BODY if name in headers]}


def _told(chunk: Chunk) -> dict[str, Any]:
    """What a chunk says, without what is its default."""
    told: dict[str, Any] = {"kind": chunk.kind}
    for name in ("delta", "block", "choice", "id", "name", "finish_reason", "reason"):
        value = getattr(chunk, name)
        if value:
            told[name] = value
    if chunk.usage is not None:
        told["usage"] = {"input": chunk.usage.input, "output": chunk.usage.output}
    return told
