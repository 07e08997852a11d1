"""Live streams are found by their request's id, and do what they are told, from anywhere."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from calling import COLOURS, Caller
from clippy_hookspecs import Chunk, RequestContext, hookimpl
from clippy_stream import Progress, StreamController, UnknownStream
from clippy_stream_monitor import StreamMonitor
from words import Words

import clippy_core
from clippy_core.testing import Fault, Reply

WORDS = [f"w{number} " for number in range(20)]


@define(eq=False)
class At:
    """Does something when a piece of text passes."""

    word: str
    act: Any
    got: list[Any] = field(factory=list)

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        if chunk.delta == self.word:
            self.got.append(self.act(ctx.id))


def controlled(caller: Caller, script: Any = None, *plugins: object, **settings: Any) -> StreamController:
    """A caller's host with controller and monitor."""
    controller = StreamController(**settings)
    script = script if script is not None else Reply(text="".join(WORDS), chunks=WORDS)
    named = {f"p{number}": plugin for number, plugin in enumerate(plugins)}
    caller.start({"stream": controller, "stream-monitor": StreamMonitor(), "words": Words(), **named}, script)
    return controller


# --- progress --------------------------------------------------------------------------------------------------------


def test_progress_is_what_has_come_and_nothing_that_nobody_said(caller: Caller) -> None:
    """Ten words of twenty at two a second; how many there will be is not known."""
    look = At("w9 ", lambda request_id: controller.progress(request_id))
    controller = controlled(caller, [[Fault.slow(0.5), Reply(text="".join(WORDS), chunks=WORDS)]], look)
    caller.stream()
    [progress] = look.got
    assert (progress.state, progress.tokens, progress.chunks, progress.estimated) == ("streaming", 10, 10, True)
    assert (progress.percentage, progress.remaining) == (None, None)
    assert progress.rate == pytest.approx(2.0, rel=0.15)
    [host] = [caller.host.plugins["stream"]]
    assert host is controller


def test_the_percentage_is_recomputed_with_every_chunk_once_somebody_said_what_to_expect(caller: Caller) -> None:
    """It grows with what comes; the time that remains shrinks; what was expected too low is not known any more."""

    @define(eq=False)
    class Looks:
        got: list[Progress] = field(factory=list)

        @hookimpl
        def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
            if chunk.delta:
                controller.expect(ctx.id, 16)
                self.got.append(controller.progress(ctx.id))

    looks = Looks()
    controller = controlled(caller, [[Fault.slow(0.5), Reply(text="".join(WORDS), chunks=WORDS)]], looks)
    caller.stream()
    assert [100 * n / 16 for n in range(1, 17)] + [None] * 4 == [one.percentage for one in looks.got]
    remaining = [one.remaining for one in looks.got[1:16]]
    assert remaining == pytest.approx([0.5 * left for left in range(14, -1, -1)], rel=0.1)


def test_what_is_completed_is_complete(caller: Caller) -> None:
    """And still found for a while, as are the cancelled and the failed."""
    controller = controlled(caller, [Reply("one"), Reply("one two three"), [Fault.reset(at_delta=1), Reply("one two")]])
    caller.stream()
    caller.stream(stop_after=1)
    caller.stream()
    ended = [controller.progress(record.id) for record in caller.records.records]
    assert ["completed", "cancelled", "failed"] == [one.state for one in ended]
    assert [100.0, None, None] == [one.percentage for one in ended]
    assert () == controller.live()


def test_without_the_monitor_nothing_is_counted_and_nothing_invented(caller: Caller) -> None:
    """States and times are still known."""
    controller = StreamController()
    caller.start({"stream": controller}, Reply("one two"))
    caller.stream()
    progress = controller.progress(caller.records.last.id)
    assert (progress.state, progress.percentage) == ("completed", 100.0)
    assert (progress.bytes, progress.tokens, progress.chunks, progress.rate) == (None,) * 4


def test_an_expectation_must_be_a_number_of_tokens(caller: Caller) -> None:
    controller = controlled(caller)
    caller.stream()
    with pytest.raises(ValueError, match="above 0"):
        controller.expect(caller.records.last.id, 0)


def test_an_id_that_nobody_has_is_an_error_that_says_so(caller: Caller) -> None:
    """For every method, also for a plain call, which is no stream."""
    controller = controlled(caller)
    caller.chat()
    for act in (controller.progress, controller.pause, controller.resume, controller.cancel):
        with pytest.raises(UnknownStream, match="id"):
            act(caller.records.last.id)


def test_the_oldest_ended_streams_make_room(sync_caller: Caller) -> None:
    controller = controlled(sync_caller, Reply("Hi"), keep=2)
    for _ in range(100):
        sync_caller.stream()
    first, last = sync_caller.records.records[0].id, sync_caller.records.last.id
    assert controller.progress(last).state == "completed"
    with pytest.raises(UnknownStream):
        controller.progress(first)
    assert len(controller._streams._living) + len(controller._streams._ended) < 40


def test_a_stream_that_was_dropped_unread_is_not_live(sync_caller: Caller) -> None:
    """The registry keeps nobody's stream alive."""
    controller = controlled(sync_caller)
    client = clippy_core.Client(sync_caller.host, sync_caller._http())
    stream: Any = client.stream("Hello")
    assert len(controller.live()) == 1
    next(stream)
    del stream
    gc.collect()
    for _ in range(10_000):  # the books are closed by another thread
        if sync_caller.records.outcomes:
            break
        time.sleep(0.001)
    sync_caller.host.close()
    assert controller.live() == ()
    assert ["abandoned"] == sync_caller.records.outcomes


# --- pause, resume, cancel -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_is_paused_and_resumed_by_its_id_from_another_thread(colour: str) -> None:
    """Nothing is read meanwhile, and nothing is lost."""
    caller = Caller(colour, httpx)

    def pause(request_id: str) -> int:
        controller.pause(request_id)
        assert controller.progress(request_id).state == "paused"
        threading.Timer(0.05, resume, [request_id, caller.provider.pieces[1]]).start()
        return caller.provider.pieces[1]

    def resume(request_id: str, pieces: int) -> None:
        read.append(caller.provider.pieces[1] - pieces)
        controller.resume(request_id)

    read: list[int] = []
    controller = controlled(caller, None, At("w5 ", pause))
    assert "".join(WORDS) == caller.stream().text
    assert [0] == read
    assert ["answered"] == caller.records.outcomes


@pytest.mark.parametrize("colour", COLOURS)
def test_a_pause_before_the_first_byte_holds_all_of_it_back(colour: str) -> None:
    """A stream that is paused while the request is still being sent gives nothing until it is resumed."""
    caller = Caller(colour, httpx)
    given: list[str] = []

    @define(eq=False)
    class Early:
        @hookimpl
        def pre_attempt(self, ctx: RequestContext) -> None:
            controller.pause(ctx.id)
            assert controller.live()[0].state == "paused"
            threading.Timer(0.05, self.resume, [ctx.id]).start()

        def resume(self, request_id: str) -> None:
            given.append("resumed")
            controller.resume(request_id)

        @hookimpl
        def on_chunk(self, chunk: Chunk) -> None:
            given.append(chunk.kind)

    controller = controlled(caller, None, Early())
    assert "".join(WORDS) == caller.stream().text
    assert given[0] == "resumed"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_paused_stream_can_be_cancelled(colour: str) -> None:
    """Whoever waits for it is let go, the connection is closed and the record written, with what it used."""
    caller = Caller(colour, httpx)

    def pause(request_id: str) -> None:
        controller.pause(request_id)
        threading.Timer(0.05, controller.cancel, [request_id, "the user left"]).start()

    controller = controlled(caller, None, At("w5 ", pause))
    read = caller.stream()
    assert "the user left" in str(read.error)
    [record] = caller.records.records
    assert (record.outcome, controller.progress(record.id).state) == ("cancelled", "cancelled")
    assert record.usage is not None
    assert (record.usage.output, record.usage.estimated) == (6, True)
    assert [1] == caller.provider.closed_early


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_paused_stream_is_resumed_from_another_task(backend: str) -> None:
    caller = Caller(backend, httpx)
    controller = controlled(caller)
    texts: list[str] = []

    async def run() -> None:
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            stream = await client.stream("Hello")
            controller.pause(stream.context.id)
            async with anyio.create_task_group() as group:
                group.start_soon(read, stream)
                await anyio.sleep(0.02)
                assert texts == []
                controller.resume(stream.context.id)

    async def read(stream: Any) -> None:
        async for text in stream.text():
            texts.append(text)

    anyio.run(run, backend=backend)
    assert "".join(WORDS) == "".join(texts)


def test_a_limit_can_be_set_by_id(caller: Caller) -> None:
    """Twenty words at four a second."""
    limit = At("w0 ", lambda request_id: controller.limit(request_id, 4.0))
    controller = controlled(caller, None, limit)
    began = caller.clock.now()
    caller.stream()
    assert caller.clock.now() - began == pytest.approx(21 / 4, rel=0.06)


def test_what_has_ended_lets_everything_be_done_to_it(caller: Caller) -> None:
    """A click that comes a moment too late is no error."""
    controller = controlled(caller)
    caller.stream()
    request_id = caller.records.last.id
    controller.pause(request_id)
    controller.cancel(request_id)
    controller.resume(request_id)
    assert controller.progress(request_id).state == "completed"


def test_under_an_sdk_the_id_is_with_the_response(sync_caller: Caller) -> None:
    """A program that has the SDK's stream has the id."""
    import httpx2
    import openai

    controller = controlled(sync_caller)
    http = sync_caller.provider.client(httpx2)
    sdk = sync_caller.host.wrap(openai.OpenAI(api_key="none", base_url="http://fake.test/v1", http_client=http))
    with sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True) as stream:
        request_id = stream.response.extensions["clippy"].id
        next(stream)
        assert [request_id] == [one.id for one in controller.live()]
        controller.cancel(request_id, "enough")
        with pytest.raises(openai.APIError):
            list(stream)
    assert controller.progress(request_id).state == "cancelled"


def test_the_live_streams_are_a_table(sync_caller: Caller) -> None:
    """One line while it runs, none when it has ended."""

    def look(request_id: str) -> Any:
        try:  # it waits for nothing, and a loop may be running already
            controller.status_tables().send(None)
        except StopIteration as done:
            return request_id, done.value

    seen = At("w9 ", look)
    controller = controlled(sync_caller, [Reply(text="".join(WORDS), chunks=WORDS)], seen)
    sync_caller.stream()
    [(request_id, (table,))] = seen.got
    assert [row[:2] for row in table.rows] == [(request_id, "streaming")]
    assert dict(zip(table.columns, table.rows[0], strict=True))["tokens"] == 10
    assert anyio.run(controller.status_tables)[0].rows == ()
