"""OpenAI Responses streams: read at every cut, changed by plugins without a leak, written for the SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import openai
import pytest
from clippy_hookspecs import (
    CONTENT_KINDS,
    Chunk,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Request,
    RequestContext,
    Response,
    RouteInfo,
    Scope,
    Text,
    TextFilter,
    ToolCall,
    Usage,
    evolve,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.wire.assemble import Assembler, assemble_stream
from clippy_core.wire.base import CorruptEvent
from clippy_core.wire.openai_responses import API
from clippy_core.wire.stream import StreamDecoder

# --- a provider's streams ---------------------------------------------------------------------------------------------


def sse(events: Iterable[dict[str, Any]]) -> bytes:
    numbered = ({**event, "sequence_number": number} for number, event in enumerate(events))
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in numbered)


def envelope(status: str, output: list[Any], **more: Any) -> dict[str, Any]:
    known = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-x", "error": None}
    usage = None if status == "in_progress" else {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    fixed = {
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "incomplete_details": None,
        "usage": usage,
    }
    return {**known, "status": status, "output": output, **fixed, **more}


def words(name: str, at: dict[str, Any], field: str, pieces: list[str], **more: Any) -> list[dict[str, Any]]:
    deltas = [{"type": f"response.{name}.delta", **at, "delta": piece, **more} for piece in pieces]
    return [*deltas, {"type": f"response.{name}.done", **at, field: "".join(pieces), **more}]


def message(number: int, pieces: list[str], refusal: list[str] = (), identity: str = "msg_1") -> tuple[Any, list[Any]]:  # type: ignore[assignment]
    """A message item and the events that tell it, with log probabilities that spell its text."""
    text, logprobs = (
        "".join(pieces),
        [{"token": piece, "logprob": -1.0, "bytes": None, "top_logprobs": []} for piece in pieces],
    )
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}] if pieces else []
    content += [{"type": "refusal", "refusal": "".join(refusal)}] if refusal else []
    item = {"type": "message", "id": identity, "role": "assistant", "status": "completed", "content": content}
    events: list[Any] = [added(number, {**item, "status": "in_progress", "content": []})]
    for index, part in enumerate(content):
        at = {"item_id": identity, "output_index": number, "content_index": index}
        blank = {**part, "text": "", "logprobs": []} if "text" in part else {**part, "refusal": ""}
        events.append({"type": "response.content_part.added", **at, "part": blank})
        if "text" in part:
            events += words("output_text", at, "text", pieces, logprobs=logprobs)
        else:
            events += words("refusal", at, "refusal", list(refusal))
        events.append({"type": "response.content_part.done", **at, "part": part})
    return item, [*events, done(number, item)]


def reasoning(number: int, summaries: list[list[str]], thoughts: list[str] = ()) -> tuple[Any, list[Any]]:  # type: ignore[assignment]
    parts = [{"type": "summary_text", "text": "".join(pieces)} for pieces in summaries]
    item: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": parts, "encrypted_content": "enc"}
    if thoughts:
        item["content"] = [{"type": "reasoning_text", "text": "".join(thoughts)}]
    events = [added(number, {**item, "summary": [], "content": [], "encrypted_content": "e"})]
    for index, pieces in enumerate(summaries):
        at = {"item_id": "rs_1", "output_index": number, "summary_index": index}
        events.append(
            {"type": "response.reasoning_summary_part.added", **at, "part": {"type": "summary_text", "text": ""}}
        )
        events += words("reasoning_summary_text", at, "text", pieces)
        events.append({"type": "response.reasoning_summary_part.done", **at, "part": parts[index]})
    if thoughts:
        events += words(
            "reasoning_text", {"item_id": "rs_1", "output_index": number, "content_index": 0}, "text", list(thoughts)
        )
    return item, [*events, done(number, item)]


def call(number: int, pieces: list[str], name: str = "lookup", custom: bool = False) -> tuple[Any, list[Any]]:
    field, sort = ("input", "custom_tool_call") if custom else ("arguments", "function_call")
    item = {
        "type": sort,
        "id": f"fc_{number}",
        "call_id": f"call_{number}",
        "name": name,
        "status": "completed",
        field: "".join(pieces),
    }
    at = {"item_id": item["id"], "output_index": number}
    kind = "custom_tool_call_input" if custom else "function_call_arguments"
    begun = added(number, {**item, "status": "in_progress", field: ""})
    return item, [begun, *words(kind, at, field, pieces), done(number, item)]


def search(number: int) -> tuple[Any, list[Any]]:
    item = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "u"}]},
    }
    looking = {"type": "response.web_search_call.searching", "output_index": number, "item_id": "ws_1"}
    return item, [added(number, {**item, "status": "in_progress"}), looking, done(number, item)]


def added(number: int, item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": number, "item": item}


def done(number: int, item: Any) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": number, "item": item}


def stream(*told: tuple[Any, list[Any]], status: str = "completed", **more: Any) -> bytes:
    opened = envelope("in_progress", [])
    events = [{"type": "response.created", "response": opened}, {"type": "response.in_progress", "response": opened}]
    for _, said in told:
        events += said
    return sse(
        [*events, {"type": f"response.{status}", "response": envelope(status, [item for item, _ in told], **more)}]
    )


FULL = stream(
    reasoning(0, [["Let me ", "see."], ["Next."]], ["deep"]),
    search(1),
    message(2, ["The secret ", "is 42 é 🎉."], ["But ", "no."]),
    call(3, ['{"a": ', "1}"]),
    call(4, ["raw ", "input"], custom=True),
)


def chunks(raw: bytes) -> list[Chunk]:
    decoder = StreamDecoder(API)
    return [chunk for event in (*decoder.feed(raw), *decoder.finish()) for chunk in event.chunks]


def events_of(raw: bytes) -> list[dict[str, Any]]:
    lines = raw.decode().split("\n\n")
    return [json.loads(line.split("data: ", 1)[1]) for line in lines if "data: " in line]


def unnumbered(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "sequence_number"}


def assembled(parts: Iterable[Chunk]) -> Response:
    assembler = Assembler(API)
    for chunk in parts:
        assembler.add(chunk)
    return assembler.response()


def sdk(answer: httpx2.Response) -> openai.OpenAI:
    transport = httpx2.MockTransport(lambda _: answer)
    return openai.OpenAI(api_key="k", max_retries=0, http_client=openai.DefaultHttpxClient(transport=transport))


def sdk_hears(raw: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """What the official SDK makes of a stream: the final answer, and the text of its deltas by kind."""
    client = sdk(httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=raw))
    heard: dict[str, str] = {}
    with client.responses.stream(model="m", input="Hi") as told:
        for event in told:
            if event.type.endswith(".delta"):
                heard[event.type] = heard.get(event.type, "") + event.delta  # type: ignore[union-attr]
        return as_json(told.get_final_response()), heard


def as_json(response: Any) -> dict[str, Any]:
    """An answer of the SDK as JSON, without what its streams add."""
    value: dict[str, Any] = response.model_dump(mode="json", exclude_unset=True, warnings=False)
    for item in value["output"]:
        item.pop("parsed_arguments", None)
        for part in item.get("content") or []:
            part.pop("parsed", None)
    return value


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_stream_says_what_the_terminal_event_says() -> None:
    """Every item, once, with usage and finish reason."""
    response = assembled(chunks(FULL))
    body = API.response_body(response)
    assert body == events_of(FULL)[-1]["response"]
    assert (response.id, response.model, response.finish_reason, response.usage and response.usage.total) == (
        "resp_1", "gpt-x", "completed", 13
    )  # fmt: skip
    assert (response.text, response.message.refusal) == ("The secret is 42 é 🎉.", "But no.")
    assert response.message.reasoning == "Let me see.Next.deep"
    assert [call.arguments for call in response.message.tool_calls] == ['{"a": 1}', "raw input"]


def test_what_is_repeated_is_said_once() -> None:
    """The content chunks, joined, are the words: done events add nothing."""
    read = chunks(FULL)
    for kind, text in [
        ("text", "The secret is 42 é 🎉."),
        ("refusal", "But no."),
        ("reasoning", "Let me see.Next.deep"),
        ("tool_call", '{"a": 1}raw input'),
    ]:
        assert "".join(chunk.delta for chunk in read if chunk.kind == kind) == text
    named = [(chunk.id, chunk.name) for chunk in read if chunk.name]
    assert named == [("call_3", "lookup"), ("call_4", "lookup")]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 900), max_size=40))
def test_any_cut_of_a_stream_gives_the_same_chunks(sizes: list[int]) -> None:
    """Where the network cuts the bytes is not seen."""
    decoder = StreamDecoder(API)
    cut: list[Chunk] = []
    at = 0
    for size in [*sizes, len(FULL)]:
        cut += [chunk for event in decoder.feed(FULL[at : at + size]) for chunk in event.chunks]
        at += size
    cut += [chunk for event in decoder.finish() for chunk in event.chunks]
    assert cut == chunks(FULL)
    assert [chunk.raw for chunk in cut] == [chunk.raw for chunk in chunks(FULL)]
    assert decoder.complete


def test_words_end_before_the_event_that_repeats_them() -> None:
    """The stop chunk of a block comes once, after its last delta and before its done event."""
    read = chunks(FULL)
    for block in {chunk.block for chunk in read if chunk.kind in CONTENT_KINDS}:
        places = [at for at, chunk in enumerate(read) if chunk.block == block and chunk.kind == "stop"]
        assert len(places) == 1
        assert max(at for at, chunk in enumerate(read) if chunk.block == block and chunk.content) < places[0]
        assert read[places[0] + 1].kind == "other"
        assert read[places[0] + 1].extra["event"]["type"].endswith("done")


@pytest.mark.parametrize("kept", ["text", "part", "item", "response"])
def test_words_that_come_only_in_a_repeating_event_are_words(kept: str) -> None:
    """Some servers send no deltas: the first event that has the words says them, whatever event that is."""
    _, events = message(0, ["secret"])
    later = {
        "text": ("output_text.done",),
        "part": ("content_part.done",),
        "item": ("output_item.done",),
        "response": (),
    }[kept]
    told = [event for event in events if event["type"].removeprefix("response.") in later]
    raw = stream((message(0, ["secret"])[0], told))
    read = chunks(raw)
    assert [chunk.delta for chunk in read if chunk.content] == ["secret"]
    assert b"".join(chunk.raw or b"" for chunk in read) == raw
    assert assembled(read).text == "secret"
    written, seen = through(raw, lambda chunk, ctx: evolve(chunk, delta="***") if chunk.delta else None)
    assert b"secret" not in written
    assert assembled(seen).text == "***"
    assert events_of(written)[-1]["response"]["output"][0]["content"][0]["text"] == "***"


def test_a_call_that_comes_whole_has_its_name() -> None:
    """A server that sends a call in output_item.done alone."""
    item, events = call(0, ['{"a": 1}'])
    read = chunks(stream((item, events[-1:])))
    assert [(chunk.id, chunk.name, chunk.delta) for chunk in read if chunk.content] == [
        ("call_0", "lookup", '{"a": 1}')
    ]
    read = chunks(stream((item, events[1:])))
    assert assembled(read).message.tool_calls[0] == ToolCall(
        "call_0", "lookup", '{"a": 1}', {"id": "fc_0", "status": "completed"}
    )


@pytest.mark.parametrize(
    ("status", "more", "reason"),
    [
        ("completed", {}, "completed"),
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
    ],
)
def test_the_terminal_event_says_how_it_ended(status: str, more: dict[str, Any], reason: str) -> None:
    """Completed and incomplete answers are both at their end; only the first is whole."""
    result = assemble_stream(API, [stream(message(0, ["Hi"]), status=status, **more)])
    assert (result.complete, result.finish_reason, result.response.complete) == (True, reason, reason == "completed")


def test_a_stream_that_ends_early_is_broken() -> None:
    """Only the terminal event ends a stream of this API."""
    whole = stream(message(0, ["Hi"]))
    cut = whole[: whole.rindex(b"event: ")]
    assert not assemble_stream(API, [cut]).complete
    assert assemble_stream(API, [cut, b"data: [DONE]\n\n"]).complete
    assert assemble_stream(API, [whole, b"data: [DONE]\n\n"]).complete
    assert [chunk.kind for chunk in chunks(whole + b"data: [DONE]\n\n")][-2:] == ["done", "other"]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"type": "error", "code": "server_is_overloaded", "message": "m", "param": None}, "server_is_overloaded"),
        ({"type": "error", "error": {"type": "server_error", "code": None, "message": "m"}}, "server_error"),
        (
            {
                "type": "response.failed",
                "response": envelope("failed", [], error={"code": "server_error", "message": "m"}),
            },
            "server_error",
        ),
        ({"error": {"message": "m", "code": "x"}}, "x"),
    ],
)
def test_an_error_event_is_an_error(event: dict[str, Any], reason: str) -> None:
    """In each of the shapes in which servers send one; its JSON is the chunk's extra."""
    (chunk,) = chunks(b"data: " + json.dumps(event).encode() + b"\n\n")
    assert (chunk.kind, chunk.reason) == ("error", reason)
    assert event.items() <= dict(chunk.extra).items()


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "[]",
        '{"type": "response.output_text.delta", "output_index": 0, "content_index": 0}',
        '{"type": "response.output_text.delta", "output_index": "0", "delta": "a"}',
        '{"type": "response.output_text.delta", "output_index": 0, "delta": {"a": 1}}',
        '{"type": "response.completed"}',
        '{"type": "response.output_item.done", "output_index": 0, "item": 3}',
    ],
)
def test_what_the_api_does_not_promise_is_corrupt(data: str) -> None:
    """A damaged event is a failure of the stream, not skipped; the message does not quote it."""
    with pytest.raises(CorruptEvent) as caught:
        chunks(f"event: x\ndata: {data}\n\n".encode())
    assert data not in str(caught.value)


# --- writing ----------------------------------------------------------------------------------------------------------

Hook = Callable[[Chunk, RequestContext], Chunk | list[Chunk] | None]


def through(raw: bytes, hook: Hook) -> tuple[bytes, list[Chunk]]:
    """The bytes and chunks a caller gets when *hook* stands in the stream, as the host does it."""
    ctx = RequestContext("r", Scope(), None, None, RouteInfo("main"), None, stream=True)  # type: ignore[arg-type]
    writer = API.writer()
    written, seen = b"", []
    for chunk in chunks(raw):
        given = [Chunk("end", reason="complete"), chunk] if chunk.kind == "done" else [chunk]
        for piece in given:
            result = hook(piece, ctx)
            out = [piece] if result is None else result if isinstance(result, list) else [result]
            seen += out
            written += b"".join(writer.write(one) for one in out)
    return written, seen


class Held(TextFilter):
    """Holds *n* characters back and replaces a word."""

    kinds = ("text", "reasoning", "refusal", "tool_call")

    def __init__(self, find: str, put: str, n: int) -> None:
        self.find, self.put, self.n = find, put, n

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        text = text.replace(self.find, self.put)
        keep = 0 if final else min(self.n, len(text))
        return text[: len(text) - keep], text[len(text) - keep :]


def test_an_unchanged_stream_is_written_as_the_bytes_that_came() -> None:
    """Nothing is made anew that nobody touched, even where the provider's repetition is not what its deltas said."""
    assert through(FULL, lambda chunk, ctx: None)[0] == FULL
    crooked = FULL.replace(b'"delta": "The secret "', b'"delta": "A secret "')
    assert through(crooked, lambda chunk, ctx: None)[0] == crooked


def test_held_text_that_comes_out_as_it_was_changes_no_repetition() -> None:
    """A filter that only delays: the events that repeat the words go out as they came."""
    written, _ = through(FULL, Held("nothing like this", "", 7).on_chunk)
    repeating = [unnumbered(event) for event in events_of(written) if not event["type"].endswith(".delta")]
    assert repeating == [unnumbered(event) for event in events_of(FULL) if not event["type"].endswith(".delta")]
    assert sdk_hears(written)[0] == sdk_hears(FULL)[0]


pieces = st.lists(st.text("secrt 4", max_size=5), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(pieces, pieces, pieces, pieces, st.integers(5, 20))
def test_a_redactor_leaks_nothing_through_any_event(
    text: list[str], no: list[str], thought: list[str], args: list[str], n: int
) -> None:
    """Text, refusal, reasoning, arguments: deltas, done events, the terminal event and the assembled answer agree."""
    raw = stream(
        reasoning(0, [thought, thought], thought), message(1, text, no), call(2, args), call(3, args, custom=True)
    )
    written, seen = through(raw, Held("secret", "*", n).on_chunk)
    assert b"secret" not in written.replace(b"encrypted", b"")
    final, heard = sdk_hears(written)
    expected, _ = sdk_hears(raw)

    def clean(said: list[str]) -> str:
        return "".join(said).replace("secret", "*")

    assert heard.get("response.output_text.delta", "") == clean(text)
    assert heard.get("response.refusal.delta", "") == clean(no)
    assert heard.get("response.function_call_arguments.delta", "") == clean(args)
    output = expected["output"]
    for part in (*output[0]["summary"], *output[0]["content"]):
        part["text"] = clean(thought)
    content = output[1]["content"]
    if content[0]["text"] != clean(text):
        content[0] |= {"text": clean(text), "logprobs": []}
    if len(content) > 1:
        content[1]["refusal"] = clean(no)
    output[2]["arguments"] = output[3]["input"] = clean(args)
    assert final["output"] == output
    response = assembled(seen)
    assert (response.text, response.message.refusal or "") == (clean(text), clean(no))
    assert [made.arguments for made in response.message.tool_calls] == [clean(args)] * 2
    numbers = [event["sequence_number"] for event in events_of(written)]
    assert numbers == sorted(set(numbers))


LEFT_OUT = (
    "response.created", "response.in_progress", "item.added", "part.added", ".delta",
    "text.done", "refusal.done", "arguments.done", "input.done", "part.done", "item.done",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(LEFT_OUT)), pieces, pieces, st.integers(5, 20), st.booleans())
def test_a_server_that_leaves_events_out_leaks_nothing_either(
    gone: set[str], text: list[str], args: list[str], n: int, with_output: bool
) -> None:
    """Whatever a small server does not send, the words are read once, written once, and redacted."""
    told = events_of(
        stream(reasoning(0, [text], text), message(1, text, text), call(2, args), call(3, args, custom=True))
    )
    kept = [event for event in told if not event["type"].endswith(tuple(gone))]
    if not with_output and not {".delta", "item.done"} <= gone:
        del kept[-1]["response"]["output"]
    raw = sse(kept)
    assert through(raw, lambda chunk, ctx: None)[0] == raw
    whole = assembled(chunks(raw))
    written, seen = through(raw, Held("secret", "*", n).on_chunk)
    assert b"secret" not in written
    clean = {name: "".join(said).replace("secret", "*") for name, said in (("text", text), ("args", args))}
    for response in (assembled(seen), assembled(chunks(written))):
        assert (response.text, response.message.refusal or "") == (clean["text"], clean["text"])
        assert response.message.reasoning == clean["text"] * 2
        assert [made.arguments for made in response.message.tool_calls] == [clean["args"]] * 2
    calls = [{(made.id, made.name) for made in one.message.tool_calls} for one in (whole, assembled(chunks(written)))]
    assert calls[0] == calls[1]


def test_the_words_of_a_redacted_stream_make_a_whole_answer() -> None:
    """The assembled answer of changed chunks is still made of the same items, and has no word of the old text."""
    _, seen = through(FULL, Held("secret", "*", 6).on_chunk)
    body = API.response_body(assembled(seen))
    assert [(item["type"], item.get("id")) for item in body["output"]] == [
        (item["type"], item.get("id")) for item in events_of(FULL)[-1]["response"]["output"]
    ]
    assert body["output"][0]["encrypted_content"] == "enc"
    assert body["output"][2]["status"] == "completed"
    assert "secret" not in json.dumps(body)


@pytest.mark.parametrize("kind", ["text", "reasoning", "refusal"])
def test_dropped_words_are_gone_everywhere(kind: str) -> None:
    """A plugin that drops all pieces of one kind: no event repeats them."""
    said = {"text": "secret", "reasoning": "Let me", "refusal": "But "}[kind]
    written, _ = through(FULL, lambda chunk, ctx: [] if chunk.kind == kind else None)
    assert said.encode() not in written
    output = sdk_hears(written)[0]["output"]
    assert [item["type"] for item in output] == [item["type"] for item in events_of(FULL)[-1]["response"]["output"]]


def test_a_dropped_call_is_gone_everywhere() -> None:
    """Neither its events nor its item stay, and what comes after it moves up."""
    raw = stream(message(0, ["Hi"]), call(1, ['{"secret": 1}'], name="rm"), call(2, ["{}"]))
    block = next(chunk.block for chunk in chunks(raw) if chunk.name == "rm")
    written, seen = through(raw, lambda chunk, ctx: [] if chunk.kind == "tool_call" and chunk.block == block else None)
    assert b"secret" not in written
    assert b'"rm"' not in written
    assert [item["name"] for item in sdk_hears(written)[0]["output"][1:]] == ["lookup"]
    assert {event["output_index"] for event in events_of(written) if "output_index" in event} == {0, 1}
    assert [made.name for made in assembled(seen).message.tool_calls] == ["lookup"]


def test_a_renamed_call_is_renamed_everywhere() -> None:
    """The SDK sees the same id and name in every event."""
    written, _ = through(FULL, lambda chunk, ctx: evolve(chunk, name="other") if chunk.name else None)
    assert b'"lookup"' not in written
    assert [item["name"] for item in sdk_hears(written)[0]["output"][3:]] == ["other", "other"]


def test_a_failed_answer_repeats_nothing_that_was_redacted() -> None:
    """response.failed brings the partial answer: also that has only what was written."""
    item, told = message(0, ["secret"])
    opened = {"type": "response.created", "response": envelope("in_progress", [])}
    failed = {
        "type": "response.failed",
        "response": envelope("failed", [item], error={"code": "server_error", "message": "m"}),
    }
    written, _ = through(sse([opened, *told[:3], failed]), Held("secret", "*", 0).on_chunk)
    assert b"secret" not in written
    assert events_of(written)[-1]["response"]["error"] == {"code": "server_error", "message": "m"}


def test_words_a_plugin_adds_become_an_item() -> None:
    """A note before the end and a call of the plugin's own: announced, told, closed, and in the final answer."""

    def hook(chunk: Chunk, ctx: RequestContext) -> list[Chunk] | None:
        mine = [Chunk("text", "No", 90), Chunk("text", "te.", 90), Chunk("tool_call", "{}", 91, id="c9", name="f")]
        return [*mine, chunk] if chunk.kind == "end" else None

    written, _ = through(stream(message(0, ["Hi"])), hook)
    final, heard = sdk_hears(written)
    assert heard["response.output_text.delta"] == "HiNote."
    assert [item["type"] for item in final["output"]] == ["message", "message", "function_call"]
    assert final["output"][1]["content"][0]["text"] == "Note."
    assert (final["output"][2]["call_id"], final["output"][2]["arguments"]) == ("c9", "{}")


def test_chunks_of_another_api_become_a_whole_stream() -> None:
    """A route that speaks another API: the chunks come without anything of this API's own."""
    foreign = [
        Chunk("start", id="x"),
        Chunk("reasoning", "Hm"),
        Chunk("text", "Hi"),
        Chunk("tool_call", '{"a":', 1, id="c1", name="f"),
        Chunk("tool_call", "1}", 1),
        Chunk("stop", block=1),
        Chunk("finish", finish_reason="max_output_tokens"),
        Chunk("usage", usage=Usage(5, 6)),
        Chunk("done"),
    ]
    writer = API.writer()
    raw = b"".join(writer.write(chunk) for chunk in foreign)
    result = assemble_stream(API, [raw])
    assert (result.text, result.reasoning, result.finish_reason) == ("Hi", "Hm", "max_output_tokens")
    assert [(made.id, made.name, made.arguments) for made in result.tool_calls] == [("c1", "f", '{"a":1}')]
    assert result.usage is not None
    assert result.usage.total == 11
    complete = b"".join(API.writer().write(chunk) for chunk in ())
    assert complete == b""
    writer = API.writer()
    raw = b"".join(writer.write(evolve(chunk, finish_reason=None)) for chunk in foreign)
    assert [item["type"] for item in sdk_hears(raw)[0]["output"]] == ["reasoning", "message", "function_call"]


# --- splitting --------------------------------------------------------------------------------------------------------

parts = st.one_of(
    st.builds(
        lambda text: {"type": "output_text", "text": text, "annotations": [], "logprobs": []}, st.text(max_size=9)
    ),
    st.builds(lambda text: {"type": "refusal", "refusal": text}, st.text(max_size=9)),
)
items = st.one_of(
    st.builds(
        lambda content: {"type": "message", "role": "assistant", "status": "completed", "content": content},
        st.lists(parts, max_size=3),
    ),
    st.builds(
        lambda texts: {"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in texts]},
        st.lists(st.text(max_size=5), max_size=2),
    ),
    st.builds(
        lambda text: {"type": "function_call", "call_id": "c", "name": "f", "arguments": text}, st.text(max_size=5)
    ),
    st.builds(
        lambda text: {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": text}, st.text(max_size=5)
    ),
    st.just({"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(items, max_size=5), st.sampled_from(["completed", "incomplete"]))
def test_a_split_answer_reads_as_the_same_answer(output: list[dict[str, Any]], status: str) -> None:
    """A stored answer becomes a stream that says the same, to us and to the SDK."""
    numbered = [
        {**item, "id": f"i{number}", **({"call_id": f"c{number}"} if "call_id" in item else {})}
        for number, item in enumerate(output)
    ]
    body = envelope(
        status, numbered, incomplete_details={"reason": "max_output_tokens"} if status == "incomplete" else None
    )
    response = Response(api=API.name, **API.response_fields(body))
    raw = b"".join(API.split(response, Request(api=API.name)))
    result = assemble_stream(API, [raw])
    assert result.complete
    assert API.response_body(result.response) == body
    assert result.response == response
    if status == "completed":
        plain = sdk(httpx2.Response(200, json=body)).responses.create(model="m", input="Hi")
        assert sdk_hears(raw)[0]["output"] == as_json(plain)["output"]


def test_a_plugins_own_answer_becomes_a_stream() -> None:
    """A Response made of a message alone: the SDK hears it."""
    blocks = (
        Reasoning("Hm"),
        Text("Hi"),
        RefusalText("No."),
        ToolCall("c", "f", "{}"),
        Opaque("web_search_call", {"id": "w", "status": "completed", "action": {"type": "search", "query": "q"}}),
    )
    raw = b"".join(API.split(Response(API.name, message=Message("assistant", blocks)), Request(api=API.name)))
    final, heard = sdk_hears(raw)
    assert heard["response.output_text.delta"] == "Hi"
    assert [item["type"] for item in final["output"]] == ["reasoning", "message", "function_call", "web_search_call"]
