"""Every comparison by name."""

from __future__ import annotations

from collections.abc import Callable

import httpx2

from benchmarks.bench import Bench
from benchmarks.calls import big_body, cached_call, plain_call, sdk_call
from benchmarks.embedding import embedding
from benchmarks.floor import floor_every, floor_stack
from benchmarks.floor_hit import floor_hit, floor_own, floor_sqlite
from benchmarks.gateways import floor_gateway
from benchmarks.parts import dispatch_chunk, dispatch_fold, memory_cache, redis_cache, sqlite_cache, sqlite_store
from benchmarks.recorder import recorder_call, recorder_handing, recorder_stream
from benchmarks.state import state_store
from benchmarks.stream_plugins import stream_chunk, stream_plugins
from benchmarks.streams import sdk_stream, stream
from benchmarks.telemetry import otel_call, otel_stream, prometheus_call
from benchmarks.wire import wire_canonical, wire_canonical_big, wire_chunks, wire_request, wire_response
from clippy_core.testing.timing import Group

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
    "stream-plugins": stream_plugins,
    "stream-chunk": stream_chunk,
    "otel-call": otel_call,
    "otel-stream": otel_stream,
    "prometheus-call": prometheus_call,
    "recorder-call": recorder_call,
    "recorder-stream": recorder_stream,
    "recorder-call-bare": lambda bench: recorder_call(bench, bare=True),
    "recorder-stream-bare": lambda bench: recorder_stream(bench, bare=True),
    "recorder-handing": recorder_handing,
    "floor-every": floor_every,
    "floor-stack": floor_stack,
    "floor-gateway": floor_gateway,
    "floor-hit": floor_hit,
    "floor-own": floor_own,
    "floor-sqlite": floor_sqlite,
    "memory": memory_cache,
    "sqlite": sqlite_cache,
    "redis-sync": redis_cache,
    "redis-async": lambda bench: redis_cache(bench, waits=True),
    "wire-request": wire_request,
    "wire-response": wire_response,
    "wire-chunks": wire_chunks,
    "wire-canonical": wire_canonical,
    "wire-canonical-big": wire_canonical_big,
    "sqlite-store": sqlite_store,
    "state": state_store,
    "embedding": embedding,
    "dispatch-chunk": dispatch_chunk,
    "dispatch-plain": dispatch_fold,
    "dispatch-async": lambda bench: dispatch_fold(bench, waits=True),
}
"""By name; the async ones run on the bench's own event loop."""
