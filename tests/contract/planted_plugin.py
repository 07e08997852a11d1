"""A sound plugin with a bit of everything, and plugins with one fault each."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field
from clippy_hookspecs import AuditRecord, Host, Refusal, Request, RequestContext, StashKey, StateStore, Text, hookimpl

PLACE = StashKey[str]("desk.place")
WORDS = StashKey[int]("desk.words")


@define(eq=False)
class Desk:
    """Lets each tenant have so many requests under way, and counts the words that were asked."""

    places: int = field(default=64, metadata={"doc": "Requests of one tenant that may be under way."})
    ttl: float = field(default=600.0, metadata={"doc": "Seconds after which the place of a dead worker is free."})
    path: str | None = field(default=None, metadata={"doc": "Where the counts are written at the end; none: nowhere."})
    _counts: dict[str, int] = field(init=False, factory=dict, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    def counts(self) -> Mapping[str, int]:
        """Words by tenant."""
        with self._lock:
            return dict(self._counts)

    def _count(self, tenant: str, words: int) -> None:
        with self._lock:
            self._counts[tenant] = self._counts.get(tenant, 0) + words

    def _words(self, request: Request) -> int:
        blocks = (block for message in request.messages for block in message.blocks)
        return sum(len(block.text.split()) for block in blocks if isinstance(block, Text))

    def _write(self, path: str) -> None:
        part = Path(f"{path}.{os.getpid()}.part")
        part.write_text(json.dumps(self.counts()), encoding="utf-8")
        part.replace(path)

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        yield
        if self.path is not None:
            self._write(self.path)

    @hookimpl(inline=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        ctx.stash[WORDS] = self._words(request)
        await self._sit_down(ctx)

    async def _sit_down(self, ctx: RequestContext) -> None:
        store, place = ctx.services.get(StateStore), f"desk.{ctx.scope.tenant}"
        # Noted before it is taken: whoever is cancelled in between still gives it back.
        ctx.stash[PLACE] = place
        ctx.leases += 1
        if not await store.lease(place, ctx.id, self.ttl, self.places):
            raise Refusal(f"{self.places} requests of this tenant are under way; try again when one has ended", 429)
        await store.add("desk.requests", 1, self.ttl)

    @hookimpl(inline=True)
    async def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self._count(ctx.scope.tenant or "", ctx.stash.get(WORDS) or 0)
        if PLACE in ctx.stash:
            ctx.leases -= 1
            await ctx.services.get(StateStore).release(ctx.stash[PLACE], ctx.id)


# --- hostile input ----------------------------------------------------------------------------------------------------


@define(eq=False)
class TrustsTheBody(Desk):
    """Reads the body itself, and takes it for the JSON it hopes for."""

    def _words(self, request: Request) -> int:
        body = json.loads(request.raw or b"{}")
        return sum(len(str(message["content"]).split()) for message in body.get("messages", []))


@define(eq=False)
class NeedsAFirstWord(Desk):
    """Looks at the first word of the newest message, which may have none."""

    def _words(self, request: Request) -> int:
        first = request.messages[-1].text.split()[0] if request.messages else ""
        return Desk._words(self, request) + (first == "/long")


@define(eq=False)
class AllAreText(Desk):
    """Takes every block for text: images, tool calls and what nobody knows yet have none."""

    def _words(self, request: Request) -> int:
        return sum(len(block.text.split()) for message in request.messages for block in message.blocks)


@define(eq=False)
class Encodes(Desk):
    """Hashes the text as UTF-8, which half of a surrogate pair is not."""

    def _words(self, request: Request) -> int:
        for message in request.messages:
            hashlib.sha256(message.text.encode()).hexdigest()
        return Desk._words(self, request)


# --- colours, threads and cancellation --------------------------------------------------------------------------------


@define(eq=False)
class NotesTooLate(Desk):
    """Notes its place when all is done, and never gives back one that it was cancelled over."""

    async def _sit_down(self, ctx: RequestContext) -> None:
        store, place = ctx.services.get(StateStore), f"desk.{ctx.scope.tenant}"
        if not await store.lease(place, ctx.id, self.ttl, self.places):
            raise Refusal(f"{self.places} requests of this tenant are under way; try again when one has ended", 429)
        await store.add("desk.requests", 1, self.ttl)
        ctx.stash[PLACE] = place
        ctx.leases += 1


@define(eq=False)
class CurrentOnSelf(Desk):
    """Keeps the request it is working on on itself: of two at a time, one is counted for the other."""

    _current: str = field(init=False, default="")
    _open: dict[str, int] = field(init=False, factory=dict, repr=False)

    @hookimpl(inline=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        self._current = ctx.id
        self._open[ctx.id] = self._words(request)
        await self._sit_down(ctx)

    @hookimpl(inline=True)
    async def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        ctx.stash[WORDS] = self._open.pop(self._current)
        await Desk.audit(self, record, ctx)


@define(eq=False)
class AsyncioOnly(Desk):
    """Waits with asyncio, which trio does not know."""

    @hookimpl
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        await asyncio.sleep(0)
        await Desk.pre_request(self, request, ctx)


@define(eq=False)
class NotInline(Desk):
    """Says that it awaits nothing but services, and awaits something else: a sync host cannot drive it."""

    @hookimpl(inline=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        await _Turn()
        await Desk.pre_request(self, request, ctx)


class _Turn:
    """Lets the event loop go round once; asyncio understands it, nobody else."""

    def __await__(self) -> Iterator[None]:
        yield


@define(eq=False)
class InAThreadLocal(Desk):
    """Passes a note from one hook to the next in the thread, which is not the same one in every host."""

    _local: Any = field(init=False, factory=threading.local, repr=False)

    @hookimpl
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        self._local.words = self._words(request)
        await self._sit_down(ctx)

    @hookimpl(inline=True)
    async def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        ctx.stash[WORDS] = self._local.words
        await Desk.audit(self, record, ctx)


# --- life and settings ------------------------------------------------------------------------------------------------


@define(eq=False)
class OpensOnce(Desk):
    """Makes its worker thread when it is made and ends it when the host closes: the second opening has none."""

    _worker: ThreadPoolExecutor = field(init=False, factory=lambda: ThreadPoolExecutor(1), repr=False)

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        yield
        self._worker.shutdown()

    @hookimpl(inline=True)
    async def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self._worker.submit(self.counts)
        await Desk.audit(self, record, ctx)


@define(eq=False)
class NoDefault(Desk):
    """Has a setting that nobody knows a value for, so that it cannot work as installed."""

    limit: int = field(kw_only=True, metadata={"doc": "Words of one request."})


@define(eq=False)
class NoDoc(Desk):
    """Has a setting that says nothing about itself."""

    limit: int = 1000
