"""What the caller reads: a stream of events with plugins in it, or of bytes without.

A stream is a class with ``async def next()`` and an idempotent ``async def aclose()``, one reader at a time: an async
generator leaks when closed early, ends silently under a foreign loop, and cannot be closed from another task.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from attrs import define, field
from clippy_hookspecs import Chunk, ErrorInfo, Headers, Refusal, RequestContext

from .faults import plugin_info
from .flow import FlowHandle
from .opaque import Piece, nothing
from .passage import Passage
from .runtime import FlowCancelled, Runtime
from .sources import BURST, Broken, EndedEarly, Source
from .wire.base import StreamEvent

log = logging.getLogger("clippy")


class StreamOwner(Protocol):
    """The pipeline, as its streams see it."""

    async def stream_completed(self, stream: LiveStream) -> None:
        """The terminal event has come: on_response, post_attempt, cache_store, audit; raises to withhold it."""
        ...

    async def stream_broke(self, stream: LiveStream, broken: Broken | None, event: Chunk | None) -> Source | None:
        """The stream broke, or brought an error event: judge, post_attempt, and where it goes on if it does."""
        ...

    async def stream_failed(self, stream: LiveStream) -> ErrorInfo:
        """A stream that broke does not go on: audit."""
        ...

    async def stream_dropped(
        self, outcome: str, error: ErrorInfo | None = None, stream: LiveStream | None = None
    ) -> None:
        """Nobody reads on: post_attempt, audit."""
        ...


@define(eq=False)
class LiveStream:
    """A stream of events that a caller reads: where they come from, and how it ends."""

    owner: StreamOwner
    source: Source
    passage: Passage
    runtime: Runtime
    ctx: RequestContext
    flow: FlowHandle
    status: int
    headers: Headers
    extensions: Mapping[str, Any]
    given_up: ErrorInfo | None = None
    unwatch: Callable[[], object] = nothing
    failure: ErrorInfo | None = field(default=None, init=False)
    _ready: deque[Piece] = field(factory=deque, init=False)
    _error: BaseException | None = field(default=None, init=False)
    _late: Exception | None = field(default=None, init=False)
    _settled: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)
    _over: bool = field(default=False, init=False)
    _reading: bool = field(default=False, init=False)
    _paused: float = field(default=0.0, init=False)
    """Seconds of pauses by which the deadlines were moved already."""
    _unread_limit: float = field(default=0.0, init=False)
    _call_off: Callable[[], None] | None = field(default=None, init=False)
    _ignore_flow: Callable[[], None] | None = field(default=None, init=False)

    @property
    def finished(self) -> bool:
        """Whether this request's books are closed, and its connection."""
        return self._settled and self._over

    async def next(self) -> Piece | None:
        """The next piece, None at the end.

        Raises the upstream's own exception where the stream broke, Refusal or PluginError where a plugin stopped it,
        :class:`FlowCancelled` after ``flow.cancel``.
        """
        if self._reading:
            raise RuntimeError("this stream is being read already; one reader at a time")
        self._reading = True
        self.flow.asked()
        try:
            while not self._ready:
                if self._late is not None:
                    late, self._late = self._late, None
                    raise late
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                if self._over:
                    return None
                await self._pull()
            return self._handed_on(self._ready.popleft())
        except BaseException as error:
            await self._stopped(error)
            raise
        finally:
            self._reading = False

    async def turn(self) -> None:
        """Wait until the flow lets the next chunk of a piece that was taken already be handed on."""
        if self._reading:
            raise RuntimeError("this stream is being read already; one reader at a time")
        self._reading = True
        try:
            await self._wait_for_flow()
            self._handed_on(None)
        except BaseException as error:
            await self._stopped(error)
            raise
        finally:
            self._reading = False

    def _handed_on(self, piece: Piece | None) -> Piece | None:
        self.flow.given()
        if self.flow.chunks_per_second is not None:
            self.flow.passed()
        return piece

    async def aclose(self) -> None:
        """Close the upstream connection and settle; any number of times, from any task."""
        self._over = True
        self._ready.clear()
        self._error = None
        if self._reading:
            self.flow.cancel("the stream was closed while it was read", "caller")
            self.source.cut()
        await self.runtime.settle(self._leave)

    def obey_flow(self) -> None:
        """From now on ``flow.cancel`` closes the upstream connection also while nobody reads."""

        def changed() -> None:
            if self.flow.cancelled and not self._reading and not self._settled:
                self.runtime.soon(self._cancel_unread)

        self._ignore_flow = self.flow.watch(changed)
        self.flow.given()  # it is handed out, and nothing of it is read yet

    async def _cancel_unread(self) -> None:
        if not self._reading and not self._settled:
            await self._settle_as("cancelled")
            await self._shut()

    async def abandon(self) -> None:
        """Close a stream that nobody reads any more; whoever does after all learns that it is not all of it."""
        self._over = True
        if not (self._settled or self.flow.cancelled):
            self._error = EndedEarly("the answer was closed because nobody read on while others waited for its place")
        await self._settle_as("cancelled" if self.flow.cancelled else "abandoned")
        await self._shut()

    def close_when_unread_for(self, seconds: float) -> None:
        """Abandon the stream once nobody has read it for so long while a plugin holds a place that others wait for."""
        self._unread_limit = seconds
        self._look_out()

    def _look_out(self) -> None:
        if self.ctx.leases and self._unread_limit and self._call_off is None:
            self._call_off = self.runtime.later(self._unread_limit, self._look)

    async def _look(self) -> None:
        unread, self._call_off = self.flow.unread_for, None
        if self._settled or not self.ctx.leases:
            return
        if unread >= self._unread_limit and not self.flow.paused and not self._reading:
            await self.abandon()
        else:
            wait = max(0.0, self._unread_limit - unread) or self._unread_limit
            self._call_off = self.runtime.later(wait, self._look)

    # --- one step -----------------------------------------------------------------------------------------------------

    async def _pull(self) -> None:
        flow = self.flow
        if flow.held:
            if flow.state == "completed" and flow.cancelled:
                self._over = True  # cancelled while it was settled: its record says that nothing is missing
                return None
            await self._wait_for_flow()
        try:
            event = await self.source.next()
        except Broken as broken:
            if not self._settled:
                return await self._broke(broken)
            self._over = True  # closed by somebody else while we were reading
            return None
        if event is not None:
            if event.ends or self._settled:
                await self._pass(event)
            else:
                self._hand_on(*self.passage.take(event))
            if self.source.queue and not self._settled:
                self._pass_those_at_hand()
            return None
        if not self._settled:
            if not self.source.complete:
                return await self._broke(Broken(EndedEarly("the answer ended before its terminal event"), "stream"))
            await self._complete()
        self._over = True
        return await self._shut()  # most loops over a stream end here and close nothing

    async def _wait_for_flow(self) -> None:
        flow = self.flow
        if flow.cancelled:
            raise FlowCancelled(flow.cancel_reason)
        if flow.state == "idle":
            flow.enter("streaming")
        if flow.held:
            flow.given()  # what it holds back is no wait for the provider
            await self.runtime.gate(flow)
            flow.asked()
            paused, deadlines = flow.paused_seconds, getattr(self.source, "deadlines", None)
            if deadlines is not None:
                deadlines.shift(paused - self._paused)
            if self.ctx.deadline is not None:  # that of another attempt, should this one break
                self.ctx.deadline += paused - self._paused
            self._paused = paused
            if flow.cancelled:
                raise FlowCancelled(flow.cancel_reason)

    async def _pass(self, event: StreamEvent) -> None:
        """One event through the chain, and what it means for the request."""
        if self._settled:
            self._ready.append(Piece(event.raw))
            return
        passage, kinds = self.passage, [chunk.kind for chunk in event.chunks]
        if "error" in kinds:
            await self._error_event(event, event.chunks[kinds.index("error")])
            return
        out: tuple[Chunk, ...] = ()
        passage.keep(event)
        for chunk in event.chunks:
            passage.note(chunk)
            if chunk.kind == "done":
                passage.terminal = chunk
                await self._complete()
            out += passage.through(chunk)
        self._hand_on(passage.written(event, out), out)

    def _pass_those_at_hand(self) -> None:
        """The events that came in the same read, as one piece, up to one that ends a choice or the stream.

        Whoever leaves before having asked for the end has left early, although it may be here already.

        None of this waits, so that it needs no coroutine for each event, and the caller takes one piece and not many.
        """
        take, queue, flow = self.passage.take, self.source.queue, self.flow
        data: list[bytes] = []
        chunks: list[Chunk] = []
        try:
            while queue and not (queue[0].ends or flow.held) and len(data) < BURST:
                written, out = take(queue.popleft())
                data.append(written)
                chunks += out
        except Exception as error:
            self._late = error  # what came before it is still handed on
        self._hand_on(b"".join(data), tuple(chunks))

    def _hand_on(self, data: bytes, chunks: tuple[Chunk, ...]) -> None:
        if data or chunks:
            self._ready.append(Piece(data, chunks))

    # --- how it ends ------------------------------------------------------------------------------------------

    async def _complete(self) -> None:
        """The terminal event has come and is not handed on yet: a caller may stop reading at it."""
        self._end("complete")
        self._settled = True
        try:
            await self.owner.stream_completed(self)
        except BaseException:
            self._settled = False
            raise
        self._stop_looking()
        self.flow.enter("completed")

    def _end(self, reason: str) -> None:
        """The host's one ``end`` chunk: a plugin that holds text gives it up here."""
        self._ended = True
        written, out = self.passage.end(reason)
        if written or len(out) > 1:
            self._ready.append(Piece(written, out))

    async def _broke(self, broken: Broken) -> None:
        """The upstream failed.  What was delivered stays; the failure comes after what the plugins still held."""
        if await self._goes_on(broken, None):
            return
        self._end("interrupted")
        self.failure = self.given_up or await self.owner.stream_failed(self)
        self._settled = True
        self._stop_looking()
        self.flow.enter("failed")
        self._error = broken.cause
        self._over = True
        await self._shut()

    async def _goes_on(self, broken: Broken | None, chunk: Chunk | None) -> bool:
        """Whether a plugin had the answer asked for again: then the rest comes from there."""
        source = None if self.given_up is not None else await self.owner.stream_broke(self, broken, chunk)
        if source is None:
            return False
        self.source = source
        self._look_out()  # it may have been the first attempt that needed a place
        return True

    async def _error_event(self, event: StreamEvent, chunk: Chunk) -> None:
        """The provider sent an error inside the stream: the caller gets it as it came."""
        if await self._goes_on(None, chunk):
            return
        self._end("interrupted")
        self.failure = self.given_up or await self.owner.stream_failed(self)
        self._settled = True
        self._stop_looking()
        self.flow.enter("failed")
        self._hand_on(self.passage.written(event, (chunk,)), (chunk,))

    async def _stopped(self, error: BaseException) -> None:
        """Reading raised: settle before the caller sees it."""
        if not self._settled:
            if isinstance(error, FlowCancelled) or not isinstance(error, Exception):
                await self.runtime.settle(self._left, cancelled=True)
            else:
                outcome = "refused" if isinstance(error, Refusal) else "failed"
                await self._settle_as(outcome, error)
        self._over = True
        self._ready.clear()
        await self.runtime.settle(self._shut, cancelled=True)

    def _stop_looking(self) -> None:
        """The books are closed: whatever waits to close them would only keep the request in memory."""
        for stop in (self._call_off, self._ignore_flow):
            if stop is not None:
                stop()

    async def _leave(self) -> None:
        """Settle and close, whatever becomes of either."""
        try:
            await self._left()
            await self.source.drain()
        finally:
            await self._shut()

    async def _shut(self) -> None:
        await self.source.aclose()
        self.unwatch()

    async def _left(self) -> None:
        """The caller reads no further.  After the last choice has finished that is a complete answer."""
        if self._settled:
            return None
        late, self._late = self._late, None
        try:
            if late is not None:
                raise late
            if not self.source.complete or self._unpassed() or self.flow.cancelled or self._ended:
                return await self._settle_as("cancelled")
            await self._complete()
        except Exception as error:  # a plugin withholds an answer that is not waited for any more
            await self._settle_as("refused" if isinstance(error, Refusal) else "failed", error)

    def _unpassed(self) -> bool:
        """Whether some of the answer has come that was not handed on: what was decoded is ahead of what was read."""
        source: Any = self.source
        while source is not None:
            chunks = [chunk for event in source.queue for chunk in event.chunks]
            if any(chunk.content or chunk.kind == "finish" for chunk in chunks):
                return True
            source = getattr(source, "source", None)  # it was written anew from those of another
        return False

    async def _settle_as(self, outcome: str, error: Exception | None = None) -> None:
        if self._settled:
            return
        self._settled = True
        self._stop_looking()
        if not self._ended:
            self._last_end("cancelled" if error is None else "interrupted")
        self.flow.enter("failed" if error is not None else "cancelled")
        await self.owner.stream_dropped(outcome, plugin_info(error, self.passage.chains) if error else None, self)

    def _last_end(self, reason: str) -> None:
        """The ``end`` of a stream that nobody reads on: what plugins give up is lost, and so is what they raise."""
        self._ended = True
        try:
            self.passage.end(reason)
        except Exception as error:
            log.warning("at the end of a stream that was closed: %s", error)
