"""One reader of a stream that several read: a source as one of its own would be."""

from __future__ import annotations

import copy
import os
from collections import deque
from typing import TYPE_CHECKING, Any

from attrs import define, field

from .deadlines import Deadlines, exceeded
from .flow import FlowHandle
from .runtime import Runtime, TimeIsUp
from .sources import Broken, EndedEarly, Source
from .waiters import Waiter
from .wire.base import StreamEvent

if TYPE_CHECKING:
    from .shared_stream import SharedStream

LOOK = 5.0
"""Seconds after which whoever waits looks whether what it waits for can still come."""

Batch = tuple[StreamEvent, ...]
"""What came in one read."""


@define(eq=False, repr=False)
class SharedSource:
    """The stream for one reader: a :class:`~clippy_core.sources.Source`, as one of its own would be."""

    stream: SharedStream
    runtime: Runtime
    flow: FlowHandle
    own: Deadlines
    first: bool = False
    queue: deque[StreamEvent] = field(factory=deque, init=False)
    at: int = field(default=0, init=False)
    """How many batches it has taken, and below how many events and bytes these are."""
    events: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    left: bool = field(default=False, init=False)
    _waiter: Waiter | None = field(default=None, init=False)

    @property
    def alone(self) -> bool:
        """Whether it reads the source itself."""
        return self.first and not self.stream.pumped

    @property
    def source(self) -> Source | None:
        """What may hold events that came already and were not handed on."""
        return self.stream.source if self.alone else None

    @property
    def deadlines(self) -> Any:
        """What a pause of this reader moves."""
        return getattr(self.stream.source, "deadlines", None) if self.alone else self.own

    @property
    def complete(self) -> bool:
        stream = self.stream
        with stream.lock:
            return stream.complete and self.at == stream.gone + len(stream.batches)

    async def next(self) -> StreamEvent | None:
        queue, stream = self.queue, self.stream
        while not queue:
            with stream.lock:
                alone = self.first and not stream.pumped
                if not alone and self.own.total is not None and self.runtime.clock.now() >= self.own.total:
                    raise Broken(exceeded("total"), "stream")
                if self.left:
                    return None
                if self.at - stream.gone < len(stream.batches):
                    self._take()
                    continue
                if stream.broken is not None:
                    raise stream.broken if self.first else _again(stream.broken)
                if stream.ended or stream.closed:
                    return None
                if alone:
                    stream.reading = True
                else:
                    waiter = self._waiter = self.runtime.waiter()
            if alone:  # what it costs is what a stream costs that nobody else reads
                try:
                    event = await stream.source.next()
                except BaseException as error:
                    stream.failed(error)
                    raise
                return stream.came_alone(self, event)
            await self._wait(waiter)
        return queue.popleft()

    def _take(self) -> None:
        """The next batch of those that are here."""
        stream = self.stream
        batch = stream.batches[self.at - stream.gone]
        self.queue.extend(batch)
        self.at += 1
        if stream.pumped:
            self.events += len(batch)
            self.size += size_of(batch)
            stream.went_on()

    async def _wait(self, waiter: Waiter) -> None:
        if os.getpid() != self.stream.process:
            raise Broken(EndedEarly("this stream is read in the process that was forked"), "stream")
        try:
            if await awaited(waiter, self.runtime, self.own.total, self.flow, self.stream.runtime):
                return
        except TimeIsUp:
            raise Broken(exceeded("total"), "stream") from None
        raise Broken(EndedEarly("the event loop of the request that brings this answer stands still"), "stream")

    def wake(self) -> None:
        """Something has come, or will not."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set()

    def cut(self) -> None:
        if self.alone:
            self.stream.source.cut()
        else:
            self.wake()

    async def drain(self) -> None:
        if self.alone:
            await self.stream.source.drain()

    async def aclose(self) -> None:
        await self.stream.leave(self)


async def awaited(waiter: Waiter, runtime: Runtime, until: float | None, flow: FlowHandle, other: Runtime) -> bool:
    """Wait, at most until *until* (clock seconds); False if what is to come can not, since *other* stands still.

    Raises TimeIsUp, and FlowCancelled.  It may return early: whoever waits looks again.
    """
    look = runtime.clock.now() + LOOK
    try:
        await runtime.bounded(waiter.wait(), look if until is None else min(look, until), flow, waiter.set)
    except TimeIsUp:
        if until is not None and runtime.clock.now() >= until:
            raise
        return other.runs()
    return True


def copied(error: BaseException | None) -> BaseException | None:
    """*error* for another caller, whose traceback is its own; None for one that cannot be made again."""
    try:
        return copy.copy(error)
    except Exception:
        return None


def _again(broken: Broken) -> Broken:
    cause = copied(broken.cause)
    return Broken(cause if isinstance(cause, Exception) else EndedEarly(str(broken.cause)), broken.phase)


def size_of(batch: Batch) -> int:
    """Bytes of a batch; the text of events that have no bytes of their own."""
    return sum([len(event.raw) or len(event.chunks[0].delta if event.chunks else "") for event in batch])
