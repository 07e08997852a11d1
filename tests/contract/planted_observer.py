"""A sound observer, and observers with one fault each.

Each keeps ``lines``, one for every request it has seen to its end: the request's id and what became of it.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque

from attrs import define, evolve, field
from clippy_hookspecs import (
    AuditRecord,
    Chunk,
    Event,
    HookCall,
    Request,
    RequestContext,
    Response,
    Stash,
    StateStore,
    hookimpl,
)


@define(eq=False)
class Watcher:
    """Counts what happens, and keeps a line for each of the last requests."""

    keep: int = field(default=1000, metadata={"doc": "Lines that are kept."})
    lines: deque[str] = field(init=False, repr=False)
    counts: Counter[str] = field(init=False, factory=Counter, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        self.lines = deque(maxlen=self.keep)

    def _line(self, record: AuditRecord) -> str:
        return f"{record.id} {record.outcome}"

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        with self._lock:
            self.counts[event.kind] += 1

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        line = self._line(record)
        with self._lock:
            self.lines.append(line)


# --- raises -----------------------------------------------------------------------------------------------------------


@define(eq=False)
class AllAreHooks(Watcher):
    """Takes every event for a hook call."""

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        call: HookCall = event.data
        with self._lock:
            self.counts[call.plugin] += 1


@define(eq=False)
class NeedsUsage(Watcher):
    """Adds up tokens, and breaks the answer of a provider that tells none."""

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> None:
        with self._lock:
            self.counts["tokens"] += response.usage.total


@define(eq=False)
class NeedsStatus(Watcher):
    """Writes the status with three digits, and fails where there was no answer to have one."""

    def _line(self, record: AuditRecord) -> str:
        return f"{record.id} {record.outcome} {record.status:03d}"


# --- delays -----------------------------------------------------------------------------------------------------------


@define(eq=False)
class PostsEachEvent(Watcher):
    """Tells a collector of each event and waits until it has been told."""

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        time.sleep(0.002)  # what a POST to the next machine takes
        with self._lock:
            self.counts[event.kind] += 1


@define(eq=False)
class WaitsForTheCollector(Watcher):
    """Hands its record to a thread that is busy, and waits in the middle of a request until that has taken it."""

    _taken: threading.Event = field(init=False, factory=threading.Event, repr=False)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self._taken.wait(0.05)
        Watcher.audit(self, record, ctx)


# --- meddles ----------------------------------------------------------------------------------------------------------


@define(eq=False)
class TidiesTheTrace(Watcher):
    """Empties the trace once it has read it, to save memory: those who come later find no decision in it."""

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> None:
        with self._lock:
            self.counts["decisions"] += len(ctx.trace)
        ctx.trace.clear()


@define(eq=False)
class NewStash(Watcher):
    """Begins each attempt with a clean stash, and takes from the others what they had noted."""

    @hookimpl
    def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        ctx.stash = Stash()


@define(eq=False)
class CleansParams(Watcher):
    """Takes the caller's name out of what it writes down, by taking it out of the request itself."""

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        seen = request.params
        seen.pop("user", None)
        with self._lock:
            self.counts.update(seen.keys())


@define(eq=False)
class HandsOnCopies(Watcher):
    """Returns the chunk it was shown as a copy, so that the provider's bytes are written anew."""

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk:
        return evolve(chunk)


# --- keeps, counts, swallows ------------------------------------------------------------------------------------------


@define(eq=False)
class KeepsAll(Watcher):
    """Keeps every answer it saw, to look at them later."""

    _answers: list[Response] = field(init=False, factory=list, repr=False)

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> None:
        self._answers.append(response)


@define(eq=False)
class CountsTwice(Watcher):
    """Writes its line when the answer is complete, and once more when the record comes."""

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> None:
        with self._lock:
            self.lines.append(f"{ctx.id} answered")


@define(eq=False)
class SwallowsCancel(Watcher):
    """Counts attempts in the shared store, and lets nothing that goes wrong there through: no cancellation either."""

    @hookimpl(inline=True)
    async def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        try:
            await ctx.services.get(StateStore).add("watcher.attempts", 1, 60.0)
        except BaseException:
            with self._lock:
                self.counts["not counted"] += 1
