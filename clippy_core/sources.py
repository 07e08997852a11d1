"""Where the events of a stream come from: a live answer, or one that was stored."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal, Protocol

from attrs import define, field
from clippy_hookspecs import ByteStream, Chunk, RawReply

from .deadlines import Deadlines, exceeded
from .encoding import Decoding
from .flow import FlowHandle
from .judging import socket_shutdown
from .runtime import FlowCancelled, Runtime, TimeIsUp
from .wire import StreamDecoder
from .wire.base import StreamEvent
from .wire.translate import TranslatedSource

log = logging.getLogger("clippy")

BURST = 64
"""Events that are handed on in one piece at the most."""

DRAIN_SECONDS = 0.05
"""How long the end of a body may take after the stream's terminal event."""
DRAIN_READS = 4

Phase = Literal["connect", "request", "response", "stream"]


class Broken(Exception):
    """Something upstream went wrong; ``cause`` is what, ``phase`` is when.  Never leaves the core."""

    def __init__(self, cause: Exception, phase: Phase) -> None:
        super().__init__(cause, phase)
        self.cause = cause
        self.phase: Phase = phase


class EndedEarly(Exception):
    """The connection ended before the protocol's terminal event."""


class UnknownEncoding(Exception):
    """An answer came in a content-encoding that was not asked for: no plugin could look into it."""

    def __str__(self) -> str:
        return f"the answer came in the content-encoding {self.args[0]!r}, which nobody asked for"


class UnaskedStream(Exception):
    """A stream came for a plain call of our own client, whose caller waits for one whole answer."""

    def __str__(self) -> str:
        return "the provider answered with a stream, which this call did not ask for"


class Source(Protocol):
    """Events, one reader at a time.  ``queue`` are those that are here already, in front of what ``next`` waits for."""

    queue: deque[StreamEvent]

    @property
    def complete(self) -> bool:
        """Whether the stream may end here."""
        ...

    async def next(self) -> StreamEvent | None:
        """The next event, None at the end.  Raises Broken, and FlowCancelled."""
        ...

    def cut(self) -> None:
        """Break the connection under a read that blocks in another thread."""
        ...

    async def drain(self) -> None:
        """Read what follows a whole answer.  Only for the reader's own thread: on the watchdog's nobody ends a read."""
        ...

    async def aclose(self) -> None: ...


class Begun(Protocol):
    """Who knows whether the answer has begun: a request's context."""

    committed: bool


@define(eq=False)
class EventSource:
    """The events of a live answer."""

    body: ByteStream
    decoder: StreamDecoder
    encoding: Decoding
    runtime: Runtime
    flow: FlowHandle
    deadlines: Deadlines
    ctx: Begun
    abort: Callable[[], None] | None = None
    saw_bytes: Callable[[bytes], None] | None = None
    queue: deque[StreamEvent] = field(factory=deque, init=False)
    _broken: Broken | None = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)

    @property
    def complete(self) -> bool:
        return self.decoder.complete

    async def next(self) -> StreamEvent | None:
        while not self.queue:
            if self._broken is not None:
                raise self._broken
            if self._ended:
                return None
            deadline, which = None, ""
            if self.deadlines.given:
                deadline, which = self.deadlines.next(self.runtime.clock.now(), self.ctx.committed)
            try:
                piece = await self.runtime.bounded(self.body.next(), deadline, self.flow, self.abort)
            except FlowCancelled:
                raise
            except TimeIsUp:
                self._broken = Broken(exceeded(which), "stream")  # whoever looks again sees the same
                raise self._broken from None
            except Exception as error:
                self._broken = Broken(error, "stream")
                raise self._broken from error
            self._decode(piece)
        return self.queue.popleft()

    def give_back(self, events: Iterable[StreamEvent]) -> None:
        """Put events that were looked at in front again."""
        self.queue.extendleft(reversed(tuple(events)))

    def cut(self) -> None:
        if self.abort is not None:
            self.abort()

    async def aclose(self) -> None:
        self._ended = True
        await close_quietly(self.body)

    async def drain(self) -> None:
        """Read to the body's end, most often here already, so that the connection can be used again.

        Sync SDKs close a stream once they have its terminal event, and with the rest unread the connection is closed
        too; async ones read on.  Only where a read that blocks could be cut, which is a thread's on a socket we reach.
        """
        if not self.complete or self._ended or self.abort is None:
            return
        until = self.runtime.clock.now() + DRAIN_SECONDS
        try:
            for _ in range(DRAIN_READS):
                if await self.runtime.bounded(self.body.next(), until, self.flow, self.abort) is None:
                    return
        except Exception as error:
            log.debug("a stream went on after its terminal event, its connection is closed: %s", type(error).__name__)

    def _decode(self, piece: bytes | None) -> None:
        self._ended = piece is None
        if piece and self.saw_bytes is not None:
            self.saw_bytes(piece)
        # What was read before a corrupt part is still handed on, so its error waits for its turn.
        try:
            data = self.encoding.finish() if piece is None else self.encoding.feed(piece)
            self.queue.extend(self.decoder.feed(data))
            if piece is None:
                self.queue.extend(self.decoder.finish())
        except Exception as error:
            self._broken = Broken(error, "stream")


@define(eq=False)
class ReplaySource:
    """The events of an answer that was stored, or made by a plugin."""

    events: deque[bytes]
    decoder: StreamDecoder
    queue: deque[StreamEvent] = field(factory=deque, init=False)

    @property
    def complete(self) -> bool:
        return self.decoder.complete

    async def next(self) -> StreamEvent | None:
        while not self.queue:
            if not self.events:
                return None
            some = [self.events.popleft() for _ in range(min(BURST, len(self.events)))]
            self.queue.extend(self.decoder.feed(b"".join(some)))
        return self.queue.popleft()

    def cut(self) -> None:
        """Nothing blocks here."""

    async def drain(self) -> None:
        """There is no connection."""

    async def aclose(self) -> None:
        self.events.clear()
        self.queue.clear()


async def close_quietly(body: ByteStream) -> None:
    """Close an upstream connection.  One that cannot be closed must not keep a request from being settled."""
    try:
        await body.aclose()
    except Exception as error:
        log.warning("closing an upstream connection failed: %s", type(error).__name__)


async def until_commit(
    source: EventSource | TranslatedSource,
) -> tuple[list[StreamEvent], Chunk | None, Exception | None]:
    """Read up to the commit point: until then a failure can be repaired unseen.

    The events read, the error event among them if there is one, and what broke the stream if something did.
    """
    held: list[StreamEvent] = []
    try:
        while (event := await source.next()) is not None:
            held.append(event)
            for chunk in event.chunks:
                if chunk.kind == "error":
                    return held, chunk, None
                if chunk.content or chunk.kind == "done":
                    return held, None, None
    except Broken as broken:
        return held, None, broken.cause
    return held, None, None if source.complete else EndedEarly("the answer ended before its first token")


async def read_whole(
    reply: RawReply,
    encoding: Decoding,
    runtime: Runtime,
    flow: FlowHandle,
    deadlines: Deadlines,
    saw_bytes: Callable[[bytes], None] | None,
) -> bytes:
    """The body of an answer, decoded.  Raises Broken, and FlowCancelled."""
    abort = socket_shutdown(reply)
    body: ByteStream = reply.body  # type: ignore[assignment]
    parts: list[bytes] = []

    async def some() -> bool:
        """The next piece, or all of them where no deadline moves on with each; False at the end."""
        try:
            while (data := await body.next()) is not None:
                if saw_bytes is not None:
                    saw_bytes(data)
                parts.append(data)
                if deadlines.idle is not None:
                    return True
        except Exception as error:
            raise Broken(error, "response") from error
        return False

    more = True
    while more:
        until, which = deadlines.next(runtime.clock.now(), False)
        try:
            more = await runtime.bounded(some(), until, flow, abort)
        except TimeIsUp:
            raise Broken(exceeded(which), "response") from None
    try:
        return b"".join([*map(encoding.feed, parts), encoding.finish()])
    except Exception as error:
        raise Broken(error, "response") from error
