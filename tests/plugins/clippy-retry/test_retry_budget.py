"""What retries may cost a route, and who pays."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from typing import Any

import pytest
from attrs import define, evolve
from clippy_errors import ErrorClassifier
from clippy_hookspecs import AttemptRefused, ErrorInfo, Outcome, Request, RequestContext, RouteInfo, hookimpl
from clippy_retry import RetryBudget, RetryPolicy
from clippy_retry.budget import MAX_BUCKETS
from hypothesis import given
from hypothesis import strategies as st
from retry_context import OVERLOADED, context

from clippy_core.testing import Bench, Fault, Mix, Reply, Script

OK = Outcome("ok", status=200)
FAILED = Outcome("error", OVERLOADED, 503)


def call(url: str = "https://api.test/v1/chat/completions", api: str = "openai.chat") -> RequestContext:
    ctx = context()
    ctx.route = RouteInfo("main", api, url)
    return ctx


def fails(policy: RetryPolicy, ctx: RequestContext, error: ErrorInfo = OVERLOADED) -> bool:
    """Whether the policy wants to repeat an attempt that was sent and failed."""
    policy.pre_attempt(Request(), ctx)
    return policy.on_error(error, ctx) is not None


def retries(policy: RetryPolicy, ctx: RequestContext, asked: int = 50) -> int:
    """How many of *asked* failures the policy still wants to repeat."""
    return sum(fails(policy, ctx) for _ in range(asked))


def test_twenty_retries_in_hand_and_none_more() -> None:
    """While nothing succeeds there are as many retries as the budget has, however many calls fail."""
    assert retries(RetryPolicy(), call()) == 20
    assert retries(RetryPolicy(budget=3), call()) == 3


def test_a_success_earns_half_a_retry() -> None:
    """Failures and cancellations earn nothing, nor does an error that nobody has judged."""
    policy, ctx = RetryPolicy(), call()
    retries(policy, ctx)
    for outcome in (OK, FAILED, Outcome("cancelled"), Outcome("ok", status=503), OK, OK, OK):
        policy.post_attempt(outcome, ctx)
    assert retries(policy, ctx) == 2


def test_a_retry_that_succeeds_gives_its_token_back() -> None:
    """Of several retries of one call it is the last one that does; a larger deposit stays what it is."""
    policy, ctx = RetryPolicy(budget=4), call()
    for ctx.route_attempt in (1, 2, 3):
        assert fails(policy, ctx)
    ctx.route_attempt = 4
    policy.post_attempt(OK, ctx)
    assert retries(policy, call()) == 2
    generous, ctx = RetryPolicy(budget=4, deposit=3), call()
    retries(generous, ctx)
    ctx.route_attempt = 2
    generous.post_attempt(OK, ctx)
    assert retries(generous, call()) == 3


def test_a_budget_never_holds_more_than_its_size() -> None:
    """A thousand successes are worth no more than a full bucket."""
    policy, ctx = RetryPolicy(), call()
    retries(policy, ctx, 5)
    for _ in range(1000):
        policy.post_attempt(OK, ctx)
    assert retries(policy, ctx) == 20


@pytest.mark.parametrize("off", [0, None])
def test_a_budget_can_be_switched_off(off: Any) -> None:
    """0 and None set no limit."""
    assert retries(RetryPolicy(budget=off), call(), 500) == 500


def test_the_servers_word_does_not_open_an_empty_budget() -> None:
    """x-should-retry is obeyed while there is something to pay with."""
    policy, ctx = RetryPolicy(budget=1), call()
    told = evolve(OVERLOADED, should_retry=True)
    assert fails(policy, ctx, told)
    assert not fails(policy, ctx, told)


def test_a_retry_that_is_not_made_is_not_paid_for() -> None:
    """Failures that are final, waits that are too long and deadlines that are near leave the budget as it is."""
    policy, ctx = RetryPolicy(budget=1), call()
    near = context(deadline=1000.1)
    near.route = ctx.route
    assert not fails(policy, ctx, ErrorInfo("auth", "invalid_key"))
    assert not fails(policy, ctx, evolve(OVERLOADED, retry_after=600.0))
    assert not fails(policy, near)
    assert not fails(policy, ctx, evolve(OVERLOADED, committed=True))
    assert fails(policy, ctx)


def test_every_route_and_account_has_a_budget_of_its_own() -> None:
    """Another address, another wire API and another account's trouble cost nobody else a retry."""
    policy = RetryPolicy(budget=2)
    assert retries(policy, call()) == 2
    assert retries(policy, call("https://other.test/v1/chat/completions")) == 2
    assert retries(policy, call(api="openai.responses")) == 2
    assert retries(policy, call()) == 0


def test_addresses_of_no_api_share_the_budget_of_their_origin() -> None:
    """An id in a path does not make a route."""
    policy = RetryPolicy(budget=2)
    urls = [f"https://api.test/v1/files/{number}" for number in range(5)]
    assert sum(retries(policy, call(url, "")) for url in urls) == 2
    assert retries(policy, call("https://other.test/v1/files/1", "")) == 2


def test_the_number_of_budgets_is_bounded() -> None:
    """Who has not failed for longest is forgotten first, and begins anew; who never failed takes no place."""
    budget = RetryBudget(2)
    for number in range(MAX_BUCKETS + 10):
        budget.add(f"healthy {number}", 0.5)
        budget.take(number)
    assert len(budget._tokens) == MAX_BUCKETS
    assert budget.tokens(0) == 2
    assert budget.tokens(MAX_BUCKETS + 9) == 1


@given(
    st.floats(0, 50),
    st.lists(st.tuples(st.sampled_from("ab"), st.none() | st.floats(0, 50)), max_size=200),
)  # fmt: skip
def test_tokens_stay_within_the_bucket(size: float, steps: list[tuple[str, float | None]]) -> None:
    """In any order of retries and successes of any routes: never below nothing, never above the size."""
    budget = RetryBudget(size)
    for bucket, earned in steps:
        before = budget.tokens(bucket)
        if earned is None:
            assert budget.take(bucket) == (before >= 1 or size == 0)
        else:
            budget.add(bucket, earned)
        assert 0 <= budget.tokens(bucket) <= size


def test_threads_do_not_spend_a_token_twice() -> None:
    """Eight threads that fail and succeed at once get as many retries as one after the other could."""
    policy, gate = RetryPolicy(budget=100, deposit=1), threading.Barrier(8)
    taken = []

    def work() -> None:
        ctx = call()
        gate.wait()
        mine = 0
        for number in range(300):
            mine += fails(policy, ctx)
            if number % 3 == 0:
                policy.post_attempt(OK, ctx)
        taken.append(mine)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 100 <= sum(taken) <= 100 + 8 * 100


# --- under a host -----------------------------------------------------------------------------------------------------


def bench(script: Any, **settings: Any) -> Bench:
    return Bench({"errors": ErrorClassifier(), "retry": RetryPolicy(**settings)}, script)


def test_an_outage_is_not_made_worse() -> None:
    """A hundred calls to a provider that is down are a hundred attempts and twenty more, streams as well."""
    for how in ("chat", "stream"):
        down = bench(Script(then=Fault.status(503)))
        for _ in range(100):
            getattr(down, how)("Hello")
        assert down.provider.calls == 120
        down.close()


def test_streams_earn_as_well() -> None:
    """A stream that is read to its end is a success, one that breaks is none."""
    spent = [Fault.status(503)] * 3
    broken = [Fault.reset(at_delta=1), Reply("one two")]
    healed = bench(Script(*spent, Reply("one"), broken, Reply("two"), then=Fault.status(503)), budget=2)
    assert healed.stream("Hello").error is not None, "after two retries the budget is empty"
    for _ in range(3):
        healed.stream("Hello")
    assert healed.stream("Hello").error is not None
    assert healed.provider.calls == 3 + 3 + 2, "two streams paid for one retry"
    healed.close()


def test_single_faults_of_a_fifth_of_all_attempts_never_empty_it() -> None:
    """What successes earn pays for more; a run of bad luck is paid from what is in hand."""
    shaky = bench(Mix(5, 0.2, {Fault.status(503): 1}))
    failed = sum(shaky.chat(f"prompt {number}").error is not None for number in range(500))
    assert failed == 0
    shaky.close()


@define(eq=False)
class Cooldown:
    """Refuses some attempts of every call, and says when it will not."""

    @hookimpl(tryfirst=True)
    def pre_attempt(self, ctx: RequestContext) -> None:
        if ctx.attempt in (1, 3, 4):
            raise AttemptRefused(ErrorInfo("rate_limit", "cooldown", retryable=True, retry_after=2.0))


@define(eq=False)
class Innermost(Cooldown):
    """Does so behind all others, as a breaker."""

    @hookimpl(trylast=True)
    def pre_attempt(self, ctx: RequestContext) -> None:
        super().pre_attempt(ctx)


@pytest.mark.parametrize("cooldown", [Cooldown(), Innermost()], ids=["outside", "inside"])
def test_waiting_for_a_place_costs_nothing(cooldown: Cooldown) -> None:
    """Attempts that a plugin refused were not sent: only the repetition of the one that was is paid for."""
    plugins = {"cooldown": cooldown, "errors": ErrorClassifier(), "retry": RetryPolicy(budget=1)}
    cooled = Bench(plugins, Script(Fault.status(429), Reply("there you are")))
    assert cooled.chat().text == "there you are"
    assert cooled.provider.calls == 2
    cooled.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    budget = RetryBudget(20.0)
    with budget._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
        if not pid:
            signal.alarm(10)  # a child that waits is ended by it
            os._exit(0 if budget.take("route") else 1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.anyio
async def test_it_shows_the_budgets_that_are_not_full() -> None:
    """The emptiest first, without credentials in the address; a route without failures has no line."""
    policy = RetryPolicy(budget=10)
    assert (await policy.status_tables())[0].rows == ()
    retries(policy, call("https://user:secret@once.test/v1"), 1)
    retries(policy, call("https://often.test/v1?key=secret"), 50)
    [table] = await policy.status_tables()
    assert table.columns == ("address", "API", "retries left", "of")
    assert table.rows == (
        ("https://often.test", "openai.chat", 0.0, 10),
        ("https://once.test", "openai.chat", 9.0, 10),
    )
