"""Deadlines, flows, closing from elsewhere."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import anyio
import httpx
import pytest
from attrs import define
from calling import COLOURS, Caller
from clippy_hookspecs import DeadlineExceeded, ProviderError, RequestContext, Switch, hookimpl
from patience import PATIENCE, until

import clippy_core
from clippy_core.flow import FlowHandle
from clippy_core.testing import FakeServer, Fault, Raw, Reply

URL = "http://fake.test/v1/chat/completions"
STREAM = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def test_first_token_does_not_cut_a_later_pause(any_caller):
    """The first token came at once; a pause of six seconds after it is nobody's deadline."""
    any_caller.start([], [[Fault.stall(6.0, at_delta=2), Reply("one two three")]], deadlines={"first_token": 5.0})
    read = any_caller.stream()
    assert ("one two three", None) == (read.text, read.error)


def test_a_passed_deadline_gates_the_first_attempt(caller):
    """pre_request took all the time: nothing is sent, nothing is paid."""

    @define(eq=False)
    class Slow:
        @hookimpl
        def pre_request(self, ctx: RequestContext) -> None:
            ctx.clock.advance(20)

    caller.start([Slow()], Reply("Hi"), deadlines={"total": 10.0})
    with pytest.raises(ProviderError):
        caller.chat()
    assert 0 == caller.provider.calls


def test_a_passed_deadline_gates_a_switch(caller):
    """The time is over: no other route is asked."""

    @define(eq=False)
    class Fallback:
        @hookimpl
        def on_error(self, ctx: RequestContext) -> Switch | None:
            return Switch("main") if ctx.attempt == 1 else None

    caller.start([Fallback()], [Fault.stall(11.0), Reply("Hi")], deadlines={"total": 10.0})
    with pytest.raises(ProviderError):
        caller.chat()
    assert 1 == caller.provider.calls


def test_a_deadline_holds_for_a_body_nobody_looks_into(sync_caller):
    """total is for every answer."""
    slow = [Fault.slow(4.0), Raw([b"x"] * 10, headers=(("content-type", "text/plain"),))]
    sync_caller.start([], [slow], deadlines={"total": 10.0})
    sent = sync_caller.send("GET", "/files/1/content")
    assert sent.error is not None


def test_a_cancelled_flow_ends_a_body_nobody_looks_into(sync_caller):
    sync_caller.start([], Raw([b"x"] * 10, headers=(("content-type", "text/plain"),)))
    with sync_caller.host.wrap(sync_caller._http()) as client:
        with pytest.raises(httpx.HTTPError), client.stream("GET", "http://fake.test/v1/files/1/content") as response:
            for _ in response.iter_raw():
                response.extensions["clippy"].flow.cancel()


@pytest.mark.parametrize("colour", COLOURS)
def test_an_answer_that_comes_as_its_flow_is_cancelled_is_closed(colour):
    """The head arrived; nobody takes it: its connection goes back all the same."""
    caller = Caller(colour, httpx)
    flows: list[Any] = []

    @define(eq=False)
    class Notes:
        @hookimpl
        def pre_attempt(self, ctx: RequestContext) -> None:
            flows.append(ctx.flow)

    def script(seen: Any) -> Any:
        flows[-1].cancel("enough")
        return Reply("one two three")

    caller.start([Notes()], script)
    caller.stream()
    assert ["cancelled"] == caller.records.outcomes
    counters = caller.provider.counters
    assert 1 == counters["closed_early"] + counters["completed"] + counters["broken"]


def test_an_answer_that_comes_after_its_deadline_is_closed(sync_caller):
    """The head came too late for the deadline: nobody takes it, and its connection goes back all the same."""

    def script(seen: Any) -> Any:
        sync_caller.clock.advance(20)
        return Reply("one two three")

    sync_caller.start([], script, deadlines={"total": 10.0})
    sync_caller.stream()
    counters = sync_caller.provider.counters
    assert 1 == counters["closed_early"] + counters["completed"] + counters["broken"]


@pytest.mark.parametrize("colour", ["asyncio", "trio"])
def test_a_reader_that_waits_is_let_go_when_cancel_is_followed_by_pause(colour):
    """cancel wins over every later pause."""
    caller = Caller(colour, httpx).start([], Reply("one two three"))
    ended: list[str] = []

    async def run() -> None:
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            stream = await client.stream("Hello")
            await anext(stream)
            flow = stream.context.flow
            flow.pause()

            async def read() -> None:
                try:
                    await anext(stream)
                except Exception as error:
                    ended.append(type(error).__name__)

            with anyio.move_on_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    group.start_soon(read)
                    await anyio.sleep(0.05)
                    flow.cancel()
                    flow.pause()

    anyio.run(run, backend=colour)
    assert ["ProviderError"] == ended


def read_sync(stream: Any, armed: list[bool]) -> None:
    for chunk in stream:
        if chunk.kind == "text":
            armed.append(True)


async def read(stream: Any, armed: list[bool]) -> None:
    async for chunk in stream:
        if chunk.kind == "text":
            armed.append(True)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_cancel_just_before_a_read_can_be_interrupted_is_not_lost(colour, monkeypatch):
    """Another thread cancels just before the read says what would end it."""
    real = FlowHandle.__dict__["interrupt"]
    armed: list[bool] = []

    def interruptible(self: FlowHandle, interrupt: Any) -> None:
        if armed:
            armed.clear()
            self.cancel("now")
        real.__set__(self, interrupt)

    monkeypatch.setattr(FlowHandle, "interrupt", property(real.__get__, interruptible))
    with FakeServer([[Fault.stall(50.0, at_delta=1), Reply("one two")]]) as server:
        route = {"base_url": server.base_url, "key": "k", "model": "m"}
        host = clippy_core.Host([], config={"routes": {"main": route}})
        began = time.monotonic()
        if colour == "sync":
            with clippy_core.Client(host, httpx.Client()) as client, client.stream("Hello") as stream:
                with pytest.raises(ProviderError):
                    read_sync(stream, armed)
        else:

            async def run() -> None:
                async with clippy_core.AsyncClient(host, httpx.AsyncClient()) as client:
                    async with await client.stream("Hello") as stream:
                        with pytest.raises(ProviderError):
                            await read(stream, armed)

            anyio.run(run, backend=colour)
        host.close()
        assert time.monotonic() - began < 45


def test_a_sync_stream_closed_from_another_thread_lets_its_reader_go():
    """close() is for any thread: a read that blocks ends."""
    with FakeServer([[Fault.stall(50.0, at_delta=1), Reply("one two")]]) as server:
        route = {"base_url": server.base_url, "key": "k", "model": "m"}
        host = clippy_core.Host([], config={"routes": {"main": route}})
        with clippy_core.Client(host, httpx.Client()) as client:
            stream = client.stream("Hello")
            threading.Timer(0.3, stream.close).start()
            began = time.monotonic()
            try:
                for _ in stream:
                    pass
            except Exception:
                pass
            took = time.monotonic() - began
        host.close()
    assert took < 45


def test_a_cancel_while_nobody_reads_closes_the_connection():
    """flow.cancel closes the upstream connection, also while the reader does something else."""
    caller = Caller("sync", httpx).start([], Reply("one two three"))
    client = clippy_core.Client(caller.host, caller._http())
    stream = client.stream("Hello")
    next(stream)
    stream.context.flow.cancel()
    closed = until(lambda: [1] == caller.provider.closed_early)
    stream.close()
    assert closed


class Shared(httpx.SyncByteStream):
    """A stream of an HTTP/2 connection that others use as well."""

    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate

    def __iter__(self) -> Any:
        yield b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
        self.gate.wait(PATIENCE)
        yield b"data: [DONE]\n\n"


class Network:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def get_extra_info(self, name: str) -> Any:
        return self.connection if name == "socket" else None


def test_cancelling_one_stream_of_a_shared_connection_leaves_the_others_alone():
    """HTTP/2: the socket is not this stream's own."""
    ours, theirs = socket.socketpair()
    gate = threading.Event()

    def handle(request: Any) -> Any:
        extensions = {"network_stream": Network(ours), "http_version": b"HTTP/2"}
        head = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=head, stream=Shared(gate), extensions=extensions)

    caller = Caller("sync", httpx).start([], Reply("Hi"))
    with caller.host.wrap(httpx.Client(transport=httpx.MockTransport(handle))) as client:
        with client.stream("POST", URL, json=STREAM) as response:
            pieces = response.iter_raw()
            next(pieces)
            flow = response.extensions["clippy"].flow
            threading.Timer(0.2, lambda: (flow.cancel(), gate.set())).start()
            with pytest.raises(httpx.HTTPError):
                list(pieces)
    theirs.settimeout(0.3)
    try:
        with pytest.raises(TimeoutError):
            theirs.recv(1)
    finally:
        ours.close()
        theirs.close()


def test_a_failure_before_the_first_token_is_what_it_was(sync_caller):
    """Nobody retries: the caller gets the exception of the connection, not one of ours about a missing end."""

    @define(eq=False)
    class Asks:
        @hookimpl
        def on_error(self) -> None: ...

    sync_caller.start([Asks()], [[Fault.reset(at_event=1), Reply("one two")]])
    sent = sync_caller.send(json=STREAM)
    assert isinstance(sent.error, httpx.ReadError), repr(sent.error)


def test_an_idle_deadline_before_the_first_token_is_waited_for_once():
    """Nobody retries: the caller learns of it at once, not after a second wait."""

    @define(eq=False)
    class Asks:
        @hookimpl
        def on_error(self) -> None: ...

    with FakeServer([[Fault.stall(8.0, at_event=1), Reply("one two")]]) as server:
        route = {"base_url": server.base_url, "key": "k", "model": "m", "deadlines": {"idle": 0.5}}
        host = clippy_core.Host([Asks()], config={"routes": {"main": route}})
        with clippy_core.Client(host, httpx.Client()) as client, pytest.raises(ProviderError) as caught:
            list(client.stream("Hello"))
        host.close()
    assert "idle" in caught.value.info.kind
    cause = caught.value.__cause__
    assert isinstance(cause, DeadlineExceeded), repr(cause)
