"""Streams become whole answers, whole answers become streams, in all wire APIs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import anthropic.types
import httpx2
import openai
import openai.types.responses
import pytest
from clippy_hookspecs import (
    CacheEntry,
    Chunk,
    Headers,
    Message,
    Reasoning,
    Request,
    Response,
    Text,
    dump_entry,
    evolve,
    load_entry,
)
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from clippy_core.wire import APIS, StreamDecoder, decode_response, encode_response, in_wire_form
from clippy_core.wire.assemble import Assembler, assemble_stream, replay

CHAT = APIS["openai.chat"]
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "prompt_tokens_details": {"cached_tokens": 2}}


def event(body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def piece(delta: Any, finish_reason: str | None = None, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason, **more}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def response_of(api: str, body: Any) -> Response:
    return decode_response(APIS[api], 200, Headers(), json.dumps(body).encode())


def asking(usage: bool) -> Request:
    return Request(api="openai.chat", stream=True, params={"stream_options": {"include_usage": usage}})


def body_of(response: Response) -> Any:
    return json.loads(encode_response(response))


# --- whole answers ----------------------------------------------------------------------------------------------------

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 12345678901234567890}'}}
CITED = {"url": "u", "title": "t", "start_index": 0, "end_index": 1}
ANSWERS: dict[str, Any] = {
    "openai.chat": {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "hello world, this is an answer of some length",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "annotations": [{"type": "url_citation", "url_citation": CITED}],
                    "tool_calls": [CALL, {**CALL, "id": "b"}],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            },
            {
                "index": 1,
                "message": {"role": "assistant", "content": None, "refusal": "no"},
                "logprobs": None,
                "finish_reason": "stop",
            },
        ],
        "usage": USAGE,
        "service_tier": "default",
    },
    "anthropic.messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
            {"type": "text", "text": "hello"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 4},
    },
    "openai.responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "output": [
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
            {
                "type": "message",
                "id": "m1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "hello", "annotations": []}],
            },
            {
                "type": "function_call",
                "id": "fc",
                "call_id": "a",
                "name": "f",
                "arguments": "{}",
                "status": "completed",
            },
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 13,
        },
    },
}
SDK_TYPES: dict[str, Any] = {
    "openai.chat": ChatCompletion,
    "anthropic.messages": anthropic.types.Message,
    "openai.responses": openai.types.responses.Response,
}


@pytest.mark.parametrize("api", ANSWERS)
def test_an_answer_split_into_events_comes_together_again(api: str) -> None:
    """Nothing of the answer is lost on the way through a stream, and the SDK reads both ends."""
    answer = ANSWERS[api]
    events = APIS[api].split(response_of(api, answer), evolve(asking(True), api=api))
    result = assemble_stream(APIS[api], events)
    assert result.complete
    assert body_of(result.response) == answer
    SDK_TYPES[api].model_validate(body_of(result.response))


@pytest.mark.parametrize("api", ANSWERS)
def test_an_answer_changed_on_the_way_is_assembled_as_it_was_changed(api: str) -> None:
    """What a plugin took out of the chunks comes back by no other field of the answer."""
    events = APIS[api].split(response_of(api, ANSWERS[api]), evolve(asking(False), api=api))
    decoder, assembler = StreamDecoder(APIS[api]), Assembler(APIS[api])
    for got in decoder.feed(b"".join(events)):
        for chunk in got.chunks:
            assembler.add(evolve(chunk, delta=chunk.delta.replace("hello", "*****")) if chunk.kind == "text" else chunk)
    assert assembler.response().text.startswith("*****")
    assert b"hello" not in encode_response(assembler.response())


TEXTS = st.text(max_size=80)
CALLS = st.builds(
    lambda name, text: {**CALL, "function": {"name": name, "arguments": text}}, st.text(min_size=1), TEXTS
)


@given(TEXTS, TEXTS, st.lists(CALLS, max_size=3), st.sampled_from(["stop", "length"]), st.booleans())
def test_any_chat_answer_survives_being_streamed(
    text: str, reasoning: str, calls: list[Any], finish_reason: str, usage: bool
) -> None:
    """Content is cut into pieces without losing or changing a character."""
    calls = [{**call, "id": f"c{number}"} for number, call in enumerate(calls)]
    message = {"role": "assistant", "content": text, "reasoning": reasoning, **({"tool_calls": calls} if calls else {})}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}
    events = CHAT.split(response_of("openai.chat", body), asking(usage))
    result = assemble_stream(CHAT, events)
    assert (result.text, result.reasoning, result.finish_reason) == (text, reasoning, finish_reason)
    assert [(c.id, c.name, c.arguments) for c in result.tool_calls] == [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls
    ]
    assert (result.usage is not None) is usage
    assert events[-1] == DONE


def test_logprobs_go_with_their_tokens_and_come_together_again() -> None:
    """One event for each token, as OpenAI sends them."""
    tokens = [{"token": token, "logprob": -0.1, "bytes": list(token.encode())} for token in ("Hel", "lo")]
    logprobs = {"content": tokens, "refusal": None}
    message = {"role": "assistant", "content": "Hello"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": logprobs}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    assert body_of(assemble_stream(CHAT, CHAT.split(response_of("openai.chat", body), asking(False))).response) == body


def test_a_legacy_completion_survives_being_streamed() -> None:
    """Text without a message, in events without deltas."""
    choice = {"index": 0, "text": "once upon a time, " * 5, "logprobs": None, "finish_reason": "length"}
    body = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}
    events = CHAT.split(response_of("openai.chat", body), asking(True))
    assert all(json.loads(e[6:])["object"] == "text_completion" for e in events[:-1])
    assert body_of(assemble_stream(CHAT, events).response) == body


# --- the official SDK -------------------------------------------------------------------------------------------------


def sdk(content: bytes, kind: str) -> openai.OpenAI:
    """The SDK on a transport that answers *content*."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": kind}, content=content)

    return openai.OpenAI(
        api_key="k", base_url="http://test/v1", http_client=httpx2.Client(transport=httpx2.MockTransport(answer))
    )


def test_the_sdk_reads_the_events_and_the_body() -> None:
    """Content, parallel calls, the second choice and usage arrive in its own objects."""
    response = response_of("openai.chat", ANSWERS["openai.chat"])
    events = CHAT.split(response, asking(True))
    prompt: Any = [{"role": "user", "content": "x"}]
    with sdk(b"".join(events), "text/event-stream").chat.completions.stream(model="m", messages=prompt) as stream:
        streamed = stream.get_final_completion()
    body = encode_response(assemble_stream(CHAT, events).response)
    whole = sdk(body, "application/json").chat.completions.create(model="m", messages=prompt)
    for completion in (streamed, whole):
        first, second = completion.choices
        assert first.message.content == "hello world, this is an answer of some length"
        assert [call.id for call in first.message.tool_calls or []] == ["a", "b"]
        assert (first.finish_reason, second.message.refusal) == ("tool_calls", "no")
        assert completion.usage is not None
        assert completion.usage.total_tokens == 8


# --- what becomes of a stream -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "kind", "retryable"),
    [
        ([piece({"role": "assistant", "content": ""})], "truncated", True),
        ([piece({"content": "a"})], "truncated", False),
        ([], "truncated", True),
        ([piece({"content": "a"}), b"data: {\n\n", piece({}, "stop"), DONE], "corrupt", False),
        ([b"<html>"], "corrupt", True),
        ([event({"error": {"message": "x"}}), DONE], "error_event", True),
        ([piece({"tool_calls": [{"index": 0, "id": "x", "function": {"name": "f"}}]})], "truncated", False),
        ([b"data: " + b"x" * 17_000_000], "corrupt", True),
    ],
)
def test_a_stream_that_did_not_arrive_whole_is_an_error(parts: list[bytes], kind: str, retryable: bool) -> None:
    """It can be sent again only while nothing of the answer has passed."""
    result = assemble_stream(CHAT, parts)
    assert result.error is not None
    assert (result.error.kind, result.error.retryable, result.complete) == (kind, retryable, False)
    assert result.committed is not retryable


def test_what_came_before_an_error_is_kept() -> None:
    """And nothing after it counts."""
    result = assemble_stream(CHAT, [piece({"content": "a"}) + b"data: {\n\n" + piece({"content": "b"}, "stop")])
    assert (result.text, result.finish_reason) == ("a", None)


def test_fields_without_a_place_in_the_contract_are_assembled_too() -> None:
    """Annotations, filter results and reasoning details of several events, the envelope of the last that has one."""
    details = [{"type": "reasoning.text", "index": 0, "text": text} for text in ("a", "b")]
    parts = [
        event({"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": [1]}),
        piece({"role": "assistant", "reasoning": "a", "reasoning_details": details[:1]}),
        piece({"reasoning": "b", "reasoning_details": details[1:]}, content_filter_results={"hate": 1}),
        piece({"content": "x", "annotations": [1]}, content_filter_results={"self_harm": 2}),
        piece({"annotations": [2]}, "stop"),
    ]
    body = body_of(assemble_stream(CHAT, parts).response)
    assert (body["id"], body["object"], body["prompt_filter_results"]) == ("c", "chat.completion", [1])
    (choice,) = body["choices"]
    assert choice["content_filter_results"] == {"hate": 1, "self_harm": 2}
    assert choice["message"]["annotations"] == [1, 2]
    assert choice["message"]["reasoning_details"] == [{"type": "reasoning.text", "index": 0, "text": "ab"}]
    assert (choice["message"]["reasoning"], choice["message"]["content"]) == ("ab", "x")


def test_pieces_of_calls_that_take_turns_come_together() -> None:
    """Each goes to the call of its block."""
    chunks = [
        Chunk("tool_call", '{"a"', block=0, id="x", name="f"),
        Chunk("tool_call", '{"b"', block=1, id="y", name="g"),
        Chunk("tool_call", ":1}", block=0),
        Chunk("tool_call", ":2}", block=1),
    ]
    assembler = Assembler(CHAT)
    for chunk in chunks:
        assembler.add(chunk)
    calls = assembler.response().message.tool_calls
    assert [(c.id, c.name, c.arguments) for c in calls] == [("x", "f", '{"a":1}'), ("y", "g", '{"b":2}')]


def test_text_that_a_plugin_put_into_a_block_of_another_kind_is_not_lost() -> None:
    """A block has one kind; the other becomes a block beside it."""
    assembler = Assembler(CHAT)
    for chunk in (Chunk("reasoning", "hm", block=0), Chunk("text", "a", block=0), Chunk("reasoning", "!", block=0)):
        assembler.add(chunk)
    assert assembler.response().message.blocks == (Reasoning("hm!"), Text("a"))


def test_halves_of_a_character_in_two_events_are_one_character() -> None:
    """Gateways that count in UTF-16 cut there; a half that stays alone is kept."""
    parts = [
        b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % half for half in (b"\\ud83d", b"\\ude00", b"\\ud83d")
    ]
    assert assemble_stream(CHAT, [*parts, DONE]).text == "\U0001f600\ud83d"


@pytest.mark.parametrize("after", [b"data: garbage\n\n", event({"error": {"message": "late"}}), b"<html>", b"data: {"])
def test_nothing_after_the_terminal_event_counts(after: bytes) -> None:
    """SDKs stop reading there."""
    result = assemble_stream(CHAT, [piece({"content": "a"}) + DONE + after])
    assert (result.text, result.complete) == ("a", True)


def test_an_answer_of_nothing_is_an_answer() -> None:
    """Asked before anything came."""
    assert Assembler(CHAT).response().message == Message("assistant")


def test_usage_is_the_last_report_and_keeps_what_only_an_earlier_one_said() -> None:
    """Anthropic says the input first and the output last; vLLM counts up in every event."""
    usages = [{"prompt_tokens": 5, "completion_tokens": count, "total_tokens": 5 + count} for count in (1, 2)]
    parts = [event({"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": usage}) for usage in usages]
    usage = assemble_stream(CHAT, [*parts, DONE]).usage
    assert usage is not None
    assert (usage.input, usage.output) == (5, 2)


# --- stored answers ---------------------------------------------------------------------------------------------------


def stored(parts: Iterable[bytes], keep_events: bool = True) -> CacheEntry:
    """What a cache gives back after it was written and read."""
    events = tuple(parts)
    entry = CacheEntry(in_wire_form(assemble_stream(CHAT, events).response), events if keep_events else ())
    return load_entry(dump_entry(entry))


WITHOUT_USAGE = (piece({"role": "assistant", "content": ""}), piece({"content": "a"}), piece({}, "stop"), DONE)
USAGE_CHUNK = event(
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": USAGE}
)
WITH_USAGE = (*WITHOUT_USAGE[:-1], USAGE_CHUNK, DONE)


def test_a_stored_stream_is_replayed_in_the_provider_s_own_bytes() -> None:
    """If the caller asks for what the first one asked for."""
    assert replay(stored(WITHOUT_USAGE), asking(False)) == WITHOUT_USAGE
    assert replay(stored(WITH_USAGE), asking(True)) == WITH_USAGE


def test_the_usage_chunk_is_there_if_and_only_if_the_caller_asked() -> None:
    """Whoever filled the cache; callers that did not ask index into choices."""
    assert replay(stored(WITH_USAGE), asking(False)) == WITHOUT_USAGE
    answer = response_of("openai.chat", {**body_of(assemble_stream(CHAT, WITHOUT_USAGE).response), "usage": USAGE})
    made = replay(CacheEntry(answer, WITHOUT_USAGE), asking(True))
    assert [json.loads(e[6:]) if e != DONE else e for e in made] == [
        json.loads(e[6:]) if e != DONE else e for e in WITH_USAGE
    ]


def test_usage_in_the_last_content_event_is_usage_too() -> None:
    """Many servers send no chunk of its own; it is not sent twice, and its event is never dropped."""
    last = event({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE})
    events = (piece({"content": "a"}), last, DONE)
    for usage in (True, False):
        assert replay(stored(events), asking(usage)) == events


def test_an_answer_stored_without_events_is_split() -> None:
    """One entry serves streaming callers and others."""
    result = assemble_stream(CHAT, replay(stored(WITH_USAGE, keep_events=False), asking(True)))
    assert (result.text, result.complete, result.usage is not None) == ("a", True, True)


def test_an_entry_of_an_unknown_api_cannot_be_streamed() -> None:
    """And the message says which are known."""
    with pytest.raises(ValueError, match=r"'other' cannot be streamed; known are \['anthropic.messages'"):
        replay(CacheEntry(Response(api="other")), asking(False))


@pytest.mark.parametrize(
    ("body", "category", "retryable"),
    [
        ({"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "x"}}, "permanent", False),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}, "rate_limit", True),
        ({"type": "error", "error": {"type": "authentication_error", "message": "x"}}, "auth", False),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "x"}}, "validation", False),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "transient", True),
        ({"error": {"type": "server_error", "message": "x"}}, "transient", True),
        ({"error": {"code": 429, "message": "x"}}, "rate_limit", True),
        ({"error": {"code": "401", "message": "x"}}, "auth", False),
        ({"error": {"code": 402, "message": "x"}, "choices": [{"index": 0, "delta": {}}]}, "permanent", False),
        ({"error": {"code": 502, "message": "x"}}, "transient", True),
        ({"object": "error", "type": "NotFoundError", "message": "x", "code": 404}, "permanent", False),
        ({"object": "error", "type": "BadRequestError", "message": "x"}, "validation", False),
        ({"error": {"type": "invalid_request_error", "code": "model_not_found", "message": "x"}}, "permanent", False),
    ],
)
def test_an_error_event_says_by_its_codes_what_it_is(body, category, retryable):
    """What can help is known without reading the message: by the names in it, else by the status that it names."""
    api = "anthropic.messages" if body.get("type") == "error" else "openai.chat"
    name = b"event: error\n" if api == "anthropic.messages" else b""
    error = assemble_stream(APIS[api], [name + b"data: " + json.dumps(body).encode() + b"\n\n"]).error
    assert (category, retryable) == (error.category, error.retryable)
