"""When a worker that ended is started again, and when no more: in a time of the test's own."""

from __future__ import annotations

import itertools
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define, field
from clippy_gateway import workers
from clippy_gateway.workers import READY, Supervisor, Worker


@define(eq=False)
class Time:
    """Passes when somebody sleeps."""

    now: float = 0.0
    end: float = 1000.0
    supervisor: Any = None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > self.end:
            self.supervisor.note(15, None)


@define(eq=False)
class Process:
    """Serves after *start* seconds, and ends with *code* after *life* seconds."""

    time: Time
    life: float
    code: int
    start: float = 0.0
    until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.until, self.start = self.time.now + self.life, self.time.now + self.start

    def has_said(self) -> bool:
        return self.start <= self.time.now

    def poll(self) -> int | None:
        return self.code if self.time.now >= self.until else None

    def send_signal(self, number: int) -> None:
        self.until, self.code = self.time.now, 0

    def close(self) -> None:
        pass


@define(eq=False)
class Place:
    """Starts one process after another, and notes when."""

    time: Time
    lives: Iterator[float]
    code: int = 1
    takes: float = 0.0
    started: list[float] = field(factory=list)

    def start(self) -> Any:
        self.started.append(round(self.time.now, 1))
        return Process(self.time, next(self.lives), self.code, self.takes)


def supervised(
    monkeypatch: pytest.MonkeyPatch, *lives: Iterator[float], code: int = 1, takes: float = 0.0
) -> tuple[int, list[Place]]:
    time = Time()
    monkeypatch.setattr(workers, "time", time)
    places = [Place(time, one, code, takes) for one in lives]
    time.supervisor = Supervisor([Worker(one.start) for one in places], socket.socket())
    return time.supervisor.run(1.0), places


def test_workers_that_never_live_are_tried_five_times_with_growing_delay(monkeypatch, caplog):
    with caplog.at_level(logging.WARNING, "clippy.gateway"):
        code, places = supervised(monkeypatch, itertools.repeat(0.05), itertools.repeat(0.05), code=3)
    assert code == 3
    assert [len(one.started) for one in places] == [5, 5]
    gaps = [after - before for before, after in itertools.pairwise(places[0].started)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 3
    assert "no worker served" in caplog.messages[-1]


def test_a_worker_that_a_signal_ends_at_once_gives_a_code_too(monkeypatch):
    code, _ = supervised(monkeypatch, itertools.repeat(0.05), code=-11)
    assert code == 1


def test_one_worker_that_lives_keeps_the_others_being_tried(monkeypatch):
    code, (lives, dies) = supervised(monkeypatch, iter([0.05] * 4 + [5000.0]), itertools.repeat(0.05))
    assert code == 0
    assert len(lives.started) == 5
    assert len(dies.started) > 20


def test_a_long_life_makes_up_for_short_ones(monkeypatch):
    code, (place,) = supervised(monkeypatch, itertools.cycle([0.05, 0.05, 0.05, 0.05, 20.0]))
    assert code == 0
    assert len(place.started) > 50


def test_a_worker_that_takes_long_to_fail_is_not_tried_for_ever(monkeypatch):
    """A database that does not answer, say: what it waits before it serves is no life."""
    code, (place,) = supervised(monkeypatch, itertools.repeat(15.0), code=3, takes=20.0)
    assert code == 3
    assert len(place.started) == 5


def test_a_worker_that_takes_long_to_start_may_live_short_after_it(monkeypatch):
    """Its life counts from when it serves: 12 s of starting and 5 s of serving are no long life."""
    code, (place,) = supervised(monkeypatch, itertools.repeat(17.0), takes=12.0)
    assert (code, len(place.started)) == (1, 5)


def test_what_a_process_says_is_heard_once_and_its_end_is_nothing_said():
    hears, says = os.pipe()
    os.set_blocking(hears, False)
    process = workers.Process(Any, hears)  # type: ignore[arg-type]
    assert not process.has_said()
    os.write(says, READY)
    os.close(says)
    assert process.has_said()
    assert not process.has_said()
    process.close()
