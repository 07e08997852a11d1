"""Whatever is done in whatever order, the SQLite store says what the store in memory says."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from clippy_hookspecs import Reservation
from clippy_state_sqlite import file as file_module
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from state_called import Called

from clippy_core.driven import drive
from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import VirtualClock

KEYS = st.sampled_from(["a", "", "ü \0 \ud800"])
VALUES = st.sampled_from(["", "1", '{"a": "ü \0 \udfff"}'])
HOLDERS = st.sampled_from(["ada", "bob", "cyd"])
AMOUNTS = st.integers(-8, 40).map(lambda number: number / 4)  # their sums are exact in any order
TTLS = st.sampled_from([1.0, 2.5, 10.0, 1000.0])
Held = tuple[Reservation, Reservation]


class AsInMemory(RuleBasedStateMachine):
    """Two processes on one file, and the model; one clock."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = VirtualClock()
        path = Path(self.folder.name) / "state.db"
        self.stores = [Called(path, self.clock) for _ in range(2)]
        self.model = MemoryStateStore(self.clock)
        self.held: list[Held] = []
        self.ends: set[float] = set()
        self.turn = 0

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def both(self, name: str, *arguments: Any, ttl: float | None = None) -> Any:
        if ttl is not None:
            self.ends.add(self.clock.time() + ttl)
            arguments = (*arguments, ttl)
        self.turn += 1
        ours = getattr(self.stores[self.turn % 2], name)(*arguments)
        assert ours == drive(getattr(self.model, name)(*arguments)), name
        return ours

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def put(self, key: str, value: str, ttl: float) -> None:
        self.both("put", key, value, ttl=ttl)

    @rule(key=KEYS, expected=st.none() | VALUES, value=VALUES, ttl=TTLS)
    def swap(self, key: str, expected: str | None, value: str, ttl: float) -> None:
        self.both("swap", key, expected, value, ttl=ttl)

    @rule(key=KEYS, value=VALUES, ttl=TTLS)
    def swap_what_is_there(self, key: str, value: str, ttl: float) -> None:
        assert self.both("swap", key, self.both("get", key), value, ttl=ttl)

    @rule(key=KEYS, amount=AMOUNTS, ttl=TTLS)
    def add(self, key: str, amount: float, ttl: float) -> None:
        self.both("add", key, amount, ttl=ttl)
        self.both("add", key, 1, ttl=ttl)  # a counter that just began anew goes on

    @rule(key=KEYS, amount=st.sampled_from([-1.0, 0.25, 5.0, 10.0]), limit=st.sampled_from([5.0, 10.0]), ttl=TTLS)
    def reserve(self, key: str, amount: float, limit: float, ttl: float) -> None:
        self.turn += 1
        self.ends.add(self.clock.time() + ttl)
        ours = self.stores[self.turn % 2].reserve(key, amount, limit, ttl)
        model = drive(self.model.reserve(key, amount, limit, ttl))
        assert (ours is None) == (model is None)
        if ours is not None and model is not None:
            assert (ours.key, ours.amount, ours.expires_at) == (model.key, model.amount, model.expires_at)
            self.held.append((ours, model))

    def held_one(self, data: st.DataObject) -> Held | None:
        """One that still counts: what a late settlement does the contract leaves open."""
        live = [held for held in self.held if held[0].expires_at > self.clock.time()]
        return data.draw(st.sampled_from(live)) if live else None

    @rule(data=st.data(), actual=AMOUNTS, ttl=TTLS)
    def settle(self, data: st.DataObject, actual: float, ttl: float) -> None:
        self.turn += 1
        self.ends.add(self.clock.time() + ttl)
        if held := self.held_one(data):
            self.stores[self.turn % 2].settle(held[0], actual, ttl)
            drive(self.model.settle(held[1], actual, ttl))

    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        self.turn += 1
        if held := self.held_one(data):
            self.stores[self.turn % 2].refund(held[0])
            drive(self.model.refund(held[1]))

    @rule(key=KEYS, holder=HOLDERS, ttl=TTLS, places=st.integers(0, 3))
    def lease(self, key: str, holder: str, ttl: float, places: int) -> None:
        self.ends.add(self.clock.time() + ttl)
        self.both("lease", key, holder, ttl, places)

    @rule(key=KEYS, holder=HOLDERS)
    def release(self, key: str, holder: str) -> None:
        self.both("release", key, holder)

    @rule(seconds=st.sampled_from([0.5, 9.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(data=st.data())
    def something_ends(self, data: st.DataObject) -> None:
        """At this very moment."""
        if coming := sorted(end for end in self.ends if end > self.clock.time()):
            self.clock.advance(data.draw(st.sampled_from(coming[:3])) - self.clock.time())

    @rule()
    def sweep(self) -> None:
        for store in self.stores:
            if store.access._file is not None:
                store.access._file.sweep(self.clock.time())

    @rule(which=st.integers(0, 1))
    def close(self, which: int) -> None:
        self.stores[which].close()

    @invariant()
    def values_are_the_same(self) -> None:
        for key in ("a", "", "ü \0 \ud800"):
            self.both("get", key)


TestAsInMemory = AsInMemory.TestCase
TestAsInMemory.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_what_has_ended_is_swept_in_turn(tmp_path: Path) -> None:
    """However much is written, there is never much more in the file than what still counts."""
    clock, path = VirtualClock(), tmp_path / "state.db"
    store = Called(path, clock)
    for number in range(2000):
        store.put(f"value {number}", "v", 10.0)
        store.add(f"counter {number}", 1, 10.0)
        store.reserve(f"limit {number}", 1, 10, 10.0)
        store.lease(f"place {number}", "ada", 10.0)
        clock.advance(1.0)
    file = store.access._file
    assert file is not None
    for table in ("kept", "counters", "uses", "leases"):
        (rows,) = file._writer.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert 10 <= rows <= 10 + file_module.SWEEP_EVERY
    store.close()
    assert path.stat().st_size < 100_000
