"""What has come is ahead of what was handed on: readers who leave, cancels that come late, bodies read before us."""

from __future__ import annotations

import gzip
import json
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from calling import Keep, Records
from clippy_hookspecs import Chunk, Refusal, RequestContext, Response, hookimpl

import clippy_core
from clippy_core.deadlines import Deadlines
from clippy_core.flow import FlowHandle
from clippy_core.testing import Raw

ANSWER = {
    "id": "x", "object": "chat.completion", "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
}  # fmt: skip
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
URL = "http://fake.test/v1/chat/completions"


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return (
        b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
    )


def at_once(words: list[str]) -> Raw:
    """A whole stream in one piece, so that one read brings all of it."""
    events = [event({"role": "assistant", "content": ""}), *(event({"content": word}) for word in words)]
    body = b"".join([*events, event({}, "stop"), b"data: [DONE]\n\n"])
    return Raw(body, headers=[("content-type", "text/event-stream")])


@define(eq=False)
class Seen:
    """Remembers whole answers."""

    texts: list[str] = field(factory=list)

    @hookimpl
    def on_response(self, response: Response) -> None:
        self.texts.append(response.message.text)


@define(eq=False)
class Refuses:
    """Refuses a chunk of a kind or with a word."""

    what: str

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if self.what in (chunk.kind, chunk.delta):
            raise Refusal("not this")


def test_a_reader_who_leaves_before_what_has_come_gets_no_complete_answer_recorded(caller):
    """All of it was received, most of it was not handed on: that is a cancelled answer, and nobody is shown a part."""
    seen, keep = Seen(), Keep()
    caller.start({"seen": seen, "keep": keep}, at_once([f"{n} " for n in range(300)]))
    caller.stream(stop_after=1)
    assert ["cancelled"] == caller.records.outcomes
    assert [] == seen.texts
    assert not keep.entries


def test_a_reader_who_leaves_before_a_short_answers_end_has_cancelled_it(caller):
    """Every word was handed on in one piece with the first ones; that it had ended was not asked for."""
    seen, keep = Seen(), Keep()
    caller.start({"seen": seen, "keep": keep}, at_once(["one ", "two ", "three"]))
    caller.stream(stop_after=1)
    assert ["cancelled"] == caller.records.outcomes
    assert not keep.entries


@pytest.mark.parametrize(("what", "outcome"), [("no", "refused"), ("finish", "cancelled")])
def test_a_refusal_behind_the_words_that_a_reader_leaves_with_is_recorded_and_nothing_stored(caller, what, outcome):
    """It was raised in the middle of what one read brought, and the words before it were still handed on.

    What ends the answer passes nobody before it is asked for, so that a reader who leaves before it has cancelled.
    """
    seen, keep = Seen(), Keep()
    caller.start({"seen": seen, "keep": keep, "refuses": Refuses(what)}, at_once(["one ", "two ", "no", "four"]))
    caller.stream(stop_after=1)
    assert [outcome] == caller.records.outcomes
    assert [] == seen.texts
    assert not keep.entries


def test_a_cancel_while_a_stream_is_settled_takes_nothing_from_its_reader(caller):
    """The record says answered, and so does what the reader gets."""

    @define(eq=False)
    class Late:
        @hookimpl
        def on_response(self, ctx: RequestContext) -> None:
            ctx.flow.cancel("too late")

    caller.start({"late": Late()}, at_once(["one ", "two"]))
    read = caller.stream()
    assert (None, "one two") == (read.error, read.text)
    assert ["answered"] == caller.records.outcomes


def test_what_interrupts_work_leaves_alone_what_comes_after_it():
    """A deadline or a cancel that is late finds the connection in the pool, or under another caller's request."""
    cut: list[str] = []
    flow = FlowHandle()

    def abort() -> None:
        cut.append("cut")

    flow.interrupt = abort
    flow.cut(abort)
    flow.spare(None)
    flow.cut(abort)
    flow.cancel()
    assert ["cut"] == cut


def test_an_alarm_that_goes_off_as_the_last_byte_comes_cuts_nobody(monkeypatch):
    """The watchdog had taken the alarm off its list when the work ended."""
    host = clippy_core.Host()
    runtime = host.sync_runtime()
    armed: list[Any] = []

    class Watch:
        def arm(self, seconds: float, action: Any) -> Any:
            armed.append(action)
            return type("Alarm", (), {"cancel": lambda self: None})()

    monkeypatch.setattr(runtime, "_watchdog", Watch())
    cut: list[str] = []

    async def work() -> str:
        return "answer"

    deadline, _ = Deadlines(total=runtime.clock.now() + 60).next(0.0, False)
    done = clippy_core.driven.drive(runtime.bounded(work(), deadline, FlowHandle(), lambda: cut.append("cut")))
    for action in armed:
        action()
    assert ("answer", 1, []) == (done, len(armed), cut)


class Drained(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of a connection: gives its bytes once; whoever reads again reads what is another request's."""

    def __init__(self, body: bytes) -> None:
        self.body: bytes | None = body

    def _once(self) -> bytes:
        body, self.body = self.body, None
        if body is None:
            raise AssertionError("read from a connection that was given back")
        return body

    def __iter__(self) -> Any:
        yield self._once()

    async def __aiter__(self) -> Any:
        yield self._once()


@pytest.mark.parametrize("coding", [None, "gzip"])
@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_a_transport_that_reads_the_answer_itself_works_under_a_host_as_without(colour, coding):
    """As one does that logs or caches: its connection is not read again, and what it decoded not decoded again."""
    body = json.dumps(ANSWER).encode()
    headers = {"content-type": "application/json"} | ({"content-encoding": coding} if coding else {})

    def made() -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=Drained(gzip.compress(body) if coding else body))

    def reads(request: httpx.Request) -> httpx.Response:
        response = made()
        response.read()
        return response

    async def areads(request: httpx.Request) -> httpx.Response:
        response = made()
        await response.aread()
        return response

    records = Records()
    host = clippy_core.Host({"records": records})
    if colour == "sync":
        with host.wrap(httpx.Client(transport=httpx.MockTransport(reads))) as client:
            answer = client.post(URL, json=ASKED).json()
    else:

        async def call() -> Any:
            async with host.wrap(httpx.AsyncClient(transport=httpx.MockTransport(areads))) as client:
                return (await client.post(URL, json=ASKED)).json()

        answer = anyio.run(call, backend=colour)
    assert ANSWER == answer
    assert ["answered"] == records.outcomes


def test_a_signal_handler_may_cancel_while_its_own_thread_changes_the_flow():
    """Python runs handlers between any two steps of the main thread."""
    flow = FlowHandle()
    cut: list[str] = []

    def handler() -> None:
        if not cut:
            cut.append("cut")
            flow.cancel("Ctrl-C")

    flow.interrupt = handler
    flow.cut(handler)
    assert (["cut"], "Ctrl-C") == (cut, flow.cancel_reason)
