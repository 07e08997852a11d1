"""Every hook of clippy-hookspecs 0.1.0 as a plugin wrote it then.  It is data: what was right then stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field
from clippy_hookspecs import (
    UNKNOWN,
    UNKNOWN_ENDPOINT,
    AuditRecord,
    CacheEntry,
    Chunk,
    ErrorInfo,
    Event,
    Failure,
    Host,
    Outcome,
    Prices,
    Request,
    RequestContext,
    Response,
    Retry,
    Scope,
    Selector,
    ServiceRegistry,
    StashKey,
    Usage,
    dump_entry,
    evolve,
    hookimpl,
    load_entry,
)

SEEN = StashKey[int]("oldest.seen")


@define(eq=False)
class FlatPrice:
    """A service: every token costs the same."""

    per_token: float

    def cost(self, model: str, usage: Usage) -> float | None:
        return self.per_token * usage.total


@define(eq=False)
class Oldest:
    """Notes which hooks were called, changes a little everywhere, and repeats a failed attempt once."""

    per_token: float = field(default=0.001, metadata={"doc": "US dollars a token costs"})
    calls: list[str] = field(init=False, factory=list)
    stored: dict[str, bytes] = field(init=False, factory=dict)
    costs: list[float | None] = field(init=False, factory=list)

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        self.calls.append("lifespan")
        yield
        self.calls.append("closed")

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(Prices, FlatPrice(self.per_token))
        self.calls.append("register_services")

    @hookimpl
    def register_commands(self, cli: Any) -> None:
        self.calls.append("register_commands")

    @hookimpl
    def register_routes(self, app: Any) -> None:
        self.calls.append("register_routes")

    @hookimpl(tryfirst=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> Request | None:
        self.calls.append("pre_request")
        ctx.stash[SEEN] = len(request.messages)
        if request.endpoint == UNKNOWN_ENDPOINT or ctx.scope == Scope(tenant="nobody"):
            return None
        return evolve(request, params={**request.params, "seed": 7})

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        self.calls.append("cache_lookup")
        return load_entry(self.stored[key]) if key in self.stored else None

    @hookimpl
    def compress_context(self, request: Request, budget: int | None, ctx: RequestContext) -> Request | None:
        self.calls.append("compress_context")
        return None

    @hookimpl
    def pre_attempt(self, request: Request, ctx: RequestContext) -> Request | None:
        self.calls.append(f"pre_attempt {ctx.attempt}")
        return evolve(request, headers=request.headers.replace("x-attempt", str(ctx.attempt)))

    @hookimpl
    def classify_error(self, failure: Failure, ctx: RequestContext) -> ErrorInfo | None:
        self.calls.append("classify_error")
        return evolve(UNKNOWN, category="transient", kind="overloaded", retryable=True, status=failure.status)

    @hookimpl
    async def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        self.calls.append(f"post_attempt {outcome.state}")

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        self.calls.append("on_error")
        return Retry(after=0.0) if error.retryable and ctx.attempt < 2 else None

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk | None:
        if chunk.kind in ("stop", "end") or "on_chunk" not in self.calls:
            self.calls.append("on_chunk" if chunk.kind not in ("stop", "end") else f"on_chunk {chunk.kind}")
        return None

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        self.calls.append("on_response")
        return None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        self.calls.append("cache_store")
        self.stored[key] = dump_entry(entry)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        self.calls.append("cache_invalidate")
        self.stored.clear()

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.calls.append(f"audit {record.outcome}")
        prices = ctx.services.get(Prices)
        self.costs.append(prices.cost(record.model or "", record.usage) if prices and record.usage else None)

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        if "observe" not in self.calls:
            self.calls.append("observe")
