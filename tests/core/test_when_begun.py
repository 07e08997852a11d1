"""What a plugin wants done when an answer begins is done beside its stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from attrs import define, field
from calling import Caller
from clippy_hookspecs import Answer, Message, RequestContext, Response, Retry, Text, hookimpl
from patience import PATIENCE, until

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply

Work = Callable[[], Coroutine[Any, Any, None]]
LONG = Reply("one two three", chunks=("one ", "two ", "three"))


@define(eq=False)
class Beside:
    """Wants *work* done, and tries once more after a failure."""

    work: Work

    @hookimpl
    def pre_attempt(self, ctx: RequestContext) -> None:
        ctx.when_begun(self.work)

    @hookimpl
    def on_chunk(self) -> None:
        return None

    @hookimpl
    def on_error(self, ctx: RequestContext) -> Retry | None:
        return Retry() if ctx.route_attempt == 1 else None


@define(eq=False)
class Slow:
    """Work that waits until it is let go, as that of a store that does not answer."""

    let_go: threading.Event = field(factory=threading.Event)
    done: int = 0

    async def in_a_thread(self) -> None:
        self.let_go.wait(PATIENCE)
        self.done += 1

    async def on_a_loop(self) -> None:
        await anyio.to_thread.run_sync(self.let_go.wait, PATIENCE)
        self.done += 1


def test_no_chunk_waits_for_it_and_closing_does() -> None:
    slow = Slow()
    caller = Caller("sync", httpx).start([Beside(slow.in_a_thread)], LONG)
    assert (caller.stream().text, slow.done) == ("one two three", 0)
    slow.let_go.set()
    caller.host.close()
    assert slow.done == 1


@pytest.mark.parametrize("returned", [None, 7])
@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_work_that_is_no_coroutine_takes_nothing_from_the_stream(
    colour: str, returned: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a line in the log, as what a coroutine raises."""
    caller = Caller(colour, httpx).start([Beside(lambda: returned)], LONG)
    assert caller.stream().text == "one two three"
    until(lambda: "when an answer began failed" in caplog.text)


@pytest.mark.parametrize("colour", ["asyncio", "trio"])
def test_no_chunk_of_an_async_program_waits_for_it_either(colour: str) -> None:
    slow = Slow()

    async def run() -> None:
        host = clippy_core.Host([Beside(slow.on_a_loop)], config={"routes": {"main": {"base_url": "http://x.test/v1"}}})
        async with host, clippy_core.AsyncClient(host, FakeProvider(LONG).async_client()) as client:
            async with await client.stream("Hello", model="m") as stream:
                assert "".join([text async for text in stream.text()]) == "one two three"
            assert slow.done == 0
            slow.let_go.set()

    anyio.run(run, backend=colour)
    assert slow.done == 1


def test_it_is_done_once_for_the_attempt_that_begins() -> None:
    """Not for one that failed before, nor for an answer in one piece, whose end follows at once."""
    done: list[int] = []

    async def note() -> None:
        done.append(1)

    caller = Caller("sync", httpx).start([Beside(note)], [Fault.status(503), LONG, LONG])
    caller.stream()
    caller.chat()
    caller.host.close()
    assert done == [1]


def test_without_a_thread_it_is_done_in_place_and_what_is_under_way_is_not_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, begun = Slow(), []

    async def note() -> None:
        begun.append(threading.current_thread())
        if len(begun) == 1:
            await slow.in_a_thread()

    def none_left(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    caller = Caller("sync", httpx).start([Beside(note)], [LONG, LONG])
    caller.stream()
    assert until(lambda: begun)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        caller.stream()
    assert begun[1:] == [threading.current_thread()]
    slow.let_go.set()
    caller.host.close()
    assert (len(begun), slow.done) == (2, 1)


def test_what_it_raises_is_logged_and_harms_no_stream(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("no store")

    caller = Caller("sync", httpx).start([Beside(fail)], LONG)
    assert caller.stream().text == "one two three"
    caller.host.close()
    (logged,) = [one for one in caplog.records if one.name == "clippy"]
    assert "when an answer began" in logged.getMessage()
    assert logged.exc_info is not None


@define(eq=False)
class Several(Beside):
    """Wants all of *works* done, from pre_request on."""

    works: tuple[Work, ...] = ()
    answer: Answer | None = None

    @hookimpl
    def pre_request(self, ctx: RequestContext) -> Answer | None:
        for work in self.works:
            ctx.when_begun(work)
        return self.answer


def test_work_that_waits_for_a_loop_where_there_is_none_is_logged_and_harms_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor does one that blocks: each has a thread to itself."""
    slow, done = Slow(), threading.Event()

    async def suspends() -> None:
        await asyncio.sleep(0)

    async def ends() -> None:
        done.set()

    caller = Caller("sync", httpx).start([Several(ends, (suspends, slow.in_a_thread, ends))], LONG)
    assert caller.stream().text == "one two three"
    assert done.wait(PATIENCE)
    slow.let_go.set()
    caller.host.close()
    assert until(lambda: caplog.records)
    assert ["awaited something real" in str(one.exc_info) for one in caplog.records if one.name == "clippy"] == [True]


def test_it_begins_among_the_hooks_of_its_request_and_goes_on_beside_them() -> None:
    """So that whatever the plugin changes of the context is changed by one thread at a time."""
    threads: list[threading.Thread] = []

    def begin() -> Coroutine[Any, Any, None]:
        threads.append(threading.current_thread())
        return go_on()

    async def go_on() -> None:
        threads.append(threading.current_thread())

    def cannot() -> Coroutine[Any, Any, None]:
        raise ValueError("no work")

    caller = Caller("sync", httpx).start([Several(begin, (cannot,))], LONG)
    assert caller.stream().text == "one two three"
    caller.host.close()
    assert [one is threading.current_thread() for one in threads] == [True, False]


def test_an_answer_that_no_attempt_brought_begins_nothing() -> None:
    """What was wanted in pre_request is nothing to a stored answer, or to one of a plugin's own."""
    done: list[int] = []

    async def note() -> None:
        done.append(1)

    made = Answer(Response("openai.chat", message=Message("assistant", (Text("of my own"),))))
    caller = Caller("sync", httpx).start([Several(note, (note,), made)], LONG)
    assert caller.stream().text == "of my own"
    caller.host.close()
    assert done == []
