"""Two plugins that implement every hook and note each call: one in plain functions, one in those that really wait."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, ClassVar, Literal

from attrs import define, field
from clippy_hookspecs import (
    Answer,
    AuditRecord,
    CacheEntry,
    Chunk,
    ErrorInfo,
    Event,
    Failure,
    Host,
    Message,
    Outcome,
    Refusal,
    Request,
    RequestContext,
    Response,
    Retry,
    Selector,
    ServiceRegistry,
    Switch,
    Text,
    hookimpl,
)

_numbers = itertools.count()


@define(eq=False)
class Notes:
    """What both plugins know and decide; what they are called for is in ``calls``, with a number over both."""

    decides: Literal["nothing", "answer", "refuse", "withhold", "retry", "switch", "raise"] = field(
        default="nothing", metadata={"doc": "what it does where it can"}
    )
    keeps: bool = field(default=False, metadata={"doc": "whether it is a cache"})
    calls: list[tuple[int, str]] = field(init=False, factory=list)
    entries: dict[str, CacheEntry] = field(init=False, factory=dict)
    last: RequestContext | None = field(init=False, default=None)

    def note(self, call: str) -> None:
        """Write down a call."""
        self.calls.append((next(_numbers), call))

    def on_the_way_in(self, ctx: RequestContext) -> Answer | None:
        """What it decides about a request."""
        self.last = ctx
        if self.decides == "refuse":
            raise Refusal("not today", 403, "outside")
        if self.decides == "raise":
            raise OSError("a fault of the plugin")
        if self.decides == "answer":
            return Answer(Response("openai.chat", message=Message("assistant", (Text("mine"),)), finish_reason="stop"))
        return None

    def on_the_way_out(self) -> None:
        """What it decides about an answer."""
        if self.decides == "withhold":
            raise Refusal("not this answer", 403, "outside")

    def after_a_failure(self, ctx: RequestContext) -> Retry | Switch | None:
        """What it decides about a failed attempt."""
        if self.decides == "retry" and ctx.attempt < 2:
            return Retry(1.0)
        if self.decides == "switch" and ctx.route.name != "other":
            return Switch("other")
        return None

    def looks_up(self, key: str) -> CacheEntry | None:
        """What it has kept."""
        return self.entries.get(key)

    def stores(self, key: str, entry: CacheEntry) -> None:
        """Keep an answer, if it is a cache."""
        if self.keeps:
            self.entries[key] = entry


@define(eq=False)
class Plain(Notes):
    """Every hook as a plain function."""

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        self.note("lifespan opens")
        yield
        self.note("lifespan closes")

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        self.note("register_services")

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        self.note("register_commands")

    @hookimpl
    def register_routes(self, app: Any) -> None:
        self.note("register_routes")

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> Request | Answer | None:
        self.note("pre_request")
        return self.on_the_way_in(ctx)

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        self.note("cache_lookup")
        return self.looks_up(key)

    @hookimpl
    def compress_context(self, request: Request, budget: int | None, ctx: RequestContext) -> Request | None:
        self.note("compress_context")
        return None

    @hookimpl
    def pre_attempt(self, request: Request, ctx: RequestContext) -> Request | None:
        self.note("pre_attempt")
        return None

    @hookimpl
    def classify_error(self, failure: Failure, ctx: RequestContext) -> ErrorInfo | None:
        self.note("classify_error")
        return None

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        self.note(f"post_attempt {outcome.state}")

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | Switch | None:
        self.note("on_error")
        return self.after_a_failure(ctx)

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk | None:
        self.note(f"on_chunk {chunk.kind}{f' {chunk.reason}' if chunk.kind == 'end' else ''}")
        return None

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        self.note("on_response")
        self.on_the_way_out()
        return None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        self.note("cache_store")
        self.stores(key, entry)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        self.note("cache_invalidate")

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.note(f"audit {record.outcome}")

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        self.note(f"observe {event.kind}")


@define(eq=False)
class Awaiting(Notes):
    """Every hook that may wait as a coroutine that does, on asyncio, which another event loop lends it a thread for."""

    asyncio_only: ClassVar[bool] = True

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.note("lifespan opens")
        yield
        self.note("lifespan closes")

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        self.note("register_services")

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        self.note("register_commands")

    @hookimpl
    def register_routes(self, app: Any) -> None:
        self.note("register_routes")

    @hookimpl
    async def pre_request(self, request: Request, ctx: RequestContext) -> Request | Answer | None:
        self.note("pre_request")
        await asyncio.sleep(0)
        return self.on_the_way_in(ctx)

    @hookimpl
    async def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        self.note("cache_lookup")
        await asyncio.sleep(0)
        return self.looks_up(key)

    @hookimpl
    async def compress_context(self, request: Request, budget: int | None, ctx: RequestContext) -> Request | None:
        self.note("compress_context")
        await asyncio.sleep(0)
        return None

    @hookimpl
    async def pre_attempt(self, request: Request, ctx: RequestContext) -> Request | None:
        self.note("pre_attempt")
        await asyncio.sleep(0)
        return None

    @hookimpl
    async def classify_error(self, failure: Failure, ctx: RequestContext) -> ErrorInfo | None:
        self.note("classify_error")
        await asyncio.sleep(0)
        return None

    @hookimpl
    async def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        self.note(f"post_attempt {outcome.state}")
        await asyncio.sleep(0)

    @hookimpl
    async def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | Switch | None:
        self.note("on_error")
        await asyncio.sleep(0)
        return self.after_a_failure(ctx)

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk | None:
        self.note(f"on_chunk {chunk.kind}{f' {chunk.reason}' if chunk.kind == 'end' else ''}")
        return None

    @hookimpl
    async def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        self.note("on_response")
        await asyncio.sleep(0)
        self.on_the_way_out()
        return None

    @hookimpl
    async def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        self.note("cache_store")
        await asyncio.sleep(0)
        self.stores(key, entry)

    @hookimpl
    async def cache_invalidate(self, selector: Selector) -> None:
        self.note("cache_invalidate")
        await asyncio.sleep(0)

    @hookimpl
    async def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.note(f"audit {record.outcome}")
        await asyncio.sleep(0)

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        self.note(f"observe {event.kind}")
