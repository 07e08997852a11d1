"""Attempts that overlap, end late, are cancelled or are about one model: what counts, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from breaker_lab import CANCELLED, DOWN, FAILED, MODEL_DOWN, OK, ROUTE, HandClock, Lab, lab
from clippy_breaker import CircuitBreaker
from clippy_hookspecs import ErrorInfo, Outcome, RouteInfo


def opened(**settings: Any) -> Lab:
    """A breaker that has just opened, for ten seconds."""
    it = lab(**settings)
    it.do(FAILED, 10)
    assert it.state() == "open"
    return it


def half_open(**settings: Any) -> Lab:
    """A breaker whose open time is over."""
    it = opened(**settings)
    it.clock.at += 10
    assert it.state() == "half_open"
    return it


def test_a_refused_attempt_says_when_to_come_back_and_that_another_route_is_better() -> None:
    """Retries stop there (it is not retryable), a fallback outside is asked, and it is no outage of its own."""
    it = opened()
    it.clock.at += 4
    info = it.refused()
    assert (info.category, info.kind, info.retryable, info.scope, info.outage) == (
        "transient", "breaker_open", False, "route", False,
    )  # fmt: skip
    assert info.retry_after == pytest.approx(6.0)
    assert info.message == (
        "the breaker of openai.chat at https://api.example.test is open for 6.0 s more: "
        "10 failures in a row, the last: overloaded, HTTP 503"
    )


def test_while_all_is_well_an_attempt_reads_once_and_writes_nothing() -> None:
    """The cost of a breaker when nobody needs it."""
    it = lab()
    it.do(OK, 20)
    assert it.store.taken() == ["get"] * 20


def test_successes_are_written_with_the_next_failure() -> None:
    """One write for the failure and one for the success after it; then none again."""
    it = lab()
    it.do(OK, 20)
    it.store.taken()
    it.do(FAILED)
    assert it.store.taken() == ["get", "swap"]
    it.do(OK)
    assert it.store.taken() == ["get", "swap"]
    it.do(OK, 20)
    assert it.store.taken() == ["get"] * 20


def test_successes_before_the_first_failure_have_their_part_in_the_share() -> None:
    """20 successes and 12 failures are no outage, although not one of the successes was written before."""
    it = lab(consecutive=100, least=10)
    it.do(OK, 20)
    it.do(FAILED, 12)
    assert it.state() == "closed"
    it = lab(consecutive=100, least=10)
    it.do(FAILED, 10)
    assert it.state() == "open"


def test_an_attempt_that_began_before_the_opening_neither_closes_nor_opens_anything() -> None:
    """Its end says how the route was, not how it is: not while it is open, half open, or closed again."""
    it = lab()
    early = [it.under_way() for _ in range(40)]
    it.do(FAILED, 10)
    early.pop().end(OK)
    early.pop().end(FAILED)
    assert it.state() == "open"
    it.clock.at += 10
    early.pop().end(OK)
    early.pop().end(FAILED)
    assert it.state() == "half_open"
    it.do(OK, 3)
    assert it.state() == "closed"
    for attempt in early:
        attempt.end(FAILED)
    assert it.state() == "closed", "36 timeouts of before the outage opened it again"
    it.do(FAILED, 9)
    assert it.state() == "closed"


def test_one_probe_at_a_time() -> None:
    """While it is under way all others are refused, and soon come back."""
    it = half_open()
    probe = it.under_way()
    info = it.refused()
    assert info.kind == "breaker_open"
    assert info.retry_after == 1.0
    probe.end(OK)
    it.do(OK)


def test_a_probe_holds_its_place_as_a_lease_of_its_request() -> None:
    """So that a stream that is a probe and that nobody reads is closed after a minute."""
    it = half_open()
    probe = it.under_way()
    assert probe.ctx.leases == 1
    probe.end(OK)
    assert probe.ctx.leases == 0
    assert not any(it.store.store._leases.values())


@pytest.mark.parametrize(
    "outcome",
    [
        CANCELLED,
        Outcome("error", ErrorInfo("transient", "pool_timeout", retryable=True)),
        Outcome("error", ErrorInfo("plugin", "on_response"), 200),
        Outcome("error", ErrorInfo("rate_limit", "requests", retryable=True, status=429), 429, sent=False),
        Outcome("error", ErrorInfo("transient", "total_timeout", status=200), 200),
        Outcome("error", ErrorInfo("permanent", "unsupported", scope="model", status=501), 501),
        Outcome("error"),
    ],
    ids=["cancelled", "pool timeout", "fault of a plugin", "refused by a plugin", "deadline", "501", "unknown"],
)
def test_an_end_that_says_nothing_about_the_route_only_gives_the_place_back(outcome: Outcome) -> None:
    """The next attempt is the probe; neither was it a success nor a failure."""
    it = half_open()
    it.do(OK, 2)
    it.do(outcome, 5)
    assert it.state() == "half_open"
    it.do(OK)
    assert it.state() == "closed"
    it.do(FAILED, 9)
    it.do(outcome)
    it.do(FAILED)
    assert it.state() == "open", "it did not break a run of failures either"


ANSWERED = {
    "invalid": Outcome("error", ErrorInfo("validation", "invalid_request", status=400), 400),
    "key": Outcome("error", ErrorInfo("auth", "invalid_key", scope="key", status=401), 401),
    "quota": Outcome("error", ErrorInfo("permanent", "quota", scope="key", status=429), 429),
    "limited": Outcome("error", ErrorInfo("rate_limit", "requests", retryable=True, scope="key", status=429), 429),
    "refused in an answer": Outcome("error", ErrorInfo("validation", "content_filter", status=200), 200),
    "not judged": Outcome("error", ErrorInfo(status=400), 400),
}


@pytest.mark.parametrize("outcome", ANSWERED.values(), ids=ANSWERED)
def test_an_error_that_a_provider_at_work_answers_is_a_probe_that_went_well(outcome: Outcome) -> None:
    """Or whoever has a wrong key would read of the breaker for ever, and never of the key; a closed one counts none."""
    it = half_open()
    it.do(outcome, 3)
    assert it.state() == "closed"
    assert not any(it.store.store._leases.values())
    it.do(FAILED, 9)
    it.do(outcome)
    it.do(FAILED)
    assert it.state() == "open", "it did not break a run of failures"


def test_such_an_answer_closes_the_breaker_of_its_model_too_and_begins_a_cooldown_as_ever() -> None:
    """One probe, for both; the rate limit is the account's affair, and the next probe another's."""
    it = lab(cooldown=True, probes=1)
    it.do(Outcome("error", MODEL_DOWN, 529), 10, model="big")
    it.do(FAILED, 10, model="small")
    it.clock.at += 10
    it.do(limited(20.0), model="big")
    assert (it.state(), it.state("big")) == ("closed", "closed")
    assert it.refused("big").kind == "cooldown"


def test_such_answers_close_it_for_all_processes_that_share_it_and_one_probe_at_a_time() -> None:
    """Each is written where the others look."""
    it = half_open()
    other = lab(it.store, it.clock)
    for one, waiting in ((it, other), (other, it), (it, other)):
        probe = one.under_way()
        assert waiting.refused().kind == "breaker_open"
        probe.end(ANSWERED["key"])
    assert (it.state(), other.state()) == ("closed", "half_open"), "the other has not looked since"
    other.do(ANSWERED["key"])
    assert other.state() == "closed"


def test_such_an_answer_that_came_slowly_is_a_slow_probe() -> None:
    """As any plain answer, where slowness opens a breaker."""
    it = half_open(slow_after=30.0)
    it.do(evolve(ANSWERED["key"], duration=31.0))
    assert it.state() == "open"


def test_who_leaves_a_stream_after_its_first_token_has_seen_a_route_at_work() -> None:
    """Programs that always stop early would otherwise never close it, and every failure would be one in a row."""
    left = evolve(CANCELLED, first_token=0.3)
    it = half_open()
    it.do(left, 3)
    assert it.state() == "closed"
    it.do(FAILED, 9)
    it.do(left)
    it.do(FAILED, 9)
    assert it.state() == "closed"


def test_a_probe_that_never_ends_holds_its_place_for_a_while_only() -> None:
    """A process that dies with it, or a very long stream; its end still counts if nothing has changed."""
    it = half_open()
    lost = it.under_way()
    it.clock.at += 29
    it.refused()
    it.clock.at += 1
    it.do(OK, 2)
    assert it.state() == "half_open"
    lost.end(OK)
    assert it.state() == "closed"


def test_the_second_of_two_probes_that_fail_changes_nothing() -> None:
    """It would double the open time twice for one outage."""
    it = half_open()
    one = it.under_way()
    it.clock.at += 30
    other = it.under_way()
    one.end(FAILED)
    other.end(FAILED)
    assert it.refused().retry_after == pytest.approx(20)


def test_a_server_may_ask_for_a_longer_open_time() -> None:
    """Retry-After of a 503 or 529, up to max_open; a shorter one changes nothing, nor does that of another failure."""
    for status, asked, expected in (
        (503, 45.0, 45),
        (529, 45.0, 45),
        (503, 3600.0, 120),
        (503, 2.0, 10),
        (500, 45.0, 10),
    ):
        it = lab()
        it.do(FAILED, 9)
        it.do(Outcome("error", evolve(DOWN, status=status, retry_after=asked), status))
        assert it.refused().retry_after == pytest.approx(expected)


def test_a_failure_of_one_model_stops_that_model_only() -> None:
    """Other models of the route go on, and the message names the one that does not."""
    it = lab()
    it.do(Outcome("error", MODEL_DOWN, 529), 10, model="big")
    assert it.state("big") == "open"
    assert it.state() == "closed"
    info = it.refused("big")
    assert info.scope == "model"
    assert "the breaker of model 'big' of openai.chat at https://api.example.test is open" in info.message
    it.do(OK, 20, model="small")
    it.clock.at += 10
    it.do(OK, 3, model="big")
    assert it.state("big") == "closed"


def test_model_and_route_half_open_together_take_one_probe_for_both() -> None:
    """Its success counts for both, its end gives both places back."""
    it = lab()
    it.do(Outcome("error", MODEL_DOWN, 529), 10, model="big")
    it.do(FAILED, 10, model="small")
    it.clock.at += 10
    probe = it.under_way("big")
    assert probe.ctx.leases == 2
    it.refused("small")
    probe.end(OK)
    it.do(OK, 2, model="big")
    assert (it.state(), it.state("big")) == ("closed", "closed")


def test_a_model_whose_probe_another_has_gives_the_routes_place_back() -> None:
    """Or the next attempt for another model would wait for nothing."""
    it = lab()
    it.do(Outcome("error", MODEL_DOWN, 529), 10, model="big")
    it.clock.at += 10
    probe = it.under_way("big")
    it.do(FAILED, 10, model="small")
    it.clock.at += 10
    it.refused("big")
    it.do(OK, 1, model="small")
    probe.end(OK)


def test_a_success_of_a_model_breaks_its_run_of_failures() -> None:
    """As for a route; a success of another model does not."""
    it = lab()
    down = Outcome("error", MODEL_DOWN, 529)
    it.do(down, 9, model="big")
    it.do(OK, 1, model="big")
    it.do(down, 9, model="big")
    it.do(OK, 5, model="small")
    assert it.state("big") == "closed"
    it.do(down, 1, model="big")
    assert it.state("big") == "open"


def test_routes_are_told_apart_by_wire_api_and_origin() -> None:
    """Not by path: all calls of one provider share its health.  Credentials in an address are no part of a name."""
    it = opened()
    same = RouteInfo("", "openai.chat", "https://user:secret@API.example.test/v2/other")
    assert "secret" not in it.refused(route=same).message
    it.under_way(route=RouteInfo("", "openai.chat", "https://eu.example.test/v1")).end()
    it.under_way(route=RouteInfo("", "openai.responses", ROUTE.base_url)).end()


def test_forced_open_sends_nothing_and_asks_no_store() -> None:
    """For maintenance."""
    it = lab(state="forced_open")
    info = it.refused()
    assert (info.kind, info.retry_after, it.state(), it.store.taken()) == ("breaker_open", None, "open", [])
    assert 'state is "forced_open"' in info.message


def test_disabled_does_nothing_and_says_so() -> None:
    """A host does not even call it."""
    it = lab(state="disabled")
    it.do(FAILED, 50)
    assert it.store.taken() == []
    assert "disabled" in it.breaker.idle
    assert not CircuitBreaker().idle


def test_metrics_only_goes_through_all_states_and_stops_nothing() -> None:
    """What it would have done is in its state and its log."""
    it = lab(state="metrics_only")
    it.do(FAILED, 30)
    assert it.state() == "open"
    it.clock.at += 10
    probe = it.under_way()
    it.do(FAILED, 5)
    assert it.state() == "half_open", "what is no probe does not open it again"
    probe.end(OK)
    it.do(OK, 2)
    assert it.state() == "closed"


def test_slow_attempts_count_where_that_is_wanted() -> None:
    """A first token after half a minute, 24 times of 30; a slow probe is no good probe."""
    slow = evolve(OK, first_token=31.0)
    it = lab()
    it.do(slow, 60)
    assert it.state() == "closed"
    it = lab(slow_after=30.0)
    it.do(OK, 6)
    it.do(slow, 24)
    assert it.state() == "open"
    it.clock.at += 10
    it.do(slow)
    assert it.state() == "open"


@pytest.mark.parametrize(
    "wrong",
    [
        {"consecutive": 0},
        {"share": 0.0},
        {"share": 1.1},
        {"least": 51},
        {"open_time": 0.0},
        {"state": "on"},
        {"probes": 0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    """A setting that makes no sense is an error at the start."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CircuitBreaker(**wrong)


# --- clocks -----------------------------------------------------------------------------------------------------------


def test_clocks_that_differ_by_seconds_agree_on_when_it_is_open() -> None:
    """Within their difference."""
    one = opened()
    behind, ahead = (lab(one.store, HandClock(one.clock.at, skew)) for skew in (-4.0, 4.0))
    assert behind.refused().retry_after == pytest.approx(14)
    assert ahead.refused().retry_after == pytest.approx(6)


def test_a_clock_that_is_set_back_does_not_prolong_an_outage() -> None:
    """An hour back: the next attempt is a probe, rather than one in an hour."""
    it = opened()
    it.clock.skew = -3600
    it.do(OK, 3)
    assert it.state() == "closed"


def test_old_failures_leave_the_share_also_after_a_jump_of_the_clock() -> None:
    """Whatever lies more than a minute away, on either side."""
    for jump in (61.0, -61.0):
        it = lab(consecutive=100)
        it.do(FAILED, 29)
        it.clock.skew = jump
        it.do(FAILED)
        assert it.state() == "closed"


# --- cooldowns --------------------------------------------------------------------------------------------------------


def limited(retry_after: float | None, **more: Any) -> Outcome:
    info = ErrorInfo("rate_limit", "requests", True, retry_after, "key", status=429)
    return Outcome("error", evolve(info, **more), 429)


def test_after_a_rate_limit_the_account_waits_as_long_as_the_server_said() -> None:
    """Its other attempts are refused, repeatable after the rest of that time; the breaker stays closed."""
    it = lab(cooldown=True)
    attempts = [it.under_way() for _ in range(3)]
    attempts[0].end(limited(20.0))
    attempts[1].end(limited(3.0))
    it.clock.at += 5
    info = it.refused()
    assert (info.category, info.kind, info.retryable, info.scope, info.status, info.outage) == (
        "rate_limit", "cooldown", True, "key", 429, False,
    )  # fmt: skip
    assert info.retry_after == pytest.approx(15)
    attempts[2].end(limited(40.0))
    assert it.refused().retry_after == pytest.approx(40)
    it.clock.at += 40
    it.do(OK)
    assert it.state() == "closed"


def test_a_cooldown_is_of_one_account_and_one_route() -> None:
    """Another key may have another limit."""
    it = lab(cooldown=True)
    it.do(limited(20.0))
    it.under_way(account="another").end()
    it.under_way(route=RouteInfo("", "openai.chat", "https://eu.example.test/v1")).end()
    it.refused()


@pytest.mark.parametrize(("said", "expected"), [(None, 5), (-1.0, 5), (7200.0, 120)])
def test_a_cooldown_is_five_seconds_unless_said_and_two_minutes_at_the_most(said: float | None, expected: int) -> None:
    """Nobody waits for a day because a number was wrong; the next attempt is told again."""
    it = lab(cooldown=True)
    it.do(limited(said))
    assert it.refused().retry_after == pytest.approx(expected)


def test_only_an_accounts_own_limit_begins_a_cooldown_and_only_if_that_is_wanted() -> None:
    """Not the capacity of a model, not a quota, and not by default."""
    it = lab(cooldown=True)
    it.do(limited(20.0, kind="capacity", scope="model"))
    it.do(Outcome("error", ErrorInfo("permanent", "quota", scope="key", status=429, retry_after=20.0), 429))
    it.do(OK)
    it = lab()
    it.do(limited(20.0), 20)


def test_a_cooldown_takes_no_probes_place_and_an_open_breaker_goes_before_it() -> None:
    """Whoever is refused anyway is no probe."""
    it = lab(cooldown=True)
    early = it.under_way()
    it.do(FAILED, 10)
    early.end(limited(60.0))
    assert it.refused().kind == "breaker_open"
    it.clock.at += 10
    assert it.refused().kind == "cooldown"
    it.under_way(account="another").end()


def test_whatever_else_lies_under_a_cooldowns_key_is_none() -> None:
    """Nor is an end that was written by a clock an hour ahead."""
    for text in ("", "soon", "1 2 3", "nan nan", f"{1_763_800_000.0 + 4600!r} 20.0", "1e999 1e999"):
        it = lab(cooldown=True)
        it.do(limited(20.0))
        (key,) = it.store.store._values
        it.store.store._values[key] = text, 1e12
        it.do(OK)


@pytest.mark.parametrize("model", ["", "a:probe:b", "x" * 10_000, "\udcff", "\x1b[2J"])
def test_a_model_may_be_called_anything(model: str) -> None:
    """What a caller writes there reaches no store's key, and no terminal, as it is."""
    it = lab()
    it.do(Outcome("error", MODEL_DOWN, 529), 10, model=model)
    assert "\x1b" not in it.refused(model).message
    it.clock.at += 10
    it.do(OK, 3, model=model)
    assert it.state(model) == "closed"
    keys = [*it.store.store._values, *it.store.store._leases]
    assert all(key.isascii() and len(key) < 100 for key in keys)
    assert all(len(text) < 1000 for text, _ in it.store.store._values.values())
