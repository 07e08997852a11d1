"""Our rows in the tables of the peers' harness: each function fills one slot, ``{row: callable}``.

Each callable does the one thing that it is named for and checks its own result: a call that it reached the server, a
HIT that it did not, a stream that all its pieces came.  ``README.md`` says how this is run.
"""

from __future__ import annotations

import asyncio
import atexit
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from attrs import frozen
from clippy_cache_memory import MemoryCache
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import CacheEntry, Request

import clippy_core
from benchmarks import hosts, parts
from clippy_core import keys
from clippy_core.chat_request import build_request
from clippy_core.driven import drive
from clippy_core.wire import APIS, SseDecoder, StreamDecoder

from . import calls
from .reach import Reach

Cases = dict[str, Callable[[], Any]]

_at_exit = ExitStack()
atexit.register(_at_exit.close)
"""What the harness, which closes nothing, leaves open."""


def _closing(ctx: Any) -> ExitStack:
    """Where to say what must be closed: a caller may bring an ``ExitStack`` of its own, the harness does not."""
    own = ctx.get("closing") if isinstance(ctx, Mapping) else getattr(ctx, "closing", None)
    return own or _at_exit


# --- calls and streams ------------------------------------------------------------------------------------------------


@frozen
class _Row:
    """A row: its plugins, the way in, and whether a cache answers.  ``new``: each question is one not asked before."""

    title: str
    plugins: Callable[[Path], Mapping[str, object]]
    way: str = "wrap"
    hit: bool = False
    new: bool = False


def _no_plugins(folder: Path) -> Mapping[str, object]:
    return {}


def _five_idle(folder: Path) -> Mapping[str, object]:
    return hosts.several(hosts.OnTheWay, 5)


def _five_everywhere(folder: Path) -> Mapping[str, object]:
    return hosts.several(hosts.EveryHook, 5)


def _memory(folder: Path) -> Mapping[str, object]:
    return {"cache-memory": MemoryCache()}


def _on_chunk(count: int) -> Callable[[Path], Mapping[str, object]]:
    return lambda folder: hosts.several(hosts.OnChunk, count)


_CALLS = (
    _Row("clippy, no plugins", _no_plugins),
    _Row("clippy, 5 no-op plugins", _five_idle),
    _Row("clippy, 5 plugins in every hook", _five_everywhere),
    _Row("clippy, default stack", hosts.default_stack, new=True),
    _Row("clippy as httpx transport, no plugins", _no_plugins, "transport"),
    _Row("clippy own client, no plugins", _no_plugins, "own"),
    _Row("clippy own client, default stack", hosts.default_stack, "own", new=True),
    _Row("HIT clippy memory cache", _memory, hit=True),
    _Row("HIT clippy sqlite cache", hosts.sqlite_cache, hit=True),
    _Row("HIT clippy own client, memory cache", _memory, "own", hit=True),
    _Row("openai SDK through clippy, no plugins", _no_plugins, "openai"),
    _Row("openai SDK through clippy, 5 no-op plugins", _five_idle, "openai"),
    _Row("openai SDK through clippy, default stack", hosts.default_stack, "openai", new=True),
    _Row("HIT openai SDK through clippy, memory cache", _memory, "openai", hit=True),
    _Row("HIT openai SDK through clippy, sqlite cache", hosts.sqlite_cache, "openai", hit=True),
)
_STREAMS = (
    *(_Row(f"clippy own client, {count} on_chunk plugins", _on_chunk(count), "own") for count in (0, 1, 5)),
    *(_Row(f"httpx iter_lines + json through clippy, {count} on_chunk plugins", _on_chunk(count)) for count in (0, 5)),
    *(_Row(f"openai SDK through clippy, {count} on_chunk plugins", _on_chunk(count), "openai") for count in (0, 1, 5)),
    _Row("openai SDK through clippy, default stack", hosts.default_stack, "openai", new=True),
)


def _made(ctx: Any, row: _Row, reach: Reach, *, waits: bool, **options: Any) -> Any:
    """The row's client, on a host of its own."""
    closing = _closing(ctx)
    folder = Path(closing.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
    host = hosts.host(row.plugins(folder), ctx.v1)
    closing.callback(host.close)
    made = calls.client(row.way, host, reach, ctx.v1, waits=waits, **options)
    http = calls.http_of(made)
    if not waits:
        closing.callback(http.close)
    elif runner := getattr(ctx, "runner", None):
        closing.callback(lambda: runner.run(http.aclose()))
    return made


def _case(ctx: Any, row: _Row, *, stream: bool, waits: bool) -> Callable[[], Any]:
    reach = Reach()
    made = _made(ctx, row, reach, waits=waits)
    question = calls.questions(ctx.body(ctx.model, stream=stream), new=row.new)
    ask = (calls.reads if stream else calls.asks)(row.way, made, ctx.url, waits=waits)
    return calls.checked(ask, question, reach, ctx.chunks if stream else True, hit=row.hit, waits=waits)


def _cases(ctx: Any, rows: tuple[_Row, ...], *, stream: bool = False, waits: bool = False) -> Cases:
    has_sdk = calls.sdk_version() >= 1
    wanted = [row for row in rows if has_sdk or row.way != "openai"]
    return {row.title: _case(ctx, row, stream=stream, waits=waits) for row in wanted}


def call_sync_cases(ctx: Any) -> Cases:
    return _cases(ctx, _CALLS)


def call_async_cases(ctx: Any) -> Cases:
    return _cases(ctx, _CALLS, waits=True)


def stream_sync_cases(ctx: Any) -> Cases:
    return _cases(ctx, _STREAMS, stream=True)


def stream_async_cases(ctx: Any) -> Cases:
    return _cases(ctx, _STREAMS, stream=True, waits=True)


def concurrency_cases(ctx: Mapping[str, Any]) -> Cases:
    """Many calls at once, so that only the answer can be checked, not who of them reached the server."""
    like = SimpleNamespace(**{"closing": None, **ctx})
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    cases: Cases = {}
    for row in _CALLS[:4]:
        ask = calls.asks(row.way, _made(like, row, Reach(), waits=True, limits=limits), like.url, waits=True)
        cases[row.title] = _answered(ask, calls.questions(like.body, new=row.new))
    return cases


def _answered(ask: calls.Ask, question: Callable[[], calls.Body]) -> Callable[[], Any]:
    async def once() -> None:
        assert await ask(question())

    return once


# --- building a client ------------------------------------------------------------------------------------------------


def construct_cases(ctx: Any) -> Cases:
    """A host and a client under it; then a client under a host that is there already."""
    closing, tls = _closing(ctx), hosts.tls(httpx)
    there = hosts.host({})
    closing.callback(there.close)

    def client_under(host: clippy_core.Host) -> None:
        with host.wrap(httpx.Client(verify=tls)) as client:
            assert isinstance(client, httpx.Client)

    def both() -> None:
        with hosts.host({}) as host:
            client_under(host)

    return {
        "clippy Host() + wrap(httpx.Client(verify=shared SSLContext))": both,
        "clippy wrap(httpx.Client(verify=shared SSLContext))": lambda: client_under(there),
    }


# --- hooks ------------------------------------------------------------------------------------------------------------


def hooks_sync_cases(ctx: Any) -> Cases:
    """One hook of so many plugins.  ``fold`` is a coroutine, which a sync request drives once for all its hooks."""
    cases: Cases = {}
    for count in (0, 1, 5, 10):
        begin = parts.fold_dispatch(count)
        cases[f"clippy dispatch x{count} (fold of pre_request, driven)"] = lambda begin=begin: drive(  # type: ignore[misc]
            begin()
        )
    return cases | {f"clippy on_chunk x{count}": parts.chunk_dispatch(count) for count in (1, 5, 10)}


def hooks_async_cases(ctx: Any) -> Cases:
    """The same where requests are awaited, with plain and with async hooks."""
    cases: Cases = {}
    for count in (0, 1, 5, 10):
        cases[f"clippy dispatch x{count}, plain hooks"] = parts.fold_dispatch(count)
        cases[f"clippy dispatch x{count}, async hooks"] = parts.fold_dispatch(count, waits=True)
    return cases


# --- parsing ----------------------------------------------------------------------------------------------------------


def sse_cases(ctx: Mapping[str, Any]) -> Cases:
    """The events of a stream, by themselves and with the chunks that they say."""
    pieces: list[bytes] = ctx["parts"]
    expected = b"".join(pieces).count(b"\n\n")

    def count(decoder: Any) -> None:
        found = sum(len(decoder.feed(piece)) for piece in pieces)
        assert found == expected, f"{found} events of {expected}"

    return {
        "clippy SSE reader": lambda: count(SseDecoder(silent=True)),
        "clippy SSE reader + JSON + chunks": lambda: count(StreamDecoder(APIS["openai.chat"])),
    }


def structure_cases(ctx: Mapping[str, Any]) -> Cases:
    """A conversation in OpenAI's form into our messages, and the whole request that our client sends."""
    asked, host = ctx["req"], hosts.host({})
    _closing(ctx).callback(host.close)
    fields = APIS["openai.chat"].request_fields
    messages, params = asked["messages"], {"temperature": asked["temperature"]}

    def read() -> None:
        assert len(fields(asked)["messages"]) == len(messages)

    def request() -> None:
        made, _ = build_request(host, False, messages, asked["model"], None, (), None, params)
        assert len(made.messages) == len(messages)

    return {"clippy messages from dict": read, "clippy request from dict (own client)": request}


def unstructure_cases(ctx: Mapping[str, Any]) -> Cases:
    """The body of such a request."""
    asked, host = ctx["req"], hosts.host({})
    _closing(ctx).callback(host.close)
    params = {"temperature": asked["temperature"]}
    request, _ = build_request(host, False, asked["messages"], asked["model"], None, (), None, params)
    write = APIS["openai.chat"].request_body
    assert write(request) == asked

    def once() -> None:
        assert len(write(request)["messages"]) == len(asked["messages"])

    return {"clippy request to dict (own client)": once}


# --- caches -----------------------------------------------------------------------------------------------------------


def _key(ctx: Mapping[str, Any]) -> str:
    return keys.cache_key(body=ctx["req"], api="openai.chat", base_url="http://127.0.0.1:9/v1/chat/completions")


def _lookups(ctx: Mapping[str, Any], cache: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A hit with the key ready, and one that makes its key of four messages."""
    context, hot, look = parts.still(), ctx["hot"], cache.cache_lookup
    entry = look(hot, None, context)
    assert isinstance(entry, CacheEntry)
    assert entry.response.raw == ctx["value_bytes"]

    def ready() -> None:
        assert look(hot, None, context)

    def keyed() -> None:
        assert look(_key(ctx), None, context)

    keyed()
    return ready, keyed


def _memory_cache(ctx: Mapping[str, Any]) -> MemoryCache:
    cache, context, request = MemoryCache(), parts.still(), Request()
    for key in (*ctx["keys"], _key(ctx)):
        cache.cache_store(key, parts.entry_of(ctx["value_bytes"]), request, context)
    return cache


def _sqlite_cache(ctx: Mapping[str, Any]) -> SqliteCache:
    closing, context = _closing(ctx), parts.still()
    folder = Path(closing.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
    (cache,) = hosts.sqlite_cache(folder).values()
    assert isinstance(cache, SqliteCache)
    host: Any = None
    with cache.lifespan(host):
        for key in (*ctx["keys"], _key(ctx)):
            cache.cache_store(key, parts.entry_of(ctx["value_bytes"]), Request(), context)
    closing.callback(cache.close)
    return cache


def cache_memory_cases(ctx: Mapping[str, Any]) -> Cases:
    ready, keyed = _lookups(ctx, _memory_cache(ctx))
    return {
        "clippy memory cache, key ready": ready,
        "clippy memory cache, its own key of 4 messages": keyed,
        "clippy cache key of 4 messages alone": lambda: _key(ctx),
    }


def cache_disk_cases(ctx: Mapping[str, Any]) -> Cases:
    ready, keyed = _lookups(ctx, _sqlite_cache(ctx))
    return {"clippy sqlite cache, key ready": ready, "clippy sqlite cache, its own key of 4 messages": keyed}


def cache_async_cases(ctx: Mapping[str, Any]) -> Cases:
    """What an async request does: it asks both caches inside the event loop."""
    rows = {"memory": _lookups(ctx, _memory_cache(ctx))[0], "sqlite": _lookups(ctx, _sqlite_cache(ctx))[0]}

    def awaited(look: Callable[[], Any]) -> Callable[[], Any]:
        async def once() -> None:
            assert asyncio.get_running_loop()
            look()

        return once

    return {f"clippy {name} cache inside the event loop": awaited(look) for name, look in rows.items()}
