"""How long the shipped ways of waiting wait."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from clippy_hookspecs import ErrorInfo
from clippy_retry import Backoff, Decorrelated, Exponential, Fixed, RetryPolicy
from hypothesis import given
from hypothesis import strategies as st

OVERLOADED = ErrorInfo("transient", "overloaded", retryable=True, outage=True)
SECONDS = st.floats(0, 1e308)


def waits(way: type[Backoff], count: int, base: float = 0.5, cap: float = 8.0, **more: Any) -> list[float]:
    backoff = way(base, cap, random.Random(7))
    return [backoff.delay(OVERLOADED, **{"attempt": 1, "previous": 0.0, **more}) for _ in range(count)]


@given(
    st.sampled_from([Exponential, Fixed, Decorrelated]), st.integers(1, 10**6), SECONDS, SECONDS, SECONDS, st.integers()
)
def test_every_wait_is_a_time_within_the_cap(
    way: type[Backoff], attempt: int, previous: float, base: float, cap: float, seed: int
) -> None:
    """Whatever the settings and however many attempts: finite, not below 0, not above the cap."""
    wait = way(base, cap, random.Random(seed)).delay(OVERLOADED, attempt, previous)
    assert math.isfinite(wait)
    assert 0 <= wait <= cap


@given(st.integers(1, 10**6), st.integers(), st.floats(0, 1e6), st.floats(0, 1e6))
def test_full_jitter_stays_below_the_doubled_base(attempt: int, seed: int, base: float, cap: float) -> None:
    """Anything from 0 to base doubled for each attempt."""
    wait = Exponential(base, cap, random.Random(seed)).delay(OVERLOADED, attempt, 0.0)
    assert 0 <= wait <= min(cap, base * 2.0 ** min(attempt - 1, 900))


def test_full_jitter_uses_the_whole_range() -> None:
    """The waits after one attempt spread over the whole interval, and the interval doubles."""
    for attempt, top in enumerate([0.5, 1, 2, 4, 8, 8], start=1):
        found = waits(Exponential, 300, attempt=attempt)
        assert min(found) < 0.05 * top
        assert 0.95 * top < max(found) <= top


def test_a_fixed_wait_is_always_the_same() -> None:
    """It is base, however often it failed, and never more than the cap."""
    assert waits(Fixed, 3, attempt=9, previous=4.0) == [0.5] * 3
    assert waits(Fixed, 1, base=9.0) == [8.0]


@given(st.floats(0, 100), st.floats(0, 100), st.integers())
def test_decorrelated_jitter_never_comes_back_at_once(previous: float, base: float, seed: int) -> None:
    """From base to three times the wait before, both within the cap."""
    wait = Decorrelated(base, 8.0, random.Random(seed)).delay(OVERLOADED, 1, previous)
    assert min(base, 8.0) <= wait <= min(8.0, 3 * max(base, previous))


def test_decorrelated_jitter_uses_the_whole_range() -> None:
    """After a wait of two seconds it is anything from base to six."""
    found = waits(Decorrelated, 300, previous=2.0)
    assert min(found) < 0.8
    assert 5.7 < max(found) <= 6


@pytest.mark.parametrize(
    ("setting", "least", "most"), [("exponential", 0.0, 0.5), ("fixed", 0.5, 0.5), ("decorrelated", 0.5, 1.5)]
)
def test_a_setting_chooses_the_way(setting: Any, least: float, most: float) -> None:
    """The policy waits as its setting ``backoff`` says, full jitter by default."""
    policy = RetryPolicy(backoff=setting)
    found = [policy.delay(OVERLOADED, 1, 0.0) or 0.0 for _ in range(200)]
    assert all(least <= wait <= most for wait in found)
    assert max(found) - min(found) >= 0.8 * (most - least)
    assert RetryPolicy().backoff == "exponential"
