"""A body that nobody looks into, and what all streams have in common."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import define, field
from clippy_hookspecs import ByteStream, Chunk, ErrorInfo, Headers

from .deadlines import exceeded
from .flow import FlowHandle
from .runtime import FlowCancelled, Runtime, TimeIsUp
from .sources import close_quietly


@define(eq=False)
class Piece:
    """What the caller gets in one step: the bytes, and the chunks they stand for.

    Nobody changes it; it is not frozen because one is made for each read, and a frozen one costs three times as much.
    """

    data: bytes
    chunks: tuple[Chunk, ...] = ()


def nothing() -> None:
    """What is to be done for a reader that nobody watches."""


class Drops(Protocol):
    """The pipeline, as a body that nobody looks into sees it."""

    async def stream_dropped(self, outcome: str, error: ErrorInfo | None = None) -> None:
        """Nobody reads on: post_attempt, audit."""
        ...


@define(eq=False)
class OpaqueStream:
    """A body that nobody looks into, piece by piece as it comes."""

    owner: Drops
    body: ByteStream
    runtime: Runtime
    flow: FlowHandle
    status: int
    headers: Headers
    extensions: Mapping[str, Any]
    deadline: float | None = None
    abort: Callable[[], None] | None = None
    unwatch: Callable[[], object] = nothing
    _settled: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def finished(self) -> bool:
        """Whether this request's books are closed, and its connection."""
        return self._settled and self._closed

    async def next(self) -> Piece | None:
        """The next piece, None at the end.  Raises what the upstream raises, DeadlineExceeded, FlowCancelled."""
        if self.flow.paused:
            await self.runtime.gate(self.flow)
        try:
            data = await self.runtime.bounded(self.body.next(), self.deadline, self.flow, self.abort)
        except FlowCancelled:
            await self.aclose()
            raise
        except TimeIsUp:
            over = exceeded("total")
            await self._settle_as("failed", over.info)
            await self._close()
            raise over from None
        except Exception as error:
            await self._settle_as("failed", ErrorInfo(kind=type(error).__name__))
            await self._close()
            raise
        except BaseException:
            await self.runtime.settle(self.aclose, cancelled=True)
            raise
        if data is None:
            await self._settle_as("answered")
            await self._close()
            return None
        return Piece(data)

    async def aclose(self) -> None:
        """Close the upstream connection and settle; any number of times."""
        await self.runtime.settle(self._leave)

    async def abandon(self) -> None:
        """Close a stream that nobody reads any more."""
        await self._settle_as("abandoned")
        await self._close()

    async def _leave(self) -> None:
        try:
            await self._settle_as("cancelled")
        finally:
            await self._close()

    async def _close(self) -> None:
        self._closed = True
        await close_quietly(self.body)
        self.unwatch()

    async def _settle_as(self, outcome: str, error: ErrorInfo | None = None) -> None:
        if not self._settled:
            self._settled = True
            await self.owner.stream_dropped(outcome, error)


class Readable(Protocol):
    """A stream of either kind."""

    runtime: Runtime
    unwatch: Callable[[], object]
    """Called when the connection is closed: nothing is left to do when the reader goes."""

    @property
    def finished(self) -> bool:
        """Whether the request's books are closed, and its connection."""
        ...

    async def abandon(self) -> None:
        """Close a stream that nobody reads any more."""
        ...


def abandon_when_collected(reader: object, stream: Readable) -> None:
    """Settle and close *stream* when *reader*, which the caller holds, is collected before that was done."""
    watch = weakref.finalize(reader, _abandoned, stream, os.getpid())
    watch.atexit = False
    # The watch keeps the stream, and what broke a stream keeps, by its traceback, the reader: for ever, without this.
    stream.unwatch = watch.detach


def _abandoned(stream: Readable, process: int) -> None:
    """Called by the garbage collector, from whatever thread; after a fork the stream is the parent's to settle."""
    if not stream.finished and os.getpid() == process:
        stream.runtime.soon(stream.abandon)
