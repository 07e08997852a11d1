"""Edges of the contract: context variables, tool calls of every route, who calls, what is stored."""

from __future__ import annotations

import contextvars
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import httpx
import httpx2
import pytest
from attrs import define, evolve, field
from calling import Caller, Keep
from clippy_hookspecs import Chunk, ErrorInfo, PluginError, RequestContext, Switch, hookimpl
from patience import until

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Raw, Reply, call

PLAIN = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


@define(eq=False)
class Reads:
    """Reads the caller's context, as tracing does."""

    seen: dict[str, str] = field(factory=dict)

    @hookimpl
    async def pre_request(self) -> None:
        self.seen["pre_request"] = WHO.get()

    @hookimpl
    async def post_attempt(self) -> None:
        self.seen["post_attempt"] = WHO.get()

    @hookimpl
    async def audit(self) -> None:
        self.seen["audit"] = WHO.get()


@pytest.mark.parametrize("colour", ["asyncio", "trio"])
@pytest.mark.parametrize("streamed", [False, True])
def test_context_variables_may_be_read_in_every_hook(colour, streamed):
    """Section 3: context variables may be read in hooks."""
    reads = Reads()
    caller = Caller(colour, httpx).start([reads], Reply("Hi"))
    token = WHO.set("ann")
    try:
        caller.stream() if streamed else caller.chat()
    finally:
        WHO.reset(token)
    assert {"pre_request": "ann", "post_attempt": "ann", "audit": "ann"} == reads.seen


def test_cancel_and_close_together_give_one_record():
    """One thread cancels the flow, another closes the stream."""
    count = 300
    caller = Caller("sync", httpx).start([], Reply("one two three"))
    client = clippy_core.Client(caller.host, caller._http())
    for _ in range(count):
        stream = client.stream("Hello")
        next(stream)
        thread = threading.Thread(target=stream.context.flow.cancel)
        thread.start()
        stream.close()
        thread.join()
    assert until(lambda: count == len(caller.records.records))
    assert count == len({record.id for record in caller.records.records})


@define(eq=False)
class Plain:
    events: list[str] = field(factory=list)

    @hookimpl
    @contextmanager
    def lifespan(self, host: object) -> Iterator[None]:
        self.events.append("open")
        yield
        self.events.append("close")


@define(eq=False)
class NotOnLoops:
    """Opens in a sync program and fails on an event loop of the caller's."""

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, host: object) -> AsyncIterator[None]:
        if threading.current_thread().name != "clippy-portal":
            raise OSError("no")
        yield


def test_a_loop_that_cannot_open_closes_nothing_that_threads_use():
    plain = Plain()
    caller = Caller("sync", httpx).start({"a": plain, "b": NotOnLoops()}, Reply("Hi"))
    caller.chat()

    async def run() -> None:
        http = httpx.AsyncClient(transport=caller.provider.async_transport())
        async with clippy_core.AsyncClient(caller.host, http) as client:
            with pytest.raises(PluginError):
                await client.chat("Hello")

    anyio.run(run)
    assert ["open"] == plain.events


# --- tools through a switch, under the SDKs ---------------------------------------------------------------------------

ROUTES = {
    "main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"},
    "second": {"base_url": "http://second.test/v1", "key": "sk-second", "model": "m2"},
    "claude": {"api": "anthropic.messages", "base_url": "http://claude.test", "key": "sk-ant", "model": "claude"},
    "resp": {"api": "openai.responses", "base_url": "http://resp.test/v1", "key": "sk-r", "model": "r"},
}


@define(eq=False)
class To:
    route: str

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | None:
        return Switch(self.route) if ctx.attempt == 1 else None


@define(eq=False)
class Upper:
    @hookimpl
    def on_chunk(self, chunk: Chunk) -> Chunk | None:
        return evolve(chunk, delta=chunk.delta.upper()) if chunk.kind == "text" else None


TWO = Reply("look here", tool_calls=(call("f", {"x": 1}), call("g", {"y": [1, 2]})))


@pytest.mark.parametrize("on_chunk", [False, True])
@pytest.mark.parametrize(
    "route",
    [
        "second",
        "claude",
        "resp",
    ],
)
def test_openai_chat_gets_tool_calls_of_every_route(route, on_chunk):
    import openai

    host = clippy_core.Host([To(route), *([Upper()] if on_chunk else [])], config={"routes": ROUTES})
    provider = FakeProvider([Fault.status(503), TWO])
    client = host.wrap(openai.OpenAI(api_key="k", base_url="http://fake.test/v1", http_client=provider.client(httpx2)))
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "x"}]) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0]
    calls = [(c.function.name, json.loads(c.function.arguments)) for c in message.message.tool_calls]
    assert [("f", {"x": 1}), ("g", {"y": [1, 2]})] == calls
    assert all(c.id for c in message.message.tool_calls)
    assert "tool_calls" == message.finish_reason
    assert "look here" == message.message.content.lower()


@pytest.mark.parametrize("on_chunk", [False, True])
@pytest.mark.parametrize(
    "route",
    [
        "second",
        "claude",
        "resp",
    ],
)
def test_anthropic_gets_tool_calls_of_every_route(route, on_chunk):
    import anthropic

    host = clippy_core.Host([To(route), *([Upper()] if on_chunk else [])], config={"routes": ROUTES})
    provider = FakeProvider([Fault.status(503), TWO])
    client = host.wrap(
        anthropic.Anthropic(api_key="k", base_url="http://fake.test", http_client=provider.client(httpx2))
    )
    with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as stream:
        message = stream.get_final_message()
    calls = [(b.name, b.input) for b in message.content if b.type == "tool_use"]
    assert [("f", {"x": 1}), ("g", {"y": [1, 2]})] == calls
    assert "tool_use" == message.stop_reason
    assert "look here" == "".join(b.text for b in message.content if b.type == "text").lower()


@pytest.mark.parametrize("on_chunk", [False, True])
@pytest.mark.parametrize(
    "route",
    [
        "second",
        "claude",
        "resp",
    ],
)
def test_openai_responses_gets_tool_calls_of_every_route(route, on_chunk):
    import openai

    host = clippy_core.Host([To(route), *([Upper()] if on_chunk else [])], config={"routes": ROUTES})
    provider = FakeProvider([Fault.status(503), TWO])
    client = host.wrap(openai.OpenAI(api_key="k", base_url="http://fake.test/v1", http_client=provider.client(httpx2)))
    with client.responses.stream(model="m", input="x") as stream:
        for _ in stream:
            pass
        response = stream.get_final_response()
    calls = [(i.name, json.loads(i.arguments)) for i in response.output if i.type == "function_call"]
    assert [("f", {"x": 1}), ("g", {"y": [1, 2]})] == calls
    assert "look here" == response.output_text.lower()


@pytest.mark.parametrize(
    "route",
    [
        "second",
        "claude",
        "resp",
    ],
)
def test_plain_tool_calls_of_every_route(route):
    import anthropic
    import openai

    host = clippy_core.Host([To(route)], config={"routes": ROUTES})
    provider = FakeProvider([Fault.status(503), TWO, Fault.status(503), TWO, Fault.status(503), TWO])
    one = host.wrap(openai.OpenAI(api_key="k", base_url="http://fake.test/v1", http_client=provider.client(httpx2)))
    two = host.wrap(anthropic.Anthropic(api_key="k", base_url="http://fake.test", http_client=provider.client(httpx2)))
    chat = one.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}]).choices[0]
    assert ["f", "g"] == [c.function.name for c in chat.message.tool_calls]
    assert "tool_calls" == chat.finish_reason
    said = two.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}])
    assert (["f", "g"], "tool_use") == ([b.name for b in said.content if b.type == "tool_use"], said.stop_reason)
    answer = one.responses.create(model="m", input="x")
    assert ["f", "g"] == [i.name for i in answer.output if i.type == "function_call"]
    assert "look here" == answer.output_text
    assert answer.usage.output_tokens


# --- who calls, and what is stored ------------------------------------------------------------------------------------


def test_a_signature_is_not_another_caller_each_time(sync_caller):
    """SigV4 signs every request anew; the caller is the access key, or no limit ever holds."""
    sync_caller.start([], Reply("Hi"))
    scope = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/eu-west-1/bedrock/aws4_request"
    for signature in ("aaaa", "bbbb"):
        signed = f"{scope}, SignedHeaders=host;x-amz-date, Signature={signature}"
        sync_caller.send(json=PLAIN, headers={"authorization": signed})
    one, two = (record.scope for record in sync_caller.records.records)
    assert one == two


WHOLE = "stop"


@pytest.mark.parametrize("finish", [WHOLE, "length"])
def test_a_legacy_completion_is_stored_when_it_is_whole(sync_caller, finish):
    """Its prompt is no reference to something the provider keeps, and half an answer is not stored."""
    keep = Keep()
    choice = {"index": 0, "text": "words", "finish_reason": finish, "logprobs": None}
    body = json.dumps({"id": "1", "object": "text_completion", "choices": [choice]})
    sync_caller.start([keep], Raw(body.encode()))
    sync_caller.send(path="/completions", json={"model": "e", "prompt": "x"})
    assert (1 if finish == "stop" else 0) == len(keep.entries)
