"""What must happen exactly once when a request ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest
import trio
from attrs import define, field
from calling import COLOURS, Caller
from clippy_hookspecs import (
    AuditRecord,
    Chunk,
    ErrorInfo,
    Outcome,
    PluginError,
    Refusal,
    Response,
    hookimpl,
)
from patience import PATIENCE, meanwhile, until

import clippy_core
from clippy_core.driven import without_a_loop
from clippy_core.owed import Owed
from clippy_core.testing import Fault, Reply
from clippy_core.testing.cancelling import STOPS, quiet, stopped

URL = "http://fake.test/v1/chat/completions"
STREAM = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


@define(eq=False)
class Slot:
    """Takes a place in pre_attempt, gives it back in post_attempt, settles in audit."""

    held: int = 0
    settled: int = 0

    @hookimpl
    def pre_attempt(self) -> None:
        self.held += 1

    @hookimpl
    def post_attempt(self) -> None:
        self.held -= 1

    @hookimpl
    def audit(self) -> None:
        self.settled += 1


@define(eq=False)
class RaisesIn:
    hook: str
    error: type[Exception] | Exception = KeyError

    @hookimpl
    def post_attempt(self) -> None:
        if self.hook == "post_attempt":
            raise self.error

    @hookimpl
    def audit(self) -> None:
        if self.hook == "audit":
            raise self.error


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("hook", ["post_attempt", "audit"])
def test_a_plugin_that_must_not_fail_at_the_end_does_not_rob_the_others_of_theirs(sync_caller, hook, streamed):
    """Everybody's post_attempt and audit runs, whoever of them raises."""
    slot, bad = Slot(), RaisesIn(hook)
    plugins = {"bad": bad, "slot": slot} if hook == "audit" else {"slot": slot, "zbad": bad}
    must_not_fail = {name: "raise" for name in ("bad", "zbad") if name in plugins}
    sync_caller.start(plugins, Reply("Hi"), on_failure=must_not_fail)
    if streamed:
        assert isinstance(sync_caller.stream().error, PluginError)
    else:
        with pytest.raises(PluginError):
            sync_caller.chat()
    assert (0, 1) == (slot.held, slot.settled)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal_in_post_attempt_does_not_keep_the_others_places(sync_caller, streamed):
    """A Refusal passes, after everybody's post_attempt ran."""
    slot = Slot()
    sync_caller.start({"slot": slot, "zbad": RaisesIn("post_attempt", Refusal("no"))}, Reply("Hi"))
    if streamed:
        sync_caller.stream()
    else:
        with pytest.raises(Refusal):
            sync_caller.chat()
    assert (0, 1) == (slot.held, slot.settled)


@define(eq=False)
class SlowIn:
    """Awaits something long in one hook, in which the caller's patience ends."""

    hook: str
    patience: anyio.CancelScope | None = None

    async def _wait(self, hook: str) -> None:
        if hook == self.hook:
            if self.patience is not None:
                self.patience.cancel()
            await anyio.sleep(0.02)

    @hookimpl
    async def post_attempt(self) -> None:
        await self._wait("post_attempt")

    @hookimpl
    async def audit(self) -> None:
        await self._wait("audit")

    @hookimpl
    async def on_response(self, response: Response) -> None:
        await self._wait("on_response")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("hook", ["post_attempt", "audit"])
def test_a_caller_cancelled_while_the_books_are_closed_gets_them_closed(backend, streamed, hook):
    """The caller's timeout falls into another plugin's post_attempt or audit: the rest of the chain still runs."""
    slot, slow = Slot(), SlowIn(hook)
    caller = Caller(backend, httpx)
    plugins = {"a-slow": slow, "slot": slot} if hook == "audit" else {"slot": slot, "z-slow": slow}
    caller.start(plugins, Reply("Hi"))

    async def run() -> None:
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            with anyio.CancelScope() as slow.patience:
                if streamed:
                    async for _ in await client.stream("Hello"):
                        pass
                else:
                    await client.chat("Hello")
            assert await meanwhile(lambda: slot.settled)

    anyio.run(run, backend=backend)
    assert (0, 1) == (slot.held, slot.settled)


@define(eq=False)
class Ends:
    ends: list[str | None] = field(factory=list)
    responses: int = 0
    errors: int = 0

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if chunk.kind == "end":
            self.ends.append(chunk.reason)

    @hookimpl
    def on_response(self, response: Response) -> None:
        self.responses += 1

    @hookimpl
    def on_error(self, error: ErrorInfo) -> None:
        self.errors += 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_reader_cancelled_in_on_response_sees_one_end_and_one_on_response(backend):
    ends, slow = Ends(), SlowIn("on_response")
    caller = Caller(backend, httpx).start({"a-slow": slow, "z-ends": ends}, Reply("Hi"))

    async def run() -> None:
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            with anyio.CancelScope() as slow.patience:
                async for _ in await client.stream("Hello"):
                    pass
            assert await meanwhile(lambda: caller.records.records)

    anyio.run(run, backend=backend)
    assert 1 == len(caller.records.records)
    assert (1, 1) == (len(ends.ends), ends.responses)


@define(eq=False)
class FailsAtTheEnd:
    error: Exception

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if chunk.kind == "end":
            raise self.error


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("error", [KeyError("x"), Refusal("no")], ids=["failure", "refusal"])
def test_a_plugin_that_fails_on_the_end_of_a_closed_stream_does_not_lose_the_record(colour, error):
    slot = Slot()
    caller = Caller(colour, httpx).start({"fails": FailsAtTheEnd(error), "slot": slot}, Reply("one two three four"))
    try:
        caller.stream(stop_after=1)
    except Exception:
        pass
    assert (0, 1) == (slot.held, slot.settled)
    assert [1] == caller.provider.closed_early


@define(eq=False)
class RefusesWord:
    error: Exception

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if "three" in chunk.delta:
            raise self.error


@pytest.mark.parametrize("error", [KeyError("x"), Refusal("no")], ids=["failure", "refusal"])
def test_a_stream_that_a_plugin_stops_has_one_end(sync_caller, error):
    ends = Ends()
    sync_caller.start({"ends": ends, "z-bad": RefusesWord(error)}, Reply("one two three four"))
    sync_caller.stream()
    assert 1 == len(ends.ends)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_close_from_another_task_gives_one_end_and_asks_no_on_error(backend):
    """The reader waits for the next piece when another task closes the stream."""
    ends = Ends()
    caller = Caller(backend, httpx)
    caller.start([ends], [[Fault.stall(PATIENCE, at_delta=1), Reply("one two")]])
    caller.provider.clock = None

    async def run() -> None:
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            stream = await client.stream("Hello")

            async def read() -> None:
                try:
                    async for _ in stream:
                        pass
                except Exception:
                    pass

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await anyio.sleep(0.1)
                await stream.aclose()

    anyio.run(run, backend=backend)
    assert ["cancelled"] == caller.records.outcomes
    assert (1, 0) == (len(ends.ends), ends.errors)


class BadClose(httpx.SyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Any:
        yield from self.pieces

    def close(self) -> None:
        raise httpx.CloseError("cannot close")


def test_an_upstream_that_cannot_be_closed_does_not_lose_the_record(sync_caller):
    """A Refusal while the answer is open: closing it fails, and the books are closed all the same."""
    slot = Slot()

    @define(eq=False)
    class NoErrors:
        @hookimpl
        def classify_error(self) -> None:
            raise Refusal("no")

    sse = [b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n', b"data: {broken\n\n"]

    @define(eq=False)
    class Asks:
        @hookimpl
        def on_error(self) -> None: ...

    sync_caller.start({"asks": Asks(), "no-errors": NoErrors(), "slot": slot}, Reply("Hi"))

    def handle(request: Any) -> Any:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=BadClose(sse))

    with sync_caller.host.wrap(httpx.Client(transport=httpx.MockTransport(handle))) as client:
        try:
            client.post(URL, json=STREAM)
        except Exception:
            pass
    assert (0, 1) == (slot.held, slot.settled)


def test_a_disabled_plugin_is_not_called_for_chunks(sync_caller):
    """on_failure = "disable": the first failure is the last call, in on_chunk too."""

    @define(eq=False)
    class Bad:
        calls: int = 0

        @hookimpl
        def on_chunk(self, chunk: Chunk) -> None:
            self.calls += 1
            raise KeyError

    bad = Bad()
    sync_caller.start([bad], Reply("one two three"), on_failure={"bad": "disable"})
    sync_caller.stream()
    assert 1 == bad.calls


@pytest.mark.parametrize("what", ["text", ["text"], ()])
def test_a_wrong_result_of_on_chunk_follows_the_failure_policy(sync_caller, what):
    @define(eq=False)
    class Wrong:
        @hookimpl
        def on_chunk(self, chunk: Chunk) -> Any:
            return what if chunk.kind == "text" else None

    sync_caller.start([Wrong()], Reply("one two"), on_failure={"wrong": "skip"})
    read = sync_caller.stream()
    assert read.error is None
    assert "one two" == read.text


def test_a_wrong_list_of_on_chunk_names_the_plugin(sync_caller):
    @define(eq=False)
    class Wrong:
        @hookimpl
        def on_chunk(self, chunk: Chunk) -> Any:
            return ["text"] if chunk.kind == "text" else None

    sync_caller.start([Wrong()], Reply("one two"))
    read = sync_caller.stream()
    assert isinstance(read.error, PluginError)


def test_attempt_refused_outside_pre_attempt_follows_the_failure_policy(sync_caller):
    """Only pre_attempt may raise it; elsewhere it is a plugin's failure."""
    from clippy_hookspecs import AttemptRefused

    @define(eq=False)
    class Wrong:
        @hookimpl
        def cache_lookup(self, key: str) -> None:
            raise AttemptRefused(ErrorInfo())

    sync_caller.start([Wrong()], Reply("Hi"))
    assert "Hi" == sync_caller.chat().text


# --- what the books say ---------------------------------------------------------------------------------------------


def test_the_usage_of_a_stream_that_was_closed_early_counts_what_was_delivered(sync_caller):
    sync_caller.start([], Reply("one two three four five six"))
    sync_caller.stream(stop_after=4)
    usage = sync_caller.records.last.usage
    assert usage is not None
    assert usage.output > 0


def test_post_attempt_learns_the_usage_of_a_stream(sync_caller):
    @define(eq=False)
    class Notes:
        outcomes: list[Outcome] = field(factory=list)

        @hookimpl
        def post_attempt(self, outcome: Outcome) -> None:
            self.outcomes.append(outcome)

    notes = Notes()
    sync_caller.start([notes], Reply("one two"), record=False)
    sync_caller.chat()
    caller_body = {**STREAM, "stream_options": {"include_usage": True}}
    sync_caller.send(json=caller_body)
    plain, streamed = notes.outcomes
    assert plain.usage is not None
    assert streamed.usage is not None


def test_the_first_token_of_a_stream_is_timed(sync_caller):
    sync_caller.start([], Reply("one two three", delay=2.0))
    sync_caller.stream()
    assert sync_caller.records.last.first_token is not None


@pytest.mark.parametrize("colour", COLOURS)
def test_a_dropped_stream_of_our_own_client_is_abandoned(colour):
    import gc

    caller = Caller(colour, httpx).start([], Reply("one two three"))

    async def run() -> None:
        client = clippy_core.AsyncClient(caller.host, caller._http())
        stream = await client.stream("Hello")
        await anext(stream)
        del stream
        gc.collect()
        assert await meanwhile(lambda: caller.records.outcomes)

    if colour == "sync":
        client = clippy_core.Client(caller.host, caller._http())
        stream = client.stream("Hello")
        next(stream)
        del stream
        gc.collect()
        assert until(lambda: caller.records.outcomes)
    else:
        anyio.run(run, backend=colour)
    assert ["abandoned"] == caller.records.outcomes


def test_a_paused_stream_that_is_dropped_is_abandoned(sync_caller):
    import gc

    sync_caller.start([], Reply("one two three"))
    client = sync_caller.host.wrap(sync_caller._http())

    def drop() -> None:
        response = client.send(client.build_request("POST", URL, json=STREAM), stream=True)
        next(response.iter_raw())
        response.extensions["clippy"].flow.pause()

    drop()
    gc.collect()
    assert until(lambda: sync_caller.records.outcomes)
    assert ["abandoned"] == sync_caller.records.outcomes


@define(eq=False)
class Journal:
    """A record that takes its time, in a file that is closed with the host."""

    lines: list[str] = field(factory=list)

    @hookimpl
    @contextlib.contextmanager
    def lifespan(self) -> Iterator[None]:
        yield
        self.lines.append("closed")

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        time.sleep(0.02)
        self.lines.append(record.outcome)


@pytest.mark.parametrize("closed_in", ["its own way", "another thread", "an event loop"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_dropped_just_before_the_host_is_closed_is_in_the_journal(colour, closed_in):
    caller = Caller(colour, httpx).start([journal := Journal()], Reply("one two three"))

    async def run() -> None:
        await (await clippy_core.AsyncClient(caller.host, caller._http()).stream("Hello")).__anext__()
        gc.collect()
        if closed_in == "another thread":
            await anyio.to_thread.run_sync(caller.host.close)
        else:
            await caller.host.aclose()

    if colour == "sync":
        next(clippy_core.Client(caller.host, caller._http()).stream("Hello"))
        gc.collect()
        anyio.run(caller.host.aclose) if closed_in == "an event loop" else caller.host.close()
    else:
        anyio.run(run, backend=colour)
    assert ["abandoned", "closed"] == journal.lines


def test_a_stream_that_settles_for_ever_does_not_keep_the_host_from_closing(sync_caller, monkeypatch):
    monkeypatch.setattr("clippy_core.runtime.SETTLE_SECONDS", 0.01)
    free, lines = threading.Event(), Journal()

    @define(eq=False)
    class Stuck:
        @hookimpl
        def audit(self) -> None:
            free.wait(PATIENCE)

    sync_caller.start([Stuck(), lines], Reply("one two three"))
    next(clippy_core.Client(sync_caller.host, sync_caller._http()).stream("Hello"))
    gc.collect()
    sync_caller.host.close()
    assert ["closed"] == lines.lines
    free.set()


def test_a_stream_dropped_at_the_end_of_asyncio_run_is_recorded():
    caller = Caller("asyncio", httpx).start([], Reply("one two three"))

    async def run() -> None:
        client = caller.host.wrap(caller._http())
        response = await client.send(client.build_request("POST", URL, json=STREAM), stream=True)
        async for _ in response.aiter_raw():
            break

    asyncio.run(run())
    gc.collect()
    caller.host.close()
    assert 1 == len(caller.records.outcomes)


def test_a_stream_left_open_at_the_end_of_a_trio_program_is_closed_where_trio_takes_no_more_tasks(caplog):
    """trio closes the generators that are left when its nursery for system tasks is closed already."""
    caller = Caller("trio", httpx).start([], Reply("one two three"))
    kept: list[Any] = []

    async def run() -> None:
        client = caller.host.wrap(caller._http())
        response = await client.send(client.build_request("POST", URL, json=STREAM), stream=True)

        async def pieces() -> Any:
            try:
                async for piece in response.aiter_raw():
                    yield piece
            finally:
                await response.aclose()

        kept.append(pieces())
        await anext(kept[0])

    trio.run(run)
    assert caller.records.outcomes == ["cancelled"]
    assert [record for record in caplog.records if record.name.startswith("trio")] == []
    caller.host.close()
    assert len(caller.records.outcomes) == 1


class ClosesSlowly(httpx.AsyncByteStream):
    """A body whose connection takes some turns of the event loop to close, as a socket's may."""

    async def __aiter__(self) -> Any:
        yield b"RIFF"

    async def aclose(self) -> None:
        for _ in range(3):
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("how", STOPS)
def test_a_cancel_while_the_connection_of_an_unread_answer_is_closed_loses_no_record(how):
    """At each await point of a call that is none of ours; what the plugins are owed does not hang on the socket."""

    @define(eq=False)
    class Waits:
        @hookimpl
        async def post_attempt(self) -> None:
            await anyio.lowlevel.checkpoint()

    caller = Caller("asyncio", httpx).start([Waits()])
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda asked: httpx.Response(200, stream=ClosesSlowly())))
    client = caller.host.wrap(http)

    async def call() -> None:
        await client.post("http://fake.test/v1/audio/speech", json={"input": "hi"})

    async def sweep() -> None:
        for point in range(1, 16):
            before = len(caller.records.records)
            await stopped(how, call, {point})
            await quiet()
            assert len(caller.records.records) == before + 1, f"at await point {point}"

    anyio.run(sweep, backend="trio" if how == "trio" else "asyncio")
    caller.host.close()


def test_work_that_the_collector_did_in_between_is_not_looked_for() -> None:
    """It may come between any two steps of whoever does the rest once the loop is gone."""

    done: list[str] = []

    class Overtaken(dict[int, Any]):
        def __bool__(self) -> bool:
            found = len(self) > 0
            while len(self):
                without_a_loop(self.popitem()[1])
            return found

    async def work() -> None:
        done.append("by the collector")

    owed = Owed()
    owed._works = Overtaken()
    owed.take(work)
    owed.settle_rest()
    assert done == ["by the collector"]
