"""How fast requests come, counted as they begin."""

from __future__ import annotations

import httpx
import pytest
from clippy_inspect import Inspect
from clippy_inspect.pace import MOST_KNOWN, SLOTS, Pace
from clippy_recorder import Recorder
from hypothesis import given
from hypothesis import strategies as st

import clippy_core
from clippy_core.testing import FakeServer, Reply, VirtualClock

TOKEN = "a-token-of-twenty-four-signs"


def per_second(pace: Pace) -> dict[str, float | None]:
    return {rate.name: rate.per_second for rate in pace.rates()}


def test_a_pause_is_in_the_rates_at_once() -> None:
    """Nothing has to come for them to fall, and of a long time ago nothing is left."""
    clock = VirtualClock()
    pace = Pace(clock.now)
    assert set(per_second(pace).values()) == {0.0}
    for number in range(60):
        pace.heard(f"r{number}")
        clock.advance(1)
    assert per_second(pace) == {"10 s": 0.9, "1 min": 59 / 60, "15 min": 1.0}
    clock.advance(30)
    assert per_second(pace) == {"10 s": 0.0, "1 min": 0.5 - 1 / 60, "15 min": 60 / 90}
    clock.advance(10_000)
    assert set(per_second(pace).values()) == {0.0}
    assert not pace._slots


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 30)), max_size=200))
def test_each_request_counts_once_however_often_it_is_heard_of(heard: list[tuple[int, int]]) -> None:
    """The count of a window is that of a list of all beginnings, right to a slot."""
    clock = VirtualClock()
    start, pace = clock.now(), Pace(clock.now)
    began: dict[int, int] = {}
    for tenths, request in heard:
        clock.advance(tenths / SLOTS + 0.001)
        pace.heard(str(request))
        began.setdefault(request, int(clock.now() * SLOTS))
    now = int(clock.now() * SLOTS)
    for rate in pace.rates():
        expected = sum(now - at < rate.seconds * SLOTS for at in began.values())
        assert rate.over == min(rate.seconds, max(1.0, clock.now() - start))
        assert rate.per_second == expected / rate.over


def test_a_rate_is_over_what_there_is() -> None:
    """A program that is ten seconds old has none of fifteen minutes, and one of a moment is no flood."""
    clock = VirtualClock()
    pace = Pace(clock.now)
    clock.advance(0.01)
    pace.heard("first")
    assert {(1.0, 1.0)} == {(rate.per_second, rate.over) for rate in pace.rates()}
    clock.advance(29.99)
    pace.heard("second")
    assert [(10, 0.1), (30, 2 / 30), (30, 2 / 30)] == [(rate.over, rate.per_second) for rate in pace.rates()]


def test_what_is_kept_is_bounded() -> None:
    """By the time that is looked back to, and by the requests that are known."""
    clock = VirtualClock()
    pace = Pace(clock.now)
    for number in range(MOST_KNOWN + 5000):
        pace.heard(str(number))
        clock.advance(0.1)
    assert len(pace._known) == MOST_KNOWN
    assert len(pace._slots) <= 901 * SLOTS


def test_the_dashboard_tells_what_was_counted_and_not_what_is_kept() -> None:
    """A recorder that keeps three requests is no reason to know of no more; pages may open after them."""
    plugins = {"inspect": Inspect(enabled=True, token=TOKEN), "recorder": Recorder(enabled=True, keep=3)}
    with FakeServer(Reply("It rains.")) as provider, clippy_core.Host(plugins) as host:
        with host.wrap(httpx.Client(base_url=provider.base_url)) as client:
            for _ in range(9):
                client.post("/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
            client.post("/files", content=b"a file")  # asks for nothing to be generated
        inspect = host.plugins["inspect"]
        assert isinstance(inspect, Inspect)
        inspect.show(host)
        told = httpx.get(f"{inspect.address}/api/dashboard", headers={"authorization": f"Bearer {TOKEN}"}).json()
    assert (told["total"]["requests"], [one["name"] for one in told["others"]]) == (2, ["POST /v1/files"])
    assert told["rates"]["15 min"] * told["rates_over"]["15 min"] == pytest.approx(9)
