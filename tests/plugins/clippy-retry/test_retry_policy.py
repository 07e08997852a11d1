"""When a failed attempt is repeated, after how long, and with what."""

from __future__ import annotations

import math
import random
from typing import Any, cast

import pytest
from attrs import define, evolve
from clippy_hookspecs import UNKNOWN_ERROR, ErrorInfo, Headers, Request, RequestContext, Retry, RouteInfo, Scope
from clippy_retry import RetryPolicy
from hypothesis import given
from hypothesis import strategies as st

OVERLOADED = ErrorInfo("transient", "overloaded", retryable=True, outage=True)
LIMITED = ErrorInfo("rate_limit", "requests", retryable=True)


@define
class HandClock:
    """A clock that only a test moves."""

    at: float = 1000.0

    def now(self) -> float:
        return self.at

    def time(self) -> float:
        return self.at


def context(clock: HandClock | None = None, route_attempt: int = 1, **more: Any) -> RequestContext:
    unused = cast(Any, None)
    clock = clock or HandClock()
    ctx = RequestContext("1", Scope(), clock, services=unused, route=RouteInfo("r"), flow=unused, **more)
    ctx.attempt = ctx.route_attempt = route_attempt
    return ctx


def seeded(seed: int = 0, **settings: Any) -> RetryPolicy:
    policy = RetryPolicy(**settings)
    policy._rng = random.Random(seed)
    return policy


def decided(policy: RetryPolicy, error: ErrorInfo, ctx: RequestContext | None = None) -> float | None:
    """The wait it decides on, None for no retry."""
    decision = policy.on_error(error, ctx or context())
    assert decision is None or isinstance(decision, Retry)
    return None if decision is None else decision.after


@given(st.integers(1, 10**6), st.integers(), st.floats(0, 1e6), st.floats(0, 1e6))
def test_backoff_stays_within_its_bounds(attempt: int, seed: int, base: float, cap: float) -> None:
    """Full jitter: anything from 0 to base doubled for each attempt, never above the cap, never NaN."""
    wait = seeded(seed, base=base, cap=cap).wait(None, attempt)
    assert wait is not None
    assert 0 <= wait <= min(cap, base * 2.0 ** min(attempt - 1, 900))


def test_backoff_uses_the_whole_range() -> None:
    """The waits after one attempt spread over the whole interval, and the interval doubles."""
    policy = seeded()
    for attempt, top in enumerate([0.5, 1, 2, 4, 8, 8], start=1):
        waits = [policy.wait(None, attempt) or 0.0 for _ in range(300)]
        assert min(waits) < 0.05 * top
        assert 0.95 * top < max(waits) <= top


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers())
def test_the_servers_wait_is_never_shortened(asked: float, seed: int) -> None:
    """A server's wait is kept, up to a tenth longer, never beyond max_wait; nonsense falls back to backoff."""
    wait = seeded(seed).wait(asked, 1)
    if math.isnan(asked) or asked <= 0:
        assert wait is not None
        assert 0 <= wait <= 0.5
    elif asked > 60:
        assert wait is None
    else:
        assert wait is not None
        assert asked <= wait <= min(asked * 1.1, 60)


def test_a_server_that_asks_for_too_long_is_not_waited_for() -> None:
    """The caller gets the failure, with the wait in it, rather than a sleeping program."""
    assert decided(seeded(), evolve(LIMITED, retry_after=61.0)) is None
    assert decided(seeded(max_wait=100), evolve(LIMITED, retry_after=61.0)) == pytest.approx(64, abs=3.1)


def test_six_attempts_on_one_route() -> None:
    """After the sixth failed attempt there is no seventh; another route counts anew."""
    policy = seeded(deadline=math.inf)
    assert [decided(policy, OVERLOADED, context(route_attempt=n)) is not None for n in range(1, 8)] == [True] * 5 + [
        False
    ] * 2
    ctx = context(route_attempt=1)
    ctx.attempt = 9
    assert decided(policy, OVERLOADED, ctx) is not None


@pytest.mark.parametrize(
    "error",
    [
        UNKNOWN_ERROR,
        ErrorInfo("unknown", "unknown", retryable=True),
        ErrorInfo("auth", "invalid_key"),
        ErrorInfo("validation", "context_length"),
        ErrorInfo("permanent", "quota"),
        ErrorInfo("permanent", "quota", should_retry=True),
        ErrorInfo("plugin", "plugin", retryable=True),
        ErrorInfo("cancelled", "cancelled", retryable=True),
        evolve(OVERLOADED, committed=True),
        evolve(OVERLOADED, should_retry=False),
    ],
    ids=lambda error: f"{error.category}-{error.kind}-{error.should_retry}-{error.committed}",
)
def test_what_is_never_repeated(error: ErrorInfo) -> None:
    """Unknown, final and spent failures, delivered answers, and what the server does not want to see again."""
    assert decided(seeded(), error) is None


def test_a_delivered_answer_is_not_repeated_whoever_knows_of_it() -> None:
    """The context's commit flag is enough, also when the classifier did not say so."""
    assert decided(seeded(), OVERLOADED, context(committed=True)) is None


def test_the_server_may_ask_for_a_retry() -> None:
    """x-should-retry: true makes a failure worth repeating that does not look like it."""
    assert decided(seeded(), ErrorInfo("validation", "invalid_request", should_retry=True)) is not None


def test_no_attempt_starts_with_less_than_a_second_left() -> None:
    """The caller's deadline must leave the wait and min_time."""
    error = evolve(LIMITED, retry_after=5.0)
    assert decided(seeded(), error, context(deadline=1000.0 + 6.6)) is not None
    assert decided(seeded(), error, context(deadline=1000.0 + 5.9)) is None
    assert decided(seeded(), error, context(deadline=999.0)) is None


def test_the_total_deadline_spans_attempts_and_sleeps() -> None:
    """It counts from the first attempt, whatever the route, and only new attempts are stopped by it."""
    policy, clock = seeded(deadline=120.0), HandClock()
    ctx = context(clock)
    policy.pre_attempt(Request(), ctx)
    clock.at += 100
    policy.pre_attempt(Request(), ctx)
    assert decided(policy, OVERLOADED, ctx) is not None
    clock.at += 19.9
    assert decided(policy, OVERLOADED, ctx) is None
    assert decided(seeded(), OVERLOADED, ctx) is not None, "no limit of its own unless one is set"


@given(
    st.sampled_from([OVERLOADED, LIMITED, evolve(LIMITED, should_retry=True)]),
    st.floats(), st.integers(1, 10), st.floats(0, 200), st.floats(0, 200), st.integers(),
)  # fmt: skip
def test_a_retry_always_fits_before_every_deadline(
    error: ErrorInfo, asked: float, attempt: int, spent: float, left: float, seed: int
) -> None:
    """Whatever comes together, a decided wait is finite and leaves a second before both deadlines."""
    policy, clock = seeded(seed, deadline=120.0), HandClock()
    ctx = context(clock, attempt, deadline=1000.0 + spent + left)
    policy.pre_attempt(Request(), ctx)
    clock.at += spent
    wait = decided(policy, evolve(error, retry_after=asked), ctx)
    if wait is not None:
        assert math.isfinite(wait)
        assert 0 <= wait <= 60
        assert clock.at + wait + 1 <= 1000.0 + min(spent + left, 120) + 1e-6
        assert attempt < 6


def test_requests_stay_as_they_are_by_default() -> None:
    """Without the setting nothing is added: the provider sees what the bare SDK sends."""
    assert RetryPolicy().pre_attempt(Request(), context()) is None


def test_one_idempotency_key_for_all_attempts_of_a_call() -> None:
    """The key is made once for each call, kept over its attempts, and not shared with another call."""
    policy, ctx = RetryPolicy(idempotency_header="Idempotency-Key"), context()
    sent = [policy.pre_attempt(Request(), c) for c in (ctx, ctx, context())]
    keys = [request.headers["idempotency-key"] for request in sent if request is not None]
    assert len(keys) == 3
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    "request_", [Request(method="GET"), Request(headers=Headers({"idempotency-key": "mine"}))], ids=["safe", "own key"]
)
def test_a_key_is_added_only_where_it_is_missing_and_useful(request_: Request) -> None:
    """The caller's own key stays, and a safe method needs none."""
    assert RetryPolicy(idempotency_header="Idempotency-Key").pre_attempt(request_, context()) is None


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"base": -1.0}, {"deadline": 0.0}, {"max_wait": -1.0}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    """A setting that makes no sense is an error at the start, not a surprise at the first failure."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_processes_do_not_share_their_dice() -> None:
    """Two policies with default settings do not wait alike, as forked workers with one seed would."""
    first, second = RetryPolicy(), RetryPolicy()
    assert [first.wait(None, 5) for _ in range(4)] != [second.wait(None, 5) for _ in range(4)]
