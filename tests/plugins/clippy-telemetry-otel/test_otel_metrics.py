"""What is counted, under which names, and that nothing of the caller is in an attribute."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_hookspecs import AttemptRefused, ErrorInfo, Refusal, RequestContext, Switch, Usage, hookimpl
from clippy_retry import RetryPolicy

from clippy_core.testing import Fault, Reply

ABOUT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "test-model",
    "server.address": "fake.test",
    "server.port": 80,
}


def test_a_call_is_measured_as_the_conventions_say(otel: Any) -> None:
    bench = otel.bench(Reply("Hello", delay=2.0, usage=Usage(7, 3)))
    bench.chat()
    ((attributes, (count, total)),) = otel.points("gen_ai.client.operation.duration")
    assert attributes == {**ABOUT, "clippy.source": "provider"}
    assert (count, total) == (1, 2.0)
    assert otel.points("gen_ai.client.token.usage") == [
        ({**ABOUT, "gen_ai.token.type": "input"}, (1, 7)),
        ({**ABOUT, "gen_ai.token.type": "output"}, (1, 3)),
    ]
    assert otel.points("gen_ai.client.operation.time_to_first_chunk") == []
    assert otel.points("clippy.attempts") == [({"clippy.route": "main", "clippy.attempt.outcome": "ok"}, 1)]


def test_a_stream_is_also_measured_to_its_first_chunk(otel: Any) -> None:
    bench = otel.bench(Reply("one two", delay=1.5, chunk_delay=0.25))
    bench.stream()
    (record,) = bench.records
    ((attributes, (count, total)),) = otel.points("gen_ai.client.operation.time_to_first_chunk")
    assert (attributes, count, total) == (ABOUT, 1, record.first_token)


def test_a_failure_is_measured_with_its_kind(otel: Any) -> None:
    bench = otel.bench(Fault.status(401), {"errors": ErrorClassifier()})
    bench.chat()
    (record,) = bench.records
    ((attributes, _),) = otel.points("gen_ai.client.operation.duration")
    assert attributes == {**ABOUT, "clippy.source": "none", "error.type": record.error.kind}
    assert otel.points("gen_ai.client.token.usage") == []


def test_a_guess_is_not_reported_as_usage(otel: Any) -> None:
    """The conventions forbid it: a stream whose provider said nothing of usage tells of no tokens."""
    bench = otel.bench(Reply("one two three four"))
    body = {"model": "test-model", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    bench.post("/chat/completions", body)
    (record,) = bench.records
    assert record.usage.estimated
    assert otel.points("gen_ai.client.token.usage") == []
    assert "gen_ai.usage.input_tokens" not in otel.requests[0].attributes


def test_lookups_of_caches_are_counted_by_result(otel: Any) -> None:
    bench = otel.bench(Reply("Hello"), {"cache-memory": MemoryCache()})
    for text in ("one", "one", "two", "one"):
        bench.chat(text)
    assert otel.points("clippy.cache.lookups") == [
        ({"clippy.cache.result": "miss"}, 2),
        ({"clippy.cache.result": "hit", "clippy.by": "cache-memory"}, 2),
    ]
    durations = {point["clippy.source"]: count for point, (count, _) in otel.points("gen_ai.client.operation.duration")}
    assert durations == {"provider": 2, "cache": 2}
    assert sum(count for _, (count, _) in otel.points("gen_ai.client.token.usage")) == 4


def test_repetitions_are_counted_by_what_made_them_needed(otel: Any) -> None:
    plugins = {"errors": ErrorClassifier(), "retry": RetryPolicy(base=0.0)}
    bench = otel.bench([Fault.status(503), Fault.status(503), Fault.reset(), Reply("Hello")], plugins)
    bench.chat()
    (record,) = bench.records
    kinds = [attempt.error.kind for attempt in record.attempts if attempt.error]
    assert otel.points("clippy.retries") == [
        ({"clippy.route": "main", "error.type": kinds[0]}, 2),
        ({"clippy.route": "main", "error.type": kinds[2]}, 1),
    ]
    assert [(point["clippy.attempt.outcome"], count) for point, count in otel.points("clippy.attempts")] == [
        ("error", 2),
        ("error", 1),
        ("ok", 1),
    ]
    assert otel.points("clippy.switches") == []


@define(eq=False)
class Away:
    """Goes to the spare route."""

    @hookimpl
    def on_error(self, ctx: RequestContext) -> Switch | None:
        return Switch("spare") if ctx.route.name == "main" else None


def test_switches_are_counted_by_route_and_tokens_where_they_were_used(otel: Any) -> None:
    routes = {
        "main": {"base_url": "http://fake.test/v1", "key": "sk-1", "model": "test-model", "default": True},
        "spare": {"base_url": "http://spare.test/v1", "key": "sk-2", "model": "spare-model"},
    }
    bench = otel.bench([Fault.status(503), Reply("Hello")], {"away": Away()}, config={"routes": routes})
    bench.chat()
    assert otel.points("clippy.switches") == [({"clippy.route.from": "main", "clippy.route.to": "spare"}, 1)]
    assert otel.points("clippy.retries") == []
    for point, _ in otel.points("gen_ai.client.token.usage"):
        assert (point["gen_ai.request.model"], point["server.address"]) == ("test-model", "spare.test")
        assert point["gen_ai.response.model"] == "spare-model"


class Held(AttemptRefused):
    """A plugin's own kind of refusal."""


@define(eq=False)
class Breaker:
    """Lets no attempt go."""

    @hookimpl
    def pre_attempt(self) -> None:
        raise Held(ErrorInfo("transient", "circuit_open"))


def test_attempts_that_a_plugin_did_not_let_go_are_counted_as_its_own(otel: Any) -> None:
    otel.bench(plugins={"breaker": Breaker()}).chat()
    (point, count) = otel.points("clippy.attempts")[0]
    assert count == 1
    assert point == {
        "clippy.route": "main",
        "clippy.attempt.outcome": "refused",
        "clippy.by": "breaker",
        "error.type": "circuit_open",
    }


@define(eq=False)
class Door:
    """Lets no request in."""

    @hookimpl
    def pre_request(self) -> None:
        raise Refusal("not you", code="no_entry")


def test_refusals_are_counted_by_code(otel: Any) -> None:
    bench = otel.bench(plugins={"door": Door()})
    bench.chat()
    bench.stream()
    assert otel.points("clippy.refusals") == [({"error.type": "no_entry"}, 2)]
    assert otel.points("clippy.attempts") == []


@pytest.mark.parametrize("path", ["/moderations", "/odd"])
def test_what_is_no_operation_of_genai_is_in_none_of_its_metrics(otel: Any, path: str) -> None:
    otel.bench(Reply("Hello")).post(path, {"model": "m", "input": "Hello"})
    assert otel.points("gen_ai.client.operation.duration") == []
    assert [count for _, count in otel.points("clippy.attempts")] == [1]
