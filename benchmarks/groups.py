"""What is compared with what, and the bars: those of the project's performance requirements."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import httpx2
from attrs import define
from clippy_cache_memory import MemoryCache
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import CacheEntry, Chunk, Headers, Scope, hookimpl

import clippy_core
from benchmarks import hosts
from benchmarks.canned import PIECES, CannedServer
from benchmarks.timing import Block, Group, awaited, repeated
from clippy_core import keys
from clippy_core.chains import Run
from clippy_core.runtime import drive
from clippy_core.wire import decode_request, decode_response
from clippy_core.wire.openai_chat import API

BARE, NONE, NOOP, TIMED, EVERY = "bare", "0 plugins", "5 no-op plugins", "5 with audit", "5 in every hook"
STACK, MEMORY, SQLITE, OWN = (
    "full default stack",
    "memory-cache hit",
    "sqlite-cache hit",
    "memory-cache hit, own client",
)


@define(eq=False)
class Bench:
    """Where things are measured: a server, a folder, an event loop, and what must be closed afterwards."""

    server: CannedServer
    folder: Path
    stack: ExitStack
    runner: asyncio.Runner

    def host(self, plugins: Mapping[str, object]) -> clippy_core.Host:
        """An open host."""
        made = hosts.host(plugins, self.server.base_url)
        self.stack.callback(made.close)
        return made

    def variants(self, name: str) -> dict[str, clippy_core.Host | None]:
        """The hosts that a call is measured under; *name* keeps their files apart."""
        place = self.folder / name.replace(" ", "-").replace(",", "")
        place.mkdir(exist_ok=True)
        sets: dict[str, Mapping[str, object]] = {
            NONE: {},
            NOOP: hosts.several(hosts.OnTheWay, 5),
            TIMED: hosts.several(hosts.WithAudit, 5),
            EVERY: hosts.several(hosts.EveryHook, 5),
            STACK: hosts.default_stack(place),
            MEMORY: {"cache-memory": MemoryCache()},
            SQLITE: hosts.sqlite_cache(place),
        }
        return {BARE: None, **{case: self.host(plugins) for case, plugins in sets.items()}}

    def sync_client(self, module: ModuleType, under: clippy_core.Host | None) -> Any:
        return self.stack.enter_context(hosts.sync_client(module, under))

    def async_client(self, module: ModuleType, under: clippy_core.Host | None) -> Any:
        client = hosts.async_client(module, under)
        self.stack.callback(lambda: self.runner.run(client.aclose()))
        return client

    def block(self, call: Callable[[], Any], waits: bool) -> Block:
        return awaited(self.runner, call) if waits else repeated(call)


# --- one plain call ---------------------------------------------------------------------------------------------------

CALL_BARS = {NONE: 1.03, EVERY: 1.10, STACK: 1.30}
SDK_BARS = {NONE: 1.02, EVERY: 1.05, STACK: 1.15}
CACHED_BARS = {MEMORY: 0.36, OWN: 0.08}


def plain_call(bench: Bench, module: ModuleType = httpx, *, waits: bool = False) -> Group:
    """``client.post(json=...)`` and ``r.json()``, each with a question that is new."""
    title = f"one call, {'async' if waits else 'sync'}, {module.__name__}"
    cases = {}
    for case, host in bench.variants(title).items():
        if case not in (MEMORY, SQLITE):
            cases[case] = bench.block(_post(bench, module, host, waits), waits)
    return Group(title, cases, CALL_BARS)


def cached_call(bench: Bench, module: ModuleType = httpx, *, waits: bool = False) -> Group:
    """The same question again, answered by a cache; compared in wall time with a call that is made."""
    title = f"one call answered by a cache, {'async' if waits else 'sync'}, {module.__name__}"
    variants = bench.variants(title)
    calls = {case: _post(bench, module, variants[case], waits, same=True) for case in (BARE, MEMORY, SQLITE)}
    if not waits:
        own = bench.stack.enter_context(clippy_core.Client(bench.host({"cache-memory": MemoryCache()})))
        asked = hosts.messages(same=True)
        calls[OWN] = lambda: own.chat(asked).text
    for case, call in calls.items():
        for _ in range(2):
            bench.runner.run(_await(call)) if waits else call()
        _assert_hit(bench, case, call, waits)
    return Group(title, {case: bench.block(call, waits) for case, call in calls.items()}, CACHED_BARS, by="wall")


def _assert_hit(bench: Bench, case: str, call: Callable[[], Any], waits: bool) -> None:
    before = bench.server.requests()
    bench.runner.run(_await(call)) if waits else call()
    asked = bench.server.requests() - before
    assert asked == (case == BARE), f"{case} asked the server {asked} times"


async def _await(call: Callable[[], Any]) -> None:
    await call()


def _post(
    bench: Bench, module: ModuleType, host: clippy_core.Host | None, waits: bool, same: bool = False
) -> Callable[[], Any]:
    url = bench.server.chat_url
    if waits:
        client = bench.async_client(module, host)

        async def acall() -> None:
            assert (await client.post(url, json=hosts.body(same))).json()["choices"]

        return acall
    sync = bench.sync_client(module, host)

    def call() -> None:
        assert sync.post(url, json=hosts.body(same)).json()["choices"]

    return call


def sdk_call(bench: Bench, *, waits: bool = False) -> Group:
    """``client.chat.completions.create`` of the openai SDK."""
    title = f"one call, {'async' if waits else 'sync'}, openai SDK"
    cases: dict[str, Block] = {}
    for case, host in bench.variants(title).items():
        client = _sdk(bench, host, waits)
        same = case in (MEMORY, SQLITE)

        def call(client: Any = client, same: bool = same) -> Any:
            return client.chat.completions.create(model=hosts.MODEL, messages=hosts.messages(same), temperature=0.5)

        cases[case] = bench.block(call, waits)
    return Group(title, cases, SDK_BARS)


def _sdk(bench: Bench, host: clippy_core.Host | None, waits: bool) -> Any:
    import openai

    module = openai.DefaultHttpxClient.__mro__[1].__module__.split(".")[0]
    http_module = httpx2 if module == "httpx2" else httpx
    if waits:
        http = bench.async_client(http_module, None)
        client: Any = openai.AsyncOpenAI(api_key="sk-bench", base_url=bench.server.base_url, http_client=http)
    else:
        http = bench.sync_client(http_module, None)
        client = openai.OpenAI(api_key="sk-bench", base_url=bench.server.base_url, http_client=http)
    return client if host is None else host.wrap(client)


def big_body(bench: Bench) -> Group:
    """A request of 1 MB, and what a cache key of it costs."""
    text = "turtle " * 150_000
    cases = {}
    for case, plugins in ((BARE, None), (NONE, {}), ("with a cache key", {"cache-memory": MemoryCache(max_bytes=1)})):
        host = None if plugins is None else bench.host(plugins)
        client = bench.sync_client(httpx, host)

        def call(client: Any = client) -> None:
            assert client.post(bench.server.chat_url, json=hosts.body(text=text)).json()["choices"]

        cases[case] = repeated(call)
    return Group("one call of 1 MB, sync, httpx", cases, {NONE: 1.03, "with a cache key": 1.20}, per_block=5)


# --- streams ----------------------------------------------------------------------------------------------------------


def stream(bench: Bench, *, waits: bool = False) -> Group:
    """100 pieces in one burst: httpx with ``iter_lines`` and ``json.loads``, the bare SDK, and our client."""
    cases: dict[str, Block] = {"httpx, iter_lines + json": bench.block(_read_httpx(bench, waits), waits)}
    cases["bare openai SDK"] = bench.block(_read_sdk(bench, None, waits), waits)
    for count in (0, 1, 5):
        host = bench.host(hosts.several(hosts.OnChunk, count))
        cases[f"our client, {count} on_chunk"] = bench.block(_read_ours(bench, host, waits), waits)
    title = f"stream of {PIECES} chunks, {'async' if waits else 'sync'}"
    return Group(title, cases, {"our client, 5 on_chunk": 1.0}, per_block=6)


def sdk_stream(bench: Bench, *, waits: bool = False) -> Group:
    """The same under the openai SDK."""
    cases: dict[str, Block] = {BARE: bench.block(_read_sdk(bench, None, waits), waits)}
    for count in (0, 1, 5):
        host = bench.host(hosts.several(hosts.OnChunk, count))
        cases[f"{count} on_chunk"] = bench.block(_read_sdk(bench, host, waits), waits)
    place = bench.folder / f"sdk-stream-{waits}"
    place.mkdir(exist_ok=True)
    cases[STACK] = bench.block(_read_sdk(bench, bench.host(hosts.default_stack(place)), waits), waits)
    title = f"stream of {PIECES} chunks, {'async' if waits else 'sync'}, openai SDK"
    return Group(title, cases, {"5 on_chunk": 1.08}, per_block=4)


def _read_httpx(bench: Bench, waits: bool) -> Callable[[], Any]:
    url = bench.server.chat_url
    if waits:
        client = bench.async_client(httpx, None)

        async def acall() -> None:
            async with client.stream("POST", url, json=hosts.body(stream=True)) as response:
                assert await hosts.aread_lines(response) == PIECES

        return acall
    sync = bench.sync_client(httpx, None)

    def call() -> None:
        with sync.stream("POST", url, json=hosts.body(stream=True)) as response:
            assert hosts.read_lines(response) == PIECES

    return call


def _read_sdk(bench: Bench, host: clippy_core.Host | None, waits: bool) -> Callable[[], Any]:
    client = _sdk(bench, host, waits)

    def create() -> Any:
        return client.chat.completions.create(
            model=hosts.MODEL, messages=hosts.messages(), temperature=0.5, stream=True
        )

    if waits:

        async def acall() -> None:
            pieces = 0
            async for chunk in await create():
                pieces += bool(chunk.choices[0].delta.content)
            assert pieces == PIECES

        return acall

    def call() -> None:
        assert sum(bool(chunk.choices[0].delta.content) for chunk in create()) == PIECES

    return call


def _read_ours(bench: Bench, host: clippy_core.Host, waits: bool) -> Callable[[], Any]:
    if waits:
        client = clippy_core.AsyncClient(host, bench.async_client(httpx, None))

        async def acall() -> None:
            pieces = 0
            async with await client.stream(hosts.messages(), temperature=0.5) as chunks:
                async for _ in chunks.text():
                    pieces += 1
            assert pieces == PIECES

        return acall
    sync = clippy_core.Client(host, bench.sync_client(httpx, None))

    def call() -> None:
        with sync.stream(hosts.messages(), temperature=0.5) as chunks:
            assert sum(1 for _ in chunks.text()) == PIECES

    return call


# --- what a cache does ------------------------------------------------------------------------------------------------


def _entry() -> CacheEntry:
    body = b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":'
    body += b'"assistant","content":"' + b"word " * 100 + b'"},"finish_reason":"stop"}]}'
    headers = Headers((("content-type", "application/json"), ("x-request-id", "req_bench")))
    return CacheEntry(decode_response(API, 200, headers, body), stored_at=1.0, origin="bench")


@define(eq=False)
class _Now:
    """A clock that stands still, and the rest of what a cache asks of a context."""

    scope: Any
    clock: Any = None

    def time(self) -> float:
        return 2.0


def _context() -> Any:
    now = _Now(Scope())
    now.clock = now
    return now


def memory_cache(bench: Bench) -> Group:
    """A hit in memory, with and without making its key, compared with a dict's ``get``."""
    cache, entry, context = MemoryCache(), _entry(), _context()
    known = dict.fromkeys((f"key {number}" for number in range(1000)), entry)
    body = {"model": "m", "temperature": 0.5, "messages": hosts.messages(same=True) * 2}
    request: Any = None
    key = keys.cache_key(body=body, api="openai.chat", base_url=bench.server.chat_url)
    cache.cache_store(key, entry, request, context)
    cases = {
        "dict.get": repeated(lambda: known.get("key 500")),
        "lookup": repeated(lambda: cache.cache_lookup(key, request, context)),
        "key and lookup": repeated(
            lambda: cache.cache_lookup(
                keys.cache_key(body=body, api="openai.chat", base_url=bench.server.chat_url), request, context
            )
        ),
    }
    return Group("memory cache", cases, {"key and lookup": 120.0}, per_block=500)


def sqlite_cache(bench: Bench) -> Group:
    """A hit in SQLite, compared with the bare select."""
    place = bench.folder / "select"
    place.mkdir(exist_ok=True)
    (cache,) = hosts.sqlite_cache(place).values()
    assert isinstance(cache, SqliteCache)
    entry, context = _entry(), _context()
    request: Any = None
    key = "0" * 64
    cache.cache_store(key, entry, request, context)
    cache.close()
    bench.stack.callback(cache.close)
    database = sqlite3.connect(place / "only.db", isolation_level=None)
    bench.stack.callback(database.close)
    (table,) = (row[0] for row in database.execute("select name from sqlite_master where type = 'table' limit 1"))
    database.execute("pragma journal_mode = wal")
    select = f"select value from {table} where key = ? and expires > ?"

    def bare() -> None:
        assert database.execute(select, (key, 2.0)).fetchone()

    def ours() -> None:
        assert cache.cache_lookup(key, request, context)

    return Group("sqlite cache", {"bare select": repeated(bare), "lookup": repeated(ours)}, {"lookup": 1.5}, 200)


# --- dispatch ---------------------------------------------------------------------------------------------------------


@define(eq=False)
class _Folds:
    """A hook that waits for nothing, plain and async."""

    @hookimpl
    def pre_request(self, request: Any, ctx: Any) -> None:
        return None


@define(eq=False)
class _AwaitedFolds:
    @hookimpl(inline=True)
    async def pre_request(self, request: Any, ctx: Any) -> None:
        return None


def dispatch_chunk(bench: Bench) -> Group:
    """The on_chunk chain over one chunk, compared with one direct call."""
    chunk, context = Chunk("text", "word "), _context()
    direct = hosts.OnChunk().on_chunk
    cases: dict[str, Block] = {"one direct call": repeated(lambda: direct(chunk, context))}
    for count in (0, 1, 5):
        chains = hosts.host(hosts.several(hosts.OnChunk, count)).chains
        cases[f"{count} implementations"] = repeated(
            lambda chains=chains: chains.chunk(chunk, context, None)  # type: ignore[misc]
        )
    return Group("dispatch of on_chunk", cases, {"5 implementations": 8.0}, per_block=5000)


def dispatch_fold(bench: Bench, *, waits: bool = False) -> Group:
    """A fold over pre_request, plain or async, compared with one awaited coroutine."""
    kind: Any = _AwaitedFolds if waits else _Folds
    request = decode_request("POST", bench.server.chat_url, "", Headers(), b"{}")
    context, direct = _context(), _AwaitedFolds().pre_request
    cases: dict[str, Block] = {"one awaited coroutine": _driven(lambda: direct(request, context))}
    for count in (1, 5):
        host = hosts.host(hosts.several(kind, count))
        run = Run(context, host.sync_runtime())
        cases[f"{count} implementations"] = _driven(
            lambda chains=host.chains, run=run: chains.fold(  # type: ignore[misc]
                chains.pre_request, request, (context,), run
            )
        )
    title = f"dispatch of {'async' if waits else 'plain'} pre_request"
    return Group(title, cases, {"5 implementations": 7.0 if waits else 8.0}, per_block=2000)


def _driven(call: Callable[[], Any]) -> Block:
    async def several(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await call()

    return lambda times: drive(several(times))


GROUPS: dict[str, Callable[[Bench], Group]] = {
    "call-sync": plain_call,
    "call-async": lambda bench: plain_call(bench, waits=True),
    "call-sync-httpx2": lambda bench: plain_call(bench, httpx2),
    "cached-sync": cached_call,
    "cached-async": lambda bench: cached_call(bench, waits=True),
    "sdk-sync": sdk_call,
    "sdk-async": lambda bench: sdk_call(bench, waits=True),
    "big": big_body,
    "stream-sync": stream,
    "stream-async": lambda bench: stream(bench, waits=True),
    "sdk-stream-sync": sdk_stream,
    "sdk-stream-async": lambda bench: sdk_stream(bench, waits=True),
    "memory": memory_cache,
    "sqlite": sqlite_cache,
    "dispatch-chunk": dispatch_chunk,
    "dispatch-plain": dispatch_fold,
    "dispatch-async": lambda bench: dispatch_fold(bench, waits=True),
}
"""By name; the async ones run on the bench's own event loop."""
