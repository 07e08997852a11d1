"""What a plugin wants done when an answer begins is done beside its stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from attrs import define, field
from calling import Caller
from clippy_hookspecs import RequestContext, Retry, hookimpl
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
