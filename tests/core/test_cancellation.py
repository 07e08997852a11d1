"""Cancellation: at every await point, twice, while a retry sleeps, while somebody else reads; the books are closed.

``tests/support/campaign_cancel.py`` does the same at random, in the thousands and over loopback.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from attrs import define, field
from calling import Records
from campaign_stops import STOPS, quiet, stopped
from campaign_world import CALLS, EXPECTED, SPEECH, World
from clippy_hookspecs import (
    Chunk,
    ErrorInfo,
    ProviderError,
    Refusal,
    RequestContext,
    Response,
    Retry,
    hookimpl,
)

import clippy_core
import clippy_core.runtime
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

ANSWER = "one two three"
ROUTES = {"main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"}}
URL = "http://fake.test/v1/chat/completions"


def run(how: str, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """*work* on the event loop that goes with a way of cancelling."""
    return anyio.run(work, *arguments, backend="trio" if how == "trio" else "asyncio")


# --- every await point ------------------------------------------------------------------------------------------------


async def sweep(how: str, name: str, second: int | None, world: World) -> list[str]:
    """Cancel a call at each of its await points in turn; what was wrong, with the point."""
    call, wrong = CALLS[name], []
    async with world.async_clients():
        whole = await stopped(how, lambda: call(world, "Hello"), ())
        wrong += [f"not cancelled: {what}" for what in (*await quiet(), *world.faults())]
        for point in range(1, whole.points + 1):
            at = {point} if second is None else {point, point + second}
            result = await stopped(how, lambda: call(world, "Hello"), at)
            found = [*await quiet(), *world.faults()]
            if result.hung or not isinstance(result.error, (*EXPECTED, type(None))):
                found.append(f"the call ended with {result}")
            wrong += [f"at {point} of {whole.points}: {what}" for what in found]
    assert whole.points > 3
    return wrong


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


@define(eq=False)
class Life:
    """The marks of a request's life that a plugin sees, and its flow."""

    marks: list[str] = field(factory=list)
    flow: Any = None

    @hookimpl
    def pre_request(self, ctx: RequestContext) -> None:
        self.flow = ctx.flow

    @hookimpl
    def pre_attempt(self) -> None:
        self.marks.append("attempt")

    @hookimpl
    def post_attempt(self, outcome: Any) -> None:
        self.marks.append(f"ended {outcome.state}")

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if chunk.kind == "end":
            self.marks.append(f"end {chunk.reason}")

    @hookimpl
    def audit(self, record: Any) -> None:
        self.marks.append(record.outcome)


class Client:
    """Our async client under a host with a Life, in front of a provider in process, in real time."""

    def __init__(self, script: Any, *plugins: object, clock: Any = None, **config: Any) -> None:
        self.life = Life()
        self.provider = FakeProvider(script, clock=clock)
        named = {f"p{number}": plugin for number, plugin in enumerate((*plugins, self.life))}
        self.host = clippy_core.Host(named, config={"routes": ROUTES, **config}, clock=clock)

    def __call__(self) -> clippy_core.AsyncClient:
        return clippy_core.AsyncClient(self.host, httpx.AsyncClient(transport=self.provider.async_transport()))


async def settled(client: Client) -> list[str]:
    """The marks, once nothing of the request is going on."""
    assert [] == await quiet()
    counts = client.provider.counters
    assert counts["requests"] == counts["completed"] + counts["broken"] + counts["closed_early"]
    return client.life.marks


@define(eq=False)
class Later:
    """Tries again in half a minute."""

    decided: Any = field(factory=lambda: anyio.Event())

    @hookimpl
    def classify_error(self) -> ErrorInfo:
        return ErrorInfo("transient", "fault", retryable=True)

    @hookimpl
    def on_error(self) -> Retry:
        self.decided.set()
        return Retry(30.0)


async def when(event: anyio.Event, act: Callable[[], Any]) -> None:
    """Do something a few turns of the loop after *event*."""
    await event.wait()
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    act()


@pytest.mark.parametrize("how", ["task", "flow"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancel_ends_the_wait_for_a_retry_at_once(backend, how):
    """Nobody waits out a wait for an attempt that will not be made."""

    async def work() -> list[str]:
        later = Later()
        client = Client(Fault.status(503), later)
        with anyio.fail_after(5.0):
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

        with anyio.fail_after(5.0):
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

        with anyio.fail_after(5.0):
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


class OneHead(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Answers at once; something else happens at that very moment.  Knows whether its answer was closed."""

    class Body(httpx.AsyncByteStream, httpx.SyncByteStream):
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{}"

        def __iter__(self) -> Iterator[bytes]:
            yield b"{}"

        def close(self) -> None:
            self.closed = True

        async def aclose(self) -> None:
            self.closed = True

    def __init__(self, meanwhile: Callable[[], Any]) -> None:
        self.meanwhile, self.body = meanwhile, self.Body()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.meanwhile()
        return httpx.Response(200, stream=self.body, headers={"content-type": "application/json"})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


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


def test_cancelling_twice_by_the_task_itself_closes_the_connection():
    """asyncio's ``task.cancel()`` goes through shields, so what must be done is done in a task of the host's."""

    async def work() -> list[str]:
        client = Client([[Fault.stall(at_delta=1), Reply("one two")]])
        reading = asyncio.Event()

        async def read() -> None:
            async with client() as ours, await ours.stream("Hello") as stream:
                async for _ in stream.text():
                    reading.set()

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
