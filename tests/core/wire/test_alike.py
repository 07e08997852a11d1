"""Events that differ only in their words say the same, whether they are parsed or told by the event before them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from clippy_hookspecs import Chunk
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.wire import APIS, StreamDecoder
from clippy_core.wire.alike import alike

CHAT, MESSAGES = APIS["openai.chat"], APIS["anthropic.messages"]


def chat(words: Any, field: str = "content", index: int = 0, **more: Any) -> bytes:
    ascii_only = bool(more.pop("ascii_only", False))
    choice = {"index": index, "delta": {field: words}, "finish_reason": more.pop("finish", None)}
    body = {"id": "x", "created": 1, "choices": [choice], **more}
    return b"data: " + json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") + b"\n\n"


def message(words: Any, number: int = 0) -> bytes:
    delta = {"type": "text_delta", "text": words}
    body = {"type": "content_block_delta", "index": number, "delta": delta}
    return b"event: content_block_delta\ndata: " + json.dumps(body).encode() + b"\n\n"


def told(api: Any, parts: list[bytes], tries: int | None = None) -> tuple[list[tuple[Any, ...]], str | None, bytes]:
    """Every event with all that its chunks say, what failed, and what was left; *tries* 0 parses every event."""
    decoder = StreamDecoder(api)
    if tries is not None:
        decoder._tries = tries
    events: list[Any] = []
    failure = None
    try:
        for part in parts:
            events += decoder.feed(part)
        events += decoder.finish()
    except ValueError as error:
        failure = str(error)
    said = [(event.raw, event.ends, [(chunk, chunk.raw) for chunk in event.chunks]) for event in events]
    return said, failure, decoder.rest


WORDS = st.text(max_size=6) | st.sampled_from(["index", "text", "content", "0", '"', '"}', "\\", "\n\n", "é", "\u2028"])
CHATS = st.one_of(
    st.builds(chat, WORDS, st.sampled_from(["content", "content", "content", "reasoning_content", "refusal"])),
    st.builds(chat, WORDS, ascii_only=st.just(True)),
    st.builds(chat, WORDS, index=st.sampled_from([0, 1])),
    st.builds(chat, WORDS, obfuscation=st.text(max_size=3)),
    st.builds(chat, WORDS, finish=st.just("stop")),
    st.builds(chat, st.just("\ud83d"), ascii_only=st.just(True)),
    st.sampled_from([b": keep-alive\n\n", b"data: [DONE]\n\n", b"data: nonsense\n\n", b"\n", b"data: {\n\n"]),
)
OPENING = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":%s}\n\n'
STARTS = [OPENING % (0, b'{"type":"text","text":""}'), OPENING % (1, b'{"type":"text","text":""}')]
STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
MESSAGE_EVENTS = st.builds(message, WORDS, st.sampled_from([0, 0, 0, 1])) | st.sampled_from([*STARTS, STOP])


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(body) + 1) for cut in cuts} | {0, len(body)})
    return [body[a:b] for a, b in itertools.pairwise(places)]


@settings(max_examples=100)
@given(st.lists(CHATS, max_size=12), st.lists(st.integers(0, 5000), max_size=6), st.booleans())
def test_a_chat_stream_says_the_same_however_it_is_read_and_cut(events, cuts, crlf):
    body = b"".join(events).replace(b"\n", b"\r\n" if crlf else b"\n")
    whole = told(CHAT, [body], tries=0)
    for parts in ([body], pieces(body, cuts), events if not crlf else [body]):
        said = told(CHAT, parts)
        assert whole[0] == said[0]
        assert whole[1:] == said[1:] or whole[1] is not None


@settings(max_examples=80)
@given(st.lists(MESSAGE_EVENTS, max_size=12), st.lists(st.integers(0, 3000), max_size=6))
def test_a_messages_stream_says_the_same_however_it_is_read_and_cut(events, cuts):
    body = b"".join([*STARTS[:1], *events])
    whole = told(MESSAGES, [body], tries=0)
    assert whole == told(MESSAGES, [body])
    assert whole == told(MESSAGES, pieces(body, cuts))


@pytest.mark.parametrize("words", ["index", "content", "x", "1", "choices"])
def test_the_words_are_found_where_their_text_stands_elsewhere_too(words):
    decoder = StreamDecoder(CHAT)
    (event,) = decoder.feed(chat(words, note="x"))
    common = alike(event, decoder._reader)
    events: list[Any] = []
    data = chat("quite other", note="x") + chat("stop", note="x") + chat("end", note="y")
    at = common.take(data, 0, events)
    assert data[at:] == chat("end", note="y")
    assert ["quite other", "stop"] == [event.chunks[0].delta for event in events]
    assert b"".join(event.raw for event in events) == data[:at]


def test_an_event_with_other_bytes_around_its_words_is_read_as_a_whole():
    decoder = StreamDecoder(CHAT)
    parts = [chat("a"), chat("b"), chat("c", created=2), chat("d", created=2), chat("e", finish="stop")]
    chunks = [chunk for part in parts for event in decoder.feed(part) for chunk in event.chunks]
    assert "abcde" == "".join(chunk.delta for chunk in chunks)
    assert [1, 1, 2, 2] == [chunk.extra["response"]["created"] for chunk in chunks[:4]]
    assert Chunk("stop") in chunks


def test_a_stream_whose_events_are_never_alike_is_soon_read_without_trying():
    decoder = StreamDecoder(CHAT)
    for number in range(4):
        decoder.feed(chat("a", number=number))
    assert 0 == decoder._tries
    assert decoder._alike is None


def test_what_follows_an_event_that_cannot_be_read_is_still_there_to_be_judged():
    decoder = StreamDecoder(CHAT)
    bad, after = b"data: {nonsense\n\n", chat("b") + b"data: half"
    events = decoder.feed(chat("a") + bad + after)
    assert "a" == events[0].chunks[0].delta
    assert decoder.failure is not None
    assert bad + after == decoder.rest


@pytest.mark.parametrize(("api", "event"), [(CHAT, chat("a")), (MESSAGES, message("a"))])
def test_a_byte_order_mark_is_one_only_before_the_first_event(api, event):
    """Before any other it is a part of the name of the line's field, which is then an unknown one."""
    body = b"\xef\xbb\xbf" + event
    assert told(api, [body, body], tries=0) == told(api, [body, body]) == told(api, [body + body])
