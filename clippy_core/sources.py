"""Where the events of a stream come from: a live answer, or one that was stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal, Protocol

from attrs import define, field
from clippy_hookspecs import ByteStream, RequestContext

from .deadlines import Deadlines, exceeded
from .encoding import Decoding
from .flow import FlowHandle
from .runtime import Runtime, TimeIsUp
from .wire import StreamDecoder
from .wire.base import StreamEvent

Phase = Literal["connect", "request", "response", "stream"]


class Broken(Exception):
    """Something upstream went wrong; ``cause`` is what, ``phase`` is when.  Never leaves the core."""

    def __init__(self, cause: Exception, phase: Phase) -> None:
        super().__init__(cause, phase)
        self.cause = cause
        self.phase: Phase = phase


class EndedEarly(Exception):
    """The connection ended before the protocol's terminal event."""


class Source(Protocol):
    """Events, one reader at a time."""

    @property
    def complete(self) -> bool:
        """Whether the stream may end here."""
        ...

    async def next(self) -> StreamEvent | None:
        """The next event, None at the end.  Raises Broken, and FlowCancelled."""
        ...

    async def aclose(self) -> None: ...


@define(eq=False)
class EventSource:
    """The events of a live answer."""

    body: ByteStream
    decoder: StreamDecoder
    encoding: Decoding
    runtime: Runtime
    flow: FlowHandle
    deadlines: Deadlines
    ctx: RequestContext
    abort: Callable[[], None] | None = None
    saw_bytes: Callable[[bytes], None] | None = None
    _queue: deque[StreamEvent] = field(factory=deque, init=False)
    _broken: Broken | None = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)

    @property
    def complete(self) -> bool:
        return self.decoder.complete

    async def next(self) -> StreamEvent | None:
        while not self._queue:
            if self._broken is not None:
                raise self._broken
            if self._ended:
                return None
            await self._read()
        return self._queue.popleft()

    def give_back(self, events: Iterable[StreamEvent]) -> None:
        """Put events that were looked at in front again."""
        self._queue.extendleft(reversed(tuple(events)))

    async def aclose(self) -> None:
        self._ended = True
        await self.body.aclose()

    async def _read(self) -> None:
        deadline, which = self.deadlines.next(self.runtime.clock.now(), self.ctx.committed)
        try:
            piece = await self.runtime.bounded(self._piece(), deadline, self.flow, self.abort)
        except TimeIsUp:
            raise Broken(exceeded(which), "stream") from None
        self._ended = piece is None
        if piece and self.saw_bytes is not None:
            self.saw_bytes(piece)
        # What was read before a corrupt part is still handed on, so its error waits for its turn.
        try:
            data = self.encoding.finish() if piece is None else self.encoding.feed(piece)
            self._queue.extend(self.decoder.feed(data))
            if piece is None:
                self._queue.extend(self.decoder.finish())
        except Exception as error:
            self._broken = Broken(error, "stream")

    async def _piece(self) -> bytes | None:
        try:
            return await self.body.next()
        except Exception as error:
            raise Broken(error, "stream") from error


@define(eq=False)
class ReplaySource:
    """The events of an answer that was stored, or made by a plugin."""

    events: deque[bytes]
    decoder: StreamDecoder
    _queue: deque[StreamEvent] = field(factory=deque, init=False)

    @property
    def complete(self) -> bool:
        return self.decoder.complete

    async def next(self) -> StreamEvent | None:
        while not self._queue:
            if not self.events:
                return None
            self._queue.extend(self.decoder.feed(self.events.popleft()))
        return self._queue.popleft()

    async def aclose(self) -> None:
        self.events.clear()
        self._queue.clear()
