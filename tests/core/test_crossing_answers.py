"""What an answer of another wire API means to who asked: its end, its refusals, its calls, its failures."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from attrs import define, field
from calling import Caller, Records, Sent
from clippy_errors import ErrorClassifier
from clippy_hookspecs import ErrorInfo, RequestContext, Switch, hookimpl
from conversations import PATHS

from clippy_core.testing import Fault, Raw, VirtualClock
from clippy_core.wire.responses_split import split_response

CHAT, RESPONSES, MESSAGES = "openai.chat", "openai.responses", "anthropic.messages"
ROUTES: dict[str, Any] = {
    CHAT: {"base_url": "http://second.test/v1", "key": "sk-second", "model": "m2"},
    MESSAGES: {"api": MESSAGES, "base_url": "http://claude.test", "key": "sk-ant", "model": "claude"},
    RESPONSES: {"api": RESPONSES, "base_url": "http://resp.test/v1", "key": "sk-r", "model": "r"},
}
ASKED: dict[str, Any] = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    RESPONSES: {"model": "m", "input": "Hi"},
    MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
}


@define(eq=False)
class Goes:
    """Switches once, and notes what it was told."""

    route: str
    told: list[ErrorInfo] = field(factory=list)

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | None:
        self.told.append(error)
        return Switch(self.route) if len(self.told) == 1 else None


def answered(caller_api: str, api: str, reply: Raw, stream: bool = False, told: list[ErrorInfo] | None = None) -> Sent:
    """What a caller of *caller_api* gets when a provider of *api* answers with *reply*; its record says the same."""
    goes, records = Goes(api, [] if told is None else told), Records()
    plugins = [goes, ErrorClassifier(), records]
    caller = Caller("sync", httpx).start(plugins, [Fault.status(503), reply], routes=ROUTES)
    more = {"stream_options": {"include_usage": True}} if caller_api == CHAT else {}
    body = {**ASKED[caller_api], **({"stream": True, **more} if stream else {})}
    sent = caller.send(path=PATHS[caller_api], json=body)
    assert records.last.status == (sent.status or 200), "0 where its stream raised"
    return sent


def whole(caller_api: str, api: str, body: Any) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found: dict[str, Any] = json.loads(answered(caller_api, api, Raw(raw)).body)
    return found


def events(api: str, *said: Any) -> Raw:
    named = [(b"" if api == CHAT else f"event: {one['type']}\n".encode(), json.dumps(one).encode()) for one in said]
    end = [b"data: [DONE]\n\n"] if api == CHAT else []
    pieces = [head + b"data: " + data + b"\n\n" for head, data in named]
    return Raw([*pieces, *end], headers={"content-type": "text/event-stream"})


def streamed(caller_api: str, api: str, *said: Any) -> list[dict[str, Any]]:
    body = answered(caller_api, api, events(api, *said), stream=True).body
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: {")]


# --- the providers' answers -----------------------------------------------------------------------------------------


def chat(reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    said = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "chatcmpl-7", "object": "chat.completion", "model": "gpt", "choices": [said], "usage": usage}


def piece(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": [choice]}


def call(number: int, arguments: str, **more: Any) -> dict[str, Any]:
    name = {"name": more.pop("name")} if "name" in more else {}
    return {"tool_calls": [{"index": number, **more, "function": {**name, "arguments": arguments}}]}


def claude(reason: str, *content: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 2}
    known = {"id": "msg_7", "type": "message", "role": "assistant", "model": "claude", "usage": usage}
    return {**known, "content": [*content], "stop_reason": reason, "stop_sequence": None}


def responses(status: str, *output: Any, **more: Any) -> dict[str, Any]:
    known = {"id": "resp_7", "object": "response", "created_at": 1, "model": "gpt", "error": None}
    return {**known, "status": status, "incomplete_details": None, "output": [*output], **more}


def said_by(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [*parts]}


START = {"type": "message_start", "message": {**claude(""), "stop_reason": None}}
TEXT = {"type": "text", "text": "x"}


def ended(reason: str) -> list[Any]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}, {"type": "message_stop"}]


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [chat("length"), chat("length", reasoning_content="hm"), chat("stop", content=None)])
def test_an_answer_without_words_is_a_message_all_the_same(body: Any) -> None:
    """A model that thinks may use up its tokens before it says anything; an SDK reads ``content`` all the same."""
    told = whole(MESSAGES, CHAT, body)
    assert (told["type"], told["role"], told["content"]) == ("message", "assistant", [])
    assert {"stop_sequence", "usage", "id", "model"} <= told.keys()


def test_a_messages_answer_always_tells_usage() -> None:
    """Anthropic's programs add it up without asking whether it is there; many servers of OpenAI's kind tell none."""
    body = chat(content="x")
    del body["usage"]
    assert whole(MESSAGES, CHAT, body)["usage"] == {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize(
    ("caller_api", "api", "body", "reason"),
    [
        (CHAT, MESSAGES, claude("model_context_window_exceeded", TEXT), "length"),
        (RESPONSES, MESSAGES, claude("model_context_window_exceeded", TEXT), "max_output_tokens"),
        (CHAT, MESSAGES, claude("pause_turn", TEXT), "stop"),
        (CHAT, RESPONSES, responses("incomplete", said_by()), "length"),
        (MESSAGES, CHAT, chat("function_call", function_call={"name": "f", "arguments": "{}"}), "tool_use"),
        (RESPONSES, CHAT, chat("function_call", function_call={"name": "f", "arguments": "{}"}), "completed"),
        (MESSAGES, CHAT, chat(None, content="x"), "end_turn"),
    ],
)
def test_why_an_answer_ended_is_said_in_the_callers_words(caller_api: str, api: str, body: Any, reason: str) -> None:
    told = whole(caller_api, api, body)
    if caller_api == CHAT:
        assert told["choices"][0]["finish_reason"] == reason
    elif caller_api == MESSAGES:
        assert told["stop_reason"] == reason
    else:
        assert reason in (told["status"], (told["incomplete_details"] or {}).get("reason"))


# --- refusals -------------------------------------------------------------------------------------------------------


def test_a_refusal_is_not_taken_for_an_answer() -> None:
    """A program that asked for JSON looks there before it parses the words."""
    refused = {"type": "refusal", "refusal": "no"}
    there = responses("completed", said_by(refused))
    assert whole(CHAT, RESPONSES, there)["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "no",
    }
    assert refused["type"] == whole(RESPONSES, CHAT, chat(refusal="no"))["output"][0]["content"][0]["type"]
    for api, body in ((RESPONSES, there), (CHAT, chat(refusal="no"))):
        told = whole(MESSAGES, api, body)
        assert (told["stop_reason"], told["content"]) == ("refusal", [{"type": "text", "text": "no"}])
    end = streamed(MESSAGES, CHAT, piece(role="assistant"), piece(refusal="no"), piece("stop"))[-2]
    assert end["delta"]["stop_reason"] == "refusal"


# --- calls ----------------------------------------------------------------------------------------------------------

NO_ID = {"type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_a_call_without_arguments_has_an_empty_object_of_them() -> None:
    """As OpenAI's models write it: programs parse whatever is there."""
    opened = {"type": "content_block_start", "index": 0}
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    nothing = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}}
    closed = {"type": "content_block_stop", "index": 0}
    for deltas in ([], [nothing]):
        said = [START, {**opened, "content_block": block}, *deltas, closed, *ended("tool_use")]
        found = [one for told in streamed(CHAT, MESSAGES, *said) for one in _calls(told)]
        assert "".join(one["function"]["arguments"] for one in found) == "{}"
    empty = {"id": "a", **NO_ID, "function": {"name": "f", "arguments": ""}}
    assert whole(RESPONSES, CHAT, chat("tool_calls", tool_calls=[empty]))["output"][0]["arguments"] == "{}"


def _calls(told: Any) -> list[Any]:
    return [one for choice in told["choices"] for one in choice["delta"].get("tool_calls", ())]


@pytest.mark.parametrize("caller_api", [MESSAGES, RESPONSES])
def test_calls_that_came_without_ids_get_their_own(caller_api: str) -> None:
    said = [piece(role="assistant"), piece(**call(0, "{}", name="f")), piece(**call(1, "{}", name="g"))]
    told = streamed(caller_api, CHAT, *said, piece("tool_calls"))
    opened = [one.get("content_block") or one.get("item") for one in told if one["type"].endswith(("_start", ".added"))]
    ids = [one.get("call_id") or one.get("id") for one in opened if one and one.get("name")]
    assert len(set(ids)) == 2
    assert all(ids)


@pytest.mark.parametrize("caller_api", [MESSAGES, RESPONSES])
def test_a_call_whose_name_comes_late_is_begun_with_it(caller_api: str) -> None:
    said = [piece(**call(0, '{"x"', id="a")), piece(**call(0, ":1}", name="f")), piece("tool_calls")]
    told = streamed(caller_api, CHAT, *said)
    opened = [one.get("content_block") or one.get("item") for one in told if one["type"].endswith(("_start", ".added"))]
    assert [one["name"] for one in opened if one] == ["f"]
    deltas = [one["delta"] for one in told if one["type"].endswith("delta") and one["type"] != "message_delta"]
    assert "".join(one if isinstance(one, str) else one["partial_json"] for one in deltas) == '{"x":1}'


def test_calls_that_take_turns_are_not_ended_before_they_are_whole() -> None:
    """A program runs a tool when its block ends."""
    begun = [piece(**call(0, "", id="a", name="f")), piece(**call(1, "", id="b", name="g"))]
    told = streamed(MESSAGES, CHAT, *begun, piece(**call(0, '{"x":1}')), piece(**call(1, "{}")), piece("tool_calls"))
    steps = [(one["type"].removeprefix("content_block_"), one["index"]) for one in told if "index" in one]
    assert [one for one in steps if one[0] == "delta"] == [("delta", 0), ("delta", 1)]
    assert all(steps.index(("stop", number)) > steps.index(("delta", number)) for number in (0, 1))


def test_a_block_that_ends_twice_is_ended_once() -> None:
    """As where a server of Responses tells the name of a call only with the whole of it."""
    item = {"type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "{}"}
    at = {"output_index": 0, "item_id": "fc"}
    said: list[Any] = [{"type": "response.function_call_arguments.delta", **at, "delta": "{}"},
                       {"type": "response.function_call_arguments.done", **at, "arguments": "{}"},
                       {"type": "response.output_item.done", **at, "item": item}]  # fmt: skip
    second = {**item, "id": "fc2", "call_id": "b"}
    said += [{"type": "response.output_item.added", "output_index": 1, "item": {**second, "arguments": ""}},
             {"type": "response.output_item.done", "output_index": 1, "item": second}]  # fmt: skip
    told = streamed(MESSAGES, RESPONSES, *said, {"type": "response.completed", "response": responses("completed")})
    opened = [one["content_block"] for one in told if one["type"] == "content_block_start"]
    assert [(one["name"], one["type"]) for one in opened] == [("f", "tool_use")] * 2
    assert [one["index"] for one in told if one["type"] == "content_block_stop"] == [0, 1]


@pytest.mark.parametrize("message", [{"tool_calls": [{"function": {"name": "f"}}]}, {"content": {"text": "x"}}])
@pytest.mark.parametrize("caller_api", [MESSAGES, RESPONSES])
def test_an_answer_of_which_a_part_cannot_be_read_is_a_failure(caller_api: str, message: Any) -> None:
    assert answered(caller_api, CHAT, Raw(json.dumps(chat("tool_calls", **message)).encode())).status == 502


@pytest.mark.parametrize("body", [b"{}", b"<h1>", b'{"choices":[]}', json.dumps(responses("failed")).encode()])
def test_what_is_no_answer_of_a_fallback_route_is_a_failure_and_no_empty_answer(body: bytes) -> None:
    told: list[ErrorInfo] = []
    api = RESPONSES if b"resp_7" in body else CHAT
    assert answered(MESSAGES, api, Raw(body), told=told).status == 502
    assert len(told) == 2


NAMES = [
    ({"error": {"message": "slow down", "code": 429}}, 429),
    ({"error": {"message": "slow down", "code": "429"}}, 429),
    ({"error": {"code": 503, "status": "UNAVAILABLE", "message": "x"}}, 503),
    ({"error": "no such model", "status": 404}, 404),
    ({"object": "error", "message": "too long", "code": 400}, 400),
    ({"error": {"message": "x", "code": 200}}, 502),
    ({"error": {"message": "x", "code": 7003}}, 502),
    ({"error": {"message": "x", "code": "unavailable"}}, 502),
]


@pytest.mark.parametrize(("body", "status"), NAMES)
def test_an_error_that_came_as_a_success_has_the_status_that_it_names(body: Any, status: int) -> None:
    """Where it names one; what it says is the caller's to know in any case."""
    sent = answered(MESSAGES, CHAT, Raw(json.dumps(body).encode()))
    assert sent.status == status
    assert json.loads(sent.body)["type"] == "error"


@pytest.mark.parametrize("caller_api", [MESSAGES, RESPONSES])
def test_a_stream_that_ends_without_a_word_is_a_failure_and_no_empty_answer(caller_api: str) -> None:
    told: list[ErrorInfo] = []
    sent = answered(caller_api, CHAT, events(CHAT), stream=True, told=told)
    assert (sent.body, type(sent.error).__name__) == (b"", "RemoteProtocolError")
    assert (len(told), told[-1].kind) == (2, "truncated_body")


# --- the beginning --------------------------------------------------------------------------------------------------


def test_a_translated_stream_has_its_answers_id_model_and_role() -> None:
    """Programs keep messages by their ids: one for all would let each answer replace the one before it."""
    first = streamed(CHAT, MESSAGES, START, *ended("end_turn"))[0]
    assert (first["id"], first["model"]) == ("msg_7", "claude")
    assert first["choices"][0]["delta"]["role"] == "assistant"
    for begin in ([piece(role="assistant", content="")], []):
        told = streamed(MESSAGES, CHAT, *begin, piece(content="x"), piece("stop"))[0]["message"]
        assert (told["id"], told["model"]) == ("chatcmpl-7", "gpt")
    told = streamed(RESPONSES, CHAT, piece(content="x"), piece("stop"))
    for one in (told[0], told[-1]):
        assert (one["response"]["id"], one["response"]["model"]) == ("chatcmpl-7", "gpt")
    there = [json.loads(one.partition(b"data: ")[2]) for one in split_response(responses("completed"))]
    assert {(one["id"], one["model"]) for one in streamed(CHAT, RESPONSES, *there)} == {("resp_7", "gpt")}


def test_a_translated_answer_says_when_it_was_made() -> None:
    """What the provider said of that, and the time of the answer where its API has no word for it; never 1970."""
    text = {"type": "output_text", "text": "x", "annotations": []}
    claudes = [START, {"type": "content_block_start", "index": 0, "content_block": TEXT}, *ended("end_turn")]
    made = {**responses("completed", said_by(text)), "created_at": 1_700_000_000}
    assert 1_700_000_000 == whole(CHAT, RESPONSES, made)["created"]
    assert 7 == whole(RESPONSES, CHAT, chat(content="x") | {"created": 7})["created_at"]
    (opened, *_) = streamed(RESPONSES, CHAT, {**piece(content="x"), "created": 7}, piece("stop"))
    assert 7 == opened["response"]["created_at"]
    now = {one["created"] for one in streamed(CHAT, MESSAGES, *claudes)}
    now |= {whole(CHAT, MESSAGES, claude("end_turn", TEXT))["created"]}
    now |= {whole(RESPONSES, MESSAGES, claude("end_turn", TEXT))["created_at"]}
    now |= {streamed(RESPONSES, MESSAGES, *claudes)[-1]["response"]["created_at"]}
    for odd in (float("inf"), float("nan"), True, "7", -1):  # no time at all
        now |= {whole(RESPONSES, CHAT, chat(content="x") | {"created": odd})["created_at"]}
    assert {int(VirtualClock().time())} == now


def test_signs_of_life_reach_the_caller() -> None:
    """While a model thinks, nothing else does, and what stands between cuts silent connections."""
    body = answered(CHAT, MESSAGES, events(MESSAGES, START, {"type": "ping"}, *ended("end_turn")), stream=True).body
    assert b": ping\n\n" in body
    keepalive = [piece(role="assistant", content="x")]
    said = events(CHAT, *keepalive)
    alive = Raw([said.body[0], b"event: ping\ndata:\n\n", *said.body[1:]], headers=said.headers)
    assert b'"type":"ping"' in answered(MESSAGES, CHAT, alive, stream=True).body


# --- failures -------------------------------------------------------------------------------------------------------

SLOW = {"code": "rate_limit_exceeded", "message": "slow down"}
FAILED: list[tuple[str, Any, str]] = [
    (RESPONSES, {"type": "response.failed", "response": responses("failed", error=SLOW)}, "rate_limit"),
    (RESPONSES, {"type": "error", **SLOW, "param": None}, "rate_limit"),
    (CHAT, {"error": {**SLOW, "type": "requests"}}, "rate_limit"),
    (CHAT, {"error": "slow down", "code": 429}, "rate_limit"),
    (MESSAGES, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, "rate_limit"),
]  # fmt: skip


@pytest.mark.parametrize(("api", "event", "category"), FAILED)
@pytest.mark.parametrize("caller_api", PATHS)
def test_an_error_in_a_translated_stream_is_judged_and_told_as_its_provider_meant_it(
    caller_api: str, api: str, event: Any, category: str
) -> None:
    told: list[ErrorInfo] = []
    body = answered(caller_api, api, events(api, event), stream=True, told=told).body
    assert [one.category for one in told][1:] == [category]
    assert b"slow down" in body
    assert caller_api in (api, RESPONSES) or b"rate_limit_error" in body
    assert caller_api in (api, CHAT, MESSAGES) or body.startswith(b"event: response.created")
