"""Many workers with one breaker in one process, and a store that fails; test_breaker_processes has many processes."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
from typing import Any

import pytest
from attrs import define, evolve
from breaker_lab import FAILED, OK, ROUTE, Begun, Counting, HandClock, Lab, lab
from clippy_breaker.admission import LOOKS
from clippy_breaker.local import LocalStore
from clippy_breaker.record import Record, dump, load
from clippy_breaker.results import TRIES

from clippy_core.driven import drive
from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing.contracts.base import in_threads
from clippy_core.testing.contracts.processes import in_processes

WORKERS = 8
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")


@define(eq=False)
class EndsMeanwhile:
    """A store of which *failing* fails once, and before that answers the whole attempt *probe* has ended."""

    store: Any
    failing: str
    probe: Begun
    once: bool = True

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def asked(*arguments: Any) -> Any:
            if self.once and name == self.failing:
                self.once = False
                self.probe.end(OK)
                raise ConnectionError("the store is gone")
            return await method(*arguments)

        return asked


# --- one process ------------------------------------------------------------------------------------------------------


def test_eight_threads_send_one_probe_and_open_it_together() -> None:
    """One plugin object, without a lock of its own."""
    it = lab()
    sent = in_threads(WORKERS, lambda thread: _until_refused(it))
    assert 10 <= sum(sent) <= 10 + WORKERS - 1
    it.clock.at += 10
    begun = in_threads(WORKERS, lambda thread: it.begin())
    assert sum(isinstance(one, Begun) for one in begun) == 1


def _until_refused(it: Lab) -> int:
    sent = 0
    while isinstance(begun := it.begin(), Begun):
        begun.end(FAILED)
        sent += 1
    return sent


@pytest.mark.parametrize("overlapping", [1, 40])
def test_workers_that_write_only_with_failures_do_not_open_it_falsely(overlapping: int) -> None:
    """At a fifth of independent faults, with attempts that overlap and end in any order, spread over eight workers."""
    dice, clock = random.Random(11), HandClock()
    store = Counting(MemoryStateStore(clock))
    workers = [lab(store, clock) for _ in range(WORKERS)]
    under_way: list[Begun] = []
    for _ in range(6000):
        clock.at += 0.02
        under_way.append(dice.choice(workers).under_way())
        if len(under_way) >= overlapping:
            under_way.pop(dice.randrange(len(under_way))).end(FAILED if dice.random() < 0.2 else OK)
    assert {worker.state() for worker in workers} == {"closed"}


@define(eq=False)
class Interrupted:
    """A store in which *first* happens just before the first call of *method*."""

    store: Any
    method: str
    first: Any

    def __getattr__(self, name: str) -> Any:
        if name == self.method and self.first is not None:
            first, self.first = self.first, None
            first()
        return getattr(self.store, name)


def two() -> tuple[Lab, Lab, HandClock]:
    """Two processes that share a store, with a share that is easily reached."""
    clock = HandClock()
    store = Counting(MemoryStateStore(clock))
    settings = {"consecutive": 100, "least": 10}
    return lab(store, clock, **settings), lab(store, clock, **settings), clock


def test_who_was_slow_to_ask_for_the_probes_place_sends_none_after_it_has_failed() -> None:
    """It saw a half-open breaker; when it gets the place, that is open again."""
    one, other, clock = two()
    one.do(FAILED, 10)
    clock.at += 10
    probe = one.under_way()
    other.store = Interrupted(other.store, "lease", lambda: probe.end(FAILED))
    assert other.refused().retry_after == pytest.approx(20)
    assert not any(one.store.store._leases.values())


def test_who_was_slow_to_ask_for_the_probes_place_goes_on_when_it_is_closed() -> None:
    """As any attempt, without the place."""
    one, other, clock = two()
    one.do(FAILED, 10)
    clock.at += 10
    one.do(OK, 2)
    probe = one.under_way()
    other.store = Interrupted(other.store, "lease", lambda: probe.end(OK))
    assert other.under_way().ctx.leases == 0


def test_a_probe_whose_answer_has_begun_gives_its_place_back_to_the_other_process() -> None:
    """At once, whatever its own does next; and it is a success for both."""
    one, other, clock = two()
    one.do(FAILED, 10)
    clock.at += 10
    probe = one.under_way()
    other.refused()
    probe.answers()
    other.do(OK, 2)
    one.under_way()
    assert one.state() == other.state() == "closed"
    probe.end(OK)
    assert not any(one.store.store._leases.values())


@pytest.mark.parametrize(("probes", "state"), [(1, "closed"), (3, "open")])
def test_a_probe_that_breaks_after_its_first_token_is_a_failure_of_the_state_it_is_in(probes: int, state: str) -> None:
    """Half open it opens again; closed by it, it has one failure."""
    it = lab(probes=probes)
    it.do(FAILED, 10)
    it.clock.at += 10
    probe = it.under_way()
    probe.answers()
    probe.end(FAILED)
    assert it.state() == state
    assert it.breaker._places.last.known(ROUTE.api, ROUTE.base_url).record.machine("").run == (probes == 1)


def test_a_probe_that_may_have_been_slow_is_counted_when_it_ends() -> None:
    """How long its first token took is told then; nobody is held up until there."""
    it = lab(slow_after=2.0, probes=1)
    it.do(FAILED, 10)
    it.clock.at += 10
    probe = it.under_way()
    it.clock.at += 5
    probe.answers()
    assert it.state() == "half_open"
    probe.end(evolve(OK, first_token=3.0))
    assert it.state() == "open"


def test_a_store_that_fails_at_a_probes_first_token_takes_nothing_from_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its place ends by itself, nothing is held for the request, and its end is none of a probe's."""
    it = lab()
    it.do(FAILED, 10)
    it.clock.at += 10
    probe = it.under_way()
    it.store.broken = True
    probe.answers()
    assert probe.ctx.leases == 0
    probe.end(OK)
    assert "the StateStore failed (ConnectionError)" in caplog.text


@pytest.mark.parametrize("failing", ["swap", "release"])
def test_a_probe_that_the_store_could_not_take_at_its_first_token_is_settled_at_its_end(failing: str) -> None:
    """Once: its success is counted where it was not, and its place is given back."""
    one, other, clock = two()
    one.do(FAILED, 10)
    clock.at += 10
    probe = one.under_way()
    one.store.fails = failing
    probe.answers()
    assert probe.ctx.leases == 0
    one.store.fails = ""
    probe.end(OK)
    assert probe.ctx.leases == 0
    assert not any(one.store.store._leases.values())
    clock.at += 31
    assert other.under_way().ctx.leases == 1, "half open: one good probe of three"
    assert other.state() == "half_open"
    (found,) = other.breaker._places.last.routes
    assert found.record.machine("").probed == 1


@pytest.mark.parametrize("failing", ["swap", "release"])
def test_a_probe_that_ended_while_the_store_was_failing_at_its_first_token_holds_no_place(failing: str) -> None:
    """A short answer is over before a slow store says that it failed; then nobody else would settle it."""
    one, other, clock = two()
    one.do(FAILED, 10)
    clock.at += 10
    probe = one.under_way()
    one.store = EndsMeanwhile(one.store, failing, probe)
    probe.answers()
    assert not any(one.store.store.store._leases.values())
    assert other.under_way().ctx.leases == 1, "half open: one good probe of three"
    (found,) = other.breaker._places.last.routes
    assert found.record.machine("").probed == 1


@pytest.mark.parametrize(("state", "refused"), [("auto", True), ("metrics_only", False)])
def test_who_always_finds_another_epoch_is_no_probe(state: str, refused: bool) -> None:
    """Others probe it and fail, each time between a look and a lease: it gives up, without a place."""
    it = lab(state=state)
    it.do(FAILED, 10)
    it.clock.at += 10

    class Restless(Counting):
        def __getattr__(self, name: str) -> Any:
            if name == "lease":
                ((key, (text, ends)),) = it.store.store._values.items()
                machine = load(text).machine("")
                it.store.store._values[key] = dump(Record({"": evolve(machine, epoch=machine.epoch + 1)})), ends
            return super().__getattr__(name)

    restless = Lab(it.breaker, it.clock, Restless(it.store.store))
    begun = restless.begin()
    assert isinstance(begun, Begun) is not refused
    assert restless.store.calls.count("lease") == LOOKS
    assert not any(it.store.store._leases.values())


def test_who_never_gets_to_write_gives_up_soon() -> None:
    """One result is lost; a call that hangs would be worse."""

    class Contended(Counting):
        async def swap(self, *arguments: Any) -> bool:
            self.calls.append("swap")
            return False

    it = lab()
    it.store = Contended(it.store.store)
    it.do(FAILED)
    assert it.store.taken().count("swap") == TRIES


def test_successes_that_another_made_needless_to_write_are_not_lost() -> None:
    """Both ended a run of failures; one of them wrote it, the other keeps what it had for its next failure."""
    one, other, _ = two()
    other.do(OK, 20)
    one.do(FAILED)
    attempt = other.under_way()
    one.do(OK)
    attempt.end(OK)
    other.do(FAILED, 12)
    assert other.state() == "closed", "21 of 35 were good"


def test_successes_of_before_an_outage_have_no_part_in_the_share_after_it() -> None:
    """A process that kept some and slept through the outage of the others."""
    one, other, clock = two()
    other.do(OK, 8)
    one.do(FAILED, 10)
    clock.at += 10
    one.do(OK, 3)
    other.do(FAILED, 10)
    assert other.state() == "open"


def test_an_older_reading_of_another_thread_does_not_make_an_end_count_for_nothing() -> None:
    """What is known is looked at again before an end is taken for a late one."""
    it = lab()
    it.do(FAILED, 10)
    it.clock.at += 10
    for _ in range(3):
        probe = it.under_way()
        it.breaker._places.last.known(ROUTE.api, ROUTE.base_url).see(None)
        probe.end(OK)
    assert it.under_way().ctx.leases == 0


# --- a store that fails -----------------------------------------------------------------------------------------------


def test_without_its_store_each_process_goes_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    """It opens, probes and closes as ever, on the monotonic clock; the store is asked again after half a minute."""
    it = lab()
    it.store.broken = True
    it.do(FAILED, 10)
    assert it.store.taken() == ["get"]
    it.clock.skew = 7200
    assert it.refused().retry_after == pytest.approx(10)
    it.clock.at += 10
    probe = it.under_way()
    it.refused()
    probe.end(OK)
    it.do(OK, 2)
    assert it.state() == "closed"
    assert it.store.taken() == []
    it.clock.at += 20
    it.store.broken = False
    it.do(OK)
    assert it.store.taken() == ["get"]
    said = [record.message for record in caplog.records if "StateStore" in record.message]
    assert said == [
        "breaker: the StateStore failed (ConnectionError); until it works again each process goes by itself",
        "breaker: the StateStore works again",
    ]


def test_a_store_that_stays_away_is_asked_every_half_minute_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """A log that fills up is an outage of its own."""
    it = lab()
    it.store.broken = True
    for _ in range(100):
        it.do(OK)
        it.clock.at += 3
    assert len(it.store.taken()) == 10
    assert len([record for record in caplog.records if "StateStore" in record.message]) == 1


def test_a_store_that_fails_while_an_attempt_is_under_way_takes_nothing_with_it() -> None:
    """Its end is not counted, its request is not touched."""
    it = lab()
    attempt = it.under_way()
    it.store.broken = True
    attempt.end(FAILED)
    it.do(OK)
    assert it.state() == "closed"


@pytest.mark.parametrize("good_answers", [1, 2])
def test_a_store_that_fails_amid_the_taking_of_a_probes_place_leaves_no_lease(good_answers: int) -> None:
    """Whether the lease or the look after it fails: the attempt goes on by this process's own breaker."""
    it = lab()
    it.do(FAILED, 10)
    it.clock.at += 10
    store, it.store = it.store, BreaksAfter(it.store, good_answers)
    attempt = it.under_way()
    assert attempt.ctx.leases == 0
    attempt.end(OK)
    assert attempt.ctx.leases == 0
    it.store = store


class BreaksAfter:
    """Fails from the answer after so many on."""

    def __init__(self, store: Any, answers: int) -> None:
        self.store, self.answers = store, answers

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def counted(*arguments: Any) -> Any:
            self.answers -= 1
            if self.answers < 0:
                raise TimeoutError
            return await method(*arguments)

        return counted


def test_a_missing_store_may_stop_nothing_instead() -> None:
    """allow: nothing is counted meanwhile."""
    it = lab(on_store_failure="allow")
    it.store.broken = True
    it.do(FAILED, 40)
    assert it.state() == "closed"
    assert it.store.taken() == ["get"]


def test_a_missing_store_may_be_an_error_instead() -> None:
    """raise: the store's own exception."""
    it = lab(on_store_failure="raise")
    it.store.broken = True
    with pytest.raises(ConnectionError):
        it.under_way()
    it.store.broken = False
    attempt = it.under_way()
    it.store.broken = True
    with pytest.raises(ConnectionError):
        attempt.end(FAILED)


def test_a_fault_of_our_own_is_not_taken_for_one_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be hidden behind a sentence about the store."""
    it = lab()
    attempt = it.under_way()
    monkeypatch.setattr("clippy_breaker.results._described", lambda error: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        attempt.end(FAILED)


@forks
def test_a_forked_child_does_not_wait_for_a_lock_that_a_thread_of_its_parent_holds() -> None:
    """The lock of the store that a process has for itself."""
    store = LocalStore(lambda: 1000.0)
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with store._own_lock():
            held.set()
            go_on.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    try:
        assert in_processes(1, lambda number: drive(store.swap("k", None, "v", 10))) == [True]
    finally:
        go_on.set()
        thread.join()


def test_the_store_of_one_process_forgets_what_is_over() -> None:
    """Values and places end, and what has ended is swept out."""
    clock = HandClock()
    store = LocalStore(clock.now)

    async def work() -> None:
        assert await store.swap("k", None, "v", 10)
        assert await store.get("k") == "v"
        assert not await store.swap("k", None, "w", 10)
        assert await store.lease("p", "one", 5)
        assert await store.lease("p", "one", 5)
        assert not await store.lease("p", "two", 5)
        await store.release("p", "two")
        assert not await store.lease("p", "two", 5)
        clock.at += 10
        assert await store.get("k") is None
        assert await store.lease("p", "two", 5)
        for number in range(5000):
            clock.at += 1
            await store.swap(f"k{number}", None, "v", 10)

    asyncio.run(work())
    assert len(store._values) <= 4097


def test_a_change_of_state_is_logged_once_by_the_process_that_made_it(caplog: pytest.LogCaptureFixture) -> None:
    """And not by those that only read it."""
    caplog.set_level(logging.INFO, "clippy.breaker")
    clock = HandClock()
    store = Counting(MemoryStateStore(clock))
    one, other = lab(store, clock), lab(store, clock)
    one.do(FAILED, 10)
    other.refused()
    clock.at += 10
    other.do(OK, 3)
    one.do(OK)
    assert sum("open for" in record.message for record in caplog.records) == 1
    assert sum("closed again" in record.message for record in caplog.records) == 1
