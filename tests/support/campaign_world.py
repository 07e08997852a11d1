"""A host with every first-party plugin in front of a provider with faults, and the calls that a program makes."""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from attrs import define, field
from campaign_witness import PLACES, LastAudit, Witness
from clippy_audit import AuditLog
from clippy_breaker import CircuitBreaker
from clippy_cache_memory import MemoryCache
from clippy_cache_sqlite import SqliteCache
from clippy_context_window import ContextWindow
from clippy_dedup import Dedup
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import ProviderError, StateStore
from clippy_retry import RetryPolicy
from clippy_stream import StreamController
from clippy_stream_debug import StreamDebugger
from clippy_stream_monitor import StreamMonitor
from clippy_telemetry_log import LogTelemetry
from clippy_telemetry_otel import OtelTelemetry
from clippy_throttle import Throttle

import clippy_core
from clippy_core.testing import FakeProvider, FakeServer, Fault, Raw, Reply, SeenRequest

ANSWER = "one two three four five six"
SPEECH = Raw([b"RIFF", b"one ", b"two ", b"three"], headers={"content-type": "audio/wav"})
EXPECTED = (ProviderError, httpx.HTTPError, httpx.StreamError)
"""What a call may raise when it was not cancelled: the script has faults that nobody can repair."""


def faulty(seed: int) -> Callable[[SeenRequest], Any]:
    """A script that gives each request its fate by the seed and the request's number."""

    def act(seen: SeenRequest) -> Any:
        fate = random.Random(f"{seed}-{seen.number}")
        reply: Any = Reply(ANSWER, chunk_delay=fate.choice((0.0, 0.0, 0.0005)))
        if _is_speech(seen):
            return [*fate.choices(([], [Fault.reset(at_event=2)]), (8, 1))[0], SPEECH]
        faults = [
            [],
            [Fault.status(503)],
            [Fault.reset(at_delta=0)],
            [Fault.reset(at_delta=3)],
            [Fault.error_event(at_delta=2)],
            [Fault.no_terminal()],
            [Fault.gzip()],
        ]
        return [*fate.choices(faults, (60, 12, 6, 6, 5, 5, 6))[0], reply]

    return act


def healthy(seen: SeenRequest) -> Any:
    """A script without faults."""
    return SPEECH if _is_speech(seen) else Reply(ANSWER)


def _is_speech(seen: SeenRequest) -> bool:
    return seen.url.endswith("/audio/speech")


@define(eq=False)
class World:
    """One host and one provider; ``loopback`` puts sockets between them.

    Left with ``with``; the clients that its calls use belong to one event loop, or to none (:meth:`clients`).
    """

    script: Callable[[SeenRequest], Any] = healthy
    loopback: bool = False
    with_caches: bool = True
    witness: Witness = field(factory=Witness)
    last: LastAudit = field(factory=LastAudit)
    provider: FakeProvider = field(init=False)
    server: FakeServer | None = field(init=False, default=None)
    host: clippy_core.Host = field(init=False)
    base: str = field(init=False, default="http://fake.test/v1")
    http: Any = field(init=False, default=None)
    ours: Any = field(init=False, default=None)
    _folder: Any = field(init=False, repr=False)
    _missing: int = field(init=False, default=0, repr=False)
    _reported: list[Any] = field(init=False, factory=list, repr=False)

    def __enter__(self) -> World:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.provider = FakeProvider(self.script)
        if self.loopback:
            self.server = FakeServer(self.provider, max_requests=1_000_000, lifetime=600.0)
            self.server.start()
            self.base = self.server.base_url
        route = {"base_url": self.base, "key": "sk-test", "model": "test-model"}
        routes = {"main": {**route, "default": True}, "backup": {**route, "key": "sk-backup"}}
        self.host = clippy_core.Host(self._plugins(Path(self._folder.name)), config={"routes": routes})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.host.close()
        if self.server is not None:
            self.server.stop()
        self._folder.cleanup()

    def _plugins(self, folder: Path) -> dict[str, object]:
        caches = {"cache-memory": MemoryCache(), "cache-sqlite": SqliteCache(path=folder / "cache.db")}
        return {
            "audit": AuditLog(path=folder / "audit.jsonl"),
            **(caches if self.with_caches else {}),
            "breaker": CircuitBreaker(),
            "context-window": ContextWindow(),
            "dedup": Dedup(when="always"),
            "errors": ErrorClassifier(),
            "fallback": Fallback(routes=("backup",), stale=60.0),
            "retry": RetryPolicy(base=0.001, cap=0.002, on_mid_stream="continue", budget=0.0),
            "stream": StreamController(),
            "stream-debug": StreamDebugger(enabled=True),
            "stream-monitor": StreamMonitor(),
            "telemetry-log": LogTelemetry(queue=True),
            "telemetry-otel": OtelTelemetry(),
            "throttle": Throttle(tokens_per_second=100_000.0, coalesce="word"),
            "witness": self.witness,
            "zz-last": self.last,
        }

    # --- the clients ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def async_clients(self) -> AsyncIterator[World]:
        """The clients of the running event loop."""
        made = [self._async_http(), self._async_http()]
        self.http = self.host.wrap(made[0])
        self.ours = clippy_core.AsyncClient(self.host, made[1])
        async with made[0], made[1]:
            yield self
        self.http = self.ours = None

    @contextmanager
    def clients(self) -> Iterator[World]:
        """The clients of a program without an event loop."""
        made = [self._http(), self._http()]
        self.http = self.host.wrap(made[0])
        self.ours = clippy_core.Client(self.host, made[1])
        with made[0], made[1]:
            yield self
        self.http = self.ours = None

    def _async_http(self) -> Any:
        inner = None if self.loopback else self.provider.async_transport()
        return httpx.AsyncClient(transport=inner, trust_env=False)

    def _http(self) -> Any:
        return httpx.Client(transport=None if self.loopback else self.provider.transport(), trust_env=False)

    # --- the books ------------------------------------------------------------------------------------------------

    def faults(self, pools: bool = True) -> list[str]:
        """What is not as it must be after the calls so far have ended; begins the books anew."""
        books = [*self.witness.faults(), *self.last.faults(self.witness.asked), *self._leases()]
        found = [*books, *self.open_connections(pools)]
        self._report_connections()
        self.witness.forget()
        return found

    def _leases(self) -> list[str]:
        store: Any = self.host.services.get(StateStore)
        held = store._leases.get(PLACES) or {}
        wrong = [f"{len(held)} leases are held"] if held else []
        held.clear()
        return wrong

    def open_connections(self, pools: bool = True) -> list[str]:
        """Answers that nobody finished or closed, at the provider and in the clients' *pools*, and not reported yet.

        Under asyncio's ``task.cancel()`` httpcore 1.0.9 loses track of connections without us as well (its shield is
        an anyio scope, which that cancellation goes through), so there only the provider is asked.
        """
        counts = self.provider.counters
        missing = counts["requests"] - counts["completed"] - counts["broken"] - counts["closed_early"] - self._missing
        found = [f"{missing} answers are open at the provider"] if missing else []
        for pool in self._pools() if pools else ():
            held = [one for one in (*pool.connections, *pool._requests) if _busy(one) and one not in self._reported]
            found += [f"a pool holds a {type(one).__name__}" for one in held]
        return found

    def _report_connections(self) -> None:
        """What is open now was reported, and may stay so without being reported again."""
        counts = self.provider.counters
        self._missing = counts["requests"] - counts["completed"] - counts["broken"] - counts["closed_early"]
        self._reported = [one for pool in self._pools() for one in (*pool.connections, *pool._requests) if _busy(one)]

    def _pools(self) -> list[Any]:
        if not self.loopback or self.http is None:
            return []
        return [self.http._transport.inner._pool, self.ours._http._transport._pool]


def _busy(held: Any) -> bool:
    """Whether a pool's connection, or its request, is still in use."""
    return not (hasattr(held, "is_idle") and (held.is_idle() or held.is_closed()))


# --- what a program does ----------------------------------------------------------------------------------------------

Call = Callable[[World, str], Coroutine[Any, Any, None]]


async def chat(world: World, prompt: str) -> None:
    """A plain call."""
    await world.ours.chat(prompt)


async def stream(world: World, prompt: str) -> None:
    """A stream read to its end."""
    async with await world.ours.stream(prompt) as chunks:
        async for _ in chunks:
            pass


async def stream_left(world: World, prompt: str) -> None:
    """A stream that the program leaves after its second piece of text."""
    seen = 0
    async with await world.ours.stream(prompt) as chunks:
        async for _ in chunks.text():
            seen += 1
            if seen == 2:
                break


async def post(world: World, prompt: str) -> None:
    """A plain call by an HTTP client under the host, as an SDK makes it."""
    await world.http.post(f"{world.base}/chat/completions", json=_body(prompt))


async def post_stream(world: World, prompt: str) -> None:
    """A streamed call by an HTTP client under the host."""
    body = {**_body(prompt), "stream": True}
    async with world.http.stream("POST", f"{world.base}/chat/completions", json=body) as response:
        async for _ in response.aiter_bytes():
            pass


async def opaque(world: World, prompt: str) -> None:
    """A call that is none of ours: its body passes through unread."""
    async with world.http.stream("POST", f"{world.base}/audio/speech", json={"input": prompt}) as response:
        async for _ in response.aiter_raw():
            pass


async def opaque_left(world: World, prompt: str) -> None:
    """Such a call whose program leaves after the first piece."""
    async with world.http.stream("POST", f"{world.base}/audio/speech", json={"input": prompt}) as response:
        await _one_piece(response)


async def post_stream_left(world: World, prompt: str) -> None:
    """A streamed call by an HTTP client that leaves after the first piece."""
    body = {**_body(prompt), "stream": True}
    async with world.http.stream("POST", f"{world.base}/chat/completions", json=body) as response:
        await _one_piece(response)


async def _one_piece(response: Any) -> None:
    # Not by httpx's own async generators: left half-read they are collected unclosed, which trio warns about.
    await anext(aiter(response.stream._stream))


def _body(prompt: str) -> dict[str, Any]:
    return {"model": "test-model", "messages": [{"role": "user", "content": prompt}]}


CALLS: dict[str, Call] = {
    "chat": chat,
    "stream": stream,
    "stream left": stream_left,
    "post": post,
    "post stream": post_stream,
    "post stream left": post_stream_left,
    "opaque": opaque,
    "opaque left": opaque_left,
}
