"""Of one kind of failure, and of all together, only so many events are sent; none is forgotten in the count."""

from __future__ import annotations

from clippy_telemetry_sentry.limiter import KEPT, Limiter
from hypothesis import given
from hypothesis import strategies as st

STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 50)), max_size=60)


@given(STEPS, st.integers(1, 5), st.floats(0.1, 10), st.integers(1, 20))
def test_no_more_than_said_and_each_one_sent_or_counted(
    steps: list[tuple[str, float]], burst: int, per_minute: float, most: int
) -> None:
    limiter, now = Limiter(burst, per_minute, most), 1000.0
    sent, told = dict.fromkeys("abc", 0), 0
    for kind, passed in steps:
        now += passed
        allowed = limiter.take((kind,), now)
        if allowed is not None:
            sent[kind] += 1
            told += sum(allowed)
    took = (now - 1000.0) / 60
    assert all(count <= burst + took * per_minute + 1e-6 for count in sent.values())
    assert sum(sent.values()) <= most + took * most + 1e-6
    untold = sum(bucket.suppressed for bucket in limiter._kinds.values())
    assert sum(sent.values()) + told + untold == len(steps)


def test_a_minute_of_quiet_brings_the_next_one_with_the_count() -> None:
    limiter = Limiter(2, 1.0, 60)
    assert [limiter.take(("a",), 0.0) for _ in range(5)] == [(0, 0), (0, 0), None, None, None]
    assert limiter.take(("a",), 59.0) is None
    assert limiter.take(("a",), 60.0) == (4, 0)
    assert limiter.take(("b",), 60.0) == (0, 0)


def test_the_memory_is_bounded_and_what_is_forgotten_is_told() -> None:
    limiter = Limiter(1, 0.001, 10**6)
    limiter.take(("first",), 0.0)
    limiter.take(("first",), 0.0)
    told = [limiter.take((str(number),), 0.0) for number in range(3 * KEPT)]
    assert len(limiter._kinds) == KEPT
    assert sum(one[1] for one in told if one) == 1


def test_a_clock_that_stands_or_goes_back_gives_nothing_away() -> None:
    limiter = Limiter(1, 60.0, 60)
    assert limiter.take(("a",), 100.0) == (0, 0)
    assert limiter.take(("a",), 0.0) is None
    assert limiter.take(("a",), 0.0) is None
