"""What a program set up, and when: nothing, something later, a collector that is slow or gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from attrs import define, field
from clippy_errors import ErrorClassifier
from clippy_hookspecs import RequestContext, hookimpl
from clippy_retry import RetryPolicy
from clippy_telemetry_otel import OtelTelemetry
from clippy_telemetry_otel.plugin import _SPANS
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from clippy_core.testing import Bench, Fault, Reply, Script

# --- no provider, and one that comes later ---------------------------------------------------------------------------


def test_without_a_provider_it_keeps_nothing_of_a_request() -> None:
    """The API's own providers stand in for those that a program sets up, and nobody would get what is told them."""

    @define(eq=False)
    class Looks:
        noted: list[object] = field(factory=list)

        @hookimpl
        def audit(self, ctx: RequestContext) -> None:
            self.noted.append(ctx.stash[_SPANS])

    looks, plugin = Looks(), OtelTelemetry()
    bench = Bench({"telemetry-otel": plugin, "looks": looks}, Reply("one two"))
    bench.chat()
    bench.stream()
    assert looks.noted == [None, None]
    assert plugin._tracer[1] is None
    assert plugin._measures[1] is None
    assert not bench.blamed


LATE = """
from clippy_core import Client, Host
from clippy_core.testing import FakeProvider, Reply
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

provider = FakeProvider(Reply("Hello"))
routes = {"main": {"base_url": "http://fake.test/v1", "key": "none", "model": "m"}}
host = Host.from_config(allow=["telemetry-otel"], routes=routes)
with host, Client(host, provider.client()) as client:
    client.chat("too early")
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(tracers)
    client.chat("with traces")
    metrics.set_meter_provider(MeterProvider([reader]))
    client.chat("with metrics")
print([span.name for span in spans.get_finished_spans()])
data = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]
print(data.scope.name, data.scope.version, data.scope.schema_url)
print([point.count for metric in data.metrics if metric.name.endswith("duration") for point in metric.data.data_points])
"""


def test_a_provider_that_is_set_for_the_process_is_used_from_then_on() -> None:
    """Also when that happens after the host was opened; installed is enough, nothing is configured."""
    run = subprocess.run(
        [sys.executable, "-c", LATE],
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "['POST', 'chat m', 'POST', 'chat m']",
        "clippy_telemetry_otel 0.1.0 https://opentelemetry.io/schemas/1.41.0",
        "[1]",
    ]


@pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
def test_a_provider_must_be_one(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        OtelTelemetry(**{name: "otlp"})


# --- every span that begins ends --------------------------------------------------------------------------------------


@define(eq=False)
class Counts(SpanProcessor):
    """How often each span began and ended."""

    began: list[int] = field(factory=list)
    ended: list[int] = field(factory=list)

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        self.began.append(span.context.span_id)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span.context.span_id)


FATES = st.sampled_from(
    [
        Reply("one two three"), Fault.status(400), Fault.status(429, retry_after=1), Fault.status(503), Fault.reset(),
        Fault.read_timeout(), Fault.connect_error(), Fault.reset(at_delta=1), Fault.error_event(at_delta=1),
        Fault.no_terminal(), Fault.truncated_json(), Fault.gzip(),
    ]
)  # fmt: skip
CALLS = st.lists(st.tuples(st.booleans(), st.none() | st.integers(0, 2)), min_size=1, max_size=4)


@given(fates=st.lists(FATES, max_size=8), calls=CALLS, colour=st.sampled_from(["sync", "asyncio"]))
def test_every_span_that_begins_ends_once(fates: list[Any], calls: list[tuple[bool, int | None]], colour: str) -> None:
    """One of each request and one of each attempt, whatever the provider does and when the reader leaves."""
    counts, tracers = Counts(), TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(counts)
    plugins = {
        "telemetry-otel": OtelTelemetry(tracer_provider=tracers),
        "errors": ErrorClassifier(),
        "retry": RetryPolicy(attempts=3, base=0.0),
    }
    bench = Bench(plugins, Script(*fates, then=Reply("one two three")), colour=colour)
    for streamed, stop_after in calls:
        bench.stream(stop_after=stop_after) if streamed else bench.chat()
    bench.close()
    assert counts.began
    assert sorted(counts.began) == sorted(counts.ended)
    assert len(set(counts.ended)) == len(counts.ended) == sum(1 + len(record.attempts) for record in bench.records)
    assert not bench.blamed


# --- collectors ------------------------------------------------------------------------------------------------------


@define(eq=False)
class Stuck(SpanExporter):
    """An exporter that never gets through before it is let go."""

    go_on: threading.Event = field(factory=threading.Event)
    tried: threading.Event = field(factory=threading.Event)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.tried.set()
        self.go_on.wait(60)
        return SpanExportResult.FAILURE


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_an_exporter_that_hangs_holds_no_request_up(colour: str) -> None:
    """All calls come back while the first batch is still under way; what does not fit its queue is dropped."""
    stuck, tracers = Stuck(), TracerProvider(shutdown_on_exit=False)
    processor = BatchSpanProcessor(stuck, max_queue_size=8, max_export_batch_size=2, schedule_delay_millis=1)
    tracers.add_span_processor(processor)
    bench = Bench({"telemetry-otel": OtelTelemetry(tracer_provider=tracers)}, Reply("one two"), colour=colour)
    try:
        bench.chat()
        assert stuck.tried.wait(60)
        answers = [(bench.chat if number % 2 else bench.stream)() for number in range(20)]
        assert not stuck.go_on.is_set()
        assert [got.text for got in answers] == ["one two"] * 20
        assert not bench.blamed
    finally:
        stuck.go_on.set()
        bench.close()
        tracers.shutdown()


def test_an_exporter_that_raises_breaks_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """Not even in the caller's own thread, where a program may let it run."""

    class Raises(SpanProcessor):
        def on_start(self, span: Span, parent_context: Any = None) -> None:
            raise RuntimeError("no disk")

        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("no disk")

    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(Raises())
    bench = Bench({"telemetry-otel": OtelTelemetry(tracer_provider=tracers)}, Reply("one two"))
    assert [bench.chat().text, bench.stream().text] == ["one two"] * 2
    assert set(bench.blamed) == {"telemetry-otel: pre_request", "telemetry-otel: audit"}


class Collector(BaseHTTPRequestHandler):
    """Takes what is posted to it."""

    def do_POST(self) -> None:
        taken: list[tuple[str, Any]] = self.server.taken  # type: ignore[attr-defined]
        taken.append((self.path, json.loads(self.rfile.read(int(self.headers["content-length"])))))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A collector on loopback: its address, and what it got."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.taken = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", server.taken  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_collector_gets_the_spans_over_otlp() -> None:
    """Through the SDK's own exporter, over HTTP; also texts that no exporter could write as they are."""
    with collector() as (address, taken):
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
        bench = Bench({"telemetry-otel": OtelTelemetry(tracer_provider=tracers, content=True)}, Reply("Hello ü 😀"))
        bench.chat("Hello")
        bench.post(
            "/chat/completions", b'{"model": "half a \\ud83d smile", "messages": [], "seed": 99999999999999999999}'
        )
        tracers.force_flush()
        tracers.shutdown()
    assert {path for path, _ in taken} == {"/v1/traces"}
    spans = [
        span
        for _, sent in taken
        for one in sent["resourceSpans"]
        for scope in one["scopeSpans"]
        for span in scope["spans"]
    ]
    assert [span["name"] for span in spans] == ["POST", "chat test-model", "POST", "chat half a ? smile"]
    told = {one["key"]: one["value"] for one in spans[1]["attributes"]}
    assert told["gen_ai.request.model"] == {"stringValue": "test-model"}
    assert "Hello \\u00fc \\ud83d\\ude00" in told["gen_ai.output.messages"]["stringValue"]
    assert spans[0]["parentSpanId"] == spans[1]["spanId"]


def test_a_collector_that_is_gone_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens at its address."""
    with collector() as (address, _):
        pass
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address, timeout=0.01)))
    bench = Bench({"telemetry-otel": OtelTelemetry(tracer_provider=tracers)}, Reply("one two"))
    assert [(bench.chat if number % 2 else bench.stream)().text for number in range(20)] == ["one two"] * 20
    tracers.shutdown()
    assert not bench.blamed
