"""What a host owes its plugins, whatever becomes of a request, and a plugin that keeps count of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio.lowlevel
from attrs import define, field
from clippy_hookspecs import AuditRecord, Chunk, Outcome, Request, RequestContext, Response, StateStore, hookimpl

PLACES = "campaign.places"


@define(eq=False)
class Witness:
    """Counts by request id.  Its hooks really wait, so that a cancellation can come while one of them is running.

    It holds a lease in the host's StateStore, and a place in ``ctx.leases``, from pre_attempt to post_attempt.
    """

    asked: list[str] = field(factory=list)
    contexts: dict[str, RequestContext] = field(factory=dict)
    attempts: Counter[tuple[str, int]] = field(factory=Counter)
    ended: Counter[tuple[str, int]] = field(factory=Counter)
    ended_whole: Counter[tuple[str, int]] = field(factory=Counter)
    audits: Counter[str] = field(factory=Counter)
    audits_whole: Counter[str] = field(factory=Counter)
    completions: Counter[str] = field(factory=Counter)
    chunks: Counter[str] = field(factory=Counter)
    ends: Counter[str] = field(factory=Counter)
    late: list[str] = field(factory=list)
    """Hooks that were called for a request after its record was made."""

    def forget(self) -> None:
        """Begin anew."""
        for kept in (self.asked, self.contexts, self.attempts, self.ended, self.ended_whole, self.audits,
                     self.audits_whole, self.completions, self.chunks, self.ends, self.late):  # fmt: skip
            kept.clear()

    @hookimpl(tryfirst=True)
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        self.asked.append(ctx.id)
        self.contexts[ctx.id] = ctx

    @hookimpl
    async def pre_attempt(self, ctx: RequestContext) -> None:
        self.attempts[ctx.id, ctx.attempt] += 1
        ctx.leases += 1
        store: Any = ctx.services.get(StateStore)
        await store.lease(PLACES, ctx.id, 60.0, 1000)
        await anyio.lowlevel.checkpoint()

    @hookimpl
    async def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        self._note_late("post_attempt", ctx)
        self.ended[ctx.id, ctx.attempt] += 1
        await anyio.lowlevel.checkpoint()
        store: Any = ctx.services.get(StateStore)
        await store.release(PLACES, ctx.id)
        ctx.leases -= 1
        self.ended_whole[ctx.id, ctx.attempt] += 1

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        self.chunks[ctx.id] += 1
        self.ends[ctx.id] += chunk.kind == "end"

    @hookimpl
    async def on_response(self, response: Response, ctx: RequestContext) -> None:
        self._note_late("on_response", ctx)
        self.completions[ctx.id] += 1
        await anyio.lowlevel.checkpoint()

    @hookimpl
    def on_error(self, ctx: RequestContext) -> None:
        self._note_late("on_error", ctx)

    @hookimpl
    async def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.audits[ctx.id] += 1
        await anyio.lowlevel.checkpoint()
        self.audits_whole[ctx.id] += 1

    def _note_late(self, hook: str, ctx: RequestContext) -> None:
        if self.audits[ctx.id]:
            self.late.append(hook)

    def faults(self) -> list[str]:
        """What was not as it must be, in words; nothing if all books are closed."""
        return [*self._request_faults(), *self._attempt_faults(), *(f"{hook} came after audit" for hook in self.late)]

    def _request_faults(self) -> list[str]:
        found = []
        for name in self.asked:
            if self.audits[name] != 1:
                found.append(f"audit was called {self.audits[name]} times")
            elif self.audits_whole[name] != 1:
                found.append("audit was cut off")
            if self.chunks[name] and self.ends[name] != 1:
                found.append(f"on_chunk saw {self.ends[name]} end chunks")
            if self.completions[name] > 1:
                found.append(f"on_response was called {self.completions[name]} times")
            if self.contexts[name].leases:
                found.append(f"ctx.leases is {self.contexts[name].leases}")
        return found

    def _attempt_faults(self) -> list[str]:
        found = []
        for attempt in self.attempts:
            if self.ended[attempt] != 1:
                found.append(f"post_attempt was called {self.ended[attempt]} times")
            elif self.ended_whole[attempt] != 1:
                found.append("post_attempt was cut off")
        return found


@define(eq=False)
class LastAudit:
    """The innermost audit plugin, plain: it must get each record even if an outer one was interrupted."""

    records: Counter[str] = field(factory=Counter)
    outcomes: Counter[str] = field(factory=Counter)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        self.records[record.id] += 1
        self.outcomes[record.outcome] += 1

    def faults(self, asked: list[str]) -> list[str]:
        """As :meth:`Witness.faults`; counts from here on are of the next requests."""
        wrong = [f"the last audit plugin got {self.records[name]} records" for name in asked if self.records[name] != 1]
        self.records.clear()
        return wrong
