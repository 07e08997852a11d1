"""OpenTelemetry in memory, beside a host: what the plugin told its providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import define, field
from clippy_telemetry_otel import OtelTelemetry
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from clippy_core.testing import Bench


@define(eq=False)
class Recording:
    """Providers of their own, whose spans and metrics can be read, and benches with the plugin on them."""

    exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(factory=InMemoryMetricReader)
    tracers: TracerProvider = field(init=False)
    meters: MeterProvider = field(init=False)
    benches: list[Bench] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def sampled_by(self, sampler: Sampler) -> None:
        """From now on *sampler* decides which spans are recorded."""
        self.tracers.sampler = sampler

    def plugin(self, **settings: Any) -> OtelTelemetry:
        given = {"tracer_provider": self.tracers, "meter_provider": self.meters, **settings}
        return OtelTelemetry(**given)

    def bench(
        self, script: Any = None, plugins: Mapping[str, object] | None = None, colour: str = "sync", **settings: Any
    ) -> Bench:
        """A host with the plugin, and with *plugins* beside it, over a provider with *script*."""
        more = settings.pop("config", {})
        made = Bench({"telemetry-otel": self.plugin(**settings), **(plugins or {})}, script, colour=colour, **more)
        self.benches.append(made)
        return made

    @property
    def spans(self) -> list[ReadableSpan]:
        """What has ended, in the order of ending."""
        return [*self.exporter.get_finished_spans()]

    @property
    def requests(self) -> list[ReadableSpan]:
        """The spans of requests."""
        return [span for span in self.spans if "clippy.attempt" not in (span.attributes or {})]

    @property
    def attempts(self) -> list[ReadableSpan]:
        """The spans of attempts."""
        return [span for span in self.spans if "clippy.attempt" in (span.attributes or {})]

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """The attributes and the value of each point of a metric: a counter's sum, the count and sum of a histogram."""
        data = self.reader.get_metrics_data()
        found = []
        for resource in data.resource_metrics if data is not None else ():
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                for point in metric.data.data_points if metric.name == name else ():
                    value = point.value if hasattr(point, "value") else (point.count, point.sum)
                    found.append((dict(point.attributes), value))
        return found


@pytest.fixture
def otel() -> Iterator[Recording]:
    """Providers in memory, closed when the test has ended."""
    recording = Recording()
    yield recording
    for bench in recording.benches:
        bench.close()
    recording.tracers.shutdown()
    recording.meters.shutdown()
