"""What the parts cost by themselves: a cache's hit, a hook's dispatch."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

import redis
import redis.asyncio
from attrs import define
from clippy_cache_memory import MemoryCache
from clippy_cache_redis import RedisCache
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import (
    CacheControl,
    CacheEntry,
    Chunk,
    Headers,
    Request,
    RequestContext,
    RouteInfo,
    Scope,
    dump_entry,
    evolve,
    hookimpl,
)

import clippy_core
from benchmarks import hosts
from benchmarks.bench import Bench
from benchmarks.redis_server import redis_server
from clippy_core import keys
from clippy_core.chains import Run
from clippy_core.driven import drive
from clippy_core.flow import FlowHandle
from clippy_core.testing.timing import Block, Group, repeated
from clippy_core.wire import decode_request, decode_response
from clippy_core.wire.openai_chat import API


def _entry() -> CacheEntry:
    body = b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":'
    return entry_of(body + b'"assistant","content":"' + b"word " * 100 + b'"},"finish_reason":"stop"}]}')


def entry_of(body: bytes) -> CacheEntry:
    """What a cache holds of this answer."""
    headers = Headers((("content-type", "application/json"), ("x-request-id", "req_bench")))
    return CacheEntry(decode_response(API, 200, headers, body), stored_at=1.0, origin="bench")


@define(eq=False)
class _Now:
    """A clock that stands still, and the rest of what a cache asks of a context."""

    scope: Any
    clock: Any = None
    cache_control: CacheControl = CacheControl()
    stale_within: float = 0.0

    def time(self) -> float:
        return 2.0


def still() -> Any:
    """A request's context, as far as a cache or a hook that does nothing looks at it."""
    now = _Now(Scope())
    now.clock = now
    return now


def memory_cache(bench: Bench) -> Group:
    """A hit in memory, with and without making its key, compared with a dict's ``get``."""
    cache, entry, context = MemoryCache(), _entry(), still()
    known = dict.fromkeys((f"key {number}" for number in range(1000)), entry)
    body = {"model": "m", "temperature": 0.5, "messages": hosts.messages(same=True) * 2}
    request = Request()
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
    """A hit in SQLite, of the same answer and of another each time, compared with the bare select."""
    place = bench.folder / "select"
    place.mkdir(exist_ok=True)
    (cache,) = hosts.sqlite_cache(place).values()
    assert isinstance(cache, SqliteCache)
    context = still()
    request = Request()
    names = [f"{number:064}" for number in range(1000)]
    with cache.lifespan(request):
        for name in names:
            cache.cache_store(name, evolve(_entry(), origin=name), request, context)
    key = names[0]
    bench.stack.callback(cache.close)
    database = sqlite3.connect(place / "only.db", isolation_level=None)
    bench.stack.callback(database.close)
    (table,) = (row[0] for row in database.execute("select name from sqlite_master where type = 'table' limit 1"))
    database.execute("pragma journal_mode = wal")
    select = f"select value from {table} where key = ? and expires > ?"

    def bare(key: str) -> None:
        assert database.execute(select, (key, 2.0)).fetchone()

    def ours(key: str) -> None:
        assert cache.cache_lookup(key, request, context)

    cases = {
        "bare select": repeated(lambda: bare(key)),
        "lookup": repeated(lambda: ours(key)),
        "bare select of another": _in_turn(bare, names),
        "lookup of another": _in_turn(ours, names),
    }
    return Group("sqlite cache", cases, {"lookup": 1.5}, 200)


def _in_turn(call: Callable[[str], None], names: list[str]) -> Block:
    turn = itertools.cycle(names)
    return repeated(lambda: call(next(turn)))


def redis_cache(bench: Bench, *, waits: bool = False) -> Group:
    """A hit on a Redis server, of the same answer and of another each time, beside redis-py's own GET of the value."""
    port = bench.stack.enter_context(redis_server(bench.folder))
    cache = RedisCache(url=f"redis://127.0.0.1:{port}", timeout=10.0)
    host = bench.host({"cache-redis": cache})
    host.open()
    request, names = Request(api="openai.chat"), [f"{number:064}" for number in range(1000)]
    ctx = context(host, waits=False)
    for name in names:
        drive(cache.cache_store(name, evolve(_entry(), stored_at=host.clock.time(), origin=name), request, ctx))
    client: Any = redis.asyncio.Redis(port=port) if waits else redis.Redis(port=port)
    bench.stack.callback((lambda: bench.runner.run(client.aclose())) if waits else client.close)

    if waits:
        ctx = context(host, waits=True)

        async def awaited_bare(key: str) -> None:
            assert await client.get(f"clippy|a:{key}")

        async def awaited_ours(key: str) -> None:
            assert await cache.cache_lookup(key, request, ctx)

        bare, ours = _on(bench, awaited_bare), _on(bench, awaited_ours)
    else:

        def bare_here(key: str) -> None:
            assert client.get(f"clippy|a:{key}")

        def ours_here(key: str) -> None:
            assert drive(cache.cache_lookup(key, request, ctx))

        bare, ours = _each(bare_here), _each(ours_here)
    cases = {
        "redis-py GET": bare([names[0]]),
        "lookup": ours([names[0]]),
        "redis-py GET of another": bare(names),
        "lookup of another": ours(names),
    }
    return Group(f"redis cache, {'async' if waits else 'sync'}", cases, {"lookup": 1.3}, 100, by="wall")


def context(host: clippy_core.Host, *, waits: bool) -> RequestContext:
    """A request's context as the hooks of a sync or an async program get it."""
    services = host._serving.current.views[not waits]
    route = RouteInfo("main", "openai.chat", "http://127.0.0.1:9/v1")
    return RequestContext(id="r", scope=Scope(), clock=host.clock, services=services, route=route, flow=FlowHandle())


def _each(call: Callable[[str], None]) -> Callable[[list[str]], Block]:
    return lambda names: _in_turn(call, names)


def _on(bench: Bench, call: Callable[[str], Coroutine[Any, Any, None]]) -> Callable[[list[str]], Block]:
    def block(names: list[str]) -> Block:
        turn = itertools.cycle(names)
        return bench.block(lambda: call(next(turn)), waits=True)

    return block


def sqlite_store(bench: Bench) -> Group:
    """A store into SQLite behind a host, until it is in the file; compared with a bare insert, each its own commit."""
    place = bench.folder / "insert"
    place.mkdir(exist_ok=True)
    (cache,) = hosts.sqlite_cache(place).values()
    assert isinstance(cache, SqliteCache)
    context, entry = still(), _entry()
    request = Request()
    names = map("{:064}".format, itertools.count())
    database = sqlite3.connect(place / "bare.db", isolation_level=None)
    bench.stack.callback(database.close)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = normal")
    database.execute("create table answers (key text primary key, expires real, value blob)")
    value = dump_entry(entry)

    def bare() -> None:
        database.execute("insert into answers values (?, ?, ?)", (next(names), 3600.0, value))

    def behind(times: int) -> None:
        with cache.lifespan(request):
            for _ in range(times):
                cache.cache_store(next(names), entry, request, context)

    return Group("sqlite store", {"bare insert": repeated(bare), "store": behind}, {}, 500)


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


def chunk_dispatch(count: int) -> Callable[[], tuple[Chunk, ...]]:
    """One chunk through the on_chunk chain of so many plugins."""
    chunk, context = Chunk("text", "word "), still()
    chains = hosts.host(hosts.several(hosts.OnChunk, count)).chains
    return lambda: chains.chunk(chunk, context, None)


def fold_dispatch(count: int, *, waits: bool = False) -> Callable[[], Coroutine[Any, Any, Any]]:
    """One request through the pre_request chain of so many plugins, whose hooks are plain or async; to be awaited."""
    kind: Any = _AwaitedFolds if waits else _Folds
    request, context = _request(), still()
    host = hosts.host(hosts.several(kind, count))
    chains, run = host.chains, Run(context, host.sync_runtime())
    return lambda: chains.fold(chains.pre_request, request, (context,), run)


def _request() -> Request:
    return decode_request("POST", "http://127.0.0.1:9/v1/chat/completions", "", Headers(), b"{}")


def dispatch_chunk(bench: Bench) -> Group:
    """The on_chunk chain over one chunk, compared with one direct call."""
    chunk, context = Chunk("text", "word "), still()
    direct = hosts.OnChunk().on_chunk
    cases: dict[str, Block] = {"one direct call": repeated(lambda: direct(chunk, context))}
    cases |= {f"{count} implementations": repeated(chunk_dispatch(count)) for count in (0, 1, 5)}
    return Group("dispatch of on_chunk", cases, {"5 implementations": 8.0}, per_block=5000)


def dispatch_fold(bench: Bench, *, waits: bool = False) -> Group:
    """A fold over pre_request, plain or async, compared with one awaited coroutine."""
    request, context, direct = _request(), still(), _AwaitedFolds().pre_request
    cases: dict[str, Block] = {"one awaited coroutine": _driven(lambda: direct(request, context))}
    cases |= {f"{count} implementations": _driven(fold_dispatch(count, waits=waits)) for count in (1, 5)}
    title = f"dispatch of {'async' if waits else 'plain'} pre_request"
    return Group(title, cases, {"5 implementations": 7.0 if waits else 8.0}, per_block=2000)


def _driven(call: Callable[[], Any]) -> Block:
    async def several(times: int) -> None:
        for _ in itertools.repeat(None, times):
            await call()

    return lambda times: drive(several(times))
