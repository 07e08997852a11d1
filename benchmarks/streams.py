"""A stream of 100 pieces that arrives in one burst: what each piece costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

import clippy_core
from benchmarks import hosts
from benchmarks.bench import BARE, FAMILY, STACK, Bench
from benchmarks.calls import openai_client
from clippy_core.testing.canned import PIECES
from clippy_core.testing.timing import Block, Group


def stream(bench: Bench, *, waits: bool = False) -> Group:
    """100 pieces in one burst: httpx with ``iter_lines`` and ``json.loads``, the bare SDK, and our client."""
    cases: dict[str, Block] = {"httpx, iter_lines + json": bench.block(_read_httpx(bench, waits), waits)}
    cases["bare openai SDK"] = bench.block(_read_sdk(bench, None, waits), waits)
    for count in (0, 1, 5):
        host = bench.host(hosts.several(hosts.OnChunk, count))
        cases[f"our client, {count} on_chunk"] = bench.block(read_ours(bench, host, waits), waits)
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
    cases[FAMILY] = bench.block(_read_sdk(bench, bench.host(hosts.family()), waits), waits)
    stack = bench.host(hosts.default_stack(place))
    cases[STACK] = bench.block(_read_sdk(bench, stack, waits), waits, stack)
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
    client = openai_client(bench, host, waits)

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


def read_ours(bench: Bench, host: clippy_core.Host, waits: bool) -> Callable[[], Any]:
    """Reads one stream of 100 pieces by our client."""
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
