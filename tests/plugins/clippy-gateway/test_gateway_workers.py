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
from clippy_gateway import serving, workers
from clippy_gateway.workers import Supervisor, Worker


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
    """Ends with *code* after *life* seconds, of which it needs *opening* until it serves."""

    time: Time
    life: float
    code: int
    opening: float
    until: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.until = self.time.now + self.life
        self.opening += self.time.now

    def serves(self) -> bool:
        return self.opening <= min(self.time.now, self.until)

    def close(self) -> None:
        pass

    def poll(self) -> int | None:
        return self.code if self.time.now >= self.until else None

    def send_signal(self, number: int) -> None:
        self.until, self.code = self.time.now, 0


@define(eq=False)
class Place:
    """Starts one process after another, and notes when."""

    time: Time
    lives: Iterator[float]
    code: int = 1
    opening: float = 0.0
    started: list[float] = field(factory=list)

    def start(self) -> Any:
        self.started.append(round(self.time.now, 1))
        return Process(self.time, next(self.lives), self.code, self.opening)


def supervised(monkeypatch: pytest.MonkeyPatch, *lives: Iterator[float], **place: Any) -> tuple[int, list[Place]]:
    time = Time()
    monkeypatch.setattr(workers, "time", time)
    places = [Place(time, one, **place) for one in lives]
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


def test_a_configuration_that_no_worker_takes_is_tried_once(monkeypatch):
    code, places = supervised(monkeypatch, itertools.repeat(1.0), itertools.repeat(1.0), code=2, opening=2.0)
    assert code == 2
    assert [len(one.started) for one in places] == [1, 1]


def test_a_configuration_that_became_wrong_ends_nobody_who_serves(monkeypatch, caplog):
    lives = iter([5000.0]), itertools.chain([20.0], itertools.repeat(0.05))
    code, (serves, dies) = supervised(monkeypatch, *lives, code=2)
    assert code == 0
    assert len(serves.started) == 1
    assert len(dies.started) > 20, "it may be mended"
    assert "a worker ended with 2" in caplog.text


def test_a_long_life_makes_up_for_short_ones(monkeypatch):
    code, (place,) = supervised(monkeypatch, itertools.cycle([0.05, 0.05, 0.05, 0.05, 20.0]))
    assert code == 0
    assert len(place.started) > 50


def test_workers_whose_plugins_open_for_long_and_fail_are_given_up_too(monkeypatch):
    code, (place,) = supervised(monkeypatch, itertools.repeat(40.0), opening=60.0)
    assert code == 1
    assert len(place.started) == 5


def test_that_it_serves_is_said_once_and_when_the_first_worker_does(monkeypatch):
    time, said = Time(), []
    monkeypatch.setattr(workers, "time", time)
    place = Place(time, itertools.repeat(20.0), opening=5.0)
    time.supervisor = Supervisor([Worker(place.start)], socket.socket(), lambda: said.append(time.now))
    time.supervisor.run(1.0)
    assert len(place.started) > 2
    assert [round(at) for at in said] == [5]


def test_a_worker_says_that_it_serves_in_its_pipe():
    said, says = os.pipe()
    os.set_blocking(said, False)
    process: Any = workers.Process(None, said)
    assert not process.serves()
    os.write(says, b"+")
    assert process.serves()
    os.close(says)
    assert process.serves()
    process.close()


def test_workers_serve_where_they_can_meet_nowhere(monkeypatch, caplog, tmp_path):
    """Each alone: nothing may be written, or somebody has removed the folder since."""

    def nowhere(prefix: str) -> str:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("clippy_serving.siblings.tempfile.mkdtemp", nowhere)
    with serving._siblings(2) as siblings:
        assert siblings is None
    assert serving._joined(tmp_path / "gone", 2, 0) is None
    assert ["have no folder", "cannot meet the others"] == [
        next(part for part in ("have no folder", "cannot meet the others") if part in text) for text in caplog.messages
    ]
