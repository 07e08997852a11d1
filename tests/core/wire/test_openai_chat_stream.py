"""OpenAI chat streams become chunks and come back as they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from clippy_hookspecs import Chunk, evolve
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from clippy_core.wire import APIS, CorruptEvent, StreamDecoder, StreamEvent

API = APIS["openai.chat"]
TEXTS = st.text(max_size=12)

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


@given(
    st.text(min_size=1), st.dictionaries(st.sampled_from(["x", "object", "usage"]), st.none()), st.none() | st.just("")
)
def test_a_further_piece_of_text_is_read_as_the_first_one_is(
    text: str, top: dict[str, Any], reason: str | None
) -> None:
    """The short way for the commonest event sees nothing else than the long one."""
    raw = event({**delta(content=text), "finish_reason": reason}, **top)
    first, second = chunks(raw, raw)
    assert (first, first.extra, first.raw) == (second, second.extra, second.raw)


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
