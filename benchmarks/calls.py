"""One plain call: by an HTTP client, by an SDK, answered by a cache, of 1 MB.

The bars are those of the project's performance requirements.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx
from clippy_cache_memory import MemoryCache

import clippy_core
from benchmarks import hosts
from benchmarks.bench import BARE, EVERY, MEMORY, NONE, OWN, SQLITE, STACK, Bench
from clippy_core.testing.timing import Block, Group, repeated

CALL_BARS = {NONE: 1.03, EVERY: 1.10, STACK: 1.30}
SDK_BARS = {NONE: 1.02, EVERY: 1.05, STACK: 1.15}
CACHED_BARS = {MEMORY: 0.36, OWN: 0.08}


def plain_call(bench: Bench, module: ModuleType = httpx, *, waits: bool = False) -> Group:
    """``client.post(json=...)`` and ``r.json()``, each with a question that is new."""
    title = f"one call, {'async' if waits else 'sync'}, {module.__name__}"
    cases = {}
    for case, host in bench.variants(title).items():
        if case not in (MEMORY, SQLITE):
            cases[case] = bench.block(post(bench, module, host, waits), waits, host)
    return Group(title, cases, CALL_BARS)


def cached_call(bench: Bench, module: ModuleType = httpx, *, waits: bool = False) -> Group:
    """The same question again, answered by a cache; compared in wall time with a call that is made."""
    title = f"one call answered by a cache, {'async' if waits else 'sync'}, {module.__name__}"
    variants = bench.variants(title)
    calls = {case: post(bench, module, variants[case], waits, same=True) for case in (BARE, MEMORY, SQLITE)}
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


def post(
    bench: Bench, module: ModuleType, host: clippy_core.Host | None, waits: bool, same: bool = False
) -> Callable[[], Any]:
    """Asks the server by a client of *module* under *host* (None: bare), and reads the answer's JSON."""
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
        client = openai_client(bench, host, waits)
        same = case in (MEMORY, SQLITE)

        def call(client: Any = client, same: bool = same) -> Any:
            return client.chat.completions.create(model=hosts.MODEL, messages=hosts.messages(same), temperature=0.5)

        cases[case] = bench.block(call, waits, host)
    return Group(title, cases, SDK_BARS)


def openai_client(bench: Bench, host: clippy_core.Host | None, waits: bool) -> Any:
    import openai

    if waits:
        http = bench.async_client(hosts.openai_http(), None)
        client: Any = openai.AsyncOpenAI(api_key="sk-bench", base_url=bench.server.base_url, http_client=http)
    else:
        http = bench.sync_client(hosts.openai_http(), None)
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
