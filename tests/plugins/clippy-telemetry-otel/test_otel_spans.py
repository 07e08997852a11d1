"""One span of each request and one of each attempt, right in time, in kind and in kinship."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from attrs import define, evolve, field
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_hookspecs import (
    Answer,
    AttemptRefused,
    CacheEntry,
    ErrorInfo,
    Message,
    Refusal,
    Request,
    RequestContext,
    Response,
    Stale,
    Switch,
    Text,
    hookimpl,
)
from clippy_retry import RetryPolicy
from opentelemetry.trace import SpanKind, StatusCode
from patience import until

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


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_a_streams_span_ends_with_the_stream(otel: Any, colour: str) -> None:
    """Not when its head has come; it knows when the first piece came."""
    bench = otel.bench(Reply("one two three", delay=1.0, chunk_delay=0.5), colour=colour)
    bench.stream()
    (attempt, request) = otel.spans
    (record,) = bench.records
    assert request.attributes["gen_ai.request.stream"] is True
    assert request.attributes["gen_ai.response.time_to_first_chunk"] == record.first_token
    assert 1.0 <= record.first_token < record.duration
    assert (request.end_time - request.start_time) / 1e9 == pytest.approx(record.duration, abs=1e-6)
    assert attempt.attributes["clippy.attempt.outcome"] == "ok"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_that_its_reader_leaves_is_ended_and_no_error(otel: Any, colour: str) -> None:
    bench = otel.bench(Reply("one two three four five"), colour=colour)
    bench.stream(stop_after=1)
    (attempt, request) = otel.spans
    assert (request.attributes["clippy.outcome"], request.attributes["clippy.ended_by"]) == ("cancelled", "caller")
    assert attempt.attributes["clippy.attempt.outcome"] == "cancelled"
    assert {span.status.status_code for span in otel.spans} == {StatusCode.UNSET}
    assert "error.type" not in request.attributes


def test_a_stream_that_breaks_is_ended_as_failed(otel: Any) -> None:
    bench = otel.bench([[Fault.reset(at_delta=2), Reply("one two three four")]], {"errors": ErrorClassifier()})
    bench.stream()
    assert [span.attributes["error.type"] for span in otel.spans] == ["network"] * 2
    assert [span.status.status_code for span in otel.spans] == [StatusCode.ERROR] * 2


def test_a_stream_that_was_dropped_is_ended_as_abandoned(otel: Any) -> None:
    """Never closed, only collected: the host settles it on a thread of its own, and its spans end with it."""
    bench = otel.bench(Reply("one two three four"))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    client = bench.host.wrap(bench.http())

    def drop() -> None:
        request = client.build_request("POST", "http://fake.test/v1/chat/completions", json=body)
        next(client.send(request, stream=True).iter_raw())

    drop()
    gc.collect()
    assert until(lambda: otel.requests)
    assert [span.attributes["clippy.outcome"] for span in otel.requests] == ["abandoned"]
    assert [span.attributes["clippy.ended_by"] for span in otel.requests] == ["host"]
    assert [span.attributes["clippy.attempt.outcome"] for span in otel.attempts] == ["cancelled"]


# --- several attempts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_each_attempt_is_a_span_of_its_own(otel: Any, colour: str) -> None:
    """With its number, how often it was repeated, and how long it waited."""
    script = [Fault.status(429, retry_after=3), Fault.reset(), Reply("Hello")]
    bench = otel.bench(script, {"errors": ErrorClassifier(), "retry": RetryPolicy(base=0.0)}, colour=colour)
    assert bench.chat().error is None
    (request,) = otel.requests
    told = [
        (
            span.attributes["clippy.attempt"],
            span.attributes.get("http.request.resend_count"),
            span.attributes.get("http.response.status_code"),
            span.attributes.get("error.type"),
            span.attributes["clippy.attempt.outcome"],
        )
        for span in otel.attempts
    ]
    (record,) = bench.records
    kinds = [attempt.error.kind for attempt in record.attempts if attempt.error]
    assert told == [(1, None, 429, kinds[0], "error"), (2, 1, None, kinds[1], "error"), (3, 2, 200, None, "ok")]
    waits = [span.attributes.get("clippy.attempt.wait") for span in otel.attempts]
    assert waits[0] is None
    assert waits[1:] == pytest.approx([record.attempts[1].waited, record.attempts[2].waited], abs=1e-6)
    assert waits[1] >= 3.0
    assert {span.parent.span_id for span in otel.attempts} == {request.context.span_id}
    assert request.attributes["clippy.attempts"] == 3
    assert request.status.status_code is StatusCode.UNSET


@define(eq=False)
class Elsewhere:
    """Goes to another route when an attempt fails."""

    to: str

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | None:
        return Switch(self.to, f"{error.kind} at {ctx.route.name}") if ctx.route.name != self.to else None


TWO_ROUTES = {
    "routes": {
        "main": {"base_url": "http://fake.test/v1", "key": "sk-1", "model": "test-model", "default": True},
        "spare": {"base_url": "http://api.mistral.ai/v1", "key": "sk-2", "model": "spare-model"},
    }
}


def test_a_switch_to_another_route_is_told(otel: Any) -> None:
    """When, by whom and why; the request then says where it went, and each attempt its own place."""
    plugins = {"errors": ErrorClassifier(), "elsewhere": Elsewhere("spare")}
    bench = otel.bench([Fault.status(503), Reply("Hello")], plugins, config=TWO_ROUTES)
    assert bench.chat().error is None
    (request,) = otel.requests
    (event,) = request.events
    assert (event.name, dict(event.attributes)) == (
        "clippy.switch",
        {"clippy.route.from": "main", "clippy.route.to": "spare", "clippy.by": "elsewhere"},
    )
    assert request.start_time <= event.timestamp <= request.end_time
    assert request.attributes["clippy.reason"].endswith(" at main")
    assert request.attributes["clippy.route"] == "spare"
    assert [
        (span.attributes["clippy.route"], span.attributes["gen_ai.provider.name"], span.attributes["server.address"])
        for span in (*otel.attempts, request)
    ] == [("main", "openai", "fake.test"), *[("spare", "mistral_ai", "api.mistral.ai")] * 2]
    assert request.attributes["gen_ai.request.model"] == "test-model"
    assert request.attributes["gen_ai.response.model"] == "spare-model"
    assert otel.attempts[-1].attributes["gen_ai.request.model"] == "spare-model"
    assert request.name == "chat test-model"


class Held(AttemptRefused):
    """A plugin's own kind of refusal."""


@define(eq=False)
class Breaker:
    """Lets no attempt go."""

    @hookimpl
    def pre_attempt(self) -> None:
        raise Held(ErrorInfo("transient", "circuit_open", outage=True))


def test_an_attempt_that_a_plugin_refuses_says_who_refused_it(otel: Any) -> None:
    bench = otel.bench(Reply("Hello"), {"breaker": Breaker()})
    bench.chat()
    assert bench.provider.calls == 0
    (attempt,) = otel.attempts
    assert attempt.attributes["clippy.attempt.outcome"] == "refused"
    assert attempt.attributes["clippy.by"] == "breaker"
    assert attempt.attributes["error.type"] == "circuit_open"
    assert otel.requests[0].attributes["error.type"] == "circuit_open"
    assert otel.requests[0].attributes["clippy.attempts"] == 0


# --- answers that no provider gave -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["chat", "stream"])
def test_an_answer_from_a_cache_says_so_and_has_no_attempt(otel: Any, way: str) -> None:
    """It used no tokens, so it tells of none."""
    bench = otel.bench(Reply("Hello"), {"cache-memory": MemoryCache()})
    getattr(bench, way)()
    otel.exporter.clear()
    bench.clock.advance(7.0)
    getattr(bench, way)()
    (request,) = otel.spans
    told = request.attributes
    assert (told["clippy.outcome"], told["clippy.source"], told["clippy.by"]) == ("cached", "cache", "cache-memory")
    assert (told["clippy.age"], told["clippy.stale"], told["clippy.attempts"]) == (7.0, False, 0)
    assert "gen_ai.usage.input_tokens" not in told


def test_an_answer_of_a_plugin_says_whose_and_why(otel: Any) -> None:
    @define(eq=False)
    class Parrot:
        @hookimpl
        def pre_request(self, request: Request) -> Answer:
            return Answer(Response(request.api, message=Message("assistant", (Text("Hi"),))), "knows it by heart")

    bench = otel.bench(plugins={"parrot": Parrot()})
    bench.chat()
    (request,) = otel.spans
    told = request.attributes
    assert (told["clippy.source"], told["clippy.by"], told["clippy.reason"]) == (
        "plugin",
        "parrot",
        "knows it by heart",
    )


@define(eq=False)
class Doorkeeper:
    """Lets no request in."""

    @hookimpl
    def pre_request(self) -> None:
        raise Refusal("not you", code="no_entry")


@pytest.mark.parametrize("order", [["telemetry-otel", "door"], ["door", "telemetry-otel"]], ids=["inside", "outside"])
def test_a_refused_request_is_told_wherever_it_was_refused(otel: Any, order: list[str]) -> None:
    """Also by a plugin outside of ours, whose pre_request then never runs: its span is made of the record."""
    bench = otel.bench(plugins={"door": Doorkeeper()}, config={"order": order})
    bench.clock.advance(100.0)
    bench.chat()
    (request,) = otel.spans
    (record,) = bench.records
    assert (request.attributes["clippy.outcome"], request.attributes["error.type"]) == ("refused", "no_entry")
    assert request.status.status_code is StatusCode.ERROR
    assert request.start_time == pytest.approx(record.time * 1e9, abs=1000)
    assert request.start_time <= request.end_time


def test_other_calls_have_their_own_operations(otel: Any) -> None:
    bench = otel.bench(Reply("Hello"))
    for path in ("/chat/completions", "/responses", "/messages", "/embeddings", "/completions", "/moderations", "/odd"):
        bench.post(path, {"model": "m", "input": "Hello"})
    names = ["chat m", "chat m", "chat m", "embeddings m", "text_completion m", "moderations m", "unknown"]
    assert [span.name for span in otel.requests] == names
    assert {span.name for span in otel.attempts} == {"POST"}


@define(eq=False)
class Forgives:
    """A cache that is past its time after a minute, and what asks for it all the same."""

    kept: dict[str, CacheEntry] = field(factory=dict)

    @hookimpl
    def cache_lookup(self, key: str, ctx: RequestContext) -> CacheEntry | None:
        entry = self.kept.get(key)
        return entry if entry is not None and (ctx.stale_within or ctx.clock.time() < entry.stored_at + 60) else None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry) -> None:
        self.kept[key] = evolve(entry, expires_at=entry.stored_at + 60)

    @hookimpl
    def on_error(self) -> Stale:
        return Stale(within=3600.0)


def test_a_stale_answer_in_place_of_a_failure_shows_both(otel: Any) -> None:
    """The failed attempt, and the cache that answered with what was past its time."""
    bench = otel.bench([Reply("Hello"), Fault.status(503)], {"forgives": Forgives()})
    bench.chat()
    otel.exporter.clear()
    bench.clock.advance(100.0)
    assert bench.chat().text == "Hello"
    ((attempt,), (request,)) = otel.attempts, otel.requests
    assert attempt.attributes["http.response.status_code"] == 503
    assert [request.attributes[key] for key in ("clippy.source", "clippy.by", "clippy.stale")] == [
        "cache",
        "forgives",
        True,
    ]
    assert "gen_ai.usage.input_tokens" not in request.attributes
    assert otel.points("clippy.cache.lookups")[-1] == (
        {"clippy.cache.result": "stale", "clippy.by": "forgives"},
        1,
    )


def test_a_stream_that_goes_on_after_a_break_is_one_request_with_two_attempts(otel: Any) -> None:
    plugins = {"errors": ErrorClassifier(), "retry": RetryPolicy(base=0.0, on_mid_stream="continue")}
    script = [[Fault.reset(at_delta=2), Reply("one two three four")], Reply("three four")]
    bench = otel.bench(script, plugins)
    bench.stream()
    (request,) = otel.requests
    told = [(span.attributes["clippy.attempt"], span.attributes["clippy.attempt.outcome"]) for span in otel.attempts]
    assert told == [(1, "error"), (2, "ok")]
    assert request.attributes["clippy.outcome"] == "answered"
    assert request.status.status_code is StatusCode.UNSET
    assert otel.attempts[0].end_time <= otel.attempts[1].start_time <= otel.attempts[1].end_time <= request.end_time
