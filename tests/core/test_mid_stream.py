"""A stream that breaks after a part of it was delivered: raised, begun anew, or gone on with."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest
from attrs import define, field
from calling import COLOURS, Caller, Keep, Read
from clippy_hookspecs import (
    AuditRecord,
    Chunk,
    Continue,
    ErrorInfo,
    Outcome,
    ProviderError,
    Request,
    RequestContext,
    Response,
    Restart,
    Retry,
    StreamInterrupted,
    TextFilter,
    Usage,
    hookimpl,
)
from patience import PATIENCE

from clippy_core import passage
from clippy_core.resuming import why_not
from clippy_core.testing import Fault, Raw, Reply, VirtualClock, call
from clippy_core.wire import APIS
from clippy_core.wire.assemble import assemble_stream

TEXT = "one two three four five six"
REST = "three four five six"
CALL = call("get_weather", {"city": "Paris"})
BREAKS = {
    "reset": lambda at: Fault.reset(at_delta=at),
    "error event": lambda at: Fault.error_event(at_delta=at),
    "corrupt": lambda at: Fault.truncated_json(at_delta=at),
}
PATHS = {
    "openai.chat": ("/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}),
    "openai.responses": ("/responses", {"model": "m", "input": "Hello"}),
    "anthropic.messages": (
        "/messages",
        {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "Hello"}]},
    ),
}


@define(eq=False)
class Decides:
    """Answers each failure of a begun stream with the next of some decisions, then None."""

    decisions: list[Any]
    infos: list[ErrorInfo] = field(factory=list)
    outcomes: list[str] = field(factory=list)
    ends: list[str] = field(factory=list)
    answers: list[str] = field(factory=list)

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Any:
        self.infos.append(error)
        return self.decisions.pop(0) if self.decisions else None

    @hookimpl
    def post_attempt(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome.state)

    @hookimpl
    def on_response(self, response: Response) -> None:
        self.answers.append(response.text)


@define(eq=False)
class Chunks:
    """Looks at chunks, so that the writer sees each."""

    kinds: list[str] = field(factory=list)
    text: str = ""

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        self.kinds.append(chunk.kind)
        self.text += chunk.delta if chunk.kind == "text" else ""


def begin(colour: str, decisions: list[Any], script: Any, **plugins: Any) -> tuple[Caller, Decides]:
    decides = Decides(decisions)
    caller = Caller(colour, httpx)
    return caller.start({"decides": decides, **plugins}, script), decides


def post(caller: Caller, api: str, **more: Any) -> Any:
    path, body = PATHS[api]
    sent = caller.send(path=path, json={**body, "stream": True, **more})
    assert sent.error is None, sent.error
    return assemble_stream(APIS[api], sent.pieces)


def texts_of(body: Any) -> list[tuple[str, str]]:
    """The roles and texts of a request's turns, in any API."""
    turns = body.get("messages", body.get("input"))
    return [(turn["role"], _text(turn["content"])) for turn in turns if isinstance(turn, dict)]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
@pytest.mark.parametrize("colour", COLOURS)
def test_under_an_http_client_the_two_parts_are_one_stream_of_its_api(colour, watched, api, how) -> None:
    script = [[BREAKS[how](3), Reply(TEXT)], Reply(REST)]
    more = {"chunks": Chunks()} if watched else {}
    caller, decides = begin(colour, [Continue(1.5, "prompt")], script, **more)
    asks = {"stream_options": {"include_usage": True}} if api == "openai.chat" else {}

    result = post(caller, api, **asks)

    assert result.complete, result.error
    assert result.text == TEXT
    assert decides.answers == [TEXT]
    assert decides.outcomes == ["error", "ok"]
    assert decides.infos[0].partial.text == "one two three "
    record = caller.records.last
    assert (record.outcome, [attempt.waited for attempt in record.attempts]) == ("answered", [0.0, 1.5])
    assert caller.clock.now() >= 1.5
    assert result.usage is not None
    assert (result.usage.input, result.usage.output) == (record.usage.input, record.usage.output)
    assert record.usage.output >= len(TEXT.split())
    first, second = [json.loads(request.body) for request in caller.provider.requests]
    turns = texts_of(second)
    assert turns[-2] == ("assistant", "one two three")
    assert turns[-1][0] == "user"
    assert {name: first[name] for name in first if name not in ("messages", "input")} == {
        name: second[name] for name in second if name not in ("messages", "input")
    }
    if watched:
        assert more["chunks"].text == TEXT
        assert more["chunks"].kinds.count("end") == 1


@pytest.mark.parametrize("colour", COLOURS)
def test_our_own_client_reads_one_answer_with_a_mark_where_it_joins(colour) -> None:
    caller, _ = begin(colour, [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(REST)])
    read = caller.stream()
    assert read.error is None
    assert read.text == TEXT
    marked = [chunk.delta for chunk in read.chunks if chunk.reason == "resumed"]
    assert len(marked) == 1
    assert caller.records.last.usage.estimated  # nobody knows what the broken one used


def test_with_prefill_the_model_gets_its_own_beginning_without_the_space_at_its_end() -> None:
    script = [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(" four five six")]
    caller, _ = begin("sync", [Continue(0.0, "prefill")], script)
    assert post(caller, "anthropic.messages").text == TEXT
    assert texts_of(json.loads(caller.provider.requests[1].body))[-1] == ("assistant", "one two three")


def test_it_goes_on_as_often_as_it_is_told_to_and_then_raises_exactly_what_was_delivered() -> None:
    broken = [[Fault.reset(at_delta=2), Reply(TEXT)], [Fault.reset(at_delta=1), Reply("three four five six")]]
    caller, decides = begin(
        "sync", [Continue(0.0, "prompt")] * 2, [*broken, [Fault.reset(at_delta=2), Reply("four five x")]]
    )
    read = caller.stream()
    assert isinstance(read.error, StreamInterrupted)
    assert read.text == read.error.partial.text == "one two three four five "
    assert decides.outcomes == ["error", "error", "error"]
    assert caller.records.last.outcome == "failed"


def test_a_second_attempt_that_fails_before_its_first_word_is_decided_about_again() -> None:
    script = [
        [Fault.reset(at_delta=3), Reply(TEXT)],
        Fault.status(503),
        [Fault.reset(at_delta=0), Reply("x")],
        Reply(REST),
    ]
    caller, decides = begin("sync", [Continue(0.0, "prompt")] * 3, script)
    assert caller.stream().text == TEXT
    assert [info.committed for info in decides.infos] == [True] * 3
    assert [info.partial.text for info in decides.infos] == ["one two three "] * 3
    assert decides.outcomes == ["error", "error", "error", "ok"]


def test_when_nobody_goes_on_the_first_failure_is_raised_with_what_was_delivered() -> None:
    script = [[Fault.reset(at_delta=3), Reply(TEXT)], Fault.status(400)]
    caller, _ = begin("sync", [Continue(0.0, "prompt")], script)
    read = caller.stream()
    assert isinstance(read.error, StreamInterrupted)
    assert isinstance(read.error.__cause__, httpx.ReadError)
    assert read.error.partial.text == read.text == "one two three "


REFUSED = {
    "a tool call": (Reply(tool_calls=[CALL]), {}),
    "text and a tool call": (Reply(TEXT, tool_calls=[CALL], chunks=[TEXT]), {}),
    "JSON": (Reply(TEXT), {"response_format": {"type": "json_object"}}),
    "JSON by schema": (Reply(TEXT), {"response_format": {"type": "json_schema", "json_schema": {}}}),
    "JSON of the Responses API": (Reply(TEXT), {"text": {"format": {"type": "json_schema"}}}),
    "JSON of the Messages API": (Reply(TEXT), {"output_config": {"format": {"type": "json_schema"}}}),
    "JSON by its former name": (Reply(TEXT), {"output_format": {"type": "json_schema"}}),
    "a form that is new": (Reply(TEXT), {"response_format": {"type": "grammar"}}),
    "any tool": (Reply(TEXT), {"tool_choice": "required"}),
    "any tool of the Messages API": (Reply(TEXT), {"tool_choice": {"type": "any"}}),
    "one tool": (Reply(TEXT), {"tool_choice": {"type": "function", "function": {"name": "search"}}}),
    "several answers": (Reply(TEXT), {"n": 2}),
    "a refusal": (Reply(refusal="no no no no"), {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_joined_is_raised_and_nothing_is_sent_again(case) -> None:
    reply, params = REFUSED[case]
    caller, decides = begin("sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=2), reply], Reply(REST)])
    read = caller.stream(**params)
    assert isinstance(read.error, StreamInterrupted)
    assert len(caller.provider.requests) == 1
    assert len(decides.infos) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"response_format": {"type": "text"}},
        {"text": {"format": {"type": "text"}, "verbosity": "low"}},
        {"output_config": {"effort": "low"}},
        {"tool_choice": "auto"},
        {"tool_choice": {"type": "auto"}},
        {"tool_choice": "none"},
        {"response_format": None, "text": None, "tool_choice": None},
    ],
    ids=str,
)
def test_other_parameters_are_no_obstacle_to_going_on(params) -> None:
    """Tools that may be called, and words about text, change nothing."""
    caller, _ = begin("sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=2), Reply(TEXT)], Reply(REST)])
    read = caller.stream(**params)
    assert (read.error, len(caller.provider.requests)) == (None, 2)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([Chunk("text", "So"), Chunk("finish", finish_reason="stop")], "all of it had been said"),
        ([Chunk("reasoning", "Hm", extra={"signature": "sig"}), Chunk("text", "So")], "only their provider can read"),
        ([Chunk("reasoning", "Hm")], "it had said no text yet"),
        ([Chunk("text", "")], "it had said no text yet"),
        ([Chunk("text", "One"), Chunk("text", "Two", choice=1)], "several answers"),
        ([], "it had said no text yet"),
        ([Chunk("reasoning", "Hm"), Chunk("text", "So")], None),
    ],
)
def test_what_was_said_decides_whether_it_can_be_gone_on_with(said, why) -> None:
    """Reasoning that is bound to nothing is no obstacle; of an answer that has ended nothing is missing."""
    found = why_not(Continue(0.0, "prompt"), Request(), said, wants_values=False)
    assert found is None if why is None else why in found


def test_a_filter_that_holds_text_across_the_break_sees_one_text() -> None:
    class Hide(TextFilter):
        def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
            out = text.replace("three four", "[hidden]")
            return (out, "") if final else (out[:-10], out[-10:])

    hide = define(eq=False)(Hide)()
    caller, _ = begin(
        "sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(" four five six")], hide=hide
    )
    assert post(caller, "openai.chat").text == "one two [hidden] five six"
    assert texts_of(json.loads(caller.provider.requests[1].body))[-2] == ("assistant", "one two three")


def test_a_joined_answer_is_not_stored() -> None:
    keep = Keep()
    caller, _ = begin(
        "sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(REST)], keep=keep
    )
    assert post(caller, "openai.chat").text == TEXT
    assert keep.entries == {}


@pytest.mark.parametrize("colour", COLOURS)
def test_our_own_client_is_told_to_discard_what_it_has_when_a_stream_begins_anew(colour) -> None:
    keep, chunks = Keep(), Chunks()
    script = [[Fault.reset(at_delta=3), Reply(TEXT)], Reply("un deux trois")]
    caller, decides = begin(colour, [Restart(2.0)], script, keep=keep, chunks=chunks)
    read = caller.stream()
    kinds = [chunk.kind for chunk in read.chunks]
    at = kinds.index("restart")
    assert "".join(chunk.delta for chunk in read.chunks[:at]) == "one two three "
    assert "".join(chunk.delta for chunk in read.chunks[at:]) == "un deux trois"
    assert decides.answers == ["un deux trois"]
    assert chunks.kinds.count("restart") == chunks.kinds.count("end") == 1
    assert len(keep.entries) == 1
    assert caller.stream().text == "un deux trois"
    assert caller.records.last.outcome == "cached"
    assert json.loads(caller.provider.requests[0].body) == json.loads(caller.provider.requests[1].body)


def test_an_http_client_cannot_be_told_so_that_the_failure_is_raised() -> None:
    caller, _ = begin("sync", [Restart()], [[Fault.reset(at_delta=3), Reply(TEXT)], Reply("un deux trois")])
    sent = caller.send(json={**PATHS["openai.chat"][1], "stream": True})
    assert isinstance(sent.error, httpx.ReadError)
    assert len(caller.provider.requests) == 1


def test_the_words_alone_cannot_tell_that_a_stream_began_anew() -> None:
    import clippy_core

    caller, _ = begin("sync", [Restart()], [[Fault.reset(at_delta=3), Reply(TEXT)], Reply("un deux trois")])
    words: list[str] = []
    with clippy_core.Client(caller.host, httpx.Client(transport=caller.provider.transport())) as client:
        with pytest.raises(StreamInterrupted, match="iterate over the chunks"), client.stream("hi") as stream:
            words.extend(stream.text())
    assert "".join(words) == "one two three "


def test_other_decisions_for_a_begun_stream_are_a_fault_of_the_plugin() -> None:
    caller, _ = begin("sync", [Retry()], [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(REST)])
    read = caller.stream()
    assert isinstance(read.error, ProviderError)
    assert caller.host.faults.counts == {("decides", "on_error"): 1}


def test_usage_of_both_parts_is_counted_where_the_provider_tells_it() -> None:
    first, second = Reply(TEXT, usage=Usage(100, 6)), Reply(REST, usage=Usage(110, 4))
    caller, _ = begin("sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), first], second])
    result = post(caller, "anthropic.messages")
    # Anthropic tells the input at the start, so that of the broken one it is known.
    assert result.usage.input == caller.records.last.usage.input == 210


def test_a_flow_that_is_cancelled_while_it_waits_to_go_on_ends_as_cancelled() -> None:
    @define(eq=False)
    class Cancels(Decides):
        @hookimpl
        def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Any:
            ctx.flow.cancel("enough")
            return Continue(1.0, "prompt")

    caller = Caller("sync", httpx)
    caller.start({"cancels": Cancels([])}, [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(REST)])
    read = caller.stream()
    assert read.text == "one two three "
    assert caller.records.last.outcome == "cancelled"
    assert len(caller.provider.requests) == 1


def test_no_time_left_means_no_second_attempt() -> None:
    caller = Caller("sync", httpx)
    caller.start(
        {"decides": Decides([Continue(5.0, "prompt")])},
        [[Fault.reset(at_delta=3), Reply(TEXT)]],
        deadlines={"total": 4.0},
    )
    read: Read = caller.stream()
    assert isinstance(read.error, StreamInterrupted)
    assert len(caller.provider.requests) == 1


@pytest.mark.parametrize("api", PATHS)
def test_of_an_answer_beyond_all_measure_only_its_books_are_kept(api, monkeypatch) -> None:
    monkeypatch.setattr(passage, "MOST_KEPT", 4000)
    keep, seen = Keep(), []

    @define(eq=False)
    class Watches:
        @hookimpl
        def on_error(self, error: ErrorInfo) -> Continue:
            seen.append(error.partial)
            return Continue(0.0, "prompt")

    words = "word " * 400
    caller = Caller("sync", httpx)
    script = [Reply(words), [Fault.reset(at_delta=300), Reply(words)]]
    caller.start({"keep": keep, "watches": Watches()}, script)
    assert post(caller, api).text == words
    assert keep.entries == {}
    assert caller.records.last.usage.output >= 400
    path, body = PATHS[api]
    sent = caller.send(path=path, json={**body, "stream": True})
    assert isinstance(sent.error, httpx.ReadError)
    assert seen == [None]
    assert 300 <= caller.records.last.usage.output <= 500
    assert len(caller.provider.requests) == 2


@pytest.mark.parametrize("colour", COLOURS)
def test_a_second_answer_is_closed_when_the_flow_is_cancelled_before_its_first_word(colour) -> None:
    @define(eq=False)
    class CancelsTheSecond(Decides):
        @hookimpl
        def observe(self, event: Any, ctx: RequestContext) -> None:
            if event.kind == "head" and ctx.attempt == 2:
                ctx.flow.cancel("enough")

    caller = Caller(colour, httpx)
    script = [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(REST)]
    caller.start({"cancels": CancelsTheSecond([Continue(0.0, "prompt")])}, script)
    read = caller.stream()
    assert read.text == "one two three "
    assert caller.records.last.outcome == "cancelled"
    assert [attempt.status for attempt in caller.records.last.attempts] == [200, 200]
    counts = caller.provider.counters
    assert counts["requests"] == counts["completed"] + counts["broken"] + counts["closed_early"] == 2


@pytest.mark.parametrize("text", ["", REST], ids=["only calls", "text and calls"])
@pytest.mark.parametrize("api", PATHS)
def test_tools_that_the_second_answer_calls_stay_apart_each_in_a_block_of_its_own(api, text) -> None:
    calls = [CALL, call("get_weather", {"city": "Rome"})]
    caller, decides = begin(
        "sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(text, tool_calls=calls)]
    )
    result = post(caller, api)
    assert [one.arguments for one in result.response.message.tool_calls] == [one.arguments for one in calls]
    assert decides.answers == [result.text] == [TEXT if text else "one two three "]


def test_in_anthropics_api_a_block_of_a_joined_answer_ends_before_the_next_begins() -> None:
    second = Reply(REST, tool_calls=[CALL, CALL])
    caller, _ = begin("sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), Reply(TEXT)], second])
    path, body = PATHS["anthropic.messages"]
    sent = caller.send(path=path, json={**body, "stream": True})
    data = [line[5:] for line in sent.body.decode().split("\n") if line.startswith("data:")]
    events = [(event["type"], event["index"]) for event in map(json.loads, data) if "index" in event]
    bounds = [(kind, index) for kind, index in events if kind != "content_block_delta"]
    assert bounds == [(f"content_block_{what}", index) for index in range(3) for what in ("start", "stop")]


def test_what_a_stream_said_before_two_breaks_is_counted_once() -> None:
    script = [
        [Fault.reset(at_delta=5), Reply(TEXT)],
        [Fault.reset(at_delta=1), Reply("six seven eight nine")],
        Reply("seven eight nine"),
    ]
    caller, _ = begin("sync", [Continue(0.0, "prompt")] * 2, [*script, Reply("one two three four five six")])
    assert caller.stream().text == "one two three four five six seven eight nine"
    twice = caller.records.last.usage.output
    caller.stream()
    # At most one word was said twice, and the last part was told of by nobody.
    assert twice <= caller.records.last.usage.output + 7


def test_a_second_answer_has_a_time_to_its_own_first_word() -> None:
    times = []

    @define(eq=False)
    class Times(Decides):
        @hookimpl
        def post_attempt(self, outcome: Outcome) -> None:
            times.append(outcome.first_token)

    caller = Caller("sync", httpx)
    script = [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(REST, delay=3.0)]
    caller.start({"times": Times([Continue(1.0, "prompt")])}, script)
    caller.stream()
    assert times[0] is not None
    assert times[1] == caller.records.last.first_token == pytest.approx(3.0)


NO_ANSWERS = {
    "a page": Raw((b"<html>Who are you?</html>",), headers=(("content-type", "text/html"),)),
    "an empty object": Raw((b"{}",)),
    "nothing": Raw((b"",)),
    "an encoding that nobody asked for": Raw((b"...",), headers=(("content-encoding", "rot13"),)),
    "a failure in such an encoding": Raw((b"...",), status=500, headers=(("content-encoding", "rot13"),)),
    "a stream without a word": Raw((b"data: [DONE]\n\n",), headers=(("content-type", "text/event-stream"),)),
}


@pytest.mark.parametrize("case", NO_ANSWERS)
def test_what_is_no_answer_does_not_pass_for_the_rest_of_one(case) -> None:
    outcomes = []

    @define(eq=False)
    class OnlyDecides:
        @hookimpl
        def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Any:
            return Continue(0.0, "prompt") if ctx.attempt == 1 else None

        @hookimpl
        def post_attempt(self, outcome: Outcome) -> None:
            outcomes.append(outcome.state)

    caller = Caller("sync", httpx)
    caller.start({"decides": OnlyDecides()}, [[Fault.reset(at_delta=3), Reply(TEXT)], NO_ANSWERS[case]])
    path, body = PATHS["openai.chat"]
    sent = caller.send(path=path, json={**body, "stream": True})
    assert isinstance(sent.error, httpx.TransportError)
    assert caller.records.outcomes == ["failed"]
    assert len(caller.records.last.attempts) == len(outcomes) == 2
    counts = caller.provider.counters
    assert counts["requests"] == counts["completed"] + counts["broken"] + counts["closed_early"] == 2


def chat_events(*deltas: tuple[int, str]) -> Raw:
    """A chat stream that comes in one piece."""
    told = [{"index": choice, "delta": {"content": words}, "finish_reason": None} for choice, words in deltas]
    told.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [
        {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [one]} for one in told
    ]
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return Raw(("".join([*lines, "data: [DONE]\n\n"]).encode(),), headers=(("content-type", "text/event-stream"),))


def test_whoever_leaves_a_second_answer_that_came_at_once_has_left_early() -> None:
    import clippy_core

    second = chat_events((0, "three "), (0, "four "), (0, "five "), (0, "six"))
    caller, decides = begin("sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), Reply(TEXT)], second])
    with clippy_core.Client(caller.host, httpx.Client(transport=caller.provider.transport())) as client:
        with client.stream("hi") as stream:
            assert any(chunk.reason == "resumed" for chunk in stream)
    assert caller.records.last.outcome == "cancelled"
    assert decides.answers == []


def test_an_answer_beside_the_one_that_was_asked_for_has_no_place_in_it() -> None:
    second = chat_events((0, "three "), (1, "drei "), (0, "four five six"))
    caller, _ = begin("sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), Reply(TEXT)], second])
    assert post(caller, "openai.chat").text == TEXT


def test_nothing_but_white_space_is_not_held_back_for_ever() -> None:
    caller, _ = begin(
        "sync", [Continue(0.0, "prompt")], [[Fault.reset(at_delta=3), Reply(TEXT)], chat_events(*[(0, " " * 1000)] * 6)]
    )
    deltas = [len(chunk.delta) for chunk in caller.stream().chunks if chunk.kind == "text"]
    assert deltas[-2:] == [4999, 1000]  # without the space that the first part ended with


def test_time_that_a_stream_was_paused_is_not_missed_by_the_attempt_that_goes_on() -> None:
    @define(eq=False)
    class Pauses:
        clock: VirtualClock

        @hookimpl
        def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
            if chunk.delta == "two ":
                ctx.flow.pause()
                threading.Timer(0.02, self.go_on, (ctx.flow,)).start()

        def go_on(self, flow: Any) -> None:
            self.clock.advance(1000.0)
            flow.resume()

    caller = Caller("sync", httpx)
    plugins = {"decides": Decides([Continue(2.0, "prompt")]), "pauses": Pauses(caller.clock)}
    script = [[Fault.reset(at_delta=3), Reply(TEXT)], Reply(REST)]
    caller.start(plugins, script, deadlines={"total": 4.0})
    assert caller.stream().text == TEXT


def test_a_stream_whose_second_attempt_takes_a_place_is_closed_when_nobody_reads_on() -> None:
    """As a breaker's probe does."""
    import clippy_core

    ends: list[str] = []
    settled = threading.Event()

    @define(eq=False)
    class TakesThePlaceLater(Decides):
        @hookimpl
        def pre_attempt(self, ctx: RequestContext) -> None:
            ctx.leases += ctx.attempt == 2

        @hookimpl
        def audit(self, record: AuditRecord) -> None:
            ends.append(record.outcome)
            settled.set()

    caller = Caller("sync", httpx)
    script = [[Fault.reset(at_delta=3), Reply(TEXT)], Reply("three four five six seven eight")]
    caller.start({"takes": TakesThePlaceLater([Continue(0.0, "prompt")])}, script, abandoned_after=0.05)
    with clippy_core.Client(caller.host, httpx.Client(transport=caller.provider.transport())) as client:
        stream = client.stream("hi")
        assert any(chunk.reason == "resumed" for chunk in stream)
        caller.clock.advance(1)
        assert settled.wait(PATIENCE)
    assert ends == ["abandoned"]
