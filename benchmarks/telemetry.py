"""What telling OpenTelemetry costs: while nobody listens, while nothing is sampled, and with every span recorded;
and what counting for Prometheus costs beside the default stack, which has the record made anyway.

Exporting is not in it: programs do that elsewhere, in a thread of their SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import httpx
from clippy_telemetry_otel import OtelTelemetry
from clippy_telemetry_prometheus import PrometheusTelemetry
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry

import clippy_core
from benchmarks import hosts
from benchmarks.bench import BARE, NONE, STACK, Bench
from clippy_core.testing.timing import Group

RECORD, ALONE = "a plugin with audit", "alone, no provider"
SILENT, UNSAMPLED, RECORDED = "+ no provider", "+ not sampled", "+ recorded, with metrics"
"""Alone it makes the host read what nobody else would; beside another plugin that gets the record it costs itself."""


class Nowhere(SpanExporter):
    """Takes spans and drops them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def _hosts(bench: Bench) -> dict[str, clippy_core.Host | None]:
    off = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    on = TracerProvider(shutdown_on_exit=False)
    on.add_span_processor(SimpleSpanProcessor(Nowhere()))
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    beside = {
        SILENT: OtelTelemetry(),
        UNSAMPLED: OtelTelemetry(tracer_provider=off),
        RECORDED: OtelTelemetry(tracer_provider=on, meter_provider=meters),
    }
    sets: dict[str, dict[str, object]] = {
        NONE: {},
        ALONE: {"otel": OtelTelemetry()},
        RECORD: {"other": hosts.WithAudit()},
        **{case: {"other": hosts.WithAudit(), "otel": plugin} for case, plugin in beside.items()},
    }
    return {BARE: None, **{case: bench.host(plugins) for case, plugins in sets.items()}}


def otel_call(bench: Bench) -> Group:
    """``client.post(json=...)`` and ``r.json()``."""
    cases = {}
    for case, host in _hosts(bench).items():
        client = bench.sync_client(httpx, host)

        def call(client: Any = client) -> None:
            assert client.post(bench.server.chat_url, json=hosts.body()).json()["choices"]

        cases[case] = bench.block(call, waits=False)
    return Group("one call told to OpenTelemetry, sync, httpx", cases, {})


def otel_stream(bench: Bench) -> Group:
    """A stream read line by line."""
    cases = {}
    for case, host in _hosts(bench).items():
        cases[case] = bench.block(_read(bench, bench.sync_client(httpx, host)), waits=False)
    return Group("a stream told to OpenTelemetry, sync, httpx", cases, {}, per_block=5)


def _read(bench: Bench, client: Any) -> Callable[[], Any]:
    def call() -> None:
        with client.stream("POST", bench.server.chat_url, json=hosts.body(stream=True)) as response:
            assert hosts.read_lines(response)

    return call


def prometheus_call(bench: Bench) -> Group:
    """``client.post(json=...)`` and ``r.json()`` under the default stack, which counts or does not."""
    counted = PrometheusTelemetry(registry=CollectorRegistry())
    sets: dict[str, dict[str, object]] = {STACK: {}, "+ prometheus": {"telemetry-prometheus": counted}}
    cases = {}
    for case, more in sets.items():
        place = bench.folder / f"prometheus-{len(cases)}"
        place.mkdir(exist_ok=True)
        host = bench.host({**hosts.default_stack(place), **more})
        client = bench.sync_client(httpx, host)

        def call(client: Any = client) -> None:
            assert client.post(bench.server.chat_url, json=hosts.body()).json()["choices"]

        cases[case] = bench.block(call, False, host)
    return Group("one call counted for Prometheus, sync, httpx", cases, {})
