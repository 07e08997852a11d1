"""One streamed answer and its readers, each of which reads all of it at its own pace.

While its first reader is alone, that one reads the source itself, exactly as if nobody could come.  From the first
other on, a task or thread of the host's reads for all of them, so that none of them can cut off the others.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, Protocol

from attrs import define, field, frozen
from clippy_hookspecs import CacheEntry, ErrorInfo, Headers

from .deadlines import Deadlines
from .flow import FlowHandle
from .passage import MOST_KEPT
from .runtime import FlowCancelled, Runtime
from .shared_source import Batch, SharedSource, size_of
from .sources import Broken, EndedEarly, EventSource, Source
from .waiters import Waiter
from .whole import assembled, entry_of
from .wire.base import StreamEvent

AHEAD = 64
"""Events that are read before the fastest reader asks for them, at the most."""
BYTES_AHEAD = 256 * 1024


@frozen
class Head:
    """What a reader must know of a stream before its first event.

    ``foreign``: its events came in another wire API and have no bytes.  ``tells_usage``: its caller asked for a usage
    chunk.  ``given_up``: it is known to break before it says anything, and why.
    """

    status: int
    headers: Headers
    route: str
    foreign: bool = False
    tells_usage: bool = False
    given_up: ErrorInfo | None = None
    answering_model: str | None = None


class Guard(Protocol):
    """Who has the lock: a forked child gets another, since a thread of its parent may hold the first."""

    lock: RLock


@define(eq=False)
class _Said:
    """What a source that is read for everybody asks of a request's context: whether its answer has begun."""

    committed: bool


@define(eq=False, repr=False)
class SharedStream:
    """The stream as it is read: what came so far, and who is aboard.

    ``changed`` is called with the lock held when somebody who waits may come aboard now, or nobody may any more.
    """

    source: Source
    runtime: Runtime
    head: Head
    guard: Guard
    changed: Callable[[], None]
    readers: list[SharedSource] = field(factory=list, init=False)
    batches: deque[Batch] = field(factory=deque, init=False)
    """What came, read by read; the first ``gone`` of them are not kept any more."""
    gone: int = field(default=0, init=False)
    events: int = field(default=0, init=False)
    size: int = field(default=0, init=False)
    reading: bool = field(default=False, init=False)
    """The first reader reads the source at this moment."""
    wanted: bool = field(default=False, init=False)
    """Somebody waits until that is over."""
    pumped: bool = field(default=False, init=False)
    complete: bool = field(default=False, init=False)
    broken: Broken | None = field(default=None, init=False)
    ended: bool = field(default=False, init=False)
    closed: bool = field(default=False, init=False)
    """The first reader left while it was alone, or all did: there is nothing more to come."""
    over: bool = field(default=False, init=False)
    """Its connection is closed."""
    process: int = field(factory=os.getpid, init=False)
    _flow: FlowHandle = field(init=False)
    _said: _Said | None = field(default=None, init=False)
    _held: Waiter | None = field(default=None, init=False)
    """What the pump waits for while it is far enough ahead."""

    def __attrs_post_init__(self) -> None:
        self._flow = FlowHandle(self.runtime.clock.now)

    @property
    def lock(self) -> RLock:
        """What guards all of it."""
        return self.guard.lock

    @property
    def joinable(self) -> bool:
        """Whether somebody who comes now would get all of it."""
        alive = self.complete or self.head.given_up is not None or not (self.closed or self.broken)
        return alive and self.gone == 0 and self.size <= MOST_KEPT

    @property
    def busy(self) -> bool:
        """Whether it will be known in a moment who may come aboard."""
        return self.reading or (self.closed and not (self.over or self.joinable))

    def begin(self, flow: FlowHandle) -> SharedSource:
        """The first reader, whose request brought the stream, with what is here already."""
        first = SharedSource(self, self.runtime, flow, Deadlines(), first=True)
        self.readers.append(first)
        held = tuple(self.source.queue)
        self.source.queue.clear()
        if held:
            self.keep(held)
        self.complete = _whole(self.source, self.source.queue)
        return first

    def take_aboard(self, runtime: Runtime, flow: FlowHandle, total: float | None) -> SharedSource | None:
        """Another reader, from the beginning on, while it is not ``busy``; None if it is too late.

        *total* is the reader's own deadline.
        """
        with self.lock:
            if not self.joinable:
                return None
            if not (self.pumped or self.ended or self.broken or self.closed):
                if not self.runtime.hold_soon(self._pump):
                    return None
                self._detach()
            reader = SharedSource(self, runtime, flow, Deadlines(total))
            self.readers.append(reader)
            return reader

    # --- reading the source -------------------------------------------------------------------------------------------

    def came_alone(self, first: SharedSource, event: StreamEvent | None) -> StreamEvent | None:
        """What the only reader has read itself, before it goes on with it."""
        queue = self.source.queue
        if event is not None and not queue:
            batch: Batch = (event,)
            ends, size = event.ends, len(event.raw) or size_of(batch)
        else:
            batch = () if event is None else (event, *queue)
            ends, size = event is None or any(one.ends for one in batch), size_of(batch)
        with self.lock:
            self.reading = False
            if batch:
                self.batches.append(batch)
                self.events += len(batch)
                self.size += size
                first.at += 1
                if self.size > MOST_KEPT:
                    self.let_go()
            else:
                self.ended = True
            if ends:  # only then it may be complete
                self.complete = _whole(self.source, queue)
            if self.wanted or event is None:
                self.changed()
        if queue:
            first.queue.extend(queue)
            queue.clear()
        return event

    def failed(self, error: BaseException) -> None:
        """The only reader's own read raised: what broke the stream is everybody's, and a cancel its own."""
        with self.lock:
            self.reading = False
            if isinstance(error, Broken):
                self.broken, self.complete = error, False
                self.changed()
            else:
                self.closed = True

    async def _read(self) -> None:
        """Read once, for everybody."""
        source = self.source
        try:
            event = await source.next()
        except Broken as broken:
            return self._came((), broken)
        batch = () if event is None else (event, *source.queue)
        source.queue.clear()
        return self._came(batch, ended=event is None)

    def _came(self, batch: Batch, broken: Broken | None = None, ended: bool = False) -> None:
        with self.lock:
            if batch:
                self.keep(batch)
            self.complete = broken is None and _whole(self.source, self.source.queue)
            self.broken, self.ended = broken, ended
            for reader in self.readers:
                reader.wake()
            self.changed()

    def keep(self, batch: Batch) -> None:
        """Another batch has come."""
        self.batches.append(batch)
        self.events += len(batch)
        self.size += size_of(batch)
        if self.size > MOST_KEPT:
            self.let_go()

    def let_go(self) -> None:
        """Of an answer beyond all measure keep what somebody still has to read."""
        if self.size <= MOST_KEPT:
            return
        slowest = min((reader.at for reader in self.readers), default=self.gone + len(self.batches))
        while self.gone < slowest:
            self.batches.popleft()
            self.gone += 1

    def _detach(self) -> None:
        """From here on the source is everybody's: nothing of its first reader's may stop it."""
        self.pumped = True
        live: Any = self.source
        while not isinstance(live, EventSource):
            live = live.source
        theirs = live.deadlines
        for reader in self.readers:
            reader.own = Deadlines(theirs.total)
            taken = [*self.batches][: reader.at - self.gone]
            reader.events, reader.size = sum(map(len, taken)), sum(map(size_of, taken))
        live.flow, live.saw_bytes = self._flow, None
        live.deadlines = Deadlines(None, theirs.first_token, theirs.idle)
        live.ctx = said = _Said(live.ctx.committed)
        self._said = said

    async def _pump(self) -> None:
        """Read for all who are aboard, a little ahead of the fastest of them."""
        try:
            while True:
                with self.lock:
                    if self.ended or self.broken or self.closed:
                        break
                    held = None
                    if self._far_ahead():
                        held = self._held = self.runtime.waiter()
                if held is not None:
                    await held.wait()
                else:
                    await self._read()
        except FlowCancelled:
            pass  # nobody reads any more
        except BaseException:
            gone = EndedEarly("the event loop of the request that brought this answer has ended")
            self._came((), broken=Broken(gone, "stream"))
            raise
        finally:
            await self._close()

    def _far_ahead(self) -> bool:
        said = self._said
        if said is not None and not said.committed:
            said.committed = any(chunk.content for batch in self.batches for event in batch for chunk in event.chunks)
        # An answer that is not kept from its beginning is kept from its slowest reader on, who then sets the pace.
        pace = (min if self.size > MOST_KEPT else max)(self.readers, key=lambda reader: reader.at)
        return self.events - pace.events >= AHEAD or self.size - pace.size >= BYTES_AHEAD

    def went_on(self) -> None:
        """A reader took something, or left: the pump may read on.  With the lock held."""
        self.let_go()
        held, self._held = self._held, None
        if held is not None:
            held.set()

    # --- its end ------------------------------------------------------------------------------------------------------

    async def leave(self, reader: SharedSource) -> None:
        """*reader* reads no further; the last one to leave closes the connection, or has it closed by who reads."""
        if self.drop(reader):
            await self._close()

    def drop(self, reader: SharedSource) -> bool:
        """*reader* is not aboard any more; whether the connection is now its own to close."""
        with self.lock:
            if reader.left:
                return False
            reader.left = True
            self.readers.remove(reader)
            if self.pumped and self.readers:
                self.went_on()
            elif self.pumped:  # whoever reads closes it, on the event loop that it belongs to
                self.closed = True
                self._flow.cancel("nobody reads any more")
                self.went_on()
            elif reader.first:
                self.closed = True
                return True
            return False

    async def _close(self) -> None:
        try:
            await self.source.aclose()
        finally:
            with self.lock:
                self.closed = self.over = True
                for reader in self.readers:
                    reader.wake()
                self.changed()


def entry_from(events: Sequence[StreamEvent], api: str, head: Head) -> CacheEntry:
    """A whole stream as an entry."""
    chunks = [chunk for event in events for chunk in event.chunks]
    whole = assembled(api, chunks, head.status, head.headers)
    return entry_of(whole, () if head.foreign else tuple([event.raw for event in events]))


def _whole(source: Any, queue: Any) -> bool:
    """Whether the stream may end here, and nothing of it but *queue* is on its way through the sources."""
    if not source.complete:
        return False
    while source is not None:
        if source.queue and source.queue is not queue:
            return False
        source = getattr(source, "source", None)
    return True
