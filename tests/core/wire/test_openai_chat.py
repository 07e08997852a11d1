"""OpenAI chat bodies and streams become the contract's values and come back as they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import attrs
import pytest
from clippy_hookspecs import (
    Chunk,
    Headers,
    Image,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Request,
    Response,
    Text,
    ToolCall,
    ToolResult,
    Usage,
    evolve,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from clippy_core.wire import (
    APIS,
    CorruptEvent,
    KeptBody,
    StreamDecoder,
    StreamEvent,
    carries_error,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    find,
)

API = APIS["openai.chat"]
URL = "https://api.example.com/v1/chat/completions"


def request_of(body: Any, url: str = URL) -> Request:
    return decode_request("POST", url, "", Headers(), body if isinstance(body, bytes) else json.dumps(body).encode())


def response_of(body: Any) -> Response:
    return decode_response(API, 200, Headers(), json.dumps(body).encode())


def without_raw(value: Any) -> Any:
    """*value* with every value in it evolved, so that nothing in it remembers what it came from."""
    if isinstance(value, KeptBody):
        return value
    if attrs.has(type(value)):
        names = [field.name for field in attrs.fields(type(value)) if field.init]
        return evolve(value, **{name: without_raw(getattr(value, name)) for name in names})
    return tuple(without_raw(item) for item in value) if isinstance(value, tuple) else value


# --- endpoints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/chat/completions", "chat.completions"),
        ("post", "/openai/deployments/gpt/chat/completions", "chat.completions"),
        ("POST", "/v1beta/openai/chat/completions/", "chat.completions"),
        ("POST", "/chat/completions", "chat.completions"),
        ("POST", "/v1/completions", "completions"),
        ("POST", "/v1/embeddings", "embeddings"),
        ("POST", "/v1/moderations", "moderations"),
        ("GET", "/v1/models", "models"),
        ("GET", "/v1/models/gpt-9", "models"),
    ],
)
def test_the_end_of_the_path_tells_the_endpoint(method: str, path: str, name: str) -> None:
    """Base URLs have any prefix."""
    api, endpoint = find(method, path)
    assert (api, endpoint.name) == (API, name)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("DELETE", "/v1/models/m"),
        ("POST", "/v1/files"),
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/batches"),
        ("GET", "/"),
        ("POST", "/v1/mychat/completionsx"),
    ],
)
def test_other_calls_are_unknown(method: str, path: str) -> None:
    """They are streamed through and never stored."""
    api, endpoint = find(method, path)
    assert api is None
    assert (endpoint.name, endpoint.cacheable, endpoint.body) == ("unknown", False, "stream")


# --- requests ---------------------------------------------------------------------------------------------------------

TEXTS = st.text(max_size=12)
UNKNOWN = st.dictionaries(st.sampled_from(["x_new", "cache_control"]), st.integers() | TEXTS, max_size=1)


def shape(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of these fields, with unknown ones now and then."""
    return st.builds(lambda known, more: known | more, st.fixed_dictionaries(fields), UNKNOWN)


PARTS = st.one_of(
    shape(type=st.just("text"), text=TEXTS),
    shape(type=st.just("refusal"), refusal=TEXTS),
    shape(
        type=st.just("image_url"),
        image_url=shape(url=st.sampled_from(["https://x/y.png", "data:image/png;base64,QQ=="])),
    ),
    shape(type=st.just("input_audio"), input_audio=st.just({"data": "QQ==", "format": "wav"})),
    shape(type=st.just("file"), file=st.just({"file_id": "f1"})),
    shape(type=st.just("thinking"), thinking=TEXTS.map(lambda text: [{"type": "text", "text": text}])),
)
CONTENT = TEXTS | st.lists(PARTS, max_size=3) | st.none()
CALLS = st.one_of(
    shape(id=TEXTS, type=st.just("function"), function=shape(name=TEXTS, arguments=TEXTS)),
    shape(id=TEXTS, type=st.just("custom"), custom=shape(name=TEXTS, input=TEXTS)),
)
MESSAGES = st.one_of(
    shape(role=st.sampled_from(["system", "developer", "user", "assistant"]), content=CONTENT),
    shape(
        role=st.just("assistant"), content=CONTENT, tool_calls=st.lists(CALLS, max_size=3), refusal=st.none() | TEXTS
    ),
    shape(role=st.just("assistant"), reasoning_content=TEXTS, content=TEXTS),
    shape(role=st.just("assistant"), reasoning=TEXTS, reasoning_content=TEXTS, content=TEXTS),
    shape(role=st.just("assistant"), content=st.none(), function_call=shape(name=TEXTS, arguments=TEXTS)),
    shape(role=st.just("tool"), tool_call_id=TEXTS, content=CONTENT),
    shape(role=st.just("function"), name=TEXTS, content=TEXTS),
)
TOOLS = st.one_of(
    shape(
        type=st.just("function"), function=shape(name=TEXTS, description=TEXTS, parameters=st.just({"type": "object"}))
    ),
    shape(type=st.just("function"), function=shape(name=TEXTS, description=st.none(), parameters=st.just({}))),
    shape(type=st.just("custom"), custom=shape(name=TEXTS, format=st.just({"type": "text"}))),
    shape(type=st.just("web_search")),
)
REQUESTS = st.builds(
    lambda known, optional: known | optional,
    shape(model=TEXTS, messages=st.lists(MESSAGES, max_size=4)),
    st.fixed_dictionaries(
        {},
        optional={
            "tools": st.lists(TOOLS, max_size=2),
            "stream": st.booleans() | st.none(),
            "seed": st.integers(),
            "functions": st.just([{"name": "f"}]),
            "stream_options": st.just({"include_usage": True}),
        },
    ),
)


@given(REQUESTS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_request_that_was_only_read_keeps_its_bytes(body: dict[str, Any]) -> None:
    """Decoding, and changing a header, change no byte of the body."""
    raw = json.dumps(body, indent=1).encode()
    request = request_of(raw)
    assert request.stream is (body.get("stream") is True)
    assert encode_request(request) == raw
    assert encode_request(evolve(request, headers=Headers({"traceparent": "1"}))) == raw


@given(REQUESTS)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_request_made_again_from_its_fields_is_the_same_json(body: dict[str, Any]) -> None:
    """Unknown fields at every level, nulls and empty lists included, survive when everything is encoded anew."""
    assert json.loads(encode_request(without_raw(request_of(body)))) == body


NAMES = ["role", "content", "type", "text", "name", "id", "tool_calls", "function", "arguments", "custom", "refusal",
         "image_url", "url", "message", "tool_call_id", "function_call", "thinking", "index", "finish_reason", "delta",
         "logprobs", "prompt_tokens"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "text", "function", "tool", "assistant"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(NAMES),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(["model", "messages", "tools", "stream", "n"]), JSON | st.lists(JSON, max_size=3))
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_json_makes_decoding_fail_or_lose_anything(body: dict[str, Any]) -> None:
    """A body of any shape is a request; what is not as documented is carried along."""
    made = json.loads(encode_request(without_raw(request_of(body))))
    assert {"messages": []} | made == {"messages": []} | body


def test_what_a_request_says_is_in_its_fields() -> None:
    """Roles, parts, tools, results and reasoning, as plugins see them."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"}}
    audio = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "g", "arguments": "{"}}
    request = request_of(
        {
            "model": "m",
            "messages": [
                {"role": "developer", "content": "rules"},
                {"role": "user", "content": [{"type": "text", "text": "see"}, picture, audio]},
                {"role": "assistant", "content": None, "reasoning": "hm", "tool_calls": [call], "refusal": "no"},
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
                legacy,
                {"role": "function", "name": "g", "content": "1"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"a": 1}}}],
            "temperature": 0,
        }
    )
    assert (request.model, request.stream, dict(request.params)) == ("m", False, {"temperature": 0})
    blocks = [message.blocks for message in request.messages]
    assert blocks[0] == (Text("rules"),)
    assert [type(block) for block in blocks[1]] == [Text, Image, Opaque]
    assert blocks[1][1] == Image(
        data="QQ==", media_type="image/png", extra={"type": "image_url", "image_url": {"detail": "low"}}
    )
    assert [type(block) for block in blocks[2]] == [Reasoning, RefusalText, ToolCall]
    assert blocks[3] == (ToolResult("c1", (Text("42"),)),)
    assert blocks[4][0].id == blocks[5][0].call_id == "g"
    assert (request.tools[0].name, request.tools[0].description, request.tools[0].parameters) == ("f", "d", {"a": 1})


def test_a_changed_message_is_written_anew_and_the_others_stay() -> None:
    """The old text is nowhere in the new body."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "secret", "name": "bob"}, {"role": "user", "content": "b"}],
    }
    request = request_of(body)
    message = evolve(request.messages[0], blocks=(Text("[redacted]"),))
    changed = evolve(request, messages=(message, *request.messages[1:]))
    assert json.loads(encode_request(changed)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "[redacted]", "name": "bob"}, {"role": "user", "content": "b"}],
    }


def test_redacted_reasoning_survives_in_no_copy() -> None:
    """Some providers send the reasoning under two names and once more in its details."""
    told = {"reasoning": "secret", "reasoning_content": "secret", "reasoning_details": [{"text": "secret"}]}
    request = request_of({"messages": [{"role": "assistant", "content": "a", **told}]})
    blocks = tuple(Reasoning("***") if isinstance(b, Reasoning) else b for b in request.messages[0].blocks)
    changed = evolve(request, messages=(evolve(request.messages[0], blocks=blocks),))
    assert json.loads(encode_request(changed))["messages"] == [
        {"role": "assistant", "content": "a", "reasoning": "***", "reasoning_content": "***"}
    ]


def test_several_tool_results_become_messages_of_their_own() -> None:
    """A turn as Anthropic has it can be written for this API."""
    turn = Message("user", (ToolResult("a", (Text("1"),)), ToolResult("b", (Text("2"),)), Text("go on")))
    assert json.loads(encode_request(Request(api="openai.chat", model="m", messages=(turn,))))["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "user", "content": "go on"},
    ]


@pytest.mark.parametrize("raw", [b"", b"not json", b"[1]", b"\xff", b"{" * 100_000])
def test_a_body_that_is_no_json_object_is_carried(raw: bytes) -> None:
    """It gives empty fields, and its bytes stay even when a header is changed."""
    request = evolve(request_of(raw), headers=Headers({"a": "b"}))
    assert (request.model, request.messages, dict(request.params)) == ("", (), {})
    assert encode_request(request) == raw


def test_an_encoded_body_is_not_read() -> None:
    """Whatever a gzip body is, it is not JSON."""
    request = decode_request("POST", URL, "", Headers({"Content-Encoding": "gzip"}), b'{"model": "m"}')
    assert request.model == ""
    assert encode_request(request) == b'{"model": "m"}'


def test_a_big_integer_in_a_request_keeps_its_digits() -> None:
    """Also when the body is encoded anew."""
    request = request_of(b'{"model": "m", "messages": [], "seed": 123456789012345678901234567890}')
    changed = evolve(request, model="n")
    assert b'"seed":123456789012345678901234567890' in encode_request(changed)


# --- answers ----------------------------------------------------------------------------------------------------------

USAGES = st.one_of(
    st.none(),
    st.builds(
        lambda i, o, c, r: {
            "prompt_tokens": i,
            "completion_tokens": o,
            "total_tokens": i + o,
            "prompt_tokens_details": {"cached_tokens": c, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": r},
        },
        *[st.integers(0, 5)] * 4,
    ),
    st.just({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9, "prompt_cache_hit_tokens": 2, "cost": 0.1}),
    st.just({"prompt_tokens": 3, "total_tokens": 3}),
)
CHOICES = shape(
    index=st.integers(0, 3),
    message=MESSAGES,
    finish_reason=st.sampled_from(["stop", "length", "tool_calls", "content_filter", None]),
    logprobs=st.none(),
)
RESPONSES = shape(
    id=TEXTS,
    object=st.just("chat.completion"),
    created=st.integers(),
    model=TEXTS,
    choices=st.lists(CHOICES, max_size=3),
    usage=USAGES,
)


@given(RESPONSES)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_an_answer_made_again_from_its_fields_is_the_same_json(body: dict[str, Any]) -> None:
    """All choices, their finish reasons and filter results, usage in any provider's shape."""
    response = response_of(body)
    assert encode_response(response) == json.dumps(body).encode()
    bare = without_raw(response)
    assert json.loads(encode_response(evolve(bare, params=dict(bare.params)))) == body


@given(st.dictionaries(st.sampled_from(["choices", "usage", "object"]), JSON | st.lists(JSON, max_size=3), min_size=1))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_json_answer_makes_decoding_fail_or_lose_anything(body: dict[str, Any]) -> None:
    """An answer of any shape passes."""
    bare = without_raw(response_of(body))
    assert json.loads(encode_response(evolve(bare, params={**bare.params, "x": 1}))) == {**body, "x": 1}


def test_what_an_answer_says_is_in_its_fields() -> None:
    """The first choice is the message, the others are beside it, usage is counted."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    details = {"prompt_tokens_details": {"cached_tokens": 5}, "completion_tokens_details": {"reasoning_tokens": 2}}
    choices = [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A", "reasoning_content": "r"},
            "finish_reason": "stop",
        },
        {"index": 1, "message": {"role": "assistant", "content": "B"}, "finish_reason": "length"},
    ]
    response = response_of({"id": "i", "model": "m", "choices": choices, "usage": usage | details})
    assert (response.text, response.message.reasoning, response.finish_reason) == ("A", "r", "stop")
    assert (response.id, response.model, response.complete) == ("i", "m", False)
    assert [(choice.message.text, choice.finish_reason) for choice in response.more] == [("B", "length")]
    assert response.usage is not None
    assert attrs.asdict(response.usage, filter=lambda field, _: field.name != "extra") == attrs.asdict(
        Usage(7, 3, cache_read=5, reasoning=2), filter=lambda field, _: field.name != "extra"
    )


def test_logprobs_do_not_tell_what_was_redacted() -> None:
    """Tokens that spell another text than the answer's are dropped with it."""
    logprobs = {"content": [{"token": "sec", "bytes": [115, 101, 99]}, {"token": "ret"}]}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "secret"},
        "logprobs": logprobs,
        "finish_reason": "stop",
    }
    response = response_of({"id": "i", "object": "chat.completion", "choices": [choice]})
    same = evolve(response, message=evolve(response.message, extra={"x": 1}))
    assert json.loads(encode_response(same))["choices"][0]["logprobs"] == logprobs
    redacted = encode_response(evolve(response, message=evolve(response.message, blocks=(Text("***"),))))
    assert b"sec" not in redacted
    assert json.loads(redacted)["choices"][0]["logprobs"] is None


def test_an_answer_that_a_plugin_made_is_one_the_sdk_reads() -> None:
    """From nothing but a message."""
    body = json.loads(encode_response(Response(api="openai.chat", message=Message("assistant", (Text("hi"),)))))
    parsed = ChatCompletion.model_validate(body)
    assert (parsed.choices[0].message.content, parsed.choices[0].finish_reason) == ("hi", "stop")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "overloaded"}},
        {"error": "overloaded"},
        {"object": "error", "message": "x", "code": 400},
        {"type": "error", "error": {"type": "overloaded_error"}},
        {"success": False, "errors": [{"code": 7}]},
        {"choices": [{"error": {"code": 502}, "finish_reason": "error"}]},
    ],
)
def test_an_error_inside_a_good_status_is_seen(body: dict[str, Any]) -> None:
    """As bytes or as what was parsed."""
    assert carries_error(API, json.dumps(body).encode())
    assert carries_error(API, body)


@pytest.mark.parametrize("body", [b'{"error": null, "choices": []}', b"[]", b"error", b'{"choices": []}', b""])
def test_a_good_answer_is_no_error(body: bytes) -> None:
    """Responses answers say ``"error": null``, and what is not JSON is not judged here."""
    assert not carries_error(API, body)


def test_an_error_body_is_one_the_sdk_reads() -> None:
    """Message, type and code are where an SDK looks."""
    error = API.error_body(429, "quota", "not today")["error"]
    assert (error["message"], error["code"], error["type"]) == ("not today", "quota", "rate_limit_error")


# --- streams ----------------------------------------------------------------------------------------------------------

ENVELOPE = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event(*choices: dict[str, Any], **top: Any) -> bytes:
    return b"data: " + json.dumps({**ENVELOPE, "choices": list(choices), **top}).encode() + b"\n\n"


def delta(index: int = 0, finish_reason: str | None = None, /, **fields: Any) -> dict[str, Any]:
    return {"index": index, "delta": fields, "logprobs": None, "finish_reason": finish_reason}


def call(index: int | None, call_id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    """One element of a delta's tool_calls; None leaves the field out."""
    item: dict[str, Any] = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    if name is None:
        del item["function"]["name"]
    return {field: value for field, value in item.items() if value is not None}


def read(*parts: bytes) -> list[StreamEvent]:
    decoder = StreamDecoder(API)
    return [got for part in parts for got in decoder.feed(part)] + decoder.finish()


def chunks(*parts: bytes) -> list[Chunk]:
    return [chunk for got in read(*parts) for chunk in got.chunks]


def brief(*parts: bytes) -> list[tuple[Any, ...]]:
    return [(chunk.kind, chunk.block, chunk.finish_reason or chunk.name or chunk.delta) for chunk in chunks(*parts)]


DONE = b"data: [DONE]\n\n"


def test_a_stream_is_read_as_its_steps() -> None:
    """Each kind of content is a block of its own and ends before what follows it."""
    assert brief(
        event(delta(role="assistant", content="")),
        event(delta(reasoning_content="hm")),
        event(delta(content="a")),
        event(delta(content="b")),
        event(delta(tool_calls=[call(0, "x", "f")])),
        event(delta(tool_calls=[call(0, arguments="{}")])),
        event(delta(tool_calls=[call(1, "y", "g", "{}")])),
        event(delta(0, "tool_calls")),
        DONE,
    ) == [
        ("start", 0, ""),
        ("reasoning", 0, "hm"),
        ("stop", 0, ""),
        ("text", 1, "a"),
        ("text", 1, "b"),
        ("stop", 1, ""),
        ("tool_call", 2, "f"),
        ("tool_call", 2, "{}"),
        ("stop", 2, ""),
        ("tool_call", 3, "g"),
        ("stop", 3, ""),
        ("finish", 3, "tool_calls"),
        ("done", 0, ""),
    ]


def calls(*events: bytes) -> list[tuple[str | None, str | None, str]]:
    """The tool calls of a stream, put together by block as the assembly does."""
    found: dict[int, list[Any]] = {}
    for chunk in chunks(*events):
        if chunk.kind == "tool_call":
            one = found.setdefault(chunk.block, [None, None, ""])
            one[0], one[1], one[2] = one[0] or chunk.id, one[1] or chunk.name, one[2] + chunk.delta
    return [tuple(one) for one in found.values()]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([[call(0, "a", "f", '{"x"')], [call(0, arguments=":1}")], [call(1, "b", "g", "{}")]], id="OpenAI"),
        pytest.param([[call(0, "a", "f", '{"x"')], [call(0, "a", "f", ":1}")], [call(1, "b", "g", "{}")]], id="again"),
        pytest.param([[call(0, "a", "f", '{"x":1}'), call(1, "b", "g", "{}")]], id="both in one event"),
        pytest.param([[call(None, "a", "f", '{"x":1}'), call(None, "b", "g", "{}")]], id="no index"),
        pytest.param([[call(None, "a", "f", '{"x"')], [call(None, arguments=":1}")], [call(None, "b", "g", "{}")]],
                     id="no index, in pieces"),
        pytest.param([[call(0, "a", "f", '{"x":1}')], [call(0, "b", "g", "{}")]], id="all calls numbered 0"),
        pytest.param([[call(0, "a", "f", '{"x"')], [call(1, "b", "g", "{}")], [call(0, arguments=":1}")]], id="turns"),
        pytest.param([[call(0, "a")], [call(0, None, "f", '{"x":1}')], [call(1, "b", "g", "{}")]], id="name after id"),
    ],
)  # fmt: skip
def test_tool_calls_are_told_apart(pieces: list[list[dict[str, Any]]]) -> None:
    """Whichever way a provider numbers, repeats and cuts them."""
    events = [event(delta(tool_calls=piece)) for piece in pieces]
    assert calls(*events) == [("a", "f", '{"x":1}'), ("b", "g", "{}")]


def test_calls_of_one_function_without_ids_are_told_apart_by_whole_arguments() -> None:
    """Some compatible servers give parallel calls no id and one number."""
    events = [event(delta(tool_calls=[call(0, "", "f", arguments)])) for arguments in ('{"a":1}', '{"a":2}')]
    assert calls(*events) == [(None, "f", '{"a":1}'), (None, "f", '{"a":2}')]


def test_arguments_may_come_as_an_object() -> None:
    """They are the text they should have been."""
    item = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}
    assert calls(event(delta(tool_calls=[item]))) == [("a", "f", '{"x":1}')]


def test_legacy_function_calls_and_custom_tools_are_tool_calls() -> None:
    """The one has no id, the other's text is not JSON."""
    legacy = [
        event(delta(function_call={"name": "f", "arguments": ""})),
        event(delta(function_call={"arguments": "{}"})),
    ]
    assert calls(*legacy) == [("f", "f", "{}")]
    custom = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "g", "input": "free text"}}
    assert calls(event(delta(tool_calls=[custom]))) == [("a", "g", "free text")]


def test_mistral_content_lists_are_read() -> None:
    """Thinking and text come as parts."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    assert brief(event(delta(content=[thought, {"type": "text", "text": "so"}]))) == [
        ("reasoning", 0, "hm"),
        ("stop", 0, ""),
        ("text", 1, "so"),
    ]


def test_the_same_reasoning_under_two_names_is_read_once() -> None:
    """Some gateways translate and keep the original."""
    assert brief(event(delta(reasoning="hm", reasoning_content="hm"))) == [("reasoning", 0, "hm")]


def test_text_and_finish_in_one_event_are_two_chunks_and_one_event() -> None:
    """The text's block ends between them; the bytes belong to both, so to the event."""
    raw = event(delta(0, "stop", content="all"), usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    (got,) = read(raw)
    assert [(chunk.kind, chunk.raw, chunk.usage is not None) for chunk in got.chunks] == [
        ("text", None, False),
        ("stop", None, False),
        ("finish", None, True),
    ]
    assert got.raw == raw


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b": keep-alive\n\n", "ping"),
        (b"data:\n\n", "ping"),
        (b"event: ping\ndata: {}\n\n", "ping"),
        (event(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}), "usage"),
        (b'data: {"usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}\n\n', "usage"),
        (event(prompt_filter_results=[]), "other"),
        (b'data: {"id": "x", "choices": null}\n\n', "other"),
        (event({"index": 0, "delta": None}), "other"),
        (event(delta(0, "")), "other"),
        (event(error={"message": "x"}), "error"),
        (b'data: {"error": "boom"}\n\n', "error"),
        (b'data: {"object": "error", "message": "x", "code": 500}\n\n', "error"),
        (b"event: error\ndata: Internal Server Error\n\n", "error"),
        (b'event: error\ndata: {"message": "x"}\n\n', "error"),
        (event(delta(0, "error")), "error"),
        (event({"index": 0, "delta": {}, "error": {"code": 502}}), "error"),
        (b'{"error": {"message": "no stream at all"}}', "error"),
    ],
)
def test_events_without_content_are_what_they_are(raw: bytes, kind: str) -> None:
    """Pings, usage, filter results, the many shapes of an error; none of them opens a block."""
    got = chunks(raw)
    assert got[0].kind == kind
    assert not any(chunk.content or chunk.kind == "stop" for chunk in got)


def test_usage_is_found_where_groq_and_moonshot_put_it() -> None:
    """Inside ``x_groq`` and inside the choice."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    for raw in (event(delta(0, "stop"), x_groq={"usage": usage}), event({**delta(0, "stop"), "usage": usage})):
        assert [chunk.usage.total for chunk in chunks(raw) if chunk.usage is not None] == [7]


def test_an_error_event_keeps_its_json_and_ends_completeness() -> None:
    """``[DONE]`` after an error does not make the answer whole."""
    decoder = StreamDecoder(API)
    got = decoder.feed(event(delta(0, "error"), error={"code": 502}) + DONE)
    assert got[0].chunks[0].extra["error"] == {"code": 502}
    assert got[0].chunks[0].finish_reason == "error"
    assert not decoder.complete


@pytest.mark.parametrize(
    ("parts", "complete"),
    [
        ([DONE], True),
        ([event(delta(content="a")), DONE], True),
        ([event(delta(0, "stop"))], True),
        ([event(delta(0, "stop"), delta(1, content="b"))], False),
        ([event(delta(0, "stop"), delta(1, "stop"))], True),
        ([event(usage={"prompt_tokens": 1})], False),
        ([], False),
    ],
)
def test_a_stream_is_complete_with_done_or_when_every_choice_finished(parts: list[bytes], complete: bool) -> None:
    """Compatible servers leave out the one or the other."""
    decoder = StreamDecoder(API)
    for part in parts:
        decoder.feed(part)
    assert decoder.complete is complete


@pytest.mark.parametrize("bad", [b'data: {"choices":[{"ind\n\n', b"data: 17\n\n", b"data: hello\n\n"])
def test_a_corrupt_event_is_an_error_after_what_came_before_it(bad: bytes) -> None:
    """It is neither skipped nor does it take the good events with it."""
    decoder = StreamDecoder(API)
    assert [got.chunks[0].delta for got in decoder.feed(event(delta(content="a")) + bad + DONE)] == ["a"]
    assert isinstance(decoder.failure, CorruptEvent)
    assert (decoder.complete, decoder.rest) == (False, bad + DONE)
    with pytest.raises(CorruptEvent):
        decoder.finish()


@pytest.mark.parametrize(
    "body", [b"<html><body>502</body></html>", b"\n <!doctype html>", b'{"id": "whole answer"}', b"[1"]
)
def test_a_body_that_is_no_stream_is_an_error(body: bytes) -> None:
    """An HTML page of a proxy, or plain JSON; its bytes are kept for the classifier."""
    for parts in ([body], [body[at : at + 1] for at in range(len(body))]):
        decoder = StreamDecoder(API)
        with pytest.raises(CorruptEvent, match="where the provider announced a stream"):
            _ = [decoder.feed(part) for part in parts], decoder.finish()
        assert body.endswith(decoder.rest)
        assert decoder.rest.strip() == body.strip()


def test_bytes_after_the_last_event_come_out_at_the_end() -> None:
    """Nothing of the input is lost, cut off or not."""
    got = read(event(delta(content="a")), b"data: {")
    assert [(one.raw, one.chunks[0].kind) for one in got][-1] == (b"data: {", "other")


CHOICE_DELTAS = st.one_of(
    st.builds(lambda i, t: delta(i, content=t), st.integers(0, 1), TEXTS),
    st.builds(lambda i, t: delta(i, reasoning_content=t), st.integers(0, 1), TEXTS),
    st.builds(lambda i, t: delta(i, reasoning=t, x_new=1), st.integers(0, 1), TEXTS),
    st.builds(lambda t: delta(refusal=t), TEXTS),
    st.builds(lambda n, t: delta(tool_calls=[call(n, f"id{n}", "f", t)]), st.integers(0, 2), TEXTS),
    st.builds(lambda n, t: delta(tool_calls=[call(n, arguments=t)]), st.integers(0, 2), TEXTS),
    st.builds(lambda r: delta(0, r), st.sampled_from(["stop", "length"])),
    st.just(delta(role="assistant", content="")),
    st.builds(lambda t: {**delta(content=t), "content_filter_results": {"hate": False}}, TEXTS),
)
EVENTS = st.one_of(
    st.lists(CHOICE_DELTAS, min_size=1, max_size=2).map(lambda choices: event(*choices)),
    CHOICE_DELTAS.map(lambda choice: event(choice, system_fingerprint="fp", x_top={"y": 1})),
    st.sampled_from([b": ping\n\n", b"data:\r\n\r\n", event(prompt_filter_results=[1])]),
    st.just(event(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})),
)
STREAMS = st.lists(EVENTS, max_size=8).map(lambda events: [*events, DONE])


@given(STREAMS, st.lists(st.integers(0, 3000), max_size=6))
def test_chunks_and_bytes_do_not_depend_on_the_cuts(events: list[bytes], cuts: list[int]) -> None:
    """The same events with the same chunks, whose bytes joined are the input."""
    stream = b"".join(events)
    marks = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole = read(stream)
    assert read(*(stream[a:b] for a, b in pairwise(marks))) == whole
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == whole
    assert b"".join(got.raw for got in whole) == stream


@given(STREAMS)
def test_untouched_chunks_are_written_as_they_came(events: list[bytes]) -> None:
    """An event that says one thing is that chunk's own bytes; stops have none."""
    writer = API.writer()
    for got in read(*events):
        written = [writer.write(chunk) for chunk in got.chunks]
        if sum(chunk.kind != "stop" for chunk in got.chunks) == 1:
            assert b"".join(written) == got.raw


@given(STREAMS)
def test_chunks_written_anew_say_what_they_said(events: list[bytes]) -> None:
    """Without their bytes: the same kinds, texts, ids, numbers and unknown fields."""
    writer = API.writer()
    before = chunks(*events)
    after = chunks(*(writer.write(evolve(chunk)) for chunk in before))
    assert list(said(after)) == list(said(before))


def said(read_chunks: list[Chunk]) -> Iterator[tuple[Any, ...]]:
    for c in read_chunks:
        if c.kind != "ping":
            extra = {name: value for name, value in c.extra.items() if name != "response" or c.kind != "done"}
            yield c.kind, c.delta, c.block, c.choice, c.id, c.name, c.finish_reason, c.usage, extra


@given(CHOICE_DELTAS)
def test_a_single_event_written_anew_is_the_same_json(choice: dict[str, Any]) -> None:
    """Unknown fields of the event, the choice and the delta included."""
    raw = event(choice, x_top=[1], usage=None)
    (got,) = read(raw)
    assert json.loads(API.writer().write(evolve(got.chunks[-1]))[6:]) == json.loads(raw[6:])


def test_chunks_that_a_plugin_made_get_the_stream_s_envelope() -> None:
    """The SDK reads them as part of the same answer, tool pieces go to their call."""
    writer = API.writer()
    for chunk in chunks(event(delta(content="a")), event(delta(tool_calls=[call(3, "x", "f")]))):
        writer.write(chunk)
    text = json.loads(writer.write(Chunk("text", "held", block=0))[6:])
    assert ChatCompletionChunk.model_validate(text).choices[0].delta.content == "held"
    assert text["id"] == "c1"
    piece = json.loads(writer.write(Chunk("tool_call", "}", block=1))[6:])
    assert piece["choices"][0]["delta"]["tool_calls"] == [{"index": 3, "function": {"arguments": "}"}}]


def test_a_plugin_s_chunks_are_events_even_when_nothing_came_before() -> None:
    """There is an envelope to fall back on."""
    parsed = ChatCompletionChunk.model_validate(json.loads(API.writer().write(Chunk("text", "a"))[6:]))
    assert parsed.choices[0].delta.content == "a"


def test_a_redacted_chunk_leaks_neither_by_logprobs_nor_by_copies() -> None:
    """What speaks of the old text goes with it."""
    spelt = {**delta(content="secret"), "logprobs": {"content": [{"token": "secret"}]}}
    thought = delta(reasoning="secret", reasoning_content="secret", reasoning_details=[{"text": "secret"}])
    for choice in (spelt, thought):
        (chunk,) = chunks(event(choice))
        assert b"secret" not in API.writer().write(evolve(chunk, delta="***"))


def test_host_chunks_have_no_bytes() -> None:
    """Stop and end are for plugins only."""
    assert [API.writer().write(Chunk(kind)) for kind in ("stop", "end")] == [b"", b""]
