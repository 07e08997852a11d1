"""Ratios from rounds: who is compared with whom, and how rough the figure is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing.timing import Group, Samples, compare, repeated, roughness, sample

TIMES = st.lists(st.floats(1e3, 1e9), min_size=1, max_size=40)


def test_in_each_round_every_case_has_one_block() -> None:
    """So many calls of each, in an order that changes, after a warm-up of its own."""
    calls: list[str] = []
    group = Group("g", {name: repeated(lambda name=name: calls.append(name)) for name in "abc"}, per_block=4)
    samples = sample(group, 20)
    assert samples.rounds == 20
    assert {name: calls.count(name) for name in "abc"} == dict.fromkeys("abc", 3 + 4 * 20)
    rounds = ["".join(calls[9:][place : place + 12]) for place in range(0, 240, 12)]
    assert all(sorted(one) == sorted("aaaabbbbcccc") for one in rounds)
    assert len({one[::4] for one in rounds}) > 3


def test_no_round_begins_after_the_time_and_one_always_does() -> None:
    """A command must end, and say something."""
    assert sample(Group("g", {"a": repeated(int)}), 100, seconds=0.0).rounds == 1


@given(TIMES, st.floats(0.1, 10.0))
def test_a_case_is_compared_with_the_baseline_of_its_own_round(times: list[float], factor: float) -> None:
    """However the machine's speed changes between rounds, a steady ratio is measured exactly."""
    samples = Samples({"a": times, "b": [one * factor for one in times]}, {"a": times, "b": times}, 10)
    ratio, rough = samples.ratio("cpu", "b", "a")
    assert ratio == pytest.approx(factor)
    assert rough == pytest.approx(0.0, abs=1e-9)
    assert samples.ratio("wall", "b", "a") == (1.0, 0.0)


@given(TIMES, st.floats(-1e3, 1e3), st.integers(1, 50))
def test_what_a_case_adds_is_microseconds_of_one_call(times: list[float], added: float, per_block: int) -> None:
    """Whatever a block holds."""
    more = [one + added * 1000 * per_block for one in times]
    found, rough = Samples({"a": times, "b": more}, {}, per_block).added("cpu", "b", "a")
    assert found == pytest.approx(added, abs=1e-3)
    assert rough == pytest.approx(0.0, abs=1e-3)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_roughness_is_never_more_than_half_of_the_spread(values: list[float]) -> None:
    """And nothing where all values are one."""
    ordered = sorted(values)
    assert 0.0 <= roughness(ordered) <= (ordered[-1] - ordered[0]) / 2
    assert roughness([values[0]] * len(values)) == 0.0


def test_the_first_case_is_what_the_others_are_compared_with() -> None:
    """A ratio of exactly one for itself."""
    rows = compare(Group("g", {"a": repeated(lambda: sum(range(100))), "b": repeated(int)}), 15)
    assert [row.case for row in rows] == ["a", "b"]
    assert (rows[0].cpu, rows[0].wall, rows[0].rough) == (1.0, 1.0, 0.0)
