"""What a stream leaves behind that nobody closes: no connection in use, and nothing that keeps it in memory."""

from __future__ import annotations

import gc
import json
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
from attrs import define
from calling import COLOURS, Records
from clippy_hookspecs import ClippyError, RequestContext, hookimpl
from patience import PATIENCE, meanwhile, until
from sdk_colours import Each, value
from sdk_lab import SDK_GENERATORS

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeServer, Fault, Raw, Reply
from clippy_core.watchdog import Watchdog

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
SPEECH = Raw([b"RIFF", b"one ", b"two ", b"three"], headers={"content-type": "audio/wav"})
ASKED = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


@define(eq=False)
class Holds:
    """Takes a place for each attempt."""

    @hookimpl
    def pre_attempt(self, ctx: RequestContext) -> None:
        ctx.leases += 1

    @hookimpl
    def post_attempt(self, ctx: RequestContext) -> None:
        ctx.leases -= 1


@define(eq=False)
class Program:
    """A program in one colour that calls a server on loopback and closes none of its streams."""

    colour: str
    host: clippy_core.Host
    http: Any
    base: str

    @property
    def pool(self) -> Any:
        """The connections of its HTTP client."""
        transport = self.http._transport
        return getattr(transport, "inner", transport)._pool

    async def ours(self) -> Any:
        """A stream of a client of our own, nothing of it read yet."""
        kind: Any = clippy_core.Client if self.colour == "sync" else clippy_core.AsyncClient
        return await value(kind(self.host, self.http).stream("Hello"))

    async def under(self, path: str) -> Any:
        """The pieces of an answer to an HTTP client under the host, as its transport gives them."""
        client = self.host.wrap(self.http)
        request = client.build_request("POST", f"{self.base}{path}", json=ASKED)
        return (await value(client.send(request, stream=True))).stream._stream

    def in_use(self) -> bool:
        """Whether a connection is in use."""
        return not all(one.is_idle() or one.is_closed() for one in self.pool.connections)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds; what nobody refers to is collected meanwhile."""
        collected = lambda: (gc.collect(), condition())[1]  # noqa: E731
        assert until(collected) if self.colour == "sync" else await meanwhile(collected)


def run(colour: str, script: Any, body: Callable[[Program], Awaitable[None]]) -> Records:
    """Run *body* in *colour*; the records that it led to."""
    records = Records()

    async def program() -> None:
        http = httpx.Client() if colour == "sync" else httpx.AsyncClient()
        await body(Program(colour, host, http, server.base_url))
        await value(http.close() if colour == "sync" else http.aclose())
        await value(host.close() if colour == "sync" else host.aclose())

    with FakeServer(script) as server:
        route = {"base_url": server.base_url, "key": "sk-test", "model": "test-model"}
        host = clippy_core.Host({"holds": Holds(), "zz-records": records}, config={"routes": {"main": route}})
        if colour == "sync":
            drive(program())
        else:
            anyio.run(program, backend=colour)
    return records


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_read_to_its_end_has_given_its_connection_back(colour: str) -> None:
    """Without ``with`` and without a close, as most loops over a stream are written."""

    async def body(program: Program) -> None:
        stream = await program.ours()
        assert program.in_use()
        assert [chunk async for chunk in Each(stream)]
        assert not program.in_use()

    assert run(colour, Reply("one two three"), body).outcomes == ["answered"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_body_that_nobody_looks_into_and_is_read_to_its_end_has_given_its_connection_back(colour: str) -> None:
    """The same for what is not chat."""

    async def body(program: Program) -> None:
        pieces = await program.under("/audio/speech")
        assert b"".join([piece async for piece in Each(pieces)]) == b"RIFFone two three"
        assert not program.in_use()

    assert run(colour, SPEECH, body).outcomes == ["answered"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_that_is_dropped_at_its_last_word_gives_its_connection_back(colour: str) -> None:
    """Its books are closed by then, its connection is not: the collector sees to it."""

    async def left_at_the_end(program: Program) -> None:
        async for piece in Each(await program.under("/chat/completions")):
            if b"[DONE]" in piece:
                break

    async def body(program: Program) -> None:
        await left_at_the_end(program)
        await program.until(lambda: not program.in_use())

    assert run(colour, Reply("one two three"), body).outcomes == ["answered"]


async def _read(program: Program) -> Any:
    stream = await program.ours()
    assert [chunk async for chunk in Each(stream)]
    return stream


async def _close(program: Program) -> Any:
    stream = await program.ours()
    await value(stream.close() if program.colour == "sync" else stream.aclose())
    return stream


async def _drop(program: Program) -> Any:
    stream = await program.ours()
    await anext(Each(stream))
    return stream


async def _break(program: Program) -> Any:
    stream = await program.ours()
    with pytest.raises(ClippyError):
        assert [chunk async for chunk in Each(stream)]
    return stream


async def _cancel(program: Program) -> Any:
    stream = await program.ours()
    stream.context.flow.cancel("by the test")
    return stream


ENDS: dict[str, tuple[Any, Any, str]] = {
    "read": (_read, Reply("one two three"), "answered"),
    "closed": (_close, Reply("one two three"), "cancelled"),
    "dropped": (_drop, Reply("one two three"), "abandoned"),
    "broken": (_break, [[Fault.reset(at_delta=2), Reply("one two three")]], "failed"),
    "cancelled": (_cancel, Reply("one two three"), "cancelled"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("colour", COLOURS)
def test_nothing_keeps_a_stream_in_memory_that_is_over(colour: str, end: str) -> None:
    """Not even the look, a minute later, whether a place is held for nothing."""
    leave, script, outcome = ENDS[end]

    async def begun(program: Program) -> weakref.ref[Any]:
        return weakref.ref((await leave(program))._stream)

    async def body(program: Program) -> None:
        stream = await begun(program)
        await program.until(lambda: stream() is None)

    assert run(colour, script, body).outcomes == [outcome]


def test_an_alarm_that_was_called_off_keeps_nothing_of_what_it_was_for() -> None:
    """A deadline of an hour must not hold a connection for an hour."""

    class Connection:
        def shut(self) -> None:
            """Never."""

    watchdog, connection = Watchdog(), Connection()
    watchdog.arm(3600.0, connection.shut).cancel()
    gone = weakref.ref(connection)
    del connection
    assert gone() is None


def test_a_watchdog_does_not_wait_for_an_alarm_that_was_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread ends when nothing has been armed for a while."""
    monkeypatch.setattr(Watchdog, "LINGER", 0.01)
    watchdog = Watchdog()
    alarms = [watchdog.arm(seconds, lambda: None) for seconds in (3600.0, 7200.0)]
    thread = watchdog._thread
    assert thread is not None
    while not watchdog._ready._waiters:  # type: ignore[attr-defined]
        threading.Event().wait(0.001)
    for alarm in alarms:
        alarm.cancel()
    thread.join(PATIENCE)
    assert not thread.is_alive()


class Watched(httpx.SyncByteStream):
    """The body of an answer whose every choice has finished, and that ends when it is read once more."""

    def __init__(self) -> None:
        self.read_on, self.closed = False, threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        for said in ({"delta": {"content": "all of it"}}, {"delta": {}, "finish_reason": "stop"}):
            yield b"data: " + json.dumps({"choices": [{"index": 0, **said}]}).encode() + b"\n\n"
        self.read_on = True

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("dropped", [True, False])
def test_only_a_reader_that_closes_its_stream_waits_for_the_end_of_the_body(dropped: bool) -> None:
    """What is dropped is closed on the watchdog's thread, and no alarm could end a read there."""
    one, other = socket.socketpair()
    connection, body = SimpleNamespace(get_extra_info=lambda name: one), Watched()

    def answer(request: httpx.Request) -> httpx.Response:
        head = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=head, stream=body, extensions={"network_stream": connection})

    host = clippy_core.Host({"holds": Holds()})
    with one, other, httpx.Client(transport=clippy_core.transport(host, httpx, httpx.MockTransport(answer))) as client:
        response = client.send(
            client.build_request("POST", "https://provider.test/v1/chat/completions", json=ASKED), stream=True
        )
        pieces = response.iter_raw()
        assert b"stop" in next(pieces) + next(pieces)
        if not dropped:
            response.close()
        del response, pieces
        gc.collect()
        assert body.closed.wait(PATIENCE)
        assert body.read_on is not dropped
    host.close()
