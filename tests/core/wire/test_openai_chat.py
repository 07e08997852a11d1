"""OpenAI chat bodies and streams become the contract's values and come back as they were."""

from __future__ import annotations

import json
import pickle
from typing import Any

import attrs
import pytest
from clippy_hookspecs import (
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
from clippy_hookspecs.stored import undecoded_entry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from clippy_core.wire import (
    APIS,
    KeptBody,
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


def test_a_decoded_request_pickles_with_its_body() -> None:
    """Requests travel to worker processes inside errors and records."""
    request = request_of({"model": "m", "messages": [{"role": "user", "content": "a"}], "stream": False})
    assert request.model == "m"
    again = pickle.loads(pickle.dumps(evolve(request, headers=Headers())))
    assert json.loads(encode_request(evolve(again, model="n")))["stream"] is False


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
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        {"choices": None, "error_type": "BadRequestError", "error_message": "maximum context length"},
    ],
)
def test_an_error_inside_a_good_status_is_seen(body: dict[str, Any]) -> None:
    """As bytes or as what was parsed."""
    assert carries_error(API, json.dumps(body).encode())
    assert carries_error(API, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": null, "choices": []}',
        b"[]",
        b"error",
        b'{"choices": []}',
        b"",
        b'{"base_resp": {"status_code": 0}}',
        *(b'{"error_message": "none", "%s": [{}]}' % name for name in (b"choices", b"content", b"output", b"data")),
        b'{"error_message": "none", "results": [{"flagged": false}]}',
        b'{"error_message": null, "error_code": 0}',
    ],
)
def test_a_good_answer_is_no_error(body: bytes) -> None:
    """Responses answers say ``"error": null``, and what is not JSON is not judged here."""
    assert not carries_error(API, body)


@given(st.integers(0, 400), st.text(st.characters(exclude_characters="}")))
def test_an_answer_that_breaks_off_is_a_failure(cut: int, text: str) -> None:
    """Wherever it is cut; a whole one is none."""
    body = json.dumps({"id": "1", "choices": [{"message": {"content": text}}], "usage": {"total_tokens": 3}})
    whole = body.encode()
    assert not carries_error(API, whole + b"\n")
    part = whole[: cut % len(whole)]
    assert carries_error(API, part) == (part != b"")


@pytest.mark.parametrize("text", ["{", "}", "{{{", "}{", '{"error": ', "\\"])
def test_braces_in_an_answers_text_do_no_harm(text: str) -> None:
    """Where they do not pair the body is read."""
    assert not carries_error(API, json.dumps({"choices": [{"message": {"content": text}}]}).encode())


def test_a_field_of_a_stored_answer_is_read_without_the_others() -> None:
    """Most hits are only asked for their text."""
    body = b'{"id": "1", "choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}'
    response = undecoded_entry(body, "openai.chat", 200, Headers(), (), 0.0, None, (), "").response
    assert (response.text, response.finish_reason) == ("Hi", "stop")
    assert not response.decoded
    assert (response.params["choices"], response.id) == ([{"message": {}}], "1")
    assert response.decoded


def test_an_error_body_is_one_the_sdk_reads() -> None:
    """Message, type and code are where an SDK looks."""
    error = API.error_body(429, "quota", "not today")["error"]
    assert (error["message"], error["code"], error["type"]) == ("not today", "quota", "rate_limit_error")
