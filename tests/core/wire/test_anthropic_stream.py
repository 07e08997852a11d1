"""Anthropic Messages streams: read at every cut, changed by plugins, written for the SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import anthropic
import httpx2
import pytest
from clippy_hookspecs import (
    CONTENT_KINDS,
    Chunk,
    Message,
    Opaque,
    Reasoning,
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

from clippy_core.wire.anthropic_messages import API
from clippy_core.wire.assemble import Assembler, assemble_stream
from clippy_core.wire.base import CorruptEvent
from clippy_core.wire.stream import StreamDecoder

ASK: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def opening(**more: Any) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    usage = {"input_tokens": 9, "cache_read_input_tokens": 3, "output_tokens": 1}
    return {"type": "message_start", "message": {**message, "stop_sequence": None, "usage": usage, **more}}


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ending(reason: str | None = "tool_use") -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 12},
    }


END = {"type": "message_stop"}
WEB = {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e", "page_age": None}
CITED = {"type": "char_location", "cited_text": "42", "document_index": 0, "start_char_index": 0, "end_char_index": 2}
FULL = (
    opening(),
    {"type": "ping"},
    start(0, type="thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="Let me "),
    delta(0, "thinking_delta", thinking="see."),
    delta(0, "signature_delta", signature="c2ln"),
    stop(0),
    start(1, type="text", text="", citations=[]),
    delta(1, "text_delta", text="The secret "),
    delta(1, "text_delta", text="is 42 é 🎉."),
    delta(1, "citations_delta", citation=CITED),
    stop(1),
    start(2, type="server_tool_use", id="srv_1", name="web_search", input={}),
    delta(2, "input_json_delta", partial_json='{"query":'),
    delta(2, "input_json_delta", partial_json=' "x"}'),
    stop(2),
    start(3, type="web_search_tool_result", tool_use_id="srv_1", content=[WEB]),
    stop(3),
    start(4, type="tool_use", id="toolu_1", name="lookup", input={}),
    delta(4, "input_json_delta", partial_json=""),
    delta(4, "input_json_delta", partial_json='{"a": '),
    delta(4, "input_json_delta", partial_json="1}"),
    stop(4),
    start(5, type="tool_use", id="toolu_2", name="now", input={}),
    stop(5),
    ending(),
    END,
)


def chunks(raw: bytes) -> list[Chunk]:
    decoder = StreamDecoder(API)
    return [chunk for event in (*decoder.feed(raw), *decoder.finish()) for chunk in event.chunks]


def assembled(parts: Iterable[Chunk]) -> Response:
    assembler = Assembler(API)
    for chunk in parts:
        assembler.add(chunk)
    return assembler.response()


def sdk_message(stream: bytes) -> anthropic.types.Message:
    """What the official SDK makes of a stream."""
    head = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=head, content=stream))
    client = anthropic.Anthropic(
        api_key="k", max_retries=0, http_client=anthropic.DefaultHttpxClient(transport=transport)
    )
    with client.messages.stream(**ASK) as events:
        return events.get_final_message()


def sdk_answer(body: Any) -> anthropic.types.Message:
    """What the official SDK makes of a body that is not streamed."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=body))
    client = anthropic.Anthropic(
        api_key="k", max_retries=0, http_client=anthropic.DefaultHttpxClient(transport=transport)
    )
    return client.messages.create(**ASK)


def told(message: anthropic.types.Message) -> dict[str, Any]:
    """A message of the SDK as JSON, without what its streams add."""
    value = message.model_dump(mode="json", exclude_unset=True, warnings=False)
    value.pop("stop_details", None)
    for block in value["content"]:
        block.pop("parsed_output", None)
    return value


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_stream_says_what_the_sdk_hears() -> None:
    """Blocks, signatures, citations, server tools, usage and stop reason, as one answer."""
    response = assembled(chunks(sse(*FULL)))
    assert response.message.blocks == (
        Reasoning("Let me see.", "c2ln"),
        Text("The secret is 42 é 🎉.", {"citations": [CITED]}),
        Opaque(
            "server_tool_use", {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}}
        ),
        Opaque("web_search_tool_result", FULL[16]["content_block"]),
        ToolCall("toolu_1", "lookup", '{"a": 1}'),
        ToolCall("toolu_2", "now", "{}"),
    )
    assert (response.id, response.model, response.finish_reason) == ("msg_1", "m", "tool_use")
    assert response.usage is not None
    assert (response.usage.input, response.usage.output, response.usage.cache_read) == (12, 12, 3)
    body = API.response_body(response)
    heard = told(sdk_message(sse(*FULL)))
    for name in ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence"):
        assert body[name] == heard[name], name


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=40))
def test_any_cut_of_a_stream_gives_the_same_chunks(sizes: list[int]) -> None:
    """Where the network cuts the bytes is not seen."""
    raw = sse(*FULL)
    decoder = StreamDecoder(API)
    cut: list[Chunk] = []
    at = 0
    for size in [*sizes, len(raw)]:
        cut += [chunk for event in decoder.feed(raw[at : at + size]) for chunk in event.chunks]
        at += size
    cut += [chunk for event in decoder.finish() for chunk in event.chunks]
    assert cut == chunks(raw)
    assert [chunk.raw for chunk in cut] == [chunk.raw for chunk in chunks(raw)]
    assert decoder.complete


def test_a_block_ends_before_the_event_that_ends_it() -> None:
    """The host's stop chunk comes once for each block, before content_block_stop, so that held text comes in time."""
    kinds = [(chunk.kind, chunk.block) for chunk in chunks(sse(*FULL))]
    for block in range(6):
        at = kinds.index(("stop", block))
        assert kinds[at + 1] == ("other", block)
        assert kinds.count(("stop", block)) == 1


def test_words_in_the_opening_event_count_as_words() -> None:
    """Some providers send the first words with content_block_start."""
    raw = sse(
        opening(),
        start(0, type="text", text="Hel"),
        delta(0, "text_delta", text="lo"),
        stop(0),
        ending("end_turn"),
        END,
    )
    read = chunks(raw)
    assert [chunk.delta for chunk in read if chunk.content] == ["Hel", "lo"]
    assert assembled(read).text == "Hello" == sdk_message(raw).content[0].text
    assert b"".join(chunk.raw or b"" for chunk in read) == raw


def test_arguments_in_the_opening_event_count_as_arguments() -> None:
    """A provider that sends the whole input with content_block_start and no deltas."""
    raw = sse(opening(), start(0, type="tool_use", id="t", name="f", input={"a": 1}), stop(0), ending(), END)
    assert assembled(chunks(raw)).message.tool_calls == (ToolCall("t", "f", '{"a":1}'),)


def test_a_block_nobody_closes_is_closed_before_the_end() -> None:
    """Gateways forget content_block_stop; what a plugin holds must come before message_delta all the same."""
    read = chunks(
        sse(opening(), start(0, type="text", text=""), delta(0, "text_delta", text="a"), ending("end_turn"), END)
    )
    kinds = [chunk.kind for chunk in read]
    assert kinds == ["start", "start", "text", "stop", "finish", "done"]


def test_usage_in_the_middle_ends_nothing() -> None:
    """A message_delta without a stop reason reports usage and leaves the blocks open."""
    read = chunks(sse(opening(), start(0, type="text", text=""), ending(None), delta(0, "text_delta", text="a")))
    assert [chunk.kind for chunk in read] == ["start", "start", "usage", "text"]
    assert read[2].usage is not None
    assert (read[2].usage.input, read[2].usage.output) == (12, 12)


@pytest.mark.parametrize(
    ("last", "complete"),
    [((ending("end_turn"), END), True), ((ending("end_turn"),), True), ((ending(None),), False), ((), False)],
)
def test_a_stream_is_complete_with_a_stop_reason_or_the_terminal_event(last: tuple[Any, ...], complete: bool) -> None:
    """An end before that is a broken stream."""
    raw = sse(opening(), start(0, type="text", text=""), delta(0, "text_delta", text="a"), stop(0), *last)
    assert assemble_stream(API, [raw]).complete is complete


def test_an_error_event_is_an_error() -> None:
    """Its JSON is the chunk's extra, for whoever judges it."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    (chunk,) = chunks(sse(error))
    assert (chunk.kind, chunk.reason, chunk.extra) == ("error", "overloaded_error", error)


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "[]",
        '{"type": "content_block_delta", "index": "0", "delta": {"type": "text_delta", "text": "a"}}',
        '{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 5}}',
        '{"type": "content_block_delta", "index": 0}',
        '{"type": "content_block_start", "index": 0, "content_block": []}',
        '{"type": "message_start"}',
    ],
)
def test_what_the_api_does_not_promise_is_corrupt(data: str) -> None:
    """A damaged event is a failure of the stream, not skipped; the message does not quote it."""
    with pytest.raises(CorruptEvent) as caught:
        chunks(f"event: x\ndata: {data}\n\n".encode())
    assert data not in str(caught.value)


# --- writing ----------------------------------------------------------------------------------------------------------


class Held(TextFilter):
    """Holds *n* characters back and replaces a word."""

    kinds = ("text", "reasoning", "tool_call")

    def __init__(self, find: str, put: str, n: int) -> None:
        self.find, self.put, self.n = find, put, n

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        text = text.replace(self.find, self.put)
        keep = 0 if final else min(self.n, len(text))
        return text[: len(text) - keep], text[len(text) - keep :]


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


def test_an_unchanged_stream_is_written_as_the_bytes_that_came() -> None:
    """Nothing is made anew that nobody touched."""
    assert through(sse(*FULL), lambda chunk, ctx: None)[0] == sse(*FULL)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.lists(st.text("secrt 42", max_size=6), min_size=1, max_size=6))
def test_a_redactor_that_holds_text_back_leaks_nothing(n: int, pieces: list[str]) -> None:
    """However the words are cut and however much is held: the bytes, the SDK and the assembled answer agree."""
    texts = [delta(0, "text_delta", text=piece) for piece in pieces]
    raw = sse(opening(), start(0, type="text", text=pieces[0]), *texts[1:], stop(0), ending("end_turn"), END)
    written, seen = through(raw, Held("secret", "*", max(n, 5)).on_chunk)
    expected = "".join(pieces).replace("secret", "*")
    assert b"secret" not in written
    assert sdk_message(written).content[0].text == expected
    assert assembled(seen).text == expected


@pytest.mark.parametrize("kind", ["text", "reasoning", "tool_call"])
def test_a_changed_piece_is_heard_by_the_sdk(kind: str) -> None:
    """Every kind of piece can be rewritten."""

    def hook(chunk: Chunk, ctx: RequestContext) -> Chunk | None:
        if chunk.kind != kind or not chunk.delta:
            return None
        return evolve(chunk, delta=chunk.delta.replace("see", "SEE").replace("secret", "SECRET").replace("1", "2"))

    written, seen = through(sse(*FULL), hook)
    heard = sdk_message(written)
    expected = told(sdk_message(sse(*FULL)))
    if kind == "reasoning":
        expected["content"][0]["thinking"] = "Let me SEE."
    if kind == "text":
        expected["content"][1]["text"] = "The SECRET is 42 é 🎉."
    if kind == "tool_call":
        expected["content"][4]["input"] = {"a": 2}
    assert told(heard) == expected
    assert API.response_body(assembled(seen))["content"] == expected["content"]


def test_a_dropped_block_leaves_no_gap() -> None:
    """Thinking taken out altogether: the blocks after it move up, as the SDK's list needs it."""
    written, _ = through(
        sse(*FULL),
        lambda chunk, ctx: (
            []
            if chunk.block == 0
            and chunk.kind in {"start", "reasoning", "other"}
            and chunk.extra.get("response") is None
            else None
        ),
    )
    heard = sdk_message(written)
    assert [block.type for block in heard.content] == [
        "text", "server_tool_use", "web_search_tool_result", "tool_use", "tool_use"
    ]  # fmt: skip
    assert heard.content[0].text == "The secret is 42 é 🎉."
    assert heard.content[3].input == {"a": 1}


def test_a_block_a_plugin_made_is_opened_and_closed() -> None:
    """A note appended at the end is a block of its own."""

    def hook(chunk: Chunk, ctx: RequestContext) -> list[Chunk] | None:
        return (
            [Chunk("text", "Note.", 99), Chunk("tool_call", "{}", 100, id="t9", name="f"), chunk]
            if chunk.kind == "end"
            else None
        )

    written, _ = through(
        sse(opening(), start(0, type="text", text=""), delta(0, "text_delta", text="a"), stop(0), END), hook
    )
    heard = sdk_message(written)
    assert [block.to_dict() for block in heard.content] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "Note."},
        {"type": "tool_use", "id": "t9", "name": "f", "input": {}},
    ]
    assert written.count(b"event: content_block_start") == written.count(b"event: content_block_stop") == 3


def test_words_in_the_opening_event_do_not_leak() -> None:
    """The event that opens a block with words in it is written anew when the words are changed or dropped."""
    raw = sse(
        opening(),
        start(0, type="text", text="secret"),
        delta(0, "text_delta", text="!"),
        stop(0),
        ending("end_turn"),
        END,
    )
    raw2 = sse(opening(), start(0, type="tool_use", id="t", name="f", input={"a": "secret"}), stop(0), ending(), END)
    for stream in (raw, raw2):
        for put in ("", "public"):
            changed = lambda chunk, ctx, put=put: (  # noqa: E731
                evolve(chunk, delta=chunk.delta.replace("secret", put)) if "secret" in chunk.delta else None
            )
            written, _ = through(stream, changed)
            assert b"secret" not in written
            assert put in json.dumps(told(sdk_message(written)))
    written, _ = through(raw, lambda chunk, ctx: [] if chunk.delta == "secret" else None)
    assert sdk_message(written).content[0].text == "!"


def test_chunks_of_another_api_become_a_whole_stream() -> None:
    """A route that speaks another API: the chunks come without anything of this API's own."""
    foreign = [
        Chunk("start", id="x"),
        Chunk("reasoning", "Hm"),
        Chunk("text", "Hi"),
        Chunk("tool_call", '{"a":', 1, id="c1", name="f"),
        Chunk("tool_call", "1}", 1),
        Chunk("finish", finish_reason="tool_use"),
        Chunk("usage", usage=Usage(5, 6)),
        Chunk("done"),
    ]
    writer = API.writer()
    heard = sdk_message(b"".join(writer.write(chunk) for chunk in foreign))
    assert [block.type for block in heard.content] == ["thinking", "text", "tool_use"]
    assert heard.content[2].input == {"a": 1}
    assert heard.usage.output_tokens == 6


# --- splitting --------------------------------------------------------------------------------------------------------

blocks = st.one_of(
    st.builds(Text, st.text(max_size=9)),
    st.builds(
        lambda text, cited: Text(text, {"citations": cited}), st.text(max_size=9), st.lists(st.just(CITED), max_size=2)
    ),
    st.builds(Reasoning, st.text(max_size=9), st.text(min_size=1, max_size=5)),
    st.builds(
        ToolCall,
        st.text(min_size=1, max_size=5),
        st.text(min_size=1, max_size=5),
        st.sampled_from(["{}", '{"a":1}', '{"b":[1.0]}']),
    ),
    st.just(Opaque("redacted_thinking", {"type": "redacted_thinking", "data": "x"})),
    st.just(
        Opaque("server_tool_use", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": [1, 2]}})
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(blocks, max_size=5), st.sampled_from(["end_turn", "max_tokens", "refusal"]))
def test_a_split_answer_reads_as_the_same_answer(made: list[Any], reason: str) -> None:
    """A stored answer becomes a stream that says the same, to us and to the SDK."""
    params = {"type": "message", "stop_sequence": None, "container": {"id": "c"}}
    usage = Usage(3, 4, extra={"input_tokens": 3, "output_tokens": 4})
    response = Response(
        API.name,
        message=Message("assistant", tuple(made)),
        finish_reason=reason,
        usage=usage,
        id="m1",
        model="m",
        params=params,
    )
    raw = b"".join(API.split(response, Request(api=API.name)))
    result = assemble_stream(API, [raw])
    assert result.complete
    assert result.response.message == response.message
    assert (result.finish_reason, result.usage, result.response.id) == (reason, usage, "m1")
    body = API.response_body(response)
    again = API.response_body(result.response)
    assert again == ({**body, "content": [], "role": "assistant"} if not made else body)
    assert told(sdk_message(raw)) == told(sdk_answer(again))


def test_every_content_kind_is_written() -> None:
    """A new kind of content cannot be forgotten here without this failing."""
    for kind in sorted(CONTENT_KINDS):
        assert b"content_block_delta" in API.writer().write(Chunk(kind, "x", id="i" if kind == "tool_call" else None))
