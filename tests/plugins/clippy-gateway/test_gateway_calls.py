"""The official SDKs through the gateway, by ``base_url`` alone."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
from attrs import define
from clippy_hookspecs import AttemptRefused, ErrorInfo, Refusal, Switch, hookimpl
from gateway_world import CALLERS_KEY, PROVIDERS_KEY, Books, World

from clippy_core.testing import Fault, Raw, Reply, call

KEYS = {"keys": {"team": {"key": CALLERS_KEY, "tenant": "acme"}}}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "", "parameters": {"type": "object", "properties": {}}},
}
ASKED = [{"role": "user", "content": "hello"}]


@pytest.fixture(params=["bare", "with plugins"])
def plugins(request: pytest.FixtureRequest) -> dict[str, object]:
    return {} if request.param == "bare" else {"books": Books()}


def openai_at(world: World, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key=CALLERS_KEY, base_url=world.url + "/v1", max_retries=0, **more)


def anthropic_at(world: World) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=CALLERS_KEY, base_url=world.url, max_retries=0)


def gateway(script: Any, plugins: dict[str, object], **more: Any) -> World:
    return World(script, plugins, _keyed(more.pop("settings", KEYS)), **more)


def _keyed(settings: dict[str, Any]) -> dict[str, Any]:
    from clippy_gateway import Key

    return {**settings, "keys": {name: Key(**key) for name, key in settings.get("keys", {}).items()}}


def test_a_chat_arrives_with_the_providers_key_and_never_with_the_callers(plugins):
    with gateway(Reply("Hi there"), plugins) as world, openai_at(world) as client:
        answer = client.chat.completions.create(model="m", messages=ASKED)
        seen = world.provider.requests[0]
    assert answer.choices[0].message.content == "Hi there"
    assert seen.headers["authorization"] == f"Bearer {PROVIDERS_KEY}"
    assert CALLERS_KEY.encode() not in seen.head + seen.body


def test_a_chat_is_streamed(plugins):
    with gateway(Reply("one two three"), plugins) as world, openai_at(world) as client:
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "one two three"


def test_tools_are_called_plain_and_streamed(plugins):
    reply = Reply(tool_calls=[call("weather", {"city": "Rome"})])
    with gateway(reply, plugins) as world, openai_at(world) as client:
        plain = client.chat.completions.create(model="m", messages=ASKED, tools=[TOOL])
        stream = client.chat.completions.create(model="m", messages=ASKED, tools=[TOOL], stream=True)
        parts = [one for chunk in stream if chunk.choices for one in chunk.choices[0].delta.tool_calls or ()]
    assert json.loads(plain.choices[0].message.tool_calls[0].function.arguments) == {"city": "Rome"}
    assert json.loads("".join(part.function.arguments or "" for part in parts)) == {"city": "Rome"}


def test_responses_are_answered_plain_and_streamed(plugins):
    with gateway(Reply("Hi there"), plugins) as world, openai_at(world) as client:
        plain = client.responses.create(model="m", input="hello")
        streamed = list(client.responses.create(model="m", input="hello", stream=True))
        paths = {seen.path for seen in world.provider.requests}
    assert plain.output_text == "Hi there"
    assert streamed[-1].type == "response.completed"
    assert paths == {"/v1/responses"}


def test_messages_are_answered_plain_and_streamed(plugins):
    with gateway(Reply("Hi there"), plugins) as world, anthropic_at(world) as client:
        plain = client.messages.create(model="m", max_tokens=9, messages=ASKED)
        with client.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
            text = "".join(stream.text_stream)
        seen = world.provider.requests[0]
    assert (plain.content[0].text, text) == ("Hi there", "Hi there")
    assert seen.headers["x-api-key"] == PROVIDERS_KEY
    assert CALLERS_KEY.encode() not in seen.head


ONLY_CHAT = {"main": {"api": "openai.chat", "base_url": "{provider}/v1", "key": PROVIDERS_KEY}}


def test_anthropics_sdk_is_answered_by_a_provider_of_openais_kind(plugins):
    with gateway(Reply("Hi there"), plugins, routes=ONLY_CHAT) as world, anthropic_at(world) as client:
        plain = client.messages.create(model="m", max_tokens=9, messages=ASKED)
        with client.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert {seen.path for seen in world.provider.requests} == {"/v1/chat/completions"}
    assert (plain.content[0].text, text) == ("Hi there", "Hi there")
    assert (plain.stop_reason, final.stop_reason) == ("end_turn", "end_turn")


def test_openais_sdk_is_answered_by_a_provider_of_anthropics_kind(plugins):
    routes = {"main": {"api": "anthropic.messages", "base_url": "{provider}", "key": PROVIDERS_KEY}}
    with gateway(Reply("Hi there"), plugins, routes=routes) as world, openai_at(world) as client:
        plain = client.chat.completions.create(model="m", messages=ASKED)
        stream = client.chat.completions.create(model="m", messages=ASKED, stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        answered = client.responses.create(model="m", input="hello")
        assert {seen.path for seen in world.provider.requests} == {"/v1/messages"}
    assert (plain.choices[0].message.content, text, answered.output_text) == ("Hi there",) * 3


def test_an_error_of_another_kind_of_provider_is_told_in_the_callers_form(plugins):
    with gateway(Fault.status(429), plugins, routes=ONLY_CHAT) as world, anthropic_at(world) as client:
        with pytest.raises(anthropic.RateLimitError) as error:
            client.messages.create(model="m", max_tokens=9, messages=ASKED)
    assert error.value.body["error"]["type"] == "rate_limit_error"


NONE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"<h1>",
    b'{"choices":[]}',
    b'{"choices":[{"message":null}]}',
    b'{"error":{"message":"x"}}',
]


@pytest.mark.parametrize("answer", [*[Raw(body) for body in NONE], Raw(b"", 302), Raw(b"", 204), Raw(b"", 304)])
def test_what_is_no_answer_is_not_translated_into_an_empty_one(answer):
    with gateway(answer, {}, routes=ONLY_CHAT) as world:
        answered = world.ask("POST", "/v1/messages", json={"model": "m", "max_tokens": 9, "messages": ASKED})
    assert (answered.status_code, answered.json()["type"]) == (502, "error")


def test_a_failure_that_came_as_a_success_is_given_the_status_that_it_names():
    """As aggregators send it when the model behind them fails."""
    with gateway(Raw(b'{"error":{"message":"slow down","code":429}}'), {}, routes=ONLY_CHAT) as world:
        answered = world.ask("POST", "/v1/messages", json={"model": "m", "max_tokens": 9, "messages": ASKED})
    assert (answered.status_code, answered.json()["error"]["type"]) == (429, "rate_limit_error")


NAMELESS = {"type": "function", "function": {}}


@pytest.mark.parametrize(
    "odd", [{"messages": ["x"]}, {"messages": "x"}, {"tools": [NAMELESS]}, {"tools": [None]},
            *[{"messages": [{"role": "user", "content": content}, *ASKED]} for content in (5, ["x"], {"text": "x"})]]
)  # fmt: skip
def test_what_cannot_be_read_is_not_left_out_in_translation(odd):
    """Without it another question would be answered."""
    routes = {"main": {"api": "anthropic.messages", "base_url": "{provider}", "key": PROVIDERS_KEY}}
    with gateway(Reply("x"), {}, routes=routes) as world:
        answer = world.ask("POST", "/v1/chat/completions", json={"model": "m", "messages": ASKED, **odd})
        assert world.provider.calls == 0
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "route_unfit")


def test_a_stream_without_its_beginning_is_translated_with_one(plugins):
    """Not every server of OpenAI's kind says the role first, and Anthropic's SDK reads nothing without a beginning."""
    parts = [{"delta": {"content": "Hi"}, "finish_reason": None}, {"delta": {}, "finish_reason": "stop"}]
    said = [b'data: {"choices":[%s]}\n\n' % json.dumps({"index": 0, **part}).encode() for part in parts]
    events = Raw([*said, b"data: [DONE]\n\n"], headers={"content-type": "text/event-stream"})
    with gateway(events, plugins, routes=ONLY_CHAT) as world, anthropic_at(world) as client:
        with client.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
            assert "".join(stream.text_stream) == "Hi"


def test_a_translated_stream_that_breaks_off_ends_without_an_end(plugins):
    broken = [Fault.reset(at_delta=2), Reply("one two three four")]
    with gateway(broken, plugins, routes=ONLY_CHAT) as world, anthropic_at(world) as client:
        with pytest.raises((httpx2.HTTPError, anthropic.APIError)):
            with client.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
                assert "message_stop" not in [event.type for event in stream]


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_a_providers_error_arrives_in_its_own_form(status, plugins):
    with gateway(Fault.status(status), plugins) as world:
        with openai_at(world) as client, pytest.raises(openai.APIStatusError) as one:
            client.chat.completions.create(model="m", messages=ASKED)
        with anthropic_at(world) as client, pytest.raises(anthropic.APIStatusError) as other:
            client.messages.create(model="m", max_tokens=9, messages=ASKED)
    assert (one.value.status_code, other.value.status_code) == (status, status)
    assert one.value.body["message"]
    assert other.value.body["error"]["message"]


def test_a_provider_that_cannot_be_reached_is_a_bad_gateway_in_the_callers_form(plugins):
    dead = {"api": "openai.chat", "base_url": "http://127.0.0.1:9/v1", "key": PROVIDERS_KEY}
    with gateway(None, plugins, routes={"main": dead}) as world:
        with openai_at(world) as client, pytest.raises(openai.APIStatusError) as one:
            client.chat.completions.create(model="m", messages=ASKED)
        with anthropic_at(world) as client, pytest.raises(anthropic.APIStatusError) as other:
            client.messages.create(model="m", max_tokens=9, messages=ASKED)
    assert (one.value.status_code, other.value.status_code) == (502, 502)
    assert one.value.response.headers["x-should-retry"] == "false"
    assert other.value.body["type"] == "error"
    assert PROVIDERS_KEY not in one.value.response.text


def test_a_provider_that_is_too_slow_is_a_gateway_timeout(plugins):
    from clippy_gateway.settings import Connections

    settings = {**KEYS, "upstream": Connections(read=0.05)}
    with gateway(Reply("late", delay=2), plugins, settings=settings) as world:
        assert world.chat().status_code == 504


def test_a_refusal_of_a_plugin_is_an_error_of_the_callers_api():
    @define(eq=False)
    class No:
        @hookimpl
        def pre_request(self, request, ctx):
            raise Refusal("not today", 403, "no")

    with gateway(Reply("x"), {"no": No()}) as world, openai_at(world) as client:
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.chat.completions.create(model="m", messages=ASKED)
        assert world.provider.calls == 0
    assert "not today" in str(refused.value)


def test_what_is_no_chat_goes_to_the_provider_as_it_is(plugins):
    def echo(seen):
        return Raw(json.dumps({"path": seen.path, "size": len(seen.body)}).encode())

    with gateway(echo, plugins) as world:
        listed = world.ask("GET", "/v1/files?limit=2")
        stored = world.ask("POST", "/v1/files", files={"file": ("a.txt", b"x" * 300_000)})
        gone = world.ask("DELETE", "/v1/files/f1")
        urls = [seen.url for seen in world.provider.requests]
    assert (listed.status_code, stored.status_code, gone.status_code) == (200, 200, 200)
    assert urls[0].endswith("/v1/files?limit=2")
    assert stored.json()["size"] > 300_000


@pytest.mark.parametrize("asked", ["GET /v1/models", "GET /v1/models/m", "DELETE /v1/files/1", "POST /v1/files"])
def test_a_routes_model_is_put_into_no_request_that_asks_no_model(asked):
    routes = {"main": {**ONLY_CHAT["main"], "model": "m"}}
    with gateway(Raw(b"{}"), {}, routes=routes) as world:
        world.ask(*asked.split())
        (seen,) = world.provider.requests
    assert (seen.body, b"content-length: 13" in seen.head.lower()) == (b"", False)


def test_the_models_of_the_configuration_are_listed_in_the_callers_form():
    settings = {**KEYS, "models": {"fast": "main", "claude-*": "claude", "deep": "claude"}}
    with gateway(Reply("x"), {}, settings=settings) as world:
        with openai_at(world) as client:
            ids = [model.id for model in client.models.list()]
            one = client.models.retrieve("fast")
        with anthropic_at(world) as other:
            named = [model.id for model in other.models.list()]
        assert world.provider.calls == 0
    assert (ids, named, one.owned_by) == (["fast", "deep"], ["fast", "deep"], "main")


def test_the_model_decides_about_the_route_and_a_header_before_it():
    settings = {**KEYS, "models": {"claude-*": "claude", "*": "main"}}
    with gateway(Reply("x"), {}, settings=settings) as world:
        world.chat(body={"model": "claude-9"})
        world.chat(body={"model": "gpt-9"})
        world.chat(body={"model": "claude-9"}, headers={"x-clippy-route": "main"})
        assert [seen.path for seen in world.provider.requests] == [
            "/v1/messages", "/v1/chat/completions", "/v1/chat/completions",
        ]  # fmt: skip
        assert all("x-clippy-route" not in seen.headers for seen in world.provider.requests)


def test_an_answer_says_what_became_of_it_and_keeps_the_providers_limits():
    from clippy_cache_memory import MemoryCache

    reply = Reply("x", headers={"x-ratelimit-remaining-requests": "7", "set-cookie": "a=b", "connection": "close"})
    books = Books()
    with gateway(reply, {"cache-memory": MemoryCache(), "books": books}) as world:
        first, second = world.chat(), world.chat()
    assert (first.headers["x-clippy-cache"], second.headers["x-clippy-cache"]) == ("miss", "hit; age=0")
    assert (first.headers["x-clippy-attempts"], second.headers["x-clippy-attempts"]) == ("1", "0")
    assert first.headers["x-clippy-request-id"] in {record.id for record in books.records}
    assert first.headers["x-clippy-route"] == second.headers["x-clippy-route"] == "main"
    assert first.headers["x-ratelimit-remaining-requests"] == "7"
    assert "set-cookie" not in first.headers


def test_a_provider_that_repeats_its_key_does_not_tell_it_to_the_caller(plugins):
    def tell(seen):
        key = seen.headers["authorization"]
        told = {
            "x-echo": key,
            "location": f"https://x.example/?key={PROVIDERS_KEY}",
            "content-type": "application/json",
        }
        return Raw(json.dumps({"error": {"message": f"{key} is wrong"}}).encode(), 400, told)

    with gateway(tell, plugins) as world:
        answer = world.chat()
    assert answer.status_code == 400
    assert PROVIDERS_KEY not in answer.text + repr(answer.headers.raw)


@pytest.mark.parametrize("form", ["in pieces", "packed", "streamed", "packed otherwise"])
def test_it_does_not_tell_it_either_in_an_answer_that_comes_in_pieces(form):
    """Most answers of real providers have no length, and many an error is packed."""
    repeated = b'{"error":{"message":"Wrong: ' + PROVIDERS_KEY.encode() + b'"}}'

    def tell(seen):
        assert {one.strip() for one in seen.headers["accept-encoding"].split(",")} == {"gzip", "deflate"}
        if form == "streamed":
            return Raw(repeated, 200, {"content-type": "text/event-stream"})
        if form == "in pieces":
            return Raw((repeated[:40], repeated[40:60], repeated[60:]), 400, {"content-type": "application/json"})
        coding, pack = ("gzip", gzip.compress) if form == "packed" else ("deflate", zlib.compress)
        return Raw(pack(repeated), 400, {"content-type": "application/json", "content-encoding": coding})

    with gateway(tell, {}) as world:
        answer = world.chat(headers={"accept-encoding": "gzip, deflate, br, zstd"})
    assert PROVIDERS_KEY not in answer.text
    assert answer.text == '{"error":{"message":"Wrong: ***"}}'


@pytest.mark.parametrize("status", [101, 600, 999])
def test_a_status_that_no_answer_has_is_a_bad_gateway(status, plugins):
    """Uvicorn has no line for some of these, and a client takes 101 for another protocol."""
    with gateway(Raw(b"{}", status), plugins) as world:
        answer = world.chat()
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "bad_status"


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_of_a_plugin_whose_status_has_none_is_left_out(status):
    from clippy_hookspecs import Answer, Response

    @define(eq=False)
    class Answers:
        @hookimpl
        def pre_request(self, request, ctx):
            return Answer(Response(api=request.api, status=status))

    with gateway(Reply("x"), {"answers": Answers()}) as world:
        answer = world.chat()
    assert (answer.status_code, answer.content) == (status, b"")


def test_a_header_in_another_script_leaves_as_it_came():
    with gateway(Reply("x"), {}) as world:
        world.chat(headers={"user-agent": "Zoë 東京".encode()})
        assert "\r\nuser-agent: Zoë 東京\r\n".encode() in world.provider.requests[0].head


def test_what_a_provider_says_about_its_connection_stays_there(plugins):
    said = {"connection": "close, X-Hop", "x-hop": "1", "x-far": "2", "content-type": "application/json"}
    with gateway(Raw(b'{"error":{}}', 400, said), plugins) as world:
        headers = world.chat().headers
    assert ("x-hop" in headers, headers["x-far"]) == (False, "2")


def test_a_packed_answer_is_read_by_plugins_and_by_the_caller(plugins):
    plain = b'{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[]}'
    packed = Raw(gzip.compress(plain), headers={"content-type": "application/json", "content-encoding": "gzip"})
    with gateway(packed, plugins) as world:
        answer = world.chat()
    assert answer.json()["id"] == "1"


def test_head_is_answered_without_a_body(plugins):
    with gateway(Raw(b"{}"), plugins) as world:
        answer = world.ask("HEAD", "/v1/models")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_client_may_leave_out_the_version_in_its_address():
    with gateway(Reply("Hi"), {}) as world:
        with openai.OpenAI(api_key=CALLERS_KEY, base_url=world.url, max_retries=0) as client:
            assert client.chat.completions.create(model="m", messages=ASKED).choices[0].message.content == "Hi"


async def test_the_async_sdk_is_served_as_well():
    with gateway(Reply("Hi"), {}) as world:
        async with openai.AsyncOpenAI(api_key=CALLERS_KEY, base_url=world.url + "/v1", max_retries=0) as client:
            answer = await client.chat.completions.create(model="m", messages=ASKED)
    assert answer.choices[0].message.content == "Hi"


def test_one_connection_serves_many_requests():
    with gateway(Reply("Hi"), {}) as world, httpx.Client(trust_env=False) as client:
        for _ in range(5):
            body = {"model": "m", "messages": ASKED}
            head = {"authorization": f"Bearer {CALLERS_KEY}"}
            assert client.post(world.url + "/v1/chat/completions", json=body, headers=head).status_code == 200
        assert world.provider.counters["connections"] == 1


def test_a_provider_commands_no_browser_and_no_proxy_and_speaks_not_for_the_gateway():
    """What a browser keeps of an origin, what nginx obeys in front of us, and our own names; the rest is its answer."""
    taken = ("Clear-Site-Data", "Service-Worker-Allowed", "Set-Cookie2", "Refresh", "X-Accel-Redirect", "X-Sendfile",
             "Access-Control-Allow-Methods", "X-Clippy-Cache", "X-Clippy-Anything", "Reporting-Endpoints")  # fmt: skip
    kept = ("X-Request-Id", "OpenAI-Processing-Ms", "Location", "Link", "Content-Disposition", "X-Accel-Buffering",
            "Cache-Control", "X-Clippys-Mood", "Server-Timing", "Retry-After", "Accept-Ranges")  # fmt: skip
    with gateway(Reply("x", headers=dict.fromkeys([*taken, *kept], "7")), {}) as world:
        answer = world.chat()
    assert [name for name in taken if answer.headers.get(name) == "7"] == []
    assert [name for name in kept if answer.headers.get(name) != "7"] == []


def test_a_header_of_a_plugin_cannot_begin_a_line_of_its_own():
    from clippy_hookspecs import Answer, Headers, Response

    @define(eq=False)
    class Answers:
        @hookimpl
        def pre_request(self, request, ctx):
            headers = Headers([("x-made", "a\r\nset-cookie: b=c"), ("x-fine", "d")])
            return Answer(Response(api=request.api, headers=headers))

    with gateway(Reply("x"), {"answers": Answers()}) as world:
        answer = world.chat()
    assert answer.status_code == 200
    assert answer.headers["x-fine"] == "d"
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-clippy-attempts"] == "0"


def test_an_attempt_that_was_refused_before_it_was_sent_asked_no_provider():
    """As with an open breaker: the fallback's answer took one attempt, and without a fallback nobody was asked."""

    class CooledDown(AttemptRefused):
        """A plugin's own kind of refusal."""

    @define(eq=False)
    class Open:
        spare: str | None = None

        @hookimpl
        def pre_attempt(self, request, ctx):
            if ctx.route.name == "main":
                raise CooledDown(ErrorInfo("transient", "breaker_open", scope="route"))

        @hookimpl
        def on_error(self, error, ctx):
            return None if self.spare is None or ctx.route.name == self.spare else Switch(self.spare)

    told = []
    for spare in ("claude", None):
        with gateway(Reply("x"), {"open": Open(spare)}) as world:
            answer = world.chat()
            told.append((answer.status_code, answer.headers["x-clippy-attempts"], world.provider.calls))
    assert told == [(200, "1", 1), (503, "0", 0)]
