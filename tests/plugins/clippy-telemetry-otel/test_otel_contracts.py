"""The suites that every plugin and every observer must pass: with providers that record, and without any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import define
from clippy_telemetry_otel import OtelTelemetry
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from clippy_core.testing import ObserverContract, PluginContract


@define(eq=False)
class SpanFile(SpanExporter):
    """Writes each span as a line, where the suites find what a plugin keeps."""

    path: Path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self.path.open("a") as file:
            file.writelines(span.to_json(indent=None) + "\n" for span in spans)
        return SpanExportResult.SUCCESS


def recording(folder: Path, *, content: bool = False) -> OtelTelemetry:
    """The plugin with providers of its own."""
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(SpanFile(folder / "spans.jsonl")))
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    return OtelTelemetry(content=content, identity=True, tracer_provider=tracers, meter_provider=meters)


class TestIsAPlugin(PluginContract):
    """A good citizen while it records."""

    def setup_method(self) -> None:
        TracerProvider(shutdown_on_exit=False).get_tracer("")  # the SDK then adds a filter of warnings to the process
        super().setup_method()

    def make(self) -> OtelTelemetry:
        return recording(self.folder)


class TestIsAPluginWithContent(TestIsAPlugin):
    """A good citizen while it records what was said, however odd that is."""

    def make(self) -> OtelTelemetry:
        return recording(self.folder, content=True)


class TestObserves(ObserverContract):
    """Changes, delays and keeps nothing while it records."""

    def make(self) -> OtelTelemetry:
        return recording(self.folder)


class TestIsAPluginWithoutProviders(PluginContract):
    """As it is when it is only installed."""

    def make(self) -> OtelTelemetry:
        return OtelTelemetry()


class TestObservesWithoutProviders(ObserverContract):
    """As it is when it is only installed."""

    def make(self) -> OtelTelemetry:
        return OtelTelemetry()
