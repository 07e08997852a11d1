"""What could make a flight hang, or go to the wrong one: stragglers, deadlines, nesting, loops and threads, forks."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from calling import COLOURS, Again, Keep
from clippy_hookspecs import (
    Answer,
    AttemptRefused,
    CacheEntry,
    ErrorInfo,
    Headers,
    Join,
    Message,
    Request,
    Response,
    Text,
    hookimpl,
)
from flight_lab import URL, Call, Lab, Valve, _AsyncTransport, _Transport, events
from patience import PATIENCE

import clippy_core
from clippy_core.driven import drive
from clippy_core.flights import Flights
from clippy_core.flow import FlowHandle
from clippy_core.outcomes import ALONE
from clippy_core.shared_stream import Head, SharedStream

EVENTS = events()


class Silent:
    """A stream that has said nothing yet."""

    complete = False

    def __init__(self) -> None:
        self.queue: list[Any] = []


WORDS = "one two three four"


@define(eq=False)
class Slow(Keep):
    """A cache that lets a request wait between its lookup and what comes after."""

    passed: threading.Event = field(factory=threading.Event)
    asked: list[str] = field(factory=list)
    wait: bool = False

    @hookimpl
    def cache_lookup(self, key: str) -> CacheEntry | None:
        self.asked.append(key)
        found = self.entries.get(key)
        if self.wait and found is None:
            self.wait = False
            assert self.passed.wait(PATIENCE)
        return found


def test_who_asked_the_caches_before_a_flight_landed_and_comes_after_asks_them_again() -> None:
    cache = Slow()

    async def scenario(lab: Lab) -> None:
        leader = lab.call()
        await lab.asked()
        cache.wait = True
        straggler = lab.call()
        await lab.until(lambda: len(cache.asked) == 2)
        lab.valve.flow()
        await lab.finished(leader)
        await lab.until(lambda: not lab.flights)
        cache.passed.set()
        await lab.finished(straggler)
        assert straggler.text == WORDS

    lab = Lab("sync", {"cache": cache}).run(scenario)

    assert len(lab.valve.exchanges) == 1
    assert [call.record.outcome for call in lab.calls] == ["answered", "cached"]
    assert lab.calls[1].record.provenance.by == "cache"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_cache_behind_the_plugin_that_joins_is_asked_first(colour: str) -> None:
    cache = Keep()

    async def scenario(lab: Lab) -> None:
        lab.call()
        await lab.asked()
        lab.valve.flow()
        await lab.finished(*lab.calls)
        lab.call()

    lab = Lab(colour, {"zz-cache": cache}).run(scenario)

    assert [call.record.outcome for call in lab.calls] == ["answered", "cached"]
    assert lab.calls[1].record.provenance.by == "zz-cache"


@define(eq=False)
class OtherKey:
    @hookimpl
    def cache_lookup(self, key: str) -> Join:
        return Join("everybody's")


def test_a_join_with_another_key_is_the_plugins_fault_and_a_miss() -> None:
    async def scenario(lab: Lab) -> None:
        lab.call()
        await lab.asked()
        lab.call()
        await lab.asked(2)
        lab.valve.flow()

    lab = Lab("sync", {"together": OtherKey()}).run(scenario)

    assert lab.host.faults.counts == {("together", "cache_lookup"): 2}


@pytest.mark.parametrize("colour", COLOURS)
def test_a_follower_that_waits_beyond_its_own_deadline_leaves_alone(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call()
        await lab.asked()
        late = lab.call()
        await lab.finished(late)
        assert type(late.error) is httpx.ReadTimeout
        lab.valve.flow()
        await lab.finished(leader)

    lab = Lab(colour, {"hurry": Hurry("1")}).run(scenario)

    assert lab.calls[0].text == WORDS
    assert [call.record.outcome for call in lab.calls] == ["answered", "failed"]
    assert lab.calls[1].record.error.kind == "total_timeout"


@define(eq=False)
class Hurry:
    """Gives one caller a hundredth of a second."""

    caller: str
    observes_only = True

    @hookimpl
    def pre_request(self, request: Request, ctx: Any) -> None:
        if request.headers.get("x-caller") == self.caller:
            ctx.deadline = ctx.clock.now() + 0.01


@pytest.mark.parametrize("colour", COLOURS)
def test_a_leader_that_is_out_of_its_own_time_hands_over(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        first = lab.call()
        await lab.until(lambda: bool(lab.valve.exchanges) or first.done)
        asked = len(lab.valve.exchanges)  # nothing where a busy machine let its time pass before that
        second = lab.call()
        await lab.until(lambda: lab.waiting == 1 or len(lab.valve.exchanges) > asked)
        await lab.until(lambda: lab.witness.contexts["0"].time_left() == 0.0)
        lab.valve.answer(1)
        await lab.asked(asked + 1)
        lab.valve.flow()
        await lab.finished(first, second)
        assert second.text == WORDS

    lab = Lab(colour, {"hurry": Hurry("0")}).run(scenario)

    assert [call.record.outcome for call in lab.calls] == ["failed", "answered"]
    assert lab.valve.most == 1


@define(eq=False)
class Refuses:
    """Lets no attempt of one caller through."""

    caller: str = "0"
    waits: threading.Event = field(factory=threading.Event)

    @hookimpl
    def pre_attempt(self, request: Request) -> None:
        if request.headers.get("x-caller") == self.caller:
            assert self.waits.wait(PATIENCE)
            raise AttemptRefused(ErrorInfo("transient", "open", status=503))


def test_a_leader_whose_own_plugin_refuses_hands_over() -> None:
    refuses = Refuses()

    async def scenario(lab: Lab) -> None:
        first = lab.call()
        await lab.until(lambda: bool(lab.flights))
        second = lab.call()
        await lab.until(lambda: lab.waiting == 1)
        refuses.waits.set()
        lab.valve.free = True
        await lab.finished(first, second)
        assert (first.status, second.text) == (503, WORDS)

    assert len(Lab("sync", {"refuses": refuses}).run(scenario).valve.exchanges) == 1


def test_the_leaders_retries_are_for_everybody() -> None:
    async def scenario(lab: Lab) -> None:
        lab.call()
        await lab.asked()
        lab.call()
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.flow()

    lab = Lab("sync", {"again": Again()}, valve=Valve(status=500), clock=clippy_core.testing.VirtualClock()).run(
        scenario
    )

    assert len(lab.valve.exchanges) == 3
    assert [call.status for call in lab.calls] == [500, 500]
    assert [len(call.record.attempts) for call in lab.calls] == [3, 0]


@define(eq=False)
class Sorry:
    @hookimpl
    def on_error(self, error: ErrorInfo) -> Answer:
        return Answer(Response("openai.chat", message=Message("assistant", (Text("sorry"),)), finish_reason="stop"))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_what_a_plugin_answers_for_a_failed_leader_is_everybodys(stream: bool) -> None:
    async def scenario(lab: Lab) -> None:
        lab.call(stream=stream)
        await lab.asked()
        lab.call(stream=not stream)
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.flow()
        await lab.finished(*lab.calls)
        assert [call.text for call in lab.calls] == ["sorry", "sorry"]

    lab = Lab("sync", {"sorry": Sorry()}, valve=Valve(status=500)).run(scenario)

    assert len(lab.valve.exchanges) == 1
    assert {call.record.provenance.source for call in lab.calls} == {"plugin"}


@define(eq=False)
class AsksTheSame:
    """Asks, inside a request, the very thing that the request asks."""

    @hookimpl
    async def compress_context(self, request: Request, ctx: Any) -> None:
        if ctx.parent is None:
            await ctx.ask(request)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_plugin_that_asks_what_its_own_request_asks_does_not_wait_for_itself(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        lab.valve.free = True
        lab.call()
        await lab.asked(2)

    lab = Lab(colour, {"asks": AsksTheSame()}, nested=True).run(scenario)

    assert len(lab.valve.exchanges) == 2
    assert lab.calls[0].text == WORDS


def test_a_blocking_call_inside_an_event_loop_does_not_wait_for_a_task_of_that_loop() -> None:
    valve, together = Valve(free=True), Lab("sync").plugins

    async def main() -> str:
        lab = Lab("asyncio", together, valve)
        host = lab.host = clippy_core.Host({"together": _together()})
        lab.http = clippy_core.async_transport(host, module=httpx, inner=_AsyncTransport(valve))
        valve.free = False
        call = Call("0", lab, {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]})
        task = asyncio.get_running_loop().create_task(call.arun())
        while not valve.exchanges:
            await asyncio.sleep(0)
        valve.free = True
        with host.wrap(httpx.Client(transport=_Transport(valve))) as client:
            said = client.post(URL, json=call.body, headers=call._headers()).json()
        valve.flow()
        await task
        await host.aclose()
        return str(said["choices"][0]["message"]["content"])

    assert asyncio.run(main()) == WORDS
    assert len(valve.exchanges) == 2


def _together() -> object:
    from flight_lab import Together

    return Together()


def test_threads_and_event_loops_of_one_host_share_a_flight() -> None:
    valve = Valve()
    host = clippy_core.Host({"together": _together()})
    body = {"model": "m", "temperature": 0, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    said: dict[str, list[bytes]] = {}

    def thread(name: str) -> None:
        with (
            host.wrap(httpx.Client(transport=_Transport(valve))) as client,
            client.stream("POST", URL, json=body) as one,
        ):
            said[name] = list(one.iter_raw())

    async def task(name: str) -> None:
        transport = clippy_core.async_transport(host, module=httpx, inner=_AsyncTransport(valve))
        response = await transport.handle_async_request(httpx.Request("POST", URL, json=body))
        said[name] = [piece async for piece in response.stream]
        await response.aclose()

    callers = [
        threading.Thread(target=anyio.run, args=(task, "asyncio"), kwargs={"backend": "asyncio"}),
        threading.Thread(target=anyio.run, args=(task, "trio"), kwargs={"backend": "trio"}),
        threading.Thread(target=thread, args=("sync",)),
    ]
    for number, caller in enumerate(callers):
        caller.start()
        while len(valve.exchanges) + _aboard(host) <= number:
            assert caller.is_alive()
    valve.flow()
    for caller in callers:
        caller.join(PATIENCE)
    host.close()

    assert said == {"asyncio": EVENTS, "trio": EVENTS, "sync": EVENTS}
    assert [one.closed for one in valve.exchanges] == [1]


def _aboard(host: Any) -> int:
    flights = getattr(host._own, "flights", None)  # none until the first request has opened the host
    return 0 if flights is None else sum(len(flight.waiting) for flight in [*flights._flights.values()])


def test_when_the_event_loop_of_the_leader_ends_its_readers_elsewhere_learn_of_it() -> None:
    valve = Valve()
    host = clippy_core.Host({"together": _together()})
    body = {"model": "m", "temperature": 0, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    errors: list[BaseException] = []
    pieces: list[bytes] = []
    began = threading.Event()

    def follower() -> None:
        with host.wrap(httpx.Client(transport=_Transport(valve))) as client:
            try:
                with client.stream("POST", URL, json=body) as one:
                    for piece in one.iter_raw():
                        pieces.append(piece)
                        began.set()
            except httpx.HTTPError as error:
                errors.append(error)

    other = threading.Thread(target=follower)

    async def leader() -> None:
        transport = clippy_core.async_transport(host, module=httpx, inner=_AsyncTransport(valve))
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:

                async def read() -> None:
                    response = await transport.handle_async_request(httpx.Request("POST", URL, json=body))
                    stream = aiter(response.stream)
                    await anext(stream)
                    other.start()
                    while not began.is_set():
                        await anyio.sleep(0.001)
                    scope.cancel()

                tasks.start_soon(read)
                while not valve.exchanges:
                    await anyio.sleep(0.001)
                valve.say()

    anyio.run(leader)
    other.join(PATIENCE)
    host.close()

    assert pieces == EVENTS[:1]
    assert [type(error) for error in errors] == [httpx.RemoteProtocolError]
    assert "event loop" in str(errors[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_has_no_flights_and_no_lock_of_its_parents() -> None:
    flights = Flights()
    flights.lock.acquire()
    flights._flights["a"] = object()  # type: ignore[assignment]
    pid = os.fork()
    if pid == 0:
        held = not flights.lock.acquire(blocking=False)
        os._exit(1 if held or flights._flights else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_that_leaves_its_parents_flight_wakes_nobody_of_the_parent() -> None:
    flights, runtime = Flights(), clippy_core.Host().sync_runtime()
    leader = flights.board("a", runtime, FlowHandle(), None, "together")
    follower = flights.board("a", runtime, FlowHandle(), None, "together")
    pid = os.fork()
    if pid == 0:
        os._exit(1 if leader.leave() or follower.leads else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    leader.leave()
    assert follower.leads


def test_who_is_barred_from_the_route_of_a_stream_inherits_neither_its_bill_nor_its_lease() -> None:
    """Not even while the leader leaves: it was never aboard."""
    flights, runtime = Flights(), clippy_core.Host().sync_runtime()
    leader = flights.board("a", runtime, FlowHandle(), None, "together")
    before = flights.board("a", runtime, FlowHandle(), None, "together", "spare".__eq__)
    flights.share(leader, Silent(), Head(200, Headers(), "spare"))  # type: ignore[arg-type]
    after = flights.board("a", runtime, FlowHandle(), None, "together", "spare".__eq__)
    leader.across = lease = object()  # type: ignore[assignment]
    assert leader.leave() is False
    assert [(seat.pays, seat.leads, seat.across) for seat in (before, after)] == [(False, False, None)] * 2
    assert drive(before.arrive()) is drive(after.arrive()) is ALONE
    assert leader.across is lease


def test_what_is_beyond_all_measure_is_not_kept_and_nobody_comes_aboard_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clippy_core.shared_stream.MOST_KEPT", 600)

    async def scenario(lab: Lab) -> None:
        leader = lab.call(stream=True)
        await lab.asked()
        lab.valve.say(6)
        await lab.until(lambda: len(leader.pieces) == 6)
        (flight,) = lab.flights.values()
        assert len(flight.stream.batches) <= 1
        late = lab.call(stream=True)
        lab.valve.say(1)
        await lab.asked(2)
        lab.valve.flow()
        await lab.finished(leader, late)
        assert leader.pieces == late.pieces == EVENTS

    assert len(Lab("sync", valve=Valve()).run(scenario).valve.exchanges) == 2


def test_nothing_of_a_flight_stays_when_it_is_over() -> None:
    async def scenario(lab: Lab) -> None:
        lab.call(stream=True)
        await lab.asked()
        lab.call(stream=True)
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.flow()

    lab = Lab("sync").run(scenario)
    lab.witness.contexts.clear()
    lab.calls.clear()
    gc.collect()

    assert [] == [one for one in gc.get_objects() if isinstance(one, SharedStream)]
