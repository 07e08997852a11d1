"""Streams that keep a rate, in pieces that a reader can take in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import define
from calling import Caller, Read
from clippy_hookspecs import Chunk, RequestContext, Restart, hookimpl
from clippy_throttle import Throttle, boundary
from hypothesis import given, settings
from hypothesis import strategies as st
from words import Words

from clippy_core.testing import Fault, Raw, Reply, VirtualClock, call
from clippy_core.wire import APIS
from clippy_core.wire.assemble import assemble_stream


def throttled(caller: Caller, script: Any, **set_to: Any) -> tuple[Read, float]:
    """What a caller reads, and how long that takes on the clock."""
    caller.start({"throttle": Throttle(**set_to), "words": Words()}, script)
    began = caller.clock.now()
    read = caller.stream()
    assert read.error is None
    return read, caller.clock.now() - began


def texts(read: Read) -> list[str]:
    return [chunk.delta for chunk in read.chunks if chunk.delta]


def pieces(text: str, sizes: list[int]) -> list[str]:
    """*text* cut into pieces of these sizes, over and over."""
    cut, at, turn = [], 0, 0
    while at < len(text):
        cut.append(text[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return cut


# --- rates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "coalesce"), [([6], "none"), ([600], "none"), ([7, 1, 40], "none"), ([7, 1, 40], "word"), ([9], "line")]
)
def test_ten_thousand_tokens_take_their_time(sizes: list[int], coalesce: str) -> None:
    """10,000 at 80 a second are 125 seconds, whatever pieces they come in and go out in."""
    import httpx

    text = " ".join(f"{number:05}" for number in range(10_000))
    caller = Caller("sync", httpx)
    read, seconds = throttled(
        caller, Reply(text=text, chunks=pieces(text, sizes)), tokens_per_second=80, coalesce=coalesce
    )
    assert read.text == text
    assert seconds == pytest.approx(125.0, abs=0.001)


def test_it_takes_its_time_in_every_colour(caller: Caller) -> None:
    text = " ".join(f"w{number}" for number in range(500))
    read, seconds = throttled(caller, Reply(text), tokens_per_second=50)
    assert (read.text, seconds) == (text, pytest.approx(10.0, abs=0.001))


def test_chunks_are_limited_too_and_the_slower_rate_counts(caller: Caller) -> None:
    """Forty pieces of one token at ten a second; as tokens they would take two."""
    words = [f"w{number} " for number in range(40)]
    _, seconds = throttled(caller, Reply(text="".join(words), chunks=words), tokens_per_second=20, chunks_per_second=10)
    assert seconds == pytest.approx(4.0, abs=0.001)


def test_pieces_come_one_by_one_and_not_in_a_burst(sync_caller: Caller) -> None:
    """What came in one read goes out at its rate: nothing is piled up before the reader."""
    event = 'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"w%d "}}]}\n\n'
    body = "".join(event % number for number in range(20)) + (
        'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    sync_caller.start({"throttle": Throttle(chunks_per_second=2), "words": Words()}, in_one_read(body))
    at: list[float] = []
    import clippy_core

    with clippy_core.Client(sync_caller.host, sync_caller._http()) as client, client.stream("Hello") as stream:
        at.extend(sync_caller.clock.now() for chunk in stream if chunk.kind == "text")
    assert [0.5 * number for number in range(20)] == pytest.approx([one - at[0] for one in at])


def test_the_streams_that_are_slowed_are_a_table(sync_caller: Caller) -> None:
    """How fast each goes, and how fast it may; none when it has ended, and none where nothing is slowed."""
    throttle, seen = Throttle(chunks_per_second=2), []

    def look() -> Any:
        try:  # it waits for nothing
            throttle.status_tables().send(None)
        except StopIteration as done:
            return done.value[0]

    @define(eq=False)
    class Looks:
        @hookimpl
        def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
            if chunk.kind == "text":
                seen.append((ctx.id, look()))

    sync_caller.start(
        {"looks": Looks(), "throttle": throttle}, Reply("one two three", chunks=["one ", "two ", "three"])
    )
    sync_caller.stream()
    request_id, table = seen[-1]
    (line,) = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert (line["id"], line["pieces"], line["pieces a second allowed"]) == (request_id, 2, 2)
    assert line["pieces a second"] == pytest.approx(2 / line["for, s"], abs=0.1)
    assert line["tokens"] is None
    assert look().rows == ()


def in_one_read(body: str) -> Raw:
    return Raw(body.encode(), headers=[("content-type", "text/event-stream")])


def test_without_settings_it_has_nothing_to_do(caller: Caller) -> None:
    """It says so, and every byte of the answer is the provider's."""
    assert "no rate" in (Throttle().idle or "")
    assert Throttle(coalesce="word").idle is None
    caller.start({"throttle": Throttle()}, Reply("one two three"))
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    under = caller.send(json=body).body
    caller.start({}, Reply("one two three"))
    assert caller.send(json=body).body == under


@pytest.mark.parametrize(
    "wrong", [{"tokens_per_second": 0}, {"chunks_per_second": -1}, {"coalesce": "sentence"}, {"interval": 0}]
)
def test_a_rate_of_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Throttle(**wrong)


# --- coalescing ------------------------------------------------------------------------------------------------------


def test_words_come_whole(caller: Caller) -> None:
    """Each with the space before it, and the last one at the end."""
    read, _ = throttled(caller, Reply(text="The cat sat on it", chunks=9), coalesce="word")
    assert texts(read) == ["The", " cat", " sat", " on", " it"]


def test_lines_come_whole(caller: Caller) -> None:
    text = "one line\n\nanother line\nand the rest"
    read, _ = throttled(caller, Reply(text=text, chunks=list(text)), coalesce="line")
    assert texts(read) == ["one line\n", "\n", "another line\n", "and the rest"]


def test_moments_come_whole(caller: Caller) -> None:
    """A letter each 30 ms, one piece each 100 ms: four letters at a time, of which the last may still grow."""
    text = "abcdefghijklmnop"
    read, _ = throttled(
        caller, [[Fault.slow(0.03), Reply(text=text, chunks=list(text))]], coalesce="time", interval=0.1
    )
    assert read.text == text
    assert max(map(len, texts(read)[1:-1])) == 4
    assert len(texts(read)) <= 6


def test_a_word_without_end_is_cut_somewhere(caller: Caller) -> None:
    """What waits for its end is bounded; it is still not cut amid a character."""
    text = "e\u0301" * 2000
    read, _ = throttled(caller, Reply(text=text, chunks=list(text)), coalesce="word")
    assert read.text == text
    assert max(map(len, texts(read))) <= 260
    assert all(one.startswith("e") for one in texts(read))


def test_one_character_without_end_is_let_go(caller: Caller) -> None:
    """Hundreds of marks on one letter are no text; they must not fill the memory."""
    text = "a" + "\u0301" * 2000
    script = [[Fault.slow(0.01), Reply(text=text, chunks=list(text))]]
    read, _ = throttled(caller, script, coalesce="time", interval=0.001)
    assert read.text == text
    assert max(map(len, texts(read))) <= 260


MIXED = st.text(
    st.one_of(
        st.sampled_from("ab \n\r\u0301\u200d\U0001f468\U0001f1e9\U0001f1ea\u1112\u1161\u11ab\u0915\u094d\u0937\ufe0f"),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60)
@given(MIXED, st.lists(st.integers(1, 7), min_size=1, max_size=5), st.sampled_from(["word", "line", "time"]))
def test_no_text_is_lost_or_cut_amid_a_character(text: str, sizes: list[int], coalesce: Any) -> None:
    """However it came: together the pieces are the text, and each joint is a boundary."""
    import httpx

    caller = Caller("sync", httpx, VirtualClock())
    script = [[Fault.slow(0.02), Reply(text=text, chunks=pieces(text, sizes))]]
    read, _ = throttled(caller, script, coalesce=coalesce, interval=0.05)
    assert read.text == text
    at = 0
    for one in texts(read)[:-1]:
        at += len(one)
        assert boundary(text, at), (text, at)


def test_a_tool_call_is_left_as_it_is(caller: Caller) -> None:
    """Its JSON comes in the provider's own pieces, and takes up its time."""
    arguments = json.dumps({"city": "a b c d e f g h"})
    script = Reply(tool_calls=[call("weather", arguments)])
    caller.start({}, script)
    bare = [chunk.delta for chunk in caller.stream().chunks if chunk.kind == "tool_call"]
    read, seconds = throttled(caller, script, tokens_per_second=2, coalesce="line")
    assert [chunk.delta for chunk in read.chunks if chunk.kind == "tool_call"] == bare
    assert seconds == pytest.approx(len(arguments.split()) / 2, abs=1.0)


def test_what_waits_is_given_up_when_a_stream_is_interrupted(caller: Caller) -> None:
    """The half word is what the provider said; the failure comes after it."""
    caller.start({"throttle": Throttle(coalesce="line")}, [[Fault.reset(at_delta=2), Reply("one two three")]])
    read = caller.stream()
    assert read.text == "one two "
    assert read.error is not None


@pytest.mark.parametrize("coalesce", ["word", "line", "time"])
def test_the_logprobs_that_were_asked_for_are_not_lost(sync_caller: Caller, coalesce: Any) -> None:
    """They belong to the tokens of one piece, so that pieces of such a stream are not gathered."""
    words = ["hel", "lo ", "wor", "ld"]
    told = [[{"token": word, "logprob": -0.1, "bytes": None, "top_logprobs": []}] for word in words]
    choices: list[Any] = [
        {"index": 0, "delta": {"content": word}, "logprobs": {"content": token}, "finish_reason": None}
        for word, token in zip(words, told, strict=True)
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [{"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [one]} for one in choices]
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    reply = Raw(("".join([*lines, "data: [DONE]\n\n"]).encode(),), headers={"content-type": "text/event-stream"})
    sync_caller.start({"throttle": Throttle(coalesce=coalesce)}, reply)
    body = {"model": "m", "stream": True, "logprobs": True, "messages": [{"role": "user", "content": "Hello"}]}
    whole = assemble_stream(APIS["openai.chat"], sync_caller.send(json=body).pieces)
    assert whole.text == "hello world"
    assert whole.response.params["choices"][0]["logprobs"]["content"] == [one for some in told for one in some]


def test_what_waits_is_void_when_a_stream_begins_anew(caller: Caller) -> None:
    @define(eq=False)
    class Anew:
        @hookimpl
        def on_error(self) -> Restart:
            return Restart()

    script = [[Fault.reset(at_delta=3), Reply("one two three four")], Reply("un deux\ntrois")]
    caller.start({"throttle": Throttle(coalesce="line"), "anew": Anew()}, script)
    read = caller.stream()
    kinds = [chunk.kind for chunk in read.chunks]
    assert "".join(chunk.delta for chunk in read.chunks[kinds.index("restart") :]) == "un deux\ntrois"


def test_reasoning_and_answer_keep_their_places(caller: Caller) -> None:
    """Each block gives up its own text when it ends."""
    route = {"base_url": "http://fake.test", "key": "k", "model": "claude", "api": "anthropic.messages"}
    caller.start(
        {"throttle": Throttle(coalesce="line"), "words": Words()},
        Reply(text="the answer", reasoning="let me think", chunks=4),
        routes={"main": route},
    )
    read = caller.stream()
    assert [(chunk.kind, chunk.delta) for chunk in read.chunks if chunk.delta] == [
        ("reasoning", "let me think"),
        ("text", "the answer"),
    ]


def test_an_sdk_gets_whole_words_at_their_rate() -> None:
    """The openai SDK through a host: what it decodes is what was let out, when it was let out."""
    import httpx2
    import openai

    import clippy_core
    from clippy_core.testing import FakeProvider

    clock = VirtualClock()
    text = " ".join(f"w{number}" for number in range(60))
    http = FakeProvider(Reply(text=text, chunks=list(text)), clock=clock).client(httpx2)
    plugins = {"throttle": Throttle(tokens_per_second=4, coalesce="word"), "words": Words()}
    host = clippy_core.Host(plugins, clock=clock)
    sdk = host.wrap(openai.OpenAI(api_key="none", base_url="http://fake.test/v1", http_client=http))
    began, read = clock.now(), []
    for chunk in sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            read.append((clock.now() - began, chunk.choices[0].delta.content))
    assert [word for _, word in read] == [f" w{number}".removeprefix(" w0") or "w0" for number in range(60)]
    assert [at for at, _ in read] == pytest.approx([number / 4 for number in range(60)], abs=0.26)
    assert clock.now() - began == pytest.approx(15.0, abs=0.001)
