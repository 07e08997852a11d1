"""Pacing: what was passed takes up time on a schedule, and nothing is read before that is over."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from calling import COLOURS, Caller
from clippy_hookspecs import Chunk, RequestContext, hookimpl
from hypothesis import given
from hypothesis import strategies as st
from patience import PATIENCE

import clippy_core
from clippy_core.driven import drive
from clippy_core.flow import CATCH_UP, FlowHandle
from clippy_core.runtime import SyncRuntime
from clippy_core.testing import Fault, Raw, Reply, VirtualClock

WORDS = [f"w{number} " for number in range(40)]
EVENT = b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%d "}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def in_one_read(count: int) -> Raw:
    """A stream whose events all come in one piece."""
    body = b"".join(EVENT % number for number in range(count)) + END
    return Raw(body, headers=[("content-type", "text/event-stream")])


@define(eq=False)
class Paced:
    """Every piece of text takes up so many seconds; notes the clock at each."""

    seconds: float
    at: list[float] = field(factory=list)
    then: Callable[[RequestContext], object] | None = None

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        if chunk.kind == "text" and chunk.delta:
            self.at.append(ctx.clock.now())
            ctx.flow.pace(self.seconds)
            if self.then is not None:
                self.then(ctx)


# --- the schedule ----------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), max_size=60))
def test_debts_add_up_to_their_sum(debts: list[float]) -> None:
    """Whatever their sizes: the schedule is the sum, however it was cut."""
    clock = VirtualClock()
    flow = FlowHandle(clock.now)
    for debt in debts:
        flow.pace(debt)
    assert flow.owes() == pytest.approx(math.fsum(debts), abs=1e-5)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("pace"), st.floats(0, 10)),
            st.tuples(st.just("pass"), st.floats(0, 10)),
            st.tuples(st.just("pause"), st.floats(0, 10)),
        ),
        max_size=40,
    )
)
def test_a_pause_moves_what_is_due_by_its_length(steps: list[tuple[str, float]]) -> None:
    """The debt of a stream that was paused is that of one whose clock stood still meanwhile."""
    paused, bare = VirtualClock(), VirtualClock()
    one, two = FlowHandle(paused.now), FlowHandle(bare.now)
    seconds = 0.0
    for what, amount in steps:
        if what == "pace":
            one.pace(amount)
            two.pace(amount)
        elif what == "pass":
            paused.advance(amount)
            bare.advance(amount)
        else:
            one.pause()
            paused.advance(amount)
            one.resume()
            seconds += amount
        assert one.owes() == pytest.approx(two.owes(), abs=1e-5)
    assert one.paused_seconds == pytest.approx(seconds)


def test_a_wait_that_ends_late_is_made_up_for() -> None:
    """A loop that wakes a little late each time does not slow the stream down."""
    clock = VirtualClock(start=0.0)
    flow = FlowHandle(clock.now)
    for _ in range(1000):
        flow.pace(0.1)
        clock.advance(flow.owes() + CATCH_UP / 2)
    assert clock.now() < 100.1


def test_time_that_nobody_read_is_not_saved_up() -> None:
    """A provider that was slow for a minute may not send a minute's worth at once."""
    clock = VirtualClock()
    flow = FlowHandle(clock.now)
    flow.pace(1.0)
    clock.advance(60.0)
    flow.pace(1.0)
    assert flow.owes() == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="pause"):
        FlowHandle().pace(seconds)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, 5e-324])
def test_a_rate_that_is_none_is_refused_when_it_is_set_and_not_at_the_next_chunk(rate: float) -> None:
    with pytest.raises(ValueError, match="pause"):
        FlowHandle().limit(rate)


def test_a_stream_is_held_until_its_debt_was_looked_at() -> None:
    """``held`` is asked for each chunk and knows no clock."""
    clock = VirtualClock()
    flow = FlowHandle(clock.now)
    flow.enter("streaming")
    assert not flow.held
    flow.pace(1.0)
    assert flow.held
    assert flow.owes() == 1.0
    clock.advance(1.0)
    assert (flow.owes(), flow.held) == (0.0, False)


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
def test_what_has_ended_owes_nothing(end: str) -> None:
    flow = FlowHandle(VirtualClock().now)
    flow.pause()
    flow.pace(5.0)
    flow.enter(end)
    flow.pace(5.0)
    assert (flow.owes(), flow.held, flow.state) == (0.0, False, end)


def test_a_new_limit_forgets_what_the_old_one_asked_for() -> None:
    flow = FlowHandle(VirtualClock().now)
    flow.limit(0.001)
    flow.passed()
    assert flow.owes() == pytest.approx(1000.0)
    flow.limit(None)
    assert flow.owes() == 0.0


# --- under the host --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [Reply(text="".join(WORDS), chunks=WORDS), in_one_read(40)], ids=["each", "at once"])
def test_a_paced_stream_keeps_its_schedule(caller: Caller, script: Any) -> None:
    """Forty pieces of a quarter second take ten, although they came in one read; nothing comes in a burst."""
    paced = Paced(0.25)
    caller.start([paced], script)
    began = caller.clock.now()
    assert caller.stream().error is None
    assert [0.25 * number for number in range(40)] == pytest.approx([at - began for at in paced.at])
    assert caller.clock.now() - began == pytest.approx(10.0)


def test_a_limited_stream_keeps_its_schedule_too(caller: Caller) -> None:
    """A limit is a pace: each chunk takes up its share of a second."""
    caller.start([Limited()], in_one_read(40))
    began = caller.clock.now()
    caller.stream()
    assert caller.clock.now() - began == pytest.approx(41 / 4)  # forty words and the finish; the end is not waited for


@define(eq=False)
class Limited:
    @hookimpl
    def pre_request(self, ctx: RequestContext) -> None:
        ctx.flow.limit(4.0)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_cancel_does_not_wait_for_what_is_owed(colour: str) -> None:
    """The stream owes an hour of real time; another thread cancels it."""
    cancel = Paced(3600.0, then=lambda ctx: threading.Timer(0.05, ctx.flow.cancel).start())
    caller = Caller(colour, httpx).start([cancel], Reply("one two three"), clock=RealClock())
    read = caller.stream()
    assert "cancelled" in str(read.error)
    assert ["cancelled"] == caller.records.outcomes


@pytest.mark.parametrize("colour", COLOURS)
def test_a_limit_that_is_taken_away_ends_the_wait(colour: str) -> None:
    """The next piece would have been due in an hour."""
    free = Paced(3600.0, then=lambda ctx: threading.Timer(0.02, ctx.flow.limit, [None]).start())
    caller = Caller(colour, httpx).start([free], Reply(text="one two", chunks=2), clock=RealClock())
    assert "one two" == caller.stream().text


class RealClock:
    """The machine's time, for waits that somebody else must end."""

    now, time = staticmethod(time.monotonic), staticmethod(time.time)


@pytest.mark.parametrize("colour", ["asyncio", "trio"])
def test_a_cancelled_task_does_not_wait_for_what_is_owed(colour: str) -> None:
    caller = Caller(colour, httpx).start([Paced(3600.0)], Reply("one two three"), clock=RealClock())

    async def run() -> None:
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            stream = await client.stream("Hello")
            with anyio.move_on_after(0.1) as scope:
                async for _ in stream:
                    pass
            assert scope.cancelled_caught

    anyio.run(run, backend=colour)
    assert ["cancelled"] == caller.records.outcomes


def test_one_resume_lets_every_waiter_go() -> None:
    """Two readers of one flow, as when a stream is handed from one thread to another: none stays behind."""
    flow = FlowHandle()
    runtime = SyncRuntime(RealClock(), None, None)  # type: ignore[arg-type]
    flow.pause()
    waiting = [threading.Thread(target=lambda: drive(runtime.gate(flow)), daemon=True) for _ in range(4)]
    for thread in waiting:
        thread.start()
    while len(flow._waiting) < len(waiting):
        threading.Event().wait(0.001)
    flow.resume()
    for thread in waiting:
        thread.join(PATIENCE)
    assert not [thread for thread in waiting if thread.is_alive()]


# --- pauses and deadlines --------------------------------------------------------------------------------------------


def test_a_deadline_stands_still_in_a_pause_that_nobody_waited_for(caller: Caller) -> None:
    """The caller pauses, does something else for a minute, resumes and only then reads on."""
    done: list[str] = []

    @define(eq=False)
    class Pauses:
        @hookimpl
        def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
            if chunk.kind == "text" and chunk.delta and not done:
                done.append(chunk.delta)
                ctx.flow.pause()
                caller.clock.advance(60.0)
                ctx.flow.resume()

    caller.start([Pauses()], [[Fault.slow(0.5), Reply("one two three")]], deadlines={"total": 10.0, "idle": 5.0})
    read = caller.stream()
    assert (None, "one two three") == (read.error, read.text)


# --- closing while a reader waits ------------------------------------------------------------------------------------


@pytest.fixture
def paused() -> Iterator[tuple[Any, threading.Thread, list[BaseException | None]]]:
    """A stream that another thread reads and that is paused with a piece in hand."""
    events = b"".join(EVENT % number for number in range(4))
    caller = Caller("sync", httpx).start([], Raw(events + END, headers=[("content-type", "text/event-stream")]))
    ended: list[BaseException | None] = []
    with clippy_core.Client(caller.host, caller._http()) as client:
        stream = client.stream("Hello")
        next(stream)
        next(stream)
        stream.context.flow.pause()

        def read() -> None:
            try:
                next(stream)
                ended.append(None)
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        while not len(stream.context.flow._waiting) > 1:
            threading.Event().wait(0.001)
        yield stream, thread, ended
    assert ["cancelled"] == caller.records.outcomes


def test_a_reader_that_waits_with_a_piece_in_hand_is_let_go_when_the_stream_is_closed(paused: Any) -> None:
    stream, thread, ended = paused
    stream.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert ended


def test_a_second_reader_is_told_so(paused: Any) -> None:
    """Two readers at once would each get half of it."""
    stream, thread, _ = paused
    with pytest.raises(Exception, match="one reader at a time"):
        next(stream)
    stream.close()
    thread.join(PATIENCE)
