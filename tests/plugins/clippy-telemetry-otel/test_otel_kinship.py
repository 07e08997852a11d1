"""Whose child a span is, and that calls at the same time do not mix."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx2
import pytest
from attrs import define, evolve
from clippy_errors import ErrorClassifier
from clippy_hookspecs import Message, Request, RequestContext, Text, hookimpl
from clippy_retry import RetryPolicy
from openai import AsyncOpenAI, OpenAI
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import TraceFlags
from sdk_lab import SDK_GENERATORS

from clippy_core import AsyncClient, Client
from clippy_core.testing import Bench, Fault, Reply, Script

COLOURS = ("sync", "asyncio", "trio")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_request_belongs_to_what_the_caller_is_doing(otel: Any, colour: str) -> None:
    """Its span is a child of the caller's active one, which stays the active one."""
    bench = otel.bench(Reply("Hello"), colour=colour)
    tracer = otel.tracers.get_tracer("the program")
    with tracer.start_as_current_span("handle a question") as span:
        bench.chat()
        assert trace.get_current_span() is span
    (request,) = (one for one in otel.requests if one.name.startswith("chat"))
    assert request.parent == span.get_span_context()
    assert len({one.context.trace_id for one in otel.spans}) == 1


@define(eq=False)
class Asks:
    """Asks a model something before the request goes on."""

    @hookimpl(inline=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        await ctx.ask(evolve(request, messages=(Message("user", (Text("Is that nice?"),)),), stream=False))


@pytest.mark.parametrize("colour", COLOURS)
def test_what_a_plugin_asks_belongs_to_the_request_it_asks_for(otel: Any, colour: str) -> None:
    bench = otel.bench(Reply("Hello"), {"asks": Asks()}, colour=colour)
    tracer = otel.tracers.get_tracer("the program")
    with tracer.start_as_current_span("handle a question"):
        bench.chat()
    asked, request = otel.requests[:2]
    assert [record.parent for record in bench.records] == [request.attributes["clippy.request.id"], None]
    assert asked.parent == request.context
    assert len(otel.attempts) == 2


def test_nothing_is_kept_of_requests_that_are_over(otel: Any) -> None:
    bench = otel.bench(Reply("Hello"), {"asks": Asks()})
    bench.chat()
    gc.collect()
    assert not bench.host.plugins["telemetry-otel"]._under_way


async def _ask_many(bench: Bench, otel: Any) -> None:
    tracer = otel.tracers.get_tracer("the program")

    async def one(client: AsyncClient, number: int) -> None:
        with tracer.start_as_current_span(f"question {number}"):
            await client.chat(f"Hello {number}", model=f"model-{number}")

    async with AsyncClient(bench.host, bench.http()) as client, anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(one, client, number)


def _ask_in_threads(bench: Bench, otel: Any) -> None:
    tracer = otel.tracers.get_tracer("the program")

    def one(number: int) -> None:
        with tracer.start_as_current_span(f"question {number}"), Client(bench.host, bench.http()) as client:
            client.chat(f"Hello {number}", model=f"model-{number}")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(one, range(50)))


@pytest.mark.parametrize("colour", COLOURS)
def test_fifty_calls_at_once_do_not_mix(otel: Any, colour: str) -> None:
    """Each has its caller's trace, its own model, and its own two attempts."""
    repaired = {"errors": ErrorClassifier(), "retry": RetryPolicy(base=0.0, budget=0)}
    seen_once: set[str] = set()

    def once_broken(seen: Any) -> Any:
        if seen.last_user_text in seen_once:
            return Reply("Hello")
        seen_once.add(seen.last_user_text)
        return Fault.status(503)

    bench = otel.bench(Script(then=once_broken), repaired, colour=colour)
    if colour == "sync":
        _ask_in_threads(bench, otel)
    else:
        bench.run(_ask_many, bench, otel)
    callers = {span.context.span_id: span for span in otel.spans if span.name.startswith("question")}
    requests = {span.context.span_id: span for span in otel.requests if span.name.startswith("chat")}
    assert len(callers) == len(requests) == 50
    for request in requests.values():
        number = callers[request.parent.span_id].name.removeprefix("question ")
        assert request.name == f"chat model-{number}"
    below = [(requests[span.parent.span_id], span) for span in otel.attempts]
    assert len(below) == 100
    assert all(request.name.endswith(span.attributes["gen_ai.request.model"]) for request, span in below)
    assert sorted(span.attributes["clippy.attempt"] for _, span in below) == [1] * 50 + [2] * 50


# --- under an SDK ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(*SDK_GENERATORS)
@pytest.mark.parametrize("colour", COLOURS)
def test_calls_of_the_official_sdk_are_told(otel: Any, colour: str) -> None:
    """Plain and streamed, with a failure that the SDK would have repeated: one request each, whatever it took."""
    plugins = {"errors": ErrorClassifier(), "retry": RetryPolicy(base=0.0, budget=0)}
    bench = otel.bench([Fault.status(503), Reply("Hello"), Reply("one two three")], plugins, colour=colour)
    said = {"model": "test-model", "messages": [{"role": "user", "content": "Hello"}]}

    def calls() -> None:
        with bench.host.wrap(OpenAI(api_key="sk-none", base_url=URL, http_client=bench.provider.client(httpx2))) as sdk:
            sdk.chat.completions.create(**said)
            list(sdk.chat.completions.create(**said, stream=True))

    async def acalls() -> None:
        http = bench.provider.async_client(httpx2)
        async with bench.host.wrap(AsyncOpenAI(api_key="sk-none", base_url=URL, http_client=http)) as sdk:
            await sdk.chat.completions.create(**said)
            async for _ in await sdk.chat.completions.create(**said, stream=True):
                pass

    calls() if colour == "sync" else bench.run(acalls)
    assert [span.name for span in otel.spans] == ["POST", "POST", "chat test-model", "POST", "chat test-model"]
    plain, streamed = otel.requests
    assert (plain.attributes["clippy.attempts"], streamed.attributes["clippy.attempts"]) == (2, 1)
    assert streamed.attributes["gen_ai.request.stream"] is True
    assert [span.attributes["gen_ai.response.finish_reasons"] for span in otel.requests] == [("stop",)] * 2


URL = "http://fake.test/v1"


# --- propagation and sampling ----------------------------------------------------------------------------------------


def test_the_provider_is_told_nothing_by_default(otel: Any) -> None:
    bench = otel.bench(Reply("Hello"))
    bench.chat()
    assert "traceparent" not in bench.provider.requests[0].headers


@pytest.mark.parametrize("colour", COLOURS)
def test_with_propagate_each_attempt_sends_its_own_place(otel: Any, colour: str) -> None:
    """Instead of the caller's, which is the trace's and not the attempt's; the body stays as it came."""
    plugins = {"errors": ErrorClassifier(), "retry": RetryPolicy(base=0.0, budget=0)}
    bench = otel.bench([Fault.status(503), Reply("Hello")], plugins, colour=colour, propagate=True)
    body = b'{"model":  "m", "messages": [{"role": "user", "content": "Hello"}], "temperature": 1e0}'
    bench.post("/chat/completions", body, traceparent=f"00-{'1' * 32}-{'2' * 16}-01", tracestate="other=1")
    contexts = [span.context for span in otel.attempts]
    expected = [f"00-{one.trace_id:032x}-{one.span_id:016x}-{one.trace_flags:02x}" for one in contexts]
    assert [seen.headers["traceparent"] for seen in bench.provider.requests] == expected
    assert [(seen.headers.get("tracestate"), seen.body) for seen in bench.provider.requests] == [(None, body)] * 2


def test_baggage_stays_at_home(otel: Any) -> None:
    """It is the program's own, and no provider's affair."""
    bench = otel.bench(Reply("Hello"), propagate=True)
    token = context.attach(baggage.set_baggage("customer", "ada"))
    try:
        bench.chat()
    finally:
        context.detach(token)
    (seen,) = bench.provider.requests
    assert "traceparent" in seen.headers
    assert "baggage" not in seen.headers


@pytest.mark.parametrize(
    "signature",
    [
        {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host, Signature=00"},
        {"signature-input": 'sig1=("content-digest")'},
        {"content-digest": "sha-256=:00:"},
        {"x-amz-date": "20261128T120000Z"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_nothing_is_added_to_a_signed_request(otel: Any, signature: dict[str, str]) -> None:
    bench = otel.bench(Reply("Hello"), propagate=True)
    bench.post("/chat/completions", {"model": "m", "messages": []}, **signature)
    assert "traceparent" not in bench.provider.requests[0].headers
    assert len(otel.spans) == 2


def test_nothing_is_added_to_a_request_that_is_signed_in_its_address(otel: Any) -> None:
    bench = otel.bench(Reply("Hello"), propagate=True)
    bench.post("/chat/completions?X-Amz-Signature=00", {"model": "m", "messages": []})
    assert "traceparent" not in bench.provider.requests[0].headers


def test_what_is_not_sampled_is_not_recorded_and_still_counted(otel: Any) -> None:
    """The trace goes on upstream with its decision, as the tracer of the caller would send it."""
    otel.sampled_by(ALWAYS_OFF)
    bench = otel.bench(Reply("Hello"), propagate=True)
    bench.chat()
    assert otel.spans == []
    flags = bench.provider.requests[0].headers["traceparent"].rpartition("-")[2]
    assert int(flags, 16) & TraceFlags.SAMPLED == 0
    assert [count for _, (count, _) in otel.points("gen_ai.client.operation.duration")] == [1]


def test_a_sampler_sees_what_the_conventions_promise_it(otel: Any) -> None:
    """Operation, provider, model and server are there when the span begins."""
    seen: dict[str, Any] = {}

    class Looks(Sampler):
        def should_sample(self, *given: Any, **more: Any) -> Any:
            attributes = more.get("attributes") or given[4]
            seen.setdefault(more.get("name") or given[2], dict(attributes))
            return ALWAYS_ON.should_sample(*given, **more)

        def get_description(self) -> str:
            return "looks"

    otel.sampled_by(Looks())
    otel.bench(Reply("Hello")).chat()
    assert seen["chat test-model"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "test-model",
        "server.address": "fake.test",
        "server.port": 80,
    }
