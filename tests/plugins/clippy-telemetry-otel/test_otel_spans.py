"""One span of each request and one of each attempt, right in time, in kind and in kinship."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from clippy_core.testing import Fault, Reply

COLOURS = ("sync", "asyncio", "trio")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_call_is_a_span_with_its_attempt_below_it(otel: Any, colour: str) -> None:
    """Named and described as the GenAI conventions say."""
    bench = otel.bench(Reply("Hello yourself", delay=2.0), colour=colour)
    bench.chat("Hello", temperature=0.5, max_tokens=20)
    (attempt, request) = otel.spans
    assert (request.name, request.kind, request.status.status_code) == (
        "chat test-model",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    (record,) = bench.records
    assert dict(request.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 20,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": record.usage.input,
        "gen_ai.usage.output_tokens": record.usage.output,
        "server.address": "fake.test",
        "server.port": 80,
        "clippy.request.id": record.id,
        "clippy.outcome": "answered",
        "clippy.attempts": 1,
        "clippy.route": "main",
        "clippy.source": "provider",
        "clippy.stale": False,
    }
    assert attempt.parent == request.context
    assert (attempt.name, attempt.kind) == ("POST", SpanKind.CLIENT)
    assert dict(attempt.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "server.address": "fake.test",
        "server.port": 80,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.full": "http://fake.test/v1/chat/completions",
        "clippy.attempt": 1,
        "clippy.attempt.outcome": "ok",
        "clippy.route": "main",
    }
    assert request.start_time <= attempt.start_time
    assert attempt.end_time - attempt.start_time == 2_000_000_000
    assert attempt.end_time <= request.end_time


def test_a_failed_attempt_says_why(otel: Any) -> None:
    bench = otel.bench(Fault.status(400))
    bench.chat()
    for span in otel.spans:
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
        assert span.attributes["error.type"] == "400"
