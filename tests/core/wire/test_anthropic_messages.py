"""Anthropic Messages bodies: read and written back without loss."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import attrs
import httpx2
import pytest
from clippy_hookspecs import (
    Image,
    Message,
    Opaque,
    Reasoning,
    Request,
    Response,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    evolve,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.wire.anthropic_messages import API


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.text(max_size=5), inner, max_size=3)


# --- bodies of every shape the API documents, with fields nobody knows ------------------------------------------------

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=6)
names = st.sampled_from(["x_new", "cache_control", "item", "messages", "block", "role_hint", "0"])
unknown = st.dictionaries(names, scalars, max_size=2)


def shape(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these fields and some that are unknown."""
    known = st.fixed_dictionaries(required, optional=optional or {})
    return st.builds(lambda more, fields: {**more, **fields}, unknown, known)


texts = shape(
    {"type": st.just("text"), "text": st.text(max_size=12)}, {"citations": st.none() | st.lists(objects(scalars))}
)
sources = st.one_of(
    shape({"type": st.just("base64"), "media_type": st.just("image/png"), "data": st.just("iVBO")}),
    shape({"type": st.just("url"), "url": st.just("https://x.example/a.png")}),
    shape({"type": st.just("file"), "file_id": st.just("file_1")}),
)
images = shape({"type": st.just("image"), "source": sources})
calls = shape({"type": st.just("tool_use"), "id": st.text(max_size=5), "name": st.text(max_size=5), "input": values})
inner_content = st.text(max_size=5) | st.lists(texts | images, max_size=2)
results = shape(
    {"type": st.just("tool_result"), "tool_use_id": st.text(max_size=5)},
    {"content": inner_content | st.none(), "is_error": st.booleans() | st.none()},
)
thoughts = shape(
    {"type": st.just("thinking"), "thinking": st.text(max_size=9)}, {"signature": st.text(max_size=5) | st.none()}
)
opaques = shape(
    {
        "type": st.sampled_from(
            ["redacted_thinking", "document", "server_tool_use", "web_search_tool_result", "mcp_tool_use"]
        )
    },
    {"data": values, "input": values, "content": values},
)
odd = st.one_of(scalars, st.just({"type": "text"}), st.just({"type": "tool_use", "id": 3}), st.just({"type": ["a"]}))
blocks = st.one_of(texts, images, calls, results, thoughts, opaques, odd)
content = st.text(max_size=9) | st.lists(blocks, max_size=3)
messages = shape({"role": st.sampled_from(["user", "assistant", "system"]), "content": content}) | odd
tools = st.one_of(
    shape(
        {"name": st.text(min_size=1, max_size=4), "input_schema": objects(values)},
        {"description": st.text(max_size=4) | st.none()},
    ),
    shape({"type": st.just("custom"), "name": st.just("f"), "input_schema": objects(values)}),
    shape({"type": st.just("web_search_20250305"), "name": st.just("web_search")}, {"max_uses": st.integers()}),
    shape({"type": st.just("mcp_toolset"), "mcp_server_name": st.just("a")}),
    odd,
)
usages = shape(
    {"input_tokens": st.integers(0, 99), "output_tokens": st.integers(0, 99)},
    {
        "cache_read_input_tokens": st.integers(0, 9) | st.none(),
        "output_tokens_details": st.just({"thinking_tokens": 3}),
    },
)
requests = shape(
    {"model": st.text(min_size=1, max_size=5), "messages": st.lists(messages, min_size=1, max_size=4)},
    {
        "system": st.text(max_size=5) | st.lists(texts, max_size=2) | st.none(),
        "tools": st.lists(tools, min_size=1, max_size=3),
        "stream": st.just(True),
        "max_tokens": st.integers(),
        "metadata": values,
    },
)
answers = shape(
    {
        "id": st.text(max_size=5),
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": st.text(max_size=4),
        "content": st.lists(blocks, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "refusal", "pause_turn", "model_context_window_exceeded", None]),
        "stop_sequence": st.none() | st.text(max_size=3),
    },
    {"usage": usages | st.none(), "container": values, "stop_details": values},
)


def bare(value: Any) -> Any:
    """*value* anew, without the wire form of anything in it."""
    if isinstance(value, tuple):
        return tuple(bare(item) for item in value)
    if not attrs.has(type(value)):
        return value
    fields = [field.name for field in attrs.fields(type(value)) if field.init and field.name != "endpoint"]
    return evolve(value, **{name: bare(getattr(value, name)) for name in fields})


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def read(body: dict[str, Any]) -> Request:
    return Request(api=API.name, **API.request_fields(body))


def read_answer(body: dict[str, Any]) -> Response:
    return Response(api=API.name, **API.response_fields(body))


@settings(max_examples=60, deadline=None)
@given(requests)
def test_a_request_is_written_as_it_was_read_with_and_without_its_wire_form(body: dict[str, Any]) -> None:
    """Decode then encode is the identity on JSON values, also when every value in it was made anew."""
    assert canonical(API.request_body(read(body))) == canonical(body)
    assert canonical(API.request_body(bare(read(body)))) == canonical(body)


@settings(max_examples=60, deadline=None)
@given(answers)
def test_an_answer_is_written_as_it_was_read_with_and_without_its_wire_form(body: dict[str, Any]) -> None:
    """Decode then encode is the identity on JSON values, also when every value in it was made anew."""
    assert canonical(API.response_body(read_answer(body))) == canonical(body)
    assert canonical(API.response_body(bare(read_answer(body)))) == canonical(body)


@settings(max_examples=50, deadline=None)
@given(objects(values))
def test_reading_never_fails(body: dict[str, Any]) -> None:
    """A body that is not what its address promises gives what it can and loses nothing."""
    assert canonical(API.request_body(read(body))) == canonical(
        {k: v for k, v in body.items() if k != "stream"} | ({"stream": True} if body.get("stream") is True else {})
    )
    assert canonical(API.response_body(read_answer(body))) == canonical(body)


def test_an_error_body_stays_what_it_is() -> None:
    """An answer that is no message keeps everything in params."""
    body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
    response = read_answer(body)
    assert response.message == Message("assistant")
    assert API.response_body(bare(response)) == body


# --- what is where ----------------------------------------------------------------------------------------------------


def test_the_parts_of_a_conversation_become_blocks() -> None:
    """Text, image, call, result, thinking are modelled; the rest is carried."""
    request = read(
        {
            "model": "m",
            "system": "Be brief.",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm", "signature": "s"},
                        {"type": "redacted_thinking", "data": "x"},
                        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1.0}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                    ],
                },
            ],
        }
    )
    system, user, assistant, result = request.messages
    assert (system, user) == (Message("system", (Text("Be brief."),)), Message("user", (Text("Hi"),)))
    redacted = Opaque("redacted_thinking", {"type": "redacted_thinking", "data": "x"})
    assert assistant.blocks == (Reasoning("Hm", "s"), redacted, ToolCall("t1", "f", '{"a":1.0}'))
    assert result.blocks == (ToolResult("t1", (Text("no"),), True), Image(None, "iVBO", "image/png"))
    assert request.params == {"max_tokens": 9}


def test_a_changed_block_is_the_only_thing_that_changes() -> None:
    """Redacting one text leaves every other field of the body as it came."""
    body = {
        "model": "m",
        "messages": [
            {
                "role": "user",
                "x": 1,
                "content": [{"type": "text", "text": "my key", "cache_control": {"type": "ephemeral"}}],
            },
            {"role": "assistant", "content": "ok"},
        ],
    }
    request = read(body)
    first = request.messages[0]
    changed = evolve(first, blocks=(evolve(first.blocks[0], text="***"),))
    expected = json.loads(json.dumps(body).replace("my key", "***"))
    assert API.request_body(evolve(request, messages=(changed, *request.messages[1:]))) == expected


def test_what_a_plugin_adds_goes_where_the_api_wants_it() -> None:
    """System messages go to the top-level field, tool messages are the user's, tools have a schema."""
    request = Request(
        api=API.name,
        model="m",
        messages=(
            Message("system", (Text("one"),)),
            Message("user", (Text("Hi"),)),
            Message("developer", (Text("two"),)),
            Message("tool", (ToolResult("t1", (Text("4"),)),)),
        ),
        tools=(Tool("f"),),
        stream=True,
    )
    assert API.request_body(request) == {
        "model": "m",
        "system": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "4"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
        "stream": True,
    }


def test_a_system_message_in_the_list_stays_there() -> None:
    """The API has both; one does not become the other, even at the top of the list."""
    body = {"model": "m", "messages": [{"role": "system", "content": "in the list"}, {"role": "user", "content": "Hi"}]}
    request = bare(read(body))
    assert API.request_body(request) == body
    added = evolve(request, messages=(Message("system", (Text("top"),)), *request.messages))
    assert API.request_body(added) == {**body, "system": "top"}


@pytest.mark.parametrize(
    ("arguments", "value"),
    [("", {}), ("  ", {}), ('{"a": [1.0, 2]}', {"a": [1.0, 2]}), ('{"a"', {"INVALID_JSON": '{"a"'})],
)
def test_arguments_become_the_object_the_api_wants(arguments: str, value: Any) -> None:
    """Text that is no JSON is wrapped as the API's guide says, so that the turn can be sent back."""
    request = Request(api=API.name, messages=(Message("assistant", (ToolCall("t", "f", arguments),)),))
    assert API.request_body(request)["messages"][0]["content"][0]["input"] == value


def test_usage_counts_cached_input_too() -> None:
    """The contract's input is the sum of what the API counts apart; changed numbers are written back apart."""
    told = {
        "input_tokens": 9,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 2,
        "output_tokens": 4,
        "x": 1,
    }
    response = read_answer({"type": "message", "content": [], "usage": told})
    assert response.usage == Usage(16, 4, 5, 2, extra=told)
    more = evolve(response, usage=evolve(response.usage, output=7))
    assert API.response_body(more)["usage"] == {**told, "output_tokens": 7}


# --- endpoints and errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/messages", "messages"),
        ("POST", "/anthropic/v1/messages/", "messages"),
        ("POST", "/v1/messages/count_tokens", "messages.count_tokens"),
        ("GET", "/v1/models/claude-x", "models"),
        ("POST", "/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:rawPredict", "messages"),
        ("POST", "/v1/projects/p/locations/l/publishers/anthropic/models/claude@1:streamRawPredict", "messages"),
        (
            "POST",
            "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
            "messages.count_tokens",
        ),
        ("POST", "/v1/messages/batches", None),
        ("GET", "/v1/messages/batches/b1/results", None),
        ("GET", "/v1/messages", None),
        ("POST", "/v1/files", None),
        ("POST", "/v1/threads/t1/messages", None),
        ("POST", "/model/anthropic.claude/invoke", None),
        ("POST", "/model/anthropic.claude/invoke-with-response-stream", None),
        ("POST", "/v1/projects/p/locations/l/publishers/mistral/models/m:rawPredict", None),
    ],
)
def test_the_end_of_the_path_says_what_may_be_done(method: str, path: str, name: str | None) -> None:
    """Chat and counting are known under any prefix; what keeps state on the server is not."""
    endpoint = API.endpoint(method, path)
    assert (endpoint and endpoint.name) == name
    if endpoint is not None:
        assert endpoint.chat == endpoint.streams == (name == "messages")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ],
)
def test_the_sdk_reads_our_errors_as_its_own(status: int, error: type[anthropic.APIStatusError]) -> None:
    """An error body has the type that belongs to its status, our code, and our words."""
    body = API.error_body(status, "over_budget", "No budget left.")
    client = sdk(lambda _: httpx2.Response(status, json=body))
    with pytest.raises(error, match=r"No budget left\.") as caught:
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.body == body
    assert body["error"]["details"] == {"error_code": "over_budget"}


def sdk(answer: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key="k", max_retries=0, http_client=anthropic.DefaultHttpxClient(transport=httpx2.MockTransport(answer))
    )


def test_the_sdk_sees_the_same_answer_before_and_after() -> None:
    """What the SDK makes of a body equals what it makes of the body that was read and written anew."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "text", "text": "Hi", "citations": None},
            {"type": "server_tool_use", "id": "st1", "name": "web_search", "input": {"query": "x"}},
            {"type": "web_search_tool_result", "tool_use_id": "st1", "content": []},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 0},
    }
    sent: list[Any] = []

    def answer(with_body: dict[str, Any]) -> Any:
        def reply(request: httpx2.Request) -> httpx2.Response:
            sent.append(json.loads(request.content))
            return httpx2.Response(200, json=with_body)

        return reply

    ask: dict[str, Any] = {
        "model": "claude-x",
        "max_tokens": 5,
        "system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
    }
    before = sdk(answer(body)).messages.create(**ask)
    after = sdk(answer(API.response_body(bare(read_answer(body))))).messages.create(**ask)
    assert before == after
    assert API.request_body(bare(read(sent[0]))) == sent[0]
