"""Ratios from rounds: who is compared with whom, and how rough the figure is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing.timing import Group, Row, Samples, compare, estimate, repeated, sample

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
    ratio = samples.ratio("cpu", "b", "a")
    assert ratio.middle == pytest.approx(factor)
    assert ratio.rough == pytest.approx(0.0, abs=1e-9)
    assert (samples.ratio("wall", "b", "a").middle, samples.ratio("wall", "b", "a").rough) == (1.0, 0.0)


@given(TIMES, st.floats(-1e3, 1e3), st.integers(1, 50))
def test_what_a_case_adds_is_microseconds_of_one_call(times: list[float], added: float, per_block: int) -> None:
    """Whatever a block holds."""
    more = [one + added * 1000 * per_block for one in times]
    found = Samples({"a": times, "b": more}, {}, per_block).added("cpu", "b", "a")
    assert found.middle == pytest.approx(added, abs=1e-3)
    assert found.rough == pytest.approx(0.0, abs=1e-3)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_the_interval_lies_around_the_median_and_within_the_values(values: list[float]) -> None:
    """And is nothing where all values are one."""
    found = estimate(values)
    assert min(values) <= found.least <= found.middle <= found.most <= max(values)
    assert estimate([values[0]] * len(values)).rough == 0.0


@pytest.mark.parametrize("count", [6, 15, 31, 61, 200])
def test_the_interval_holds_the_median_in_95_of_100_runs_and_is_the_narrowest_that_does(count: int) -> None:
    """Exactly, whatever the values are spread like: each lies above the true median as often as below it."""
    found = estimate([float(number) for number in range(count)])
    below, above = int(found.least), count - 1 - int(found.most)
    assert below == above

    def missed(left_out: int) -> float:
        return 2 * sum(math.comb(count, number) for number in range(left_out + 1)) / 2**count

    assert missed(below) <= 0.05 < missed(below + 1)


def _row(least: float, middle: float, most: float, bar: float | None) -> Row:
    return Row("g", "c", middle, 9.9, 0.0, 0.0, least, most, bar)


def test_a_bar_is_judged_by_the_interval_and_not_by_the_distance_from_the_median() -> None:
    """A few slow rounds stretch it to one side only."""
    assert _row(1.00, 1.01, 1.02, 1.03).verdict == "ok"
    assert _row(0.80, 1.00, 1.02, 1.03).verdict == "ok", "the lower side says nothing against it"
    assert _row(1.00, 1.02, 1.20, 1.14).verdict == "unsure", "the upper side holds the bar"
    assert _row(1.04, 1.05, 1.30, 1.03).verdict == "over"
    assert _row(1.04, 1.05, 1.30, None).verdict == ""


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=6, max_size=61))
def test_judging_the_ratio_is_judging_the_differences_of_the_pairs(pairs: list[tuple[int, int]]) -> None:
    """A round is over the bar when its case took more than the bar's share of its own baseline."""
    case, baseline = ([float(one[place]) for one in pairs] for place in (0, 1))
    ratio = Samples({"c": case, "b": baseline}, {}, 1).ratio("cpu", "c", "b")
    differences = estimate([one - 2.0 * other for one, other in zip(case, baseline, strict=True)])
    assert (ratio.most <= 2.0, ratio.least > 2.0) == (differences.most <= 0.0, differences.least > 0.0)


def test_the_first_case_is_what_the_others_are_compared_with() -> None:
    """A ratio of exactly one for itself."""
    rows = compare(Group("g", {"a": repeated(lambda: sum(range(100))), "b": repeated(int)}), 15)
    assert [row.case for row in rows] == ["a", "b"]
    assert (rows[0].cpu, rows[0].wall, rows[0].rough) == (1.0, 1.0, 0.0)
