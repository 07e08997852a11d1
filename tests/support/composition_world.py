"""One cell of the composition table: a host with some first-party plugins, a provider, and the books of both."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
from attrs import define, field, frozen
from calling import Keep
from clippy_audit import AuditLog
from clippy_breaker import CircuitBreaker
from clippy_cache import CachePolicy
from clippy_cache_memory import MemoryCache
from clippy_cache_sqlite import SqliteCache
from clippy_context_window import ContextWindow
from clippy_dedup import Dedup
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import (
    AuditRecord,
    ErrorInfo,
    Failure,
    Refusal,
    Request,
    RequestContext,
    Response,
    Retry,
    StateStore,
    hookimpl,
)
from clippy_prompt_cache import PromptCache
from clippy_retry import RetryPolicy
from clippy_stream import StreamController
from clippy_stream_monitor import StreamMonitor
from clippy_telemetry_log import LogTelemetry
from clippy_throttle import Throttle

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, SeenRequest, VirtualClock

ANSWER = "one two three four five six"
PLUGINS = (
    "audit", "breaker", "cache", "cache-memory", "cache-sqlite", "context-window", "dedup", "errors", "fallback",
    "prompt-cache", "retry", "stream", "stream-monitor", "telemetry-log", "throttle",
)  # fmt: skip
SETS: dict[str, tuple[str, ...]] = {**{name: (name,) for name in PLUGINS}, "all": PLUGINS}
CACHES = ("cache-memory", "cache-sqlite", "keep")
MODEL = "test-model"
WINDOW = 200
"""Tokens: less than the conversation has, so that a context window has something to do."""

CONVERSATION = [
    {"role": role, "content": f"turn {number} " + "word " * 60}
    for number, role in enumerate(("user", "assistant", "user", "assistant"))
] + [{"role": "user", "content": "Hello"}]
PLACES = "composition.places"


@frozen
class Cell:
    """Where in the table: who asks, in which colour, through which plugins, what happens, of what kind of call."""

    entrance: str
    colour: str
    plugins: str
    event: str
    hit: bool
    streamed: bool

    @property
    def name(self) -> str:
        hit, streamed = "hit" if self.hit else "miss", "stream" if self.streamed else "plain call"
        return f"{self.event}, {hit}, {streamed}: {self.plugins}, {self.colour}, {self.entrance}"


# --- plugins that stand beside ------------------------------------------------------------------------------------


@define(eq=False)
class Books:
    """Holds a lease for each attempt, and keeps what it learns of each request."""

    contexts: list[RequestContext] = field(factory=list)
    records: list[AuditRecord] = field(factory=list)
    open: Counter[tuple[str, int]] = field(factory=Counter)

    @hookimpl(tryfirst=True)
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        self.contexts.append(ctx)

    @hookimpl(inline=True)
    async def pre_attempt(self, ctx: RequestContext) -> None:
        self.open[ctx.id, ctx.attempt] += 1
        ctx.leases += 1
        store: Any = ctx.services.get(StateStore)
        await store.lease(PLACES, f"{ctx.id} {ctx.attempt}", 60.0, 1000)

    @hookimpl(inline=True)
    async def post_attempt(self, ctx: RequestContext) -> None:
        self.open[ctx.id, ctx.attempt] -= 1
        ctx.leases -= 1
        store: Any = ctx.services.get(StateStore)
        await store.release(PLACES, f"{ctx.id} {ctx.attempt}")

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        self.records.append(record)


@define(eq=False)
class Guard:
    """Refuses on the way in or on the way out, or stops the caller while its answer is on the way out."""

    refuses: str = ""
    stop: Callable[[], None] | None = None
    waits: bool = False

    @hookimpl
    def pre_request(self, request: Request) -> None:
        if self.refuses == "in":
            raise Refusal("not today", 403, "guard")

    @hookimpl(inline=True)
    async def on_response(self, response: Response) -> None:
        if self.refuses == "out":
            raise Refusal("not this answer", 403, "guard")
        stop, self.stop = self.stop, None
        if stop is not None:
            stop()
            if self.waits:
                await anyio.lowlevel.checkpoint()


@define(eq=False)
class Judges:
    """Takes what passes for passing, where no classifier is installed."""

    @hookimpl(trylast=True)
    def classify_error(self, failure: Failure) -> ErrorInfo | None:
        passing = failure.exception is not None or (failure.status or 0) >= 500 or b"overloaded" in failure.body
        return ErrorInfo("transient", "passing", retryable=True, status=failure.status) if passing else None


@define(eq=False)
class Repeats:
    """Repeats what can be repeated, where no retry policy is installed."""

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        return Retry(1.0) if error.retryable and not error.committed and ctx.route_attempt < 3 else None


# --- the provider -------------------------------------------------------------------------------------------------


@define(eq=False)
class Pausing(VirtualClock):
    """Time at which something can happen while an answer is waited for."""

    meanwhile: Callable[[], None] | None = None

    def advance(self, seconds: float) -> None:
        VirtualClock.advance(self, seconds)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


@frozen
class Said:
    """What the provider said to one request, whoever carries it."""

    status: int
    body: bytes
    broke: bool


def provider_of(fates: Mapping[int, list[Fault]], clock: VirtualClock) -> FakeProvider:
    """A provider whose request of a number has a fate, others none; 0 stands for all that are not named."""

    def act(seen: SeenRequest) -> Any:
        return [*fates.get(seen.number, fates.get(0, [])), Reply(ANSWER, delay=1.0)]

    return FakeProvider(act, clock=clock)


# --- the world ------------------------------------------------------------------------------------------------------


@define(eq=False)
class Got:
    """What a caller got: of a stream its pieces and the texts in them; how it ended."""

    status: int = 0
    texts: list[str] = field(factory=list)
    pieces: list[bytes] = field(factory=list)
    error: Exception | None = None
    stopped: bool = False
    left: bool = False

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@define(eq=False)
class World:
    """The host of one cell.  ``wrong`` is what was found to be otherwise than it must be."""

    cell: Cell
    folder: Path
    fates: dict[int, list[Fault]] = field(factory=dict)
    with_guard: bool = False
    with_repeats: bool = False
    clock: Pausing = field(factory=Pausing)
    books: Books = field(factory=Books)
    guard: Guard = field(factory=Guard)
    wrong: list[str] = field(factory=list)
    provider: FakeProvider = field(init=False)
    plugins: dict[str, Any] = field(init=False)
    host: clippy_core.Host = field(init=False)
    stop: Callable[[], None] = field(init=False)
    _before: set[threading.Thread] = field(factory=lambda: set(threading.enumerate()))

    def __attrs_post_init__(self) -> None:
        self.provider = provider_of(self.fates, self.clock)
        self.plugins = self._make_plugins()
        route = {"base_url": "http://fake.test/v1", "key": "sk-test", "model": MODEL}
        self.host = clippy_core.Host(self.plugins, config={"routes": {"main": route}}, clock=self.clock)
        self.guard.waits = self.cell.colour != "sync"

    def _make_plugins(self) -> dict[str, Any]:
        make: dict[str, Callable[[], Any]] = {
            "audit": lambda: AuditLog(path=self.folder / "audit.jsonl"),
            "breaker": CircuitBreaker,
            "cache": lambda: CachePolicy(ttl=3600.0, tags=("t",), keep_statistics=self.folder / "statistics.db"),
            "cache-memory": MemoryCache,
            "cache-sqlite": lambda: SqliteCache(path=self.folder / "cache.db"),
            "context-window": lambda: ContextWindow(max_tokens=WINDOW, reserve=50),
            "dedup": Dedup,
            "errors": ErrorClassifier,
            "fallback": lambda: Fallback(stale=60.0),
            "prompt-cache": lambda: PromptCache(lint=True, plan="auto", min_tokens=0, key_hosts=("fake.test",)),
            "retry": RetryPolicy,
            "stream": StreamController,
            "stream-monitor": StreamMonitor,
            "telemetry-log": LogTelemetry,
            "throttle": lambda: Throttle(tokens_per_second=1e9),
        }
        names = SETS[self.cell.plugins]
        plugins = {name: make[name]() for name in names}
        if not any(name in CACHES for name in names):
            plugins["keep"] = Keep()
        if self.with_repeats and "retry" not in names:
            plugins["repeats"] = Repeats()
        if self.with_repeats and "errors" not in names:
            plugins["judges"] = Judges()
        if self.with_guard:
            plugins["guard"] = self.guard
        return {**plugins, "zz-books": self.books}

    @property
    def caches(self) -> list[str]:
        """The caches of this host, in the order in which they are asked."""
        return [name for name in self.plugins if name in CACHES]

    # --- what must be ---------------------------------------------------------------------------------------------

    def expect(self, what: str, got: object, wanted: object) -> None:
        """Note that *got* is not *wanted*."""
        if got != wanted:
            self.wrong.append(f"{what}: {got!r} and not {wanted!r}")

    def said(self) -> list[Said]:
        """What the provider says to the very requests that came, asked by a bare client."""
        again, heard = provider_of(self.fates, VirtualClock()), []
        with httpx.Client(transport=again.transport()) as client:
            for seen in self.provider.requests:
                status, pieces, broke = 0, [], False
                try:
                    with client.stream("POST", seen.url, headers=list(seen.headers.pairs), content=seen.body) as answer:
                        status = answer.status_code
                        pieces.extend(answer.iter_raw())
                except httpx.HTTPError:
                    broke = True
                heard.append(Said(status, b"".join(pieces), broke))
        return heard

    def expect_calls(self, upstream: int, *outcomes: str) -> None:
        """How often the provider was asked so far, and what became of each request of the program."""
        self.expect("requests to the provider", self.provider.calls, upstream)
        self.expect("records", [record.outcome for record in self.books.records], [*outcomes])

    def expect_record(self, source: str | None, *statuses: int | None) -> None:
        """Where the last answer came from, and the status of each attempt that was made for it."""
        record = self.books.records[-1]
        provenance = record.provenance
        self.expect("source", provenance and provenance.source, source)
        if source == "cache" and provenance is not None:
            self.expect("cache", provenance.by, self.caches[0])
        self.expect("attempts", [attempt.status for attempt in record.attempts], [*statuses])

    def expect_in_window(self) -> None:
        """A context window has cut the conversation, for the provider only; without one the caller's bytes arrived."""
        for seen in self.provider.requests:
            messages: Any = seen.fields["messages"]
            cut = "context-window" in self.plugins
            self.expect("the conversation was cut", len(messages) < len(CONVERSATION), cut)
            self.expect("the question", seen.last_user_text, "Hello")

    # --- how it ends ----------------------------------------------------------------------------------------------

    async def expect_quiet(self) -> None:
        """No task, no lease, no connection, no attempt is left."""
        if self.cell.colour != "sync":
            from campaign_stops import quiet

            self.wrong += await quiet()
        counts = self.provider.counters
        ended = counts["completed"] + counts["broken"] + counts["closed_early"]
        self.expect("answers left open", counts["requests"] - ended, 0)
        store: Any = self.host.services.get(StateStore)
        self.expect("leases", store._leases.get(PLACES) or {}, {})
        self.expect("attempts left open", [one for one, count in self.books.open.items() if count], [])
        self.expect("ctx.leases", [ctx.leases for ctx in self.books.contexts if ctx.leases], [])

    def expect_closed(self, stored: int) -> None:
        """After the host has closed: no thread is left, each cache has *stored* answers, each record its line."""
        left = {one.name for one in set(threading.enumerate()) - self._before if one.is_alive()}
        self.expect("threads", left & {"clippy-portal", "clippy-cache-sqlite", "clippy-replaced"}, set())
        for name in self.caches:
            self.expect(f"answers in {name}", len(list(self._stored(name))), stored)
        ids = [record.id for record in self.books.records]
        self.expect("requests with a record", sorted(ids), sorted(ctx.id for ctx in self.books.contexts))
        if "audit" in self.plugins:
            lines = [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]
            wanted = [(record.id, record.outcome) for record in self.books.records]
            self.expect("lines of the audit file", [(line["id"], line["outcome"]) for line in lines], wanted)
        self.expect("failures of plugins", dict(self.host.faults.counts), {})

    def _stored(self, name: str) -> Iterator[Any]:
        if name == "keep":
            yield from self.plugins[name].entries
        elif name == "cache-memory":
            yield from self.plugins[name]._kept
        elif (self.folder / "cache.db").exists():
            connection = sqlite3.connect(self.folder / "cache.db")
            yield from connection.execute("SELECT key FROM entries").fetchall()
            connection.close()

    # --- stopping a caller ----------------------------------------------------------------------------------------

    async def stoppable(self, call: Callable[[], Awaitable[Got]]) -> Got:
        """*call*, which ``stop`` ends as a program's user or its event loop would."""
        if self.cell.colour == "sync":
            return await self._interruptible(call)
        if self.cell.colour == "trio":
            with anyio.CancelScope() as scope:
                self.stop = scope.cancel
                return await call()
            return Got(stopped=True)
        task = asyncio.ensure_future(call())
        self.stop = lambda: (task.cancel(), None)[1]
        try:
            return await task
        except asyncio.CancelledError:
            return Got(stopped=True)

    async def _interruptible(self, call: Callable[[], Awaitable[Got]]) -> Got:
        def interrupt() -> None:
            raise KeyboardInterrupt

        self.stop = interrupt
        try:
            return await call()
        except KeyboardInterrupt:
            return Got(stopped=True)

    def cancel_flow(self) -> None:
        """What another thread may do at any time."""
        self.books.contexts[-1].flow.cancel("by the test")
