"""Whatever is asked in whatever order, the server answers as the store in memory does, and everything has an end."""

from __future__ import annotations

import itertools
from typing import Any

from clippy_hookspecs import Reservation, StateStore
from clippy_state_redis import RedisState
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from redis_server import RedisServer

from clippy_core import Host
from clippy_core.driven import drive
from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import VirtualClock

KEYS = st.sampled_from(["k", "", "two words", "}{", "ü😀", "total", "k:v"])
VALUES = st.sampled_from(["1", "", "null", "0", '{"ü": "😀\\r\\n"}', "*1\r\n$4\r\nPING\r\n"])
MINUTES = st.integers(1, 5).map(lambda minutes: minutes * 60.0)
"""Whole minutes, so that the moments which the test itself takes decide nothing."""
AMOUNTS = st.integers(-8, 64).map(lambda quarters: quarters / 4) | st.sampled_from([1e9, 2.0**40, 0.0])
HOLDERS = st.sampled_from(["ada", "bob", "cyd", "total", ""])
PREFIXES = itertools.count()


class AsInMemory(RuleBasedStateMachine):
    """Each step is made on both."""

    server: RedisServer
    held: Bundle[tuple[Reservation, Reservation]] = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.server.ask("FLUSHALL")
        self.clock = VirtualClock()
        self.model = MemoryStateStore(self.clock)
        self.host = Host({"state-redis": RedisState(url=self.server.url, prefix=f"model {next(PREFIXES)}")})
        self.host.open()
        self.store: Any = self.host.services.get(StateStore)

    def both(self, method: str, *arguments: Any) -> tuple[Any, Any]:
        return drive(getattr(self.model, method)(*arguments)), drive(getattr(self.store, method)(*arguments))

    def same(self, method: str, *arguments: Any) -> None:
        expected, actual = self.both(method, *arguments)
        assert (expected, type(expected)) == (actual, type(actual))

    @rule(minutes=st.integers(0, 3))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(minutes * 60.0)
        self.server.advance(minutes * 60.0)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        self.same("get", key)

    @rule(key=KEYS, value=VALUES, ttl=MINUTES)
    def put(self, key: str, value: str, ttl: float) -> None:
        self.same("put", key, value, ttl)

    @rule(key=KEYS, expected=VALUES | st.none(), value=VALUES, ttl=MINUTES)
    def swap(self, key: str, expected: str | None, value: str, ttl: float) -> None:
        self.same("swap", key, expected, value, ttl)

    @rule(key=KEYS, amount=AMOUNTS | st.floats(-1e6, 1e6), ttl=MINUTES)
    def add(self, key: str, amount: float, ttl: float) -> None:
        expected, actual = self.both("add", key, amount, ttl)
        assert expected == actual

    @rule(target=held, key=KEYS, amount=AMOUNTS, limit=AMOUNTS | st.just(float("inf")), ttl=MINUTES)
    def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Any:
        expected, actual = self.both("reserve", key, amount, limit, ttl)
        assert (expected is None) == (actual is None)
        if expected is None:
            return multiple()
        assert (expected.key, expected.amount) == (actual.key, actual.amount)
        return expected, actual

    @rule(one=held, actual=AMOUNTS, ttl=MINUTES)
    def settle(self, one: tuple[Reservation, Reservation], actual: float, ttl: float) -> None:
        if self.clock.time() < one[0].expires_at:  # the memory may or may not have noticed that it is over
            drive(self.model.settle(one[0], actual, ttl))
        drive(self.store.settle(one[1], actual, ttl))

    @rule(one=held)
    def refund(self, one: tuple[Reservation, Reservation]) -> None:
        drive(self.model.refund(one[0]))
        drive(self.store.refund(one[1]))

    @rule(key=KEYS, holder=HOLDERS, ttl=MINUTES, places=st.integers(0, 3))
    def lease(self, key: str, holder: str, ttl: float, places: int) -> None:
        self.same("lease", key, holder, ttl, places)

    @rule(key=KEYS, holder=HOLDERS)
    def release(self, key: str, holder: str) -> None:
        self.same("release", key, holder)

    @rule()
    def the_scripts_are_forgotten(self) -> None:
        self.server.ask("SCRIPT", "FLUSH")

    @invariant()
    def everything_ends(self) -> None:
        with self.server.client() as client:
            assert all(0 < client.pttl(key) <= 5 * 60_000 for key in client.scan_iter("*"))

    def teardown(self) -> None:
        self.host.close()


def test_it_answers_as_the_memory_does(server: RedisServer) -> None:
    machine = type("OnServer", (AsInMemory,), {"server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
