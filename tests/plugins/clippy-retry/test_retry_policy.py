"""When a failed attempt is repeated, after how long, and with what."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from attrs import define, evolve, frozen
from clippy_hookspecs import UNKNOWN_ERROR, ErrorInfo, Headers, Request, RequestContext, Retry
from clippy_retry import RetryPolicy
from hypothesis import given
from hypothesis import strategies as st
from retry_context import LIMITED, OVERLOADED, HandClock, context

import clippy_core


def seeded(seed: int = 0, **settings: Any) -> RetryPolicy:
    policy = RetryPolicy(**settings)
    policy._rng = random.Random(seed)
    return policy


@frozen
class Within:
    """Equal seconds lie within two bounds."""

    least: float
    most: float

    def __contains__(self, seconds: object) -> bool:
        return isinstance(seconds, float) and self.least <= seconds <= self.most


def decided(policy: RetryPolicy, error: ErrorInfo, ctx: RequestContext | None = None) -> float | None:
    """The wait it decides on, None for no retry."""
    decision = policy.on_error(error, ctx or context())
    assert decision is None or isinstance(decision, Retry)
    return None if decision is None else decision.after


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers())
def test_the_servers_wait_is_never_shortened(asked: float, seed: int) -> None:
    """A server's wait is kept, up to a tenth longer, never beyond max_wait; nonsense falls back to backoff."""
    wait = decided(seeded(seed), evolve(LIMITED, retry_after=asked))
    if math.isnan(asked) or asked <= 0:
        assert wait is not None
        assert 0 <= wait <= 0.5
    elif asked > 60:
        assert wait is None
    else:
        assert wait is not None
        assert asked <= wait <= min(asked * 1.1, 60)


@given(st.floats(0, exclude_min=True), st.integers())
def test_a_policy_that_waits_for_any_time_does_not_wait_for_ever(asked: float, seed: int) -> None:
    """Without a largest wait a server's is kept as long as it is a time at all."""
    wait = decided(seeded(seed, max_wait=math.inf), evolve(LIMITED, retry_after=asked))
    if math.isinf(asked):
        assert wait is None
    else:
        assert wait is not None
        assert asked <= wait < math.inf


def test_a_server_that_asks_for_too_long_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets the failure, with the wait in it, rather than a sleeping program; the log says why."""
    with caplog.at_level("INFO", "clippy.retry"):
        assert decided(seeded(), evolve(LIMITED, retry_after=61.0)) is None
    assert caplog.messages == ["not repeated: the server asks to wait 61 s, max_wait is 60 s"]
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


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"base": -1.0},
        {"base": math.inf},
        {"cap": math.nan},
        {"deadline": 0.0},
        {"max_wait": -1.0},
        {"budget": -1.0},
        {"deposit": math.nan},
        {"resumes": -1},
        {"backoff": "linear"},
        {"on_mid_stream": "retry"},
        {"continue_method": "hope"},
    ],
    ids=lambda wrong: f"{wrong}",
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    """A setting that makes no sense is an error at the start, not a surprise at the first failure."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_processes_do_not_share_their_dice() -> None:
    """Two policies with default settings do not wait alike, as forked workers with one seed would."""
    first, second = RetryPolicy(), RetryPolicy()
    waits = [[decided(policy, OVERLOADED) for _ in range(4)] for policy in (first, second)]
    assert waits[0] != waits[1]


# --- a policy of one's own --------------------------------------------------------------------------------------------


@define(eq=False)
class Patient(RetryPolicy):
    """Gives an overloaded server a minute, and wants nothing of a gateway that is in trouble."""

    pause: float = 60.0

    def delay(self, error: ErrorInfo, attempt: int, previous: float) -> float | None:
        if error.kind == "gateway":
            return None
        return self.pause if error.kind == "overloaded" else RetryPolicy.delay(self, error, attempt, previous)


def test_a_policy_of_ones_own_is_one_method() -> None:
    """Its waits take the place of the shipped ones; all other rules stay."""
    policy = Patient(attempts=3)
    assert decided(policy, OVERLOADED) == 60
    assert decided(policy, LIMITED) in Within(0, 0.5)
    assert decided(policy, ErrorInfo("transient", "gateway", retryable=True)) is None
    assert decided(policy, OVERLOADED, context(route_attempt=3)) is None
    assert decided(policy, OVERLOADED, context(deadline=1030.0)) is None


def test_the_server_directs_the_waits_of_every_policy() -> None:
    """Also one of one's own does not come back earlier, but it may not want to come back at all."""
    assert decided(Patient(), evolve(OVERLOADED, retry_after=5.0)) in Within(5, 5.5)
    gateway = ErrorInfo("transient", "gateway", retryable=True, retry_after=5.0)
    assert decided(Patient(), gateway) is None


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -0.5])
def test_a_wait_that_is_none_is_said_to_be_the_policys_fault(nonsense: float) -> None:
    """The message names the class, what it gave, and what it should give."""
    with pytest.raises(ValueError, match=r"Patient.delay gave .*finite seconds"):
        Patient(pause=nonsense).on_error(OVERLOADED, context())


def test_a_policy_learns_what_was_waited_before() -> None:
    """Nothing before the first retry, then the wait that was decided on, and nothing again on another route."""
    seen = []

    @define(eq=False)
    class Curious(RetryPolicy):
        def delay(self, error: ErrorInfo, attempt: int, previous: float) -> float:
            seen.append((attempt, previous))
            return 2.0 * attempt

    policy, ctx = Curious(), context()
    for route_attempt in (1, 2, 3, 1):
        ctx.route_attempt = route_attempt
        decided(policy, OVERLOADED, ctx)
    assert seen == [(1, 0.0), (2, 2.0), (3, 4.0), (1, 0.0)]


def test_how_often_is_tried_again_is_no_part_of_a_cache_key() -> None:
    hosts = [clippy_core.Host({"retry": RetryPolicy(attempts=attempts)}) for attempts in (2, 5)]
    assert {host.settings.fingerprint for host in hosts} == {clippy_core.Host({}).settings.fingerprint}
