"""Cancellation: at every await point, twice, while a retry sleeps, while somebody else reads; the books are closed.

``tests/support/campaign_cancel.py`` does the same at random, in the thousands and over loopback.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from attrs import define
from calling import Records
from campaign_life import ROUTES, Client, Later, Life, OneHead, settled, when
from campaign_stops import STOPS, stopped
from campaign_sweep import run, sweep
from campaign_world import CALLS, SPEECH, World
from clippy_hookspecs import (
    Chunk,
    ProviderError,
    Refusal,
    Response,
    hookimpl,
)
from patience import PATIENCE

import clippy_core
import clippy_core.runtime
from clippy_core.testing import Fault, Reply, VirtualClock

ANSWER = "one two three"
URL = "http://fake.test/v1/chat/completions"


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("how", STOPS)
def test_a_cancel_at_any_await_point_leaves_nothing_open(how, name):
    """One record, each attempt ended once, one end for each stream, no lease, no task, no connection."""
    with World(with_caches=False) as world:
        assert [] == run(how, sweep, how, name, None, world)


@pytest.mark.parametrize("second", [1, 2])
@pytest.mark.parametrize("name", ["chat", "stream", "stream left"])
@pytest.mark.parametrize("how", STOPS)
def test_a_second_cancel_while_the_first_is_settled_changes_nothing(how, name, second):
    """Settling belongs to the host: a caller that is cancelled once more cannot stop it."""
    with World(with_caches=False) as world:
        assert [] == run(how, sweep, how, name, second, world)


FAULTY = {
    "refused once": [Fault.status(503)],
    "broken amid": [Fault.reset(at_delta=2)],
    "error event": [Fault.error_event(at_delta=2)],
    "no terminal event": [Fault.no_terminal()],
}


@pytest.mark.parametrize("name", FAULTY)
@pytest.mark.parametrize("how", STOPS)
def test_a_cancel_at_any_await_point_of_a_failing_stream_leaves_nothing_open(how, name):
    """Judging a failure, asking what to do about it and sending again are cancelled as cleanly as reading."""

    def act(seen: Any) -> Any:
        repeats = seen.number % 2 == 0 and name == "refused once"
        return Reply(ANSWER) if repeats else [*FAULTY[name], Reply(ANSWER)]

    with World(act, with_caches=False) as world:
        assert [] == run(how, sweep, how, "stream", None, world)


# --- one thing at a time ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["task", "flow"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancel_ends_the_wait_for_a_retry_at_once(backend, how):
    """Nobody waits out a wait for an attempt that will not be made."""

    async def work() -> list[str]:
        later = Later()
        client = Client(Fault.status(503), later)
        with anyio.fail_after(PATIENCE):
            async with client() as ours, anyio.create_task_group() as group:
                cancel = group.cancel_scope.cancel if how == "task" else lambda: client.life.flow.cancel()
                group.start_soon(when, later.decided, cancel)
                if how == "task":
                    await ours.chat("Hello")
                else:
                    with pytest.raises(ProviderError):
                        await ours.chat("Hello")
        return await settled(client)

    assert ["attempt", "ended error", "cancelled"] == anyio.run(work, backend=backend)


@pytest.mark.parametrize("call", ["close", "cancel"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_stream_can_be_ended_by_another_task_while_it_is_read(backend, call):
    """The reader wakes up, the connection is closed, and the request is settled once, as cancelled."""

    async def work() -> tuple[str, list[str]]:
        client = Client([[Fault.stall(at_delta=1), Reply("one two")]])
        text, got = "", anyio.Event()

        async def end(stream: Any) -> None:
            await got.wait()
            await anyio.sleep(0.01)
            await stream.aclose() if call == "close" else stream.context.flow.cancel()

        with anyio.fail_after(PATIENCE):
            async with client() as ours, anyio.create_task_group() as group:
                stream = await ours.stream("Hello")
                group.start_soon(end, stream)
                try:
                    async for piece in stream.text():
                        text += piece
                        got.set()
                except ProviderError:
                    pass  # the reader may learn of it by an error, or by the end
        return text, await settled(client)

    assert ("one ", ["attempt", "end cancelled", "ended cancelled", "cancelled"]) == anyio.run(work, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_paused_stream_that_is_closed_lets_its_reader_go(backend):
    """Nobody will resume it, so its reader must not wait for that."""

    async def work() -> list[str]:
        client = Client(Reply("one two three"))

        async def close(stream: Any) -> None:
            await anyio.sleep(0.01)
            await stream.aclose()

        with anyio.fail_after(PATIENCE):
            async with client() as ours, anyio.create_task_group() as group:
                stream = await ours.stream("Hello")
                group.start_soon(close, stream)
                try:
                    async for _ in stream.text():
                        stream.context.flow.pause()
                except ProviderError:
                    pass
        return await settled(client)

    assert ["attempt", "end cancelled", "ended cancelled", "cancelled"] == anyio.run(work, backend=backend)


# --- answers that nobody takes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("what", ["flow cancelled", "deadline passed"])
def test_an_answer_that_comes_as_its_time_is_over_is_closed(colour, what):
    """What was received is never dropped open: its connection would be lost to the pool."""
    clock, life = VirtualClock(), Life()
    limits = {"deadlines": {"first_token": 5.0}} if what == "deadline passed" else {}
    host = clippy_core.Host({"life": life}, config={"routes": ROUTES, **limits}, clock=clock)
    inner = OneHead(lambda: clock.advance(9.0) if limits else life.flow.cancel())

    async def work() -> None:
        async with httpx.AsyncClient(transport=clippy_core.async_transport(host, httpx, inner)) as http:
            await http.post(URL, json={"model": "m", "messages": []})

    try:
        if colour == "sync":
            with httpx.Client(transport=clippy_core.transport(host, httpx, inner)) as http:
                http.post(URL, json={"model": "m", "messages": []})
        else:
            anyio.run(work, backend=colour)
    except httpx.TransportError:
        pass  # a caller is told by an exception or by an error answer
    assert inner.body.closed
    outcome = "failed" if limits else "cancelled"
    assert ["attempt", "ended error" if limits else "ended cancelled", outcome] == life.marks


@define(eq=False)
class Withholds:
    """Lets no answer through."""

    @hookimpl
    def on_response(self, response: Response) -> None:
        raise Refusal("not this one")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_refused_stream_that_was_left_at_its_last_word_is_recorded(backend):
    """A caller that stops after the finish reason settles the answer; on_response may still refuse it."""

    async def work() -> list[str]:
        client = Client(Reply(ANSWER), Withholds())
        async with client() as ours:
            stream = await ours.stream("Hello")
            async for chunk in stream:
                if chunk.kind == "finish":
                    break
            with suppress(Refusal):
                await stream.aclose()
        return await settled(client)

    assert "refused" == anyio.run(work, backend=backend)[-1]


@define(eq=False)
class NeverDone:
    """Its attempt never ends."""

    @hookimpl(trylast=True)
    async def post_attempt(self) -> None:
        await anyio.sleep_forever()


@pytest.mark.parametrize("how", STOPS)
def test_a_post_attempt_that_never_returns_does_not_cost_the_record(how, monkeypatch):
    """After a cancellation each of the two has its own time."""
    monkeypatch.setattr(clippy_core.runtime, "SETTLE_SECONDS", 0.05)
    client = Client([[Fault.stall(), Reply(ANSWER)]], NeverDone())

    async def work() -> list[str]:
        async with client() as ours:

            async def call() -> None:
                await ours.chat("Hello")

            await stopped(how, call, {2})
        return await settled(client)

    assert "cancelled" == run(how, work)[-1]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_body_that_nobody_looks_into_ends_when_its_flow_is_cancelled(backend):
    """Also a stream that is none of ours can be stopped."""

    async def work() -> list[str]:
        client = Client(SPEECH)
        http = client.host.wrap(httpx.AsyncClient(transport=client.provider.async_transport()))
        request: dict[str, Any] = {"json": {"model": "m", "input": "Hello"}}
        async with http, http.stream("POST", "http://fake.test/v1/audio/speech", **request) as response:
            client.life.flow.cancel()
            with pytest.raises(httpx.TransportError):
                await response.aread()
        return await settled(client)

    assert ["attempt", "ended cancelled", "cancelled"] == anyio.run(work, backend=backend)


@pytest.mark.parametrize("closes", [True, False], ids=["closes", "does not close"])
def test_cancelling_again_and_again_by_the_task_itself_closes_the_connection(closes):
    """asyncio's ``task.cancel()`` goes through shields, so what must be done is done in a task of the host's."""

    async def work() -> list[str]:
        client = Client([[Fault.stall(at_delta=1), Reply("one two")]])
        reading = asyncio.Event()

        async def read() -> None:
            stream = await client().stream("Hello")
            try:
                async for _ in stream.text():
                    reading.set()
            finally:
                if closes:
                    await stream.aclose()

        task = asyncio.ensure_future(read())
        await reading.wait()
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({task})
        return await settled(client)

    assert ["attempt", "end cancelled", "ended cancelled", "cancelled"] == asyncio.run(work())


def test_an_interrupt_of_a_sync_program_closes_the_books(sync_caller):
    """Ctrl-C while an answer is read is a cancellation: recorded once, and raised."""

    @define(eq=False)
    class Interrupts:
        @hookimpl
        def on_chunk(self, chunk: Chunk) -> None:
            if chunk.delta.startswith("two"):
                raise KeyboardInterrupt

    records = Records()
    sync_caller.start({"interrupts": Interrupts(), "records": records}, Reply("one two three"), record=False)
    with pytest.raises(KeyboardInterrupt):
        sync_caller.stream()
    assert ["cancelled"] == records.outcomes
    counts = sync_caller.provider.counters
    assert counts["requests"] == counts["closed_early"] + counts["completed"]
