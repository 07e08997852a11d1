"""Percentiles from a histogram of fixed size."""

from __future__ import annotations

import math

import pytest
from clippy_stream_monitor.gaps import LONGEST, SHORTEST, STEPS, Gaps
from hypothesis import given
from hypothesis import strategies as st

SECONDS = st.floats(0, 2 * LONGEST, allow_nan=False)


@given(st.lists(SECONDS, min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_near_the_gap_that_it_stands_for(seconds: list[float], share: float) -> None:
    """Within 1 in 32, and exactly nothing for what came in one read."""
    gaps = Gaps()
    for gap in seconds:
        gaps.add(gap)
    exact = sorted(seconds)[math.ceil(share * len(seconds) - 1e-9) - 1]
    found = gaps.percentile(share)
    assert found is not None
    if exact < SHORTEST:
        assert found == 0.0
    else:
        assert found == pytest.approx(min(exact, LONGEST), rel=1 / 16)
    assert gaps.longest == max(seconds)


def test_it_stays_small_whatever_it_counts() -> None:
    """A stream of a million pieces is no larger than one of a thousand."""
    gaps = Gaps()
    for number in range(20_000):
        gaps.add(number * 0.37)
    assert len(gaps._classes) <= 28 * STEPS


def test_without_gaps_nothing_is_known() -> None:
    assert Gaps().percentile(0.5) is None
