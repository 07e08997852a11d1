"""Deadlines, and the flow of a stream: pause, resume, limit, cancel."""

from __future__ import annotations

import threading
import time

import anyio
import httpx
import httpx2
import pytest
from attrs import define
from calling import Again, Caller
from clippy_hookspecs import (
    DeadlineExceeded,
    ErrorInfo,
    ProviderError,
    RequestContext,
    Retry,
    StreamInterrupted,
    hookimpl,
)

import clippy_core
from clippy_core.testing import FakeServer, Fault, Reply, VirtualClock

ROUTE = {"main": {"base_url": "http://fake.test/v1", "key": "k", "model": "m"}}


@pytest.mark.parametrize(
    ("deadlines", "fault", "which"),
    [
        ({"first_token": 5.0}, Fault.stall(6.0), "first_token"),
        ({"total": 5.0}, Fault.stall(6.0), "total"),
        ({"first_token": 5.0}, Fault.stall(6.0, at_delta=0), "first_token"),
        ({"total": 5.0}, Fault.stall(6.0, at_delta=2), "total"),
        ({"idle": 5.0}, Fault.stall(6.0, at_delta=2), "idle"),
    ],
    ids=["first token, no head", "total, no head", "first token", "total", "idle"],
)
def test_a_deadline_ends_a_stream_that_stalls(any_caller, deadlines, fault, which):
    """Each deadline is named in the error; what was delivered stays."""
    any_caller.start([], [[fault, Reply("one two three four")]], deadlines=deadlines)
    read = any_caller.stream()
    assert isinstance(read.error, ProviderError)
    assert f"{which}_timeout" == read.error.info.kind
    delivered = "one two " if getattr(fault, "at_delta", None) == 2 else ""
    assert delivered == read.text
    assert ["failed"] == any_caller.records.outcomes


@pytest.mark.parametrize("deadlines", [{"total": 60.0, "first_token": 60.0, "idle": 60.0}, {}])
def test_a_deadline_that_does_not_pass_changes_nothing(any_caller, deadlines):
    """A slow answer within its deadlines is whole; without deadlines nothing of ours ends it."""
    any_caller.start([], [[Fault.stall(50.0, at_delta=1), Reply("one two")]], deadlines=deadlines)
    assert "one two" == any_caller.stream().text


def test_the_total_deadline_spans_attempts_and_sleeps(caller):
    """A retry that could not start in time is not waited for."""

    @define(eq=False)
    class Later:
        @hookimpl
        def classify_error(self) -> ErrorInfo:
            return ErrorInfo("transient", "fault", retryable=True)

        @hookimpl
        def on_error(self, error: ErrorInfo) -> Retry:
            return Retry(4.0)

    caller.start([Later()], Fault.status(503), deadlines={"total": 10.0})
    with pytest.raises(ProviderError):
        caller.chat()
    assert [4.0, 4.0] == caller.clock.sleeps
    assert 3 == caller.provider.calls


def test_a_passed_deadline_is_retried_where_there_is_time(caller):
    """first_token is a deadline of one attempt."""
    caller.start([Again()], [Fault.stall(6.0), Reply("Hi")], deadlines={"first_token": 5.0})
    assert "Hi" == caller.stream().text
    assert 2 == caller.provider.calls


def test_under_an_sdk_a_passed_deadline_is_a_read_timeout_of_its_module(any_caller):
    """SDKs know what that is."""
    any_caller.start([], [[Fault.stall(6.0, at_delta=1), Reply("one two")]], deadlines={"idle": 5.0})
    sent = any_caller.send(json={"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]})
    assert isinstance(sent.error, any_caller.module.ReadTimeout)
    assert isinstance(sent.error.__cause__, StreamInterrupted | DeadlineExceeded)


# --- over loopback, where sockets block in earnest -------------------------------------------------------------------

SCRIPT = [[Fault.stall(50.0, at_delta=2), Reply("one two three four")]]


@pytest.mark.parametrize("module", [httpx, httpx2], ids=lambda module: module.__name__)
def test_a_sync_read_is_cut_at_its_deadline(module):
    """The watchdog shuts the socket down under a read that would block for fifty seconds."""
    with FakeServer(SCRIPT) as server:
        host = clippy_core.Host([], config=_config(server, idle=0.2))
        with host, clippy_core.Client(host, module.Client()) as client, client.stream("Hello") as stream:
            began = time.monotonic()
            with pytest.raises(StreamInterrupted) as caught:
                list(stream)
            assert time.monotonic() - began < 45
    assert "idle_timeout" == caught.value.info.kind
    assert "one two " == caught.value.partial.text


@pytest.mark.parametrize("module", [httpx, httpx2], ids=lambda module: module.__name__)
def test_a_sync_stream_is_cancelled_from_another_thread(module):
    """flow.cancel ends a read that blocks, and the server sees the connection close."""
    with FakeServer(SCRIPT) as server:
        host = clippy_core.Host([], config=_config(server))
        with host, clippy_core.Client(host, module.Client()) as client, client.stream("Hello") as stream:
            threading.Timer(0.2, stream.context.flow.cancel).start()
            began = time.monotonic()
            with pytest.raises(ProviderError, match="cancelled"):
                list(stream)
            assert time.monotonic() - began < 45
            assert "cancelled" == stream.context.flow.state


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_stream_is_cancelled_from_another_thread(backend):
    """The same in an event loop."""

    async def run(server: FakeServer) -> None:
        host = clippy_core.Host([], config=_config(server))
        async with host, clippy_core.AsyncClient(host, httpx.AsyncClient()) as client:
            stream = await client.stream("Hello")
            async with stream:
                threading.Timer(0.2, stream.context.flow.cancel).start()
                with anyio.fail_after(45), pytest.raises(ProviderError, match="cancelled"):
                    async for _ in stream:
                        pass

    with FakeServer(SCRIPT) as server:
        anyio.run(run, server, backend=backend)


def _config(server: FakeServer, **deadlines: float) -> dict[str, object]:
    return {"routes": {"main": {"base_url": server.base_url, "key": "k", "model": "m", "deadlines": deadlines}}}


# --- pause and limit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_a_paused_stream_is_not_read_until_it_is_resumed_from_another_thread(colour):
    """The provider is not asked for more while the flow is paused, and nothing is lost."""
    caller = Caller(colour, httpx).start([], Reply("one two three four"))

    def pause(context: RequestContext) -> int:
        context.flow.pause()
        assert "paused" == context.flow.state
        threading.Timer(0.05, context.flow.resume).start()
        return caller.provider.pieces[1]

    rest: list[str] = []
    if colour == "sync":
        with clippy_core.Client(caller.host, caller._http()) as client, client.stream("Hello") as stream:
            rest.append(next(stream.text()))
            pause(stream.context)
            rest += stream.text()
    else:

        async def run() -> None:
            async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
                stream = await client.stream("Hello")
                async with stream:
                    async for text in stream.text():
                        rest.append(text)
                        if len(rest) == 1:
                            pause(stream.context)

        anyio.run(run, backend=colour)
    assert "one two three four" == "".join(rest)
    assert ["answered"] == caller.records.outcomes


def test_a_deadline_stands_still_while_its_stream_is_paused():
    """The pause took longer than the total deadline; the stream is whole all the same."""
    clock = VirtualClock()
    caller = Caller("sync", httpx, clock).start([], Reply("one two three"), deadlines={"total": 5.0, "idle": 5.0})
    with clippy_core.Client(caller.host, caller._http()) as client, client.stream("Hello") as stream:
        next(stream)
        stream.context.flow.pause()
        resume = threading.Timer(0.05, lambda: (clock.advance(60), stream.context.flow.resume()))
        resume.start()
        assert "three" in "".join(stream.text())
        resume.join()


def test_a_limited_stream_is_read_no_faster(caller):
    """Twenty pieces at four a second take almost five seconds of the clock."""
    words = [f"w{n} " for n in range(20)]

    @define(eq=False)
    class Slow:
        @hookimpl
        def pre_request(self, ctx: RequestContext) -> None:
            ctx.flow.limit(4.0)

    caller.start([Slow()], Reply(text="".join(words), chunks=words))
    began = caller.clock.now()
    assert "".join(words) == caller.stream().text
    assert 4.75 <= caller.clock.now() - began <= 6.0


def test_a_limit_must_be_above_zero():
    """A rate of nothing is a pause."""
    from clippy_core.flow import FlowHandle

    with pytest.raises(ValueError, match="pause"):
        FlowHandle().limit(0)


def test_a_cancelled_wait_between_attempts_ends_at_once(caller):
    """A retry that waits is not waited for once the flow is cancelled."""

    @define(eq=False)
    class CancelsItself:
        @hookimpl
        def classify_error(self) -> ErrorInfo:
            return ErrorInfo("transient", "fault", retryable=True)

        @hookimpl
        def on_error(self, ctx: RequestContext) -> Retry:
            ctx.flow.cancel("enough")
            return Retry(1000.0)

    caller.start([CancelsItself()], Fault.status(503))
    with pytest.raises(ProviderError, match="enough"):
        caller.chat()
    assert ["cancelled"] == caller.records.outcomes
