"""What the stream plugins cost: for each chunk by itself, and in a stream of 100."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
from clippy_hookspecs import Chunk, Request, RequestContext, RouteInfo, Scope
from clippy_hookspecs.types import with_raw
from clippy_stream import StreamController
from clippy_stream_debug import StreamDebugger
from clippy_stream_monitor import StreamMonitor
from clippy_throttle import Throttle

import clippy_core
from benchmarks import hosts
from benchmarks.bench import Bench
from clippy_core.chains import Run
from clippy_core.driven import drive
from clippy_core.flow import FlowHandle
from clippy_core.testing.canned import PIECES
from clippy_core.testing.timing import Block, Group, repeated

NOOP = "a no-op on_chunk"
RAW = b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'


def _plugins() -> dict[str, dict[str, object]]:
    """Each case's plugins; the throttle's rate is above what comes, so that nothing waits."""
    return {
        NOOP: {"p0": hosts.OnChunk()},
        "stream": {"stream": StreamController()},
        "stream-monitor": {"stream-monitor": StreamMonitor()},
        "stream and stream-monitor": {"stream": StreamController(), "stream-monitor": StreamMonitor()},
        "throttle, idle": {"throttle": Throttle()},
        "throttle, chunks": {"throttle": Throttle(chunks_per_second=1e9)},
        "throttle, tokens": {"throttle": Throttle(tokens_per_second=1e9)},
        "throttle, words": {"throttle": Throttle(coalesce="word")},
        "stream-debug, idle": {"stream-debug": StreamDebugger()},
        "stream-debug, enabled": {"stream-debug": StreamDebugger(enabled=True)},
    }


def stream_chunk(bench: Bench) -> Group:
    """One chunk through the chain of each plugin's on_chunk and observe, beside one that does nothing."""
    cases: dict[str, Block] = {case: repeated(_one_chunk(plugins)) for case, plugins in _plugins().items()}
    return Group("one chunk through a stream plugin", cases, {}, per_block=2000)


def _one_chunk(plugins: dict[str, object]) -> Callable[[], Any]:
    host = hosts.host(plugins)
    flow, runtime, chains = FlowHandle(host.clock.now), host.sync_runtime(), host.chains
    flow.enter("streaming")
    services: Any = host.services
    ctx = RequestContext("1", Scope(), host.clock, services, RouteInfo("main"), flow, stream=True)
    request = Request(model=hosts.MODEL, stream=True)
    drive(chains.fold(chains.pre_request, request, (ctx,), Run(None, runtime)))
    chunk = with_raw(Chunk("text", "word "), RAW)

    def call() -> None:
        if chains.observe:
            chains.emit("chunk_in", chunk, ctx)
        if chains.on_chunk:
            chains.chunk(chunk, ctx, None)
        if chains.observe:
            chains.emit("chunk_out", chunk, ctx)

    return call


def stream_plugins(bench: Bench) -> Group:
    """A stream of 100 pieces in one burst, read by our client."""
    cases = {case: bench.block(_read(bench, bench.host(made)), False) for case, made in _plugins().items()}
    return Group(f"stream of {PIECES} chunks through a stream plugin, sync, our client", cases, {}, per_block=6)


def _read(bench: Bench, host: clippy_core.Host) -> Callable[[], Any]:
    """Reads one stream; how many pieces it comes in is the plugins' affair."""
    client = clippy_core.Client(host, bench.sync_client(httpx, None))

    def call() -> None:
        with client.stream(hosts.messages(), temperature=0.5) as chunks:
            assert sum(map(len, chunks.text()))

    return call
