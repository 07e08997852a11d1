"""Going on with another route."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from attrs import define, evolve, field
from calling import Caller, Keep, Sent
from clippy_hookspecs import (
    Answer,
    Chunk,
    ErrorInfo,
    Headers,
    Message,
    Request,
    RequestContext,
    Response,
    Switch,
    Text,
    hookimpl,
)

import clippy_core
from clippy_core.judging import answer
from clippy_core.testing import Fault, Reply
from clippy_core.wire import APIS, decode_response
from clippy_core.wire.assemble import assemble_stream

ROUTES = {
    "main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"},
    "second": {"base_url": "http://second.test/v1", "key": "sk-second", "model": "m2"},
    "claude": {"api": "anthropic.messages", "base_url": "http://claude.test", "key": "sk-ant", "model": "claude"},
    "resp": {"api": "openai.responses", "base_url": "http://resp.test/v1", "key": "sk-r", "model": "r"},
}
MESSAGES = [{"role": "user", "content": "Hello"}]
PATHS = {
    "openai.chat": ("/chat/completions", {"model": "m", "messages": MESSAGES}),
    "anthropic.messages": ("/messages", {"model": "m", "max_tokens": 9, "messages": MESSAGES}),
    "openai.responses": ("/responses", {"model": "m", "input": "Hello"}),
}
OF = {"openai.chat": "second", "anthropic.messages": "claude", "openai.responses": "resp"}


@define(eq=False)
class Fallback:
    """Goes through some routes, one after the other."""

    routes: tuple[str, ...] = ("claude",)

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | None:
        return Switch(self.routes[ctx.attempt - 1]) if ctx.attempt <= len(self.routes) else None


def start(plugins: Any, script: Any, **config: Any) -> Caller:
    caller = Caller("sync", httpx)
    return caller.start(plugins, script, routes=ROUTES, **config)


def post(caller: Caller, api: str, stream: bool, **more: Any) -> Sent:
    path, body = PATHS[api]
    own = {"authorization": "Bearer caller", "x-api-key": "caller", "x-secret": "s"}
    return caller.send(path=path, json={**body, "stream": stream, **more}, headers=own)


PAIRS = [(a, b) for a in PATHS for b in PATHS]


def text_of(api: str, body: bytes) -> str:
    return assemble_stream(APIS[api], [body]).text


@pytest.mark.parametrize("fault", [Fault.status(503), Fault.reset(at_delta=0)], ids=["status", "stream"])
@pytest.mark.parametrize(("caller_api", "other"), PAIRS)
def test_a_streamed_answer_of_another_route_reaches_an_http_caller(caller_api, other, fault):
    caller = start([Fallback((OF[other],))], [[fault, Reply("x y")], Reply("one two three")])
    sent = post(caller, caller_api, True)
    assert (200, None) == (sent.status, sent.error)
    assert "one two three" == text_of(caller_api, sent.body)
    seen = caller.provider.requests[1]
    assert not {"x-secret"} & set(seen.headers)
    assert "caller" not in str(dict(seen.headers))


BROKEN = [Fault.error_event(at_delta=2), Fault.reset(at_delta=2), Fault.truncated_json(at_delta=2), Fault.no_terminal()]


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.kind)
@pytest.mark.parametrize(("caller_api", "other"), PAIRS)
def test_a_failure_of_the_other_routes_stream_is_seen(caller_api, other, fault):
    """A stream that broke may not look like one that is whole."""
    caller = start([Fallback((OF[other],))], [Fault.status(503), [fault, Reply("one two three four")]])
    sent = post(caller, caller_api, True)
    assert sent.error is not None or b"error" in sent.body, sent.body


@pytest.mark.parametrize("fault", [Fault.error_event(at_delta=0), Fault.status(500)], ids=lambda fault: fault.kind)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("caller_api", "other"), PAIRS)
def test_a_failure_of_the_other_route_comes_in_the_callers_own_shape(caller_api, other, stream, fault):
    caller = start([Fallback((OF[other],))], [Fault.status(503), fault])
    sent = post(caller, caller_api, stream)
    body = sent.body
    if fault.kind == "status" or not stream:
        assert sent.status >= 400
        found = json.loads(body)
        if caller_api == "anthropic.messages":
            assert "error" == found["type"]
        assert "error" in found
        return
    assert b"error" in body


def test_an_error_event_of_the_other_route_is_one_of_the_callers_api():
    """Anthropic's SDK knows an error by the event's name."""
    caller = start([Fallback(("second",))], [Fault.status(503), Fault.error_event(at_delta=0)])
    assert b"event: error" in post(caller, "anthropic.messages", True).body


@pytest.mark.parametrize("on_chunk", [False, True])
def test_usage_of_another_apis_stream_comes_as_asked(on_chunk):
    """OpenAI's usage chunk, alone and without choices, for a caller that asked for it."""

    @define(eq=False)
    class Looks:
        @hookimpl
        def on_chunk(self, chunk: Chunk) -> Chunk | None:
            return evolve(chunk, delta=chunk.delta.upper()) if chunk.kind == "text" else None

    plugins = [Fallback(("claude",)), *([Looks()] if on_chunk else [])]
    caller = start(plugins, [Fault.status(503), Reply("one two three")])
    body = post(caller, "openai.chat", True, stream_options={"include_usage": True}).body
    events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]
    alone = [e for e in events if e.get("choices") == [] and e.get("usage")]
    assert alone, events


def test_usage_is_asked_of_the_other_route_for_an_anthropic_caller():
    caller = start([Fallback(("second",))], [Fault.status(503), Reply("one two three")])
    post(caller, "anthropic.messages", True)
    assert {"include_usage": True} == caller.provider.requests[1].json.get("stream_options")


# --- what is not chat -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/embeddings", {"model": "e", "input": "my words"}),
        ("POST", "/v1/completions", {"model": "e", "prompt": "my words"}),
        ("POST", "/v1/moderations", {"model": "e", "input": "my words"}),
        ("GET", "/v1/models", None),
    ],
)
def test_a_call_that_is_not_chat_is_never_sent_to_a_chat_address(method, path, body):
    caller = start([Fallback(("second",))], [Fault.status(503), Reply("Hi")])
    with caller.host.wrap(caller._http()) as client:
        response = client.request(method, f"http://fake.test{path}", json=body)
    paths = [request.path for request in caller.provider.requests]
    assert "/v1/chat/completions" not in paths, (paths, response.status_code)


def test_an_unknown_call_is_never_sent_to_a_chat_address():
    caller = start([Fallback(("second",))], [Fault.connect_error(), Reply("Hi")])
    with caller.host.wrap(caller._http()) as client:
        try:
            client.post("http://fake.test/v1/files", content=b"secret file")
        except httpx.HTTPError:
            pass
    paths = [request.path for request in caller.provider.requests]
    assert "/v1/chat/completions" not in paths, paths


# --- there and back -------------------------------------------------------------------------------------------------
def test_a_second_switch_starts_from_what_the_caller_asked():
    """chat -> messages -> chat: the third provider is asked what the first was."""
    caller = start([Fallback(("claude", "second"))], [Fault.status(503), Fault.status(503), Reply("Hi")])
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    post(caller, "openai.chat", False, response_format=form, seed=7)
    first, _, third = (request.json for request in caller.provider.requests)
    assert {**first, "model": "m2"} == third


def test_tool_choice_crosses():
    """A call that must use a tool must use it elsewhere too."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    caller = start([Fallback(("claude",))], [Fault.status(503), Reply("Hi")])
    post(caller, "openai.chat", False, tools=[tool], tool_choice="none")
    second = caller.provider.requests[1].json
    assert "tools" not in second or second.get("tool_choice") == {"type": "none"}


# --- caches ---------------------------------------------------------------------------------------------------------
def test_a_stream_of_another_routes_api_is_not_stored_without_its_events():
    """That route's own callers find the entry: it must be an answer of that API, with events or without any."""
    keep = Keep()
    caller = start([Fallback(("claude",)), keep], [Fault.status(503), Reply("one two"), Reply("one two")])
    with clippy_core.Client(caller.host, caller._http()) as client:
        assert "one two" == "".join(client.stream("Hello", route="main").text())
        assert "one two" == "".join(client.stream("Hello", route="claude").text())
        whole = client.chat("Hello", route="claude")
        assert ("anthropic.messages", "one two") == (whole.api, whole.text)


def test_after_a_switch_the_partition_is_that_of_the_answering_route():
    """A semantic cache may not keep another model's answer with this one's."""

    @define(eq=False)
    class Semantic:
        stored: list[Any] = field(factory=list)

        @hookimpl
        def cache_store(self, key: str, ctx: RequestContext) -> None:
            self.stored.append((ctx.route.name, key, ctx.key, ctx.partition))

    semantic = Semantic()
    caller = start([Fallback(("second",)), semantic], [Fault.status(503), Reply("Hi"), Reply("Hi")])
    with clippy_core.Client(caller.host, caller._http()) as client:
        client.chat("Hello", route="main")
        client.chat("Hello", route="second")
    switched, planned = semantic.stored
    assert switched[1] == planned[1]
    assert switched[3] == planned[3]


# --- answers --------------------------------------------------------------------------------------------------------


@define(eq=False)
class Says:
    answer: Response
    where: str = "on_error"

    @hookimpl
    def on_error(self) -> Answer | None:
        return Answer(self.answer) if self.where == "on_error" else None

    @hookimpl
    def pre_request(self) -> Answer | None:
        return Answer(self.answer) if self.where == "pre_request" else None


def canned(api: str) -> Response:
    finish = {"": None, "openai.chat": "stop", "anthropic.messages": "end_turn"}[api]
    return Response(api, message=Message("assistant", (Text("sorry"),)), finish_reason=finish)


@pytest.mark.parametrize("where", ["on_error", "pre_request"])
@pytest.mark.parametrize("api", ["", "openai.chat", "anthropic.messages"])
@pytest.mark.parametrize("caller_api", PATHS)
def test_an_answer_reaches_every_streaming_caller_in_its_own_api(caller_api, api, where):
    sent = post(start([Says(canned(api), where)], Fault.status(503)), caller_api, True)
    assert (200, None) == (sent.status, sent.error)
    assert "sorry" == text_of(caller_api, sent.body)


FOREIGN = [(ours, api) for ours in PATHS for api in ("", "openai.chat", "anthropic.messages") if api != ours]


@pytest.mark.parametrize("where", ["on_error", "pre_request"])
@pytest.mark.parametrize(("caller_api", "api"), FOREIGN)
def test_an_answer_reaches_every_caller_in_its_own_api(caller_api, api, where):
    """One canned sentence for callers of every API."""
    sent = post(start([Says(canned(api), where)], Fault.status(503)), caller_api, False)
    assert (200, None) == (sent.status, sent.error)
    assert "sorry" == decode_response(APIS[caller_api], 200, Headers(), sent.body).text


@pytest.mark.parametrize("where", ["on_error", "pre_request"])
def test_an_answer_with_an_error_status_is_no_stream(where):
    """A streaming caller gets the error as an error: status and JSON body."""
    request = Request("openai.chat")
    caller = start([Says(answer(request, 429, "quota", "over budget", 5), where)], Fault.status(503))
    sent = post(caller, "openai.chat", True)
    assert 429 == sent.status
    assert "over budget" == json.loads(sent.body)["error"]["message"]
