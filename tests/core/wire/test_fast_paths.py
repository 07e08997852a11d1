"""What is read quickly is what would be read slowly: for each quick way, any input through both."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from clippy_hookspecs import Chunk, Headers, Message, Request, RouteInfo, Scope, Text, Usage, evolve
from clippy_hookspecs.blocks import draft, maker
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from clippy_core import Host, jsonio
from clippy_core.chat_request import build_request
from clippy_core.keys import cache_keys, may_cache
from clippy_core.untouched import retouch
from clippy_core.wire import (
    APIS,
    CorruptEvent,
    KeptBody,
    SseDecoder,
    SseEvent,
    SseLimitError,
    StreamDecoder,
    anthropic_stream,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    openai_chat,
    openai_reader,
    parsed_body,
    responses_stream,
)
from clippy_core.wire.openai_blocks import message, messages_json
from clippy_core.wire.openai_usage import says_all, usage, usage_json

WORDS = st.text(max_size=6) | st.sampled_from(["word ", "é\u2028", "😀", "\ud83d", ""])
ODD = st.none() | st.booleans() | st.integers(-1, 2) | st.floats(0, 2) | WORDS | st.lists(WORDS, max_size=2)
ODD |= st.dictionaries(st.sampled_from(["name", "arguments", "content", "text"]), WORDS, max_size=2)


def shown(value: Any) -> str:
    """Everything of a value, also its bytes and the order of its fields."""
    if attrs.has(type(value)):
        fields = ", ".join(f"{field.name}={shown(getattr(value, field.name))}" for field in attrs.fields(type(value)))
        return f"{type(value).__name__}({fields})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {shown(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}[" + ", ".join(map(shown, value)) + "]"
    return repr(value)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [Chunk("text", "a"), Message("user", (Text("a"),)), Text("a"), Usage(1, 2)])
def test_a_finished_draft_is_a_value_like_any_other(made: Any) -> None:
    """Equal, frozen, of the class itself, and open to evolve."""
    finished = draft(type(made))()
    for field in attrs.fields(type(made)):
        setattr(finished, field.name, getattr(made, field.name))
    finished.__class__ = type(made)
    given = {one.name: getattr(made, one.name) for one in attrs.fields(type(made)) if one.init}
    same = maker(type(made))(**given)
    assert (type(same), shown(same)) == (type(made), shown(made))
    assert (type(finished), finished) == (type(made), made)
    assert shown(evolve(finished)) == shown(made)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        finished.extra = {}


# --- server-sent events -----------------------------------------------------------------------------------------------

_LINES = st.sampled_from(
    [b"data: a", b"data: {}", "data: é\u2028".encode(), b"data: \xff", b"data: " + b"x" * 20, b"data:  two", b"data:a",
     b"event: e", b"event: e\rdata: b", b"event: \xff", b"event: ", b"event:e", b"id: 1", b": c", b"x"]
)  # fmt: skip
_ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])
_SHAPES = st.tuples(st.lists(_LINES, min_size=1, max_size=3), _ENDS, _ENDS).map(
    lambda shape: shape[1].join(shape[0]) + shape[1] + shape[2]
)
_LABELS = st.sampled_from([b"", b"event: e\n", b"event: e\rid: 2\n", b"event: e\r\n", b"event: " + b"e" * 20 + b"\n"])
_USUAL = st.tuples(_LABELS, _LINES, st.sampled_from([b"\n\n", b"\n\n", b"\r\n\r\n"])).map(b"".join)
STREAMS = st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf", b"\n"]), st.lists(_USUAL | _SHAPES, max_size=8)).map(
    lambda stream: stream[0] + b"".join(stream[1])
)


def decoded(parts: list[bytes], **settings: Any) -> tuple[Any, ...]:
    decoder, got = SseDecoder(**settings), []
    failure = ""
    try:
        for part in parts:
            got += decoder.feed(part)
        got += decoder.finish()
    except SseLimitError as error:
        failure = str(error)
    return got, failure, failure or decoder.rest, decoder.last_event_id, decoder.retry


@given(STREAMS, st.booleans(), st.integers(1, 40))
def test_whole_events_are_what_they_are_byte_by_byte(stream: bytes, silent: bool, size: int) -> None:
    """No event is whole in one byte, so none of these is cut out at once."""
    slowly = decoded([stream[at : at + 1] for at in range(len(stream))], silent=silent)
    assert decoded([stream], silent=silent) == slowly
    assert decoded([stream[at : at + size] for at in range(0, len(stream), size)], silent=silent) == slowly


@settings(max_examples=80, deadline=None)
@given(STREAMS, st.integers(8, 30), st.integers(8, 60))
def test_the_limits_are_the_same_for_whole_events(stream: bytes, line: int, event: int) -> None:
    """The events before what is too long, and then the same error."""
    limits = {"max_line": line, "max_event": event, "silent": True}
    whole, single = decoded([stream], **limits), decoded([stream[at : at + 1] for at in range(len(stream))], **limits)
    assert whole[0] == single[0]
    assert bool(whole[1]) == bool(single[1])


# --- streams ----------------------------------------------------------------------------------------------------------


class _Slowly:
    """A wire API whose reader has no quick way."""

    def __init__(self, reader: type[Any]) -> None:
        self.reader: Callable[[], Any] = type("Slow", (reader,), {"_more_words": lambda self, body, raw: None})


class _Quickly:
    def __init__(self, reader: type[Any]) -> None:
        self.reader: Callable[[], Any] = reader


def read(api: Any, parts: list[bytes]) -> list[str]:
    decoder, got = StreamDecoder(api), []
    try:
        for part in parts:
            got += [shown(event) for event in decoder.feed(part)]
        got += [shown(event) for event in decoder.finish()]
    except CorruptEvent as error:
        got.append(str(error))
    return [*got, str(decoder.complete)]


def quick_is_slow(reader: type[Any], events: list[bytes]) -> None:
    """In one piece, and one event a piece."""
    for parts in (events, [b"".join(events)]):
        assert read(_Quickly(reader), parts) == read(_Slowly(reader), parts)


def event_of(body: Any, name: str = "") -> bytes:
    head = b"event: " + name.encode() + b"\n" if name else b""
    return head + b"data: " + json.dumps(body).encode() + b"\n\n"


MISSING = object()


def twisted(usual: dict[str, Any], twists: list[tuple[tuple[str | int, ...], Any]]) -> dict[str, Any]:
    """*usual* with other values at these places; one that an earlier twist made unreachable is left alone."""
    body = json.loads(json.dumps(usual))
    for (*way, last), value in twists:
        place: Any = body
        for step in way:
            known = (isinstance(place, dict) and step in place) or (isinstance(place, list) and step == 0 and place)
            place = place[step] if known else None
        if isinstance(place, dict):
            place.pop(last, None) if value is MISSING else place.update({last: value})
    return body


def twists(places: dict[tuple[str | int, ...], list[Any]]) -> st.SearchStrategy[list[Any]]:
    """None, one or two changes to the usual: each place with the values that matter there, and with any."""
    return st.lists(
        st.sampled_from(list(places)).flatmap(
            lambda place: st.tuples(st.just(place), st.sampled_from([*places[place], MISSING]) | ODD)
        ),
        max_size=2,
    )


DELTA, CHOICE = ("choices", 0, "delta"), ("choices", 0)
CALLS = [[], [{"index": 0, "id": "c", "function": {"name": "f"}}]]
SPOKEN = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
CHAT = twists(
    {
        (*DELTA, "content"): ["", None, "w"],
        (*DELTA, "reasoning_content"): ["", None, "w"],
        (*DELTA, "reasoning"): ["", "w"],
        (*DELTA, "refusal"): [None, "w"],
        (*DELTA, "role"): ["assistant", None],
        (*DELTA, "tool_calls"): CALLS,
        (*DELTA, "function_call"): [{}, {"name": "f"}],
        (*DELTA, "x"): [0, False, {}],
        DELTA: [{}, None, [], "w", {"reasoning_content": "w"}],
        (*CHOICE, "index"): [1, 2, True, False, 0.0],
        (*CHOICE, "finish_reason"): ["stop", "error", "", 0],
        (*CHOICE, "message"): [None, {"content": "w"}],
        (*CHOICE, "text"): ["", "w"],
        (*CHOICE, "usage"): [None, SPOKEN],
        (*CHOICE, "error"): [None, {"code": 1}],
        (*CHOICE, "logprobs"): [{"content": [{"token": "w"}]}],
        ("choices",): [[], None, {}, "w", [1], {"x": 1}, CHOICE],
        ("usage",): [{}, SPOKEN],
        ("object",): ["error"],
        ("type",): ["error", "x"],
        ("error",): ["", "w", {"code": 1}],
        ("errors",): [["w"]],
        ("success",): [False],
        ("x_groq",): [{"usage": SPOKEN}],
        ("x",): [{}],
    }
)
OPENED = {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}]}
MORE = {"id": "c", "object": "o", "choices": [{"index": 0, "delta": {"content": "w"}, "finish_reason": None}]}
THOUGHT = {"id": "c", "choices": [{"index": 0, "delta": {"reasoning_content": "w"}}]}
OTHER = {"id": "c", "choices": [{"index": 1, "delta": {"content": "w"}}]}
CALL = ("choices", 0, "delta", "tool_calls", 0)
FUNCTION = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
CALLED = {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [FUNCTION]}}]}
ARGUED, AGAIN = (
    {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": function}]}}]}
    for function in ({"arguments": "}"}, {"name": "f", "arguments": "{"})
)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([OPENED, THOUGHT, CALLED]),
    st.lists(st.builds(twisted, st.sampled_from([MORE, MORE, THOUGHT, OTHER, ARGUED]), CHAT), min_size=1, max_size=4),
)
def test_chat_streams(first: dict[str, Any], bodies: list[Any]) -> None:
    """With unknown fields, fields of other kinds than usual, and everything that makes an event another one."""
    quick_is_slow(openai_reader.ChatReader, [event_of(body) for body in (first, *bodies)])


USUAL = st.fixed_dictionaries(
    {"delta": st.fixed_dictionaries({"content": WORDS}, optional={"role": st.just("assistant"), "refusal": st.none()})},
    optional={"index": st.just(0), "logprobs": ODD, "finish_reason": st.none(), "x": ODD},
)


CALLING = twists(
    {
        (*CALL, "index"): [1, True, False, 0.0, None],
        (*CALL, "id"): ["c", "d", None],
        (*CALL, "type"): ["function"],
        (*CALL, "custom"): [{"input": "w"}],
        (*CALL, "function"): [{}, None, "w"],
        (*CALL, "function", "arguments"): ["", None, {}, "{", '{"a": 1}'],
        (*CALL, "function", "name"): ["f", "g", None],
        CALL[:-1]: [[], None, {}, [1], "w", [FUNCTION, FUNCTION]],
        (*DELTA, "content"): ["w"],
        (*DELTA, "function_call"): [{"arguments": "w"}],
        (*CHOICE, "finish_reason"): ["tool_calls"],
    }
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.builds(twisted, st.sampled_from([CALLED, AGAIN, ARGUED, ARGUED]), CALLING), max_size=5))
def test_chat_streams_of_tool_calls(bodies: list[Any]) -> None:
    """Pieces of one call, of several, of calls that are numbered alike or not at all."""
    quick_is_slow(openai_reader.ChatReader, [event_of(body) for body in (CALLED, *bodies, ARGUED, AGAIN)])


@given(st.lists(st.tuples(USUAL, st.dictionaries(st.sampled_from(["id", "model", "y"]), ODD)), min_size=1, max_size=6))
def test_usual_chat_streams_lose_nothing(usual: list[tuple[Any, Any]]) -> None:
    """Written anew, each event is the JSON that came."""
    bodies = [OPENED, *({**top, "choices": [{"index": 0, "finish_reason": None, **one}]} for one, top in usual)]
    events = [event_of(body) for body in bodies]
    quick_is_slow(openai_reader.ChatReader, events)
    decoder, writer = StreamDecoder(openai_chat.API), openai_chat.API.writer()
    for body, got in zip(bodies, decoder.feed(b"".join(events)), strict=True):
        (chunk,) = [chunk for chunk in got.chunks if chunk.kind != "stop"]
        assert chunk.raw == event_of(body)
        if chunk.kind == "text" and body.get("id"):
            assert json.loads(writer.write(evolve(chunk))[6:]) == body


OPEN = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use", "id": "t", "name": "f"}},
]
SAID = [
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "w"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "w"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "w"}},
]
ANTHROPIC = twists(
    {
        ("type",): ["content_block_stop", "ping", "error", "x", []],
        ("index",): [1, True, False, 0.0, -1, "0", []],
        ("delta",): [{}, None, [], "w"],
        ("delta", "type"): ["text_delta", "input_json_delta", "citations_delta", "x", []],
        ("delta", "text"): ["", None, 1],
        ("delta", "thinking"): ["", None, 1],
        ("delta", "x"): [1],
        ("error",): ["w"],
    }
)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.sampled_from(OPEN), max_size=1),
    st.lists(st.builds(twisted, st.sampled_from(SAID), ANTHROPIC), max_size=4),
)
def test_anthropic_streams(opened: list[Any], bodies: list[Any]) -> None:
    """Deltas for blocks that are open, are not, or are of another type."""
    events = [event_of(body, "content_block_delta") for body in (*opened, *bodies)]
    quick_is_slow(anthropic_stream.MessagesReader, events)


TEXT = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": "w"}
ARGUMENTS = {"type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 1, "delta": "w"}
SUMMARY = {**TEXT, "type": "response.reasoning_summary_text.delta", "summary_index": 0}
RESPONSES = twists(
    {
        ("type",): ["response.reasoning_text.delta", "response.refusal.delta", "response.output_text.done", "x", []],
        ("output_index",): [1, True, False, 0.0, -1, []],
        ("content_index",): [1, True, False, 0.0, -1, []],
        ("delta",): ["", None, 1],
        ("text",): ["w", "ww", "www"],
        ("logprobs",): [[{"token": "w"}]],
        ("obfuscation",): ["x"],
        ("sequence_number",): [1],
        ("item_id",): ["other"],
    }
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.builds(twisted, st.sampled_from([TEXT, TEXT, ARGUMENTS, SUMMARY]), RESPONSES), max_size=6))
def test_responses_streams(bodies: list[Any]) -> None:
    """Also what is remembered of the words said, which later events are compared with."""
    done = {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "ww and more"}
    opened = [TEXT, ARGUMENTS, SUMMARY]
    events = [event_of(body, "response.output_text.delta") for body in (*opened, *bodies, done, *bodies[:2], done)]
    quick_is_slow(responses_stream.ResponsesReader, events)


LONG = st.sampled_from([1, 10**17, 10**18 + 1, 2**64 - 1, 2**64 + 1, 10**20 + 1, 123456789012345678901])


@given(st.lists(LONG, min_size=1, max_size=3), st.integers(0, 30))
def test_no_digit_is_lost_in_a_stream(numbers: list[int], pad: int) -> None:
    """Long numbers are looked for once in each piece, wherever they stand in it and wherever it is cut."""
    events = [event_of({**OPENED, "pad": "x" * pad, "number": number}) for number in numbers]
    whole = b"".join(events)
    digits = whole.index(b'"number": ') + len(b'"number": ')
    cuts = range(digits, digits + 21, 3)
    for parts in (events, [whole], *([whole[:cut], whole[cut:]] for cut in cuts)):
        decoder = StreamDecoder(openai_chat.API)
        got = [chunk for part in parts for event in decoder.feed(part) for chunk in event.chunks]
        assert [chunk.extra["response"]["number"] for chunk in got] == numbers


# --- bodies -----------------------------------------------------------------------------------------------------------


@given(st.fixed_dictionaries({}, optional={"role": st.sampled_from(["", "user"]) | ODD, "content": WORDS | ODD}))
def test_a_plain_message_is_what_it_would_be_with_one_more_field(value: dict[str, Any]) -> None:
    """The field that nobody knows sends it the long way, and is all that differs."""
    quick, slow = message(value), message({**value, "unknown": 1})
    assert slow.extra["unknown"] == 1
    without = {name: item for name, item in slow.extra.items() if name != "unknown"}
    assert shown(evolve(slow, extra=without)) == shown(evolve(quick))
    assert messages_json(quick) == [value]


TOLD = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
DETAILS = [("prompt_tokens_details",), ("completion_tokens_details",)]
COUNTS = [
    ("prompt_tokens",),
    ("completion_tokens",),
    ("total_tokens",),
    ("prompt_cache_hit_tokens",),
    *((*place, name) for place in DETAILS for name in ("cached_tokens", "cache_write_tokens", "reasoning_tokens", "x")),
]
USAGES = st.builds(
    twisted,
    st.just(TOLD),
    twists({count: [0, 1, 2, 5.0, True, -1] for count in COUNTS} | {place: [{}, None] for place in DETAILS}),
)


@settings(max_examples=80, deadline=None)
@given(USAGES)
def test_usage_says_all_when_it_is_written_as_it_came(told: dict[str, Any]) -> None:
    """What the quick look says is what comparing the objects says."""
    assert says_all(usage(told), told) == (usage_json(usage(told)) == told)


URL = "https://api.example/v1/chat/completions"
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": WORDS | ODD,
        "messages": st.lists(st.fixed_dictionaries({"role": WORDS, "content": WORDS}), max_size=2) | ODD,
        "tools": st.just([]) | ODD,
        "stream": st.booleans() | ODD,
        "temperature": ODD,
    },
)


def request_of(octets: bytes, url: str = URL, **headers: str) -> Request:
    return decode_request("POST", url, "", Headers(headers), octets)


@given(BODIES | ODD, st.sampled_from([URL, "https://other.example/x"]))
def test_the_parsed_body_is_what_parsing_the_body_gives(body: Any, url: str) -> None:
    """As it came, with another header, and with another field; and it is parsed again only where that matters."""
    request = request_of(json.dumps(body).encode(), url)
    expected = body if isinstance(body, dict) else None
    assert parsed_body(request) == expected
    assert parsed_body(evolve(request, headers=Headers({"x": "y"}))) == expected
    if isinstance(request.params, KeptBody) and request.params.whole is not None:
        assert parsed_body(request) is parsed_body(evolve(request, headers=Headers())) is request.params.whole
        changed = evolve(request, model="another")
        assert parsed_body(changed) == jsonio.loads(encode_request(changed))


def test_a_body_that_cannot_be_read_has_no_parsed_body() -> None:
    """It is not JSON, or packed, or cannot be written."""
    assert parsed_body(request_of(b"{")) is None
    assert parsed_body(request_of(b"\x1f\x8b", **{"content-encoding": "gzip"})) is None
    assert parsed_body(Request(api="", messages=(Message("user", (Text("a"),)),))) is None


def test_a_request_that_got_the_params_of_another_has_the_body_of_its_own() -> None:
    """What the params remember counts only with everything that was decoded beside them."""
    said = {"messages": [{"role": "user", "content": "a"}], "x": 1}
    ours, theirs = (request_of(json.dumps({"model": name, **said}).encode()) for name in ("a", "b"))
    assert parsed_body(evolve(ours, params=theirs.params)) == {"model": "a", **said}


ROUTE = {"api": "openai.chat", "base_url": "https://api.example/v1", "model": "m"}
HOST = Host([], config={"routes": {"main": ROUTE}})
NUMBERS = st.sampled_from([0, 1, 0.5, 1.0, -0.0, 2.5e300, 1e-9, 2**70, float("nan"), float("inf"), True, None])
LISTED = st.lists(st.dictionaries(WORDS, WORDS, max_size=1), max_size=1)
PARAMS = st.dictionaries(st.sampled_from(["temperature", "seed", "user", "stop"]), NUMBERS | ODD | LISTED, max_size=3)
TALK = st.lists(st.dictionaries(st.sampled_from(["role", "content", "name"]), WORDS | ODD, max_size=3), max_size=2)


@settings(max_examples=80, deadline=None)
@given(TALK, PARAMS, st.lists(st.dictionaries(st.sampled_from(["type", "name"]), WORDS, min_size=1), max_size=2))
@example([], {"functions": [{"name": "a"}]}, [])
@example([{"role": "user", "content": "a"}], {}, [{"type": "web_search", "region": "eu"}])
def test_a_call_of_our_own_client_is_the_request_that_its_bytes_are(
    said: list[Any], params: dict[str, Any], tools: list[Any]
) -> None:
    """Whether its values were taken as they are or are read, and whatever the caller does with his own afterwards."""
    asked = build_request(HOST, False, said, None, None, tools, None, params)[0]
    for own in (said, tools, *[one for one in params.values() if isinstance(one, list)]):
        for one in own:
            if isinstance(one, dict):
                one["content"] = "changed"
        own.append({"role": "user"})
    read = decode_request("POST", asked.url, "", asked.headers, asked.raw or b"")
    route = RouteInfo("main", "openai.chat", asked.url)
    keys = [cache_keys(one, Scope(), "", route, "", b"") for one in (asked, read)]
    assert keys[0][0] == keys[1][0] is not None
    partitions = [partition() if partition else None for _, partition, _ in keys]
    assert partitions[0] == partitions[1] is not None
    assert may_cache(asked) == may_cache(read)
    names = ("model", "messages", "tools", "params", "stream")
    assert shown([getattr(asked, name) for name in names]) == shown([getattr(read, name) for name in names])
    assert encode_request(evolve(asked, headers=Headers())) == asked.raw


ADDRESSES = {name: f"https://api.example/v1/{path}" for name, path in (
    ("openai.chat", "chat/completions"), ("openai.responses", "responses"), ("anthropic.messages", "messages"),
)}  # fmt: skip
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "item_reference"]), "text": WORDS})
TURNS = st.lists(
    st.fixed_dictionaries({"role": WORDS, "content": WORDS | st.lists(PART, max_size=2) | ODD}), max_size=2
)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "model": WORDS | ODD,
        "messages": TURNS | ODD,
        "input": TURNS | st.lists(PART, max_size=2) | WORDS | ODD,
        "instructions": WORDS | ODD,
        "system": st.lists(PART, max_size=2) | WORDS | ODD,
        "stream": st.booleans() | ODD,
        "previous_response_id": ODD,
        "prompt": ODD,
    },
)
CHOICE = st.fixed_dictionaries(
    {},
    optional={"finish_reason": WORDS | ODD, "message": st.just({"role": "assistant", "content": "a"}), "text": WORDS},
)
ANSWERED = st.fixed_dictionaries(
    {},
    optional={
        "id": WORDS | ODD,
        "model": WORDS | ODD,
        "usage": USAGES | ODD,
        "choices": st.lists(CHOICE, max_size=3) | ODD,
        "content": st.lists(PART, max_size=2) | ODD,
        "output": st.lists(PART, max_size=2) | ODD,
        "stop_reason": WORDS | ODD,
        "status": st.sampled_from(["completed", "incomplete"]) | ODD,
        "incomplete_details": st.fixed_dictionaries({"reason": WORDS}) | ODD,
    },
)


@settings(max_examples=80, deadline=None)
@given(ASKED, st.sampled_from(sorted(ADDRESSES)))
def test_what_is_told_of_a_request_at_a_glance_is_what_reading_it_tells(body: dict[str, Any], api: str) -> None:
    """Each field by itself, and whether its answer may be kept; and the rest is read afterwards as if first.

    What was told stays the very object then, so that a plugin that puts it back changes no byte.
    """
    octets = json.dumps(body).encode()
    read = request_of(octets, ADDRESSES[api])
    whole = {field.name: getattr(read, field.name) for field in attrs.fields(Request)}
    for name in APIS[api].of_request:
        glanced = request_of(octets, ADDRESSES[api])
        found = getattr(glanced, name)
        assert (found, glanced.decoded) == (whole[name], False)
        assert encode_request(evolve(request_of(octets, ADDRESSES[api]), messages=(), tools=())) == encode_request(
            evolve(glanced, messages=(), tools=())
        )
        assert shown([getattr(glanced, name) for name in ("messages", "params", "model")]) == shown(
            [whole["messages"], whole["params"], whole["model"]]
        )
        assert encode_request(evolve(glanced, headers=Headers(), **{name: found})) == octets
    assert may_cache(request_of(octets, ADDRESSES[api])) == may_cache(evolve(read, headers=Headers()))


@settings(max_examples=100, deadline=None)
@given(ANSWERED, st.sampled_from(sorted(ADDRESSES)))
def test_what_is_told_of_an_answer_at_a_glance_is_what_reading_it_tells(body: dict[str, Any], api: str) -> None:
    """Each field by itself; it stays the very object when the rest is read, so that the bytes are kept."""
    octets = json.dumps(body).encode()
    read = decode_response(APIS[api], 200, Headers(), octets)
    assert read.message is not None
    for name in APIS[api].of_response:
        glanced = decode_response(APIS[api], 200, Headers(), octets)
        found = getattr(glanced, name)
        assert (shown(found), glanced.decoded) == (shown(getattr(read, name)), False)
        copy = retouch(glanced, status=201)
        assert (shown(copy.params), glanced.decoded, copy.decoded) == (shown(read.params), False, True)
        assert glanced.message == read.message
        assert getattr(glanced, name) is found
        assert encode_response(evolve(glanced, status=201)) == octets


@given(st.lists(st.sampled_from(["m", "é", ""]), min_size=1, max_size=3), ODD)
def test_the_first_choice_is_read_like_the_others(texts: list[str], extra: Any) -> None:
    """Only one of them is made into a Choice, yet both keep everything."""
    assume(extra is not None)
    choices = [
        {"index": number, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "x": extra}
        for number, text in enumerate(texts)
    ]
    response = decode_response(openai_chat.API, 200, Headers(), json.dumps({"choices": choices}).encode())
    (first,) = response.params["choices"]
    assert [response.text, *(choice.message.text for choice in response.more)] == texts
    assert all({**choice.extra, "message": {}, "index": 0} == first for choice in response.more)
    changed = evolve(response, id="another")
    assert openai_chat.API.response_body(changed) == {"choices": choices, "id": "another"}


def test_an_event_from_a_draft_is_an_event() -> None:
    """Whole events are made as drafts, others by the class."""
    (quick,) = SseDecoder().feed(b"event: e\ndata: a\n\n")
    assert quick == SseEvent("e", "a", raw=b"event: e\ndata: a\n\n")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        quick.data = "b"  # type: ignore[misc]
