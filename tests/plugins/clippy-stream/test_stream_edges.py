"""Streams over loopback: what the server at the other end sees, and what memory it takes."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import openai
import pytest
from attrs import define, field
from calling import COLOURS, Caller, Records
from clippy_hookspecs import Chunk, RequestContext, hookimpl
from clippy_stream import StreamController
from clippy_stream_monitor import StreamMonitor
from flood import Flood
from patience import PATIENCE, until

import clippy_core
from clippy_core.testing import FakeServer, Fault, Reply

MESSAGES: Any = [{"role": "user", "content": "Hello"}]
WAYS = ("client", "client on asyncio", "client on trio", "openai", "openai on asyncio", "openai on trio")


def run(way: str, host: clippy_core.Host, base_url: str, got: list[str]) -> None:
    """Read one stream in one of the ways, into *got*; raises what its reader gets."""
    kind, _, colour = way.partition(" on ")
    if not colour:
        for text in _texts(kind, host, base_url):
            got.append(text)
        return

    async def read() -> None:
        async with host:
            if kind == "client":
                async with clippy_core.AsyncClient(host) as client, await client.stream("Hello") as stream:
                    async for text in stream.text():
                        got.append(text)
                return
            async with host.wrap(openai.AsyncOpenAI(api_key="none", base_url=base_url)) as sdk:
                chunks = await sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True)
                async for chunk in chunks:
                    got.append(chunk.choices[0].delta.content or "")

    anyio.run(read, backend=colour)


def _texts(kind: str, host: clippy_core.Host, base_url: str) -> Iterator[str]:
    if kind == "client":
        with clippy_core.Client(host) as client, client.stream("Hello") as stream:
            yield from stream.text()
        return
    with host.wrap(openai.OpenAI(api_key="none", base_url=base_url)) as sdk:
        with sdk.chat.completions.create(model="m", messages=MESSAGES, stream=True) as chunks:
            for chunk in chunks:
                yield chunk.choices[0].delta.content or ""


@define(eq=False)
class Hosted:
    """A host with the stream plugins in front of a server."""

    base_url: str
    record: bool = True
    records: Records = field(factory=Records)
    controller: StreamController = field(factory=StreamController)
    host: clippy_core.Host = field(init=False)

    def __attrs_post_init__(self) -> None:
        plugins = {"stream": self.controller, "stream-monitor": StreamMonitor()}
        plugins |= {"records": self.records} if self.record else {}
        route = {"base_url": self.base_url, "key": "k", "model": "m"}
        self.host = clippy_core.Host(plugins, config={"routes": {"main": route}})


# --- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_cancel_from_another_thread_closes_the_connection_and_settles(way: str) -> None:
    """The read that waits ends, the server sees the client leave, and the record has what was used."""
    errors: list[BaseException] = []
    with FakeServer([[Fault.stall(50.0, at_delta=2), Reply("one two three")]]) as server:
        hosted = Hosted(server.base_url)
        got: list[str] = []

        def read() -> None:
            try:
                run(way, hosted.host, server.base_url, got)
            except BaseException as error:
                errors.append(error)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        assert until(lambda: "".join(got) == "one two ")
        [live] = hosted.controller.live()
        began = time.monotonic()
        hosted.controller.cancel(live.id, "enough")
        assert until(lambda: server.closed_early == [1])
        reader.join(PATIENCE)
        assert time.monotonic() - began < 45  # and not the fifty seconds that the server would have waited
        hosted.host.close()
    assert not reader.is_alive()
    assert len(errors) == 1, errors
    [record] = hosted.records.records
    assert record.outcome == "cancelled"
    assert record.usage is not None
    assert record.usage.estimated
    assert record.usage.output >= 2
    assert hosted.controller.progress(live.id).state == "cancelled"


def test_a_generator_that_its_caller_closes_has_cancelled_its_stream() -> None:
    """``close`` of a generator over a stream ends where its ``with`` does."""
    with FakeServer(Reply(text="x" * 3000, chunks=300, chunk_delay=0.01)) as server:
        hosted = Hosted(server.base_url)
        for kind in ("client", "openai"):
            texts: Any = _texts(kind, hosted.host, server.base_url)
            next(texts)
            next(texts)
            texts.close()
        hosted.host.close()
        assert until(lambda: len(server.closed_early) == 2)
    assert hosted.records.outcomes == ["cancelled"] * 2
    assert hosted.controller.live() == ()


# --- back-pressure ---------------------------------------------------------------------------------------------------

SIZE = 32 * 1024 * 1024
IN_BETWEEN = 16 * 1024 * 1024
"""More than the kernel keeps between two sockets on loopback, by the defaults of Linux (tcp_wmem and tcp_rmem)."""


@pytest.mark.filterwarnings("ignore:Async generator 'openai:ResourceWarning")
@pytest.mark.parametrize("way", WAYS)
def test_a_pause_blocks_the_servers_sending_and_memory_stays_flat(way: str) -> None:
    """32 MB are to come; paused after the first ones the server gets stuck, and goes on when it is resumed."""
    with Flood(SIZE, 65536) as flood:
        hosted = Hosted(flood.base_url, record=False)
        pauses = PausesOnce(hosted.controller)
        host = hosted.host.with_plugins({**hosted.host.plugins, "pauses": pauses})
        counted = Counted()
        reader = threading.Thread(target=run, args=(way, host, flood.base_url, counted), daemon=True)
        reader.start()
        assert until(pauses.done.is_set)
        stuck = settled(lambda: flood.sent)
        assert stuck < IN_BETWEEN
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            assert settled(lambda: flood.sent) == stuck
            assert tracemalloc.get_traced_memory()[0] - before < 256 * 1024
        finally:
            tracemalloc.stop()
        [live] = hosted.controller.live()
        assert (live.state, live.percentage) == ("paused", None)
        hosted.controller.resume(live.id)
        reader.join(120)
        assert not reader.is_alive()
        assert flood.sent >= SIZE
        assert counted.characters > SIZE * 0.9


class Counted(list[str]):
    """Takes texts and keeps none."""

    characters = 0

    def append(self, text: str) -> None:
        self.characters += len(text)


@define(eq=False)
class PausesOnce:
    """Pauses the first stream at its third piece."""

    controller: StreamController
    pieces: int = 0
    done: threading.Event = field(factory=threading.Event)

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        if chunk.delta:
            self.pieces += 1
            if self.pieces == 3:
                self.controller.pause(ctx.id)
                self.done.set()


def settled(count: Callable[[], int]) -> int:
    """The count once it has not moved for many looks: a machine that stands still for a while makes one look longer."""
    last, looks = count(), 0
    while looks < 30:
        time.sleep(0.01)
        last, looks = (last, looks + 1) if count() == last else (count(), 0)
    return last


# --- deadlines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_a_pause_may_be_longer_than_every_deadline(colour: str) -> None:
    """Idle and total stand still while a stream is paused."""
    caller, controller = Caller(colour, httpx), StreamController()

    @define(eq=False)
    class Pauses:
        @hookimpl
        def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
            if chunk.delta == "two ":
                controller.pause(ctx.id)
                threading.Timer(0.05, self.resume, [ctx.id]).start()

        def resume(self, request_id: str) -> None:
            caller.clock.advance(3600.0)
            controller.resume(request_id)

    deadlines = {"total": 10.0, "idle": 5.0, "first_token": 5.0}
    caller.start({"stream": controller, "pauses": Pauses()}, Reply("one two three"), deadlines=deadlines)
    read = caller.stream()
    assert (None, "one two three") == (read.error, read.text)
    assert controller.progress(caller.records.last.id).paused == pytest.approx(3600.0)
