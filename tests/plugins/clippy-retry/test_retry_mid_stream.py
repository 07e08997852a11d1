"""What becomes of a stream that breaks after a part of it was delivered."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from clippy_errors import ErrorClassifier
from clippy_hookspecs import (
    Continue,
    ErrorInfo,
    Message,
    Outcome,
    Request,
    RequestContext,
    Response,
    Restart,
    Text,
)
from clippy_retry import RetryPolicy
from retry_context import HandClock, context

from clippy_core.testing import Bench, Fault, Reply, Script

HALF = Response(message=Message("assistant", (Text("Once upon a"),)))
BROKEN = ErrorInfo("transient", "network", outage=True, committed=True, partial=HALF)
CLAUDE = Request("anthropic.messages", model="claude-sonnet-4-5-20250929", stream=True)
GPT = Request("openai.chat", model="gpt-5", stream=True)


def broken(
    policy: RetryPolicy, error: ErrorInfo = BROKEN, request: Request = GPT, ctx: RequestContext | None = None
) -> Any:
    """What *policy* decides when a stream breaks."""
    ctx = ctx or context(committed=True)
    policy.pre_attempt(request, ctx)
    return policy.on_error(error, ctx)


def continues(error: ErrorInfo = BROKEN) -> Any:
    return broken(RetryPolicy(on_mid_stream="continue"), error)


def test_by_default_the_delivered_part_is_the_last_word() -> None:
    """Nobody hears a thing twice who has not asked for it."""
    assert broken(RetryPolicy()) is None


def test_begin_anew() -> None:
    """``restart`` begins the stream again, after the wait of a first retry."""
    decision = broken(RetryPolicy(on_mid_stream="restart"))
    assert isinstance(decision, Restart)
    assert 0 <= decision.after <= 0.5


def test_let_the_model_go_on() -> None:
    """``continue`` goes on from what was delivered."""
    decision = continues()
    assert isinstance(decision, Continue)
    assert 0 <= decision.after <= 0.5


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_only_once_for_each_request(how: Any) -> None:
    """The second break is the last, unless the setting allows more; another request counts anew."""
    policy, ctx = RetryPolicy(on_mid_stream=how), context(committed=True)
    assert broken(policy, ctx=ctx) is not None
    assert broken(policy, ctx=ctx) is None
    assert broken(policy) is not None
    twice, ctx = RetryPolicy(on_mid_stream=how, resumes=2), context(committed=True)
    assert [broken(twice, ctx=ctx) is not None for _ in range(3)] == [True, True, False]
    assert broken(RetryPolicy(on_mid_stream=how, resumes=0)) is None


@pytest.mark.parametrize("how", ["restart", "continue"])
@pytest.mark.parametrize(
    "error",
    [
        ErrorInfo("permanent", "quota"),
        ErrorInfo("rate_limit", "tokens"),
        ErrorInfo("validation", "content_filter"),
        ErrorInfo("validation", "max_tokens"),
        ErrorInfo("auth", "expired"),
        ErrorInfo("cancelled", "cancelled"),
        ErrorInfo("plugin", "plugin"),
        ErrorInfo(),
        ErrorInfo("transient", "overloaded", should_retry=False),
    ],
    ids=lambda error: f"{error.category}-{error.kind}",
)
def test_only_after_what_passes_by_itself(how: Any, error: ErrorInfo) -> None:
    """Spent money, refused content, limits and everything unknown are raised."""
    assert broken(RetryPolicy(on_mid_stream=how), evolve(error, committed=True, partial=HALF)) is None


@pytest.mark.parametrize("kind", ["overloaded", "server_error", "network", "read_timeout", "truncated_body", "timeout"])
def test_an_interruption_is_what_passes_by_itself(kind: str) -> None:
    """Cut connections, silence, an overloaded server: whatever else the same stream may not meet again."""
    assert continues(evolve(BROKEN, kind=kind)) is not None


# --- how the model is told --------------------------------------------------------------------------------------------


def method(request: Request, setting: Any = "auto") -> str:
    decision = broken(RetryPolicy(on_mid_stream="continue", continue_method=setting), request=request)
    assert isinstance(decision, Continue)
    return decision.method


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("claude-instant-1.2", "prefill"),
        ("claude-2.1", "prefill"),
        ("claude-3-5-sonnet-20241022", "prefill"),
        ("claude-3-haiku-20240307", "prefill"),
        ("claude-sonnet-4-20250514", "prefill"),
        ("claude-opus-4-1@20250805", "prefill"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "prefill"),
        ("anthropic/claude-haiku-4.5", "prefill"),
        ("claude-opus-4-6", "prompt"),
        ("claude-sonnet-4-7-20260301", "prompt"),
        ("claude-opus-5", "prompt"),
        ("claude-opus-5-5", "prompt"),
        ("claude-sonnet-5-20270101", "prompt"),
        ("claude-opus-4-10", "prompt"),
        ("claude-latest", "prompt"),
        ("glm-5", "prompt"),
        ("", "prompt"),
    ],
)
def test_prefill_where_the_model_takes_it(model: str, expected: str) -> None:
    """Claude up to 4.5 goes on from its own words; everybody else is asked to."""
    assert method(evolve(CLAUDE, model=model)) == expected


def test_a_model_that_thinks_is_asked() -> None:
    """Anthropic refuses a prefilled answer together with thinking."""
    assert method(evolve(CLAUDE, params={"thinking": {"type": "enabled", "budget_tokens": 2000}})) == "prompt"
    assert method(evolve(CLAUDE, params={"thinking": {"type": "disabled"}})) == "prefill"


def test_other_apis_are_asked() -> None:
    """OpenAI's APIs begin a new turn after an assistant's message, also for a model of that name."""
    assert method(GPT) == method(evolve(GPT, api="openai.responses")) == "prompt"
    assert method(evolve(CLAUDE, api="openai.chat")) == "prompt"


def test_the_setting_has_the_last_word() -> None:
    """Who knows the server better says so."""
    assert method(GPT, "prefill") == "prefill"
    assert method(CLAUDE, "prompt") == "prompt"


def test_the_request_that_was_sent_last_counts() -> None:
    """After a switch to another route its API and model decide."""
    policy, ctx = RetryPolicy(on_mid_stream="continue"), context(committed=True)
    policy.pre_attempt(GPT, ctx)
    policy.pre_attempt(CLAUDE, ctx)
    decision = policy.on_error(BROKEN, ctx)
    assert isinstance(decision, Continue)
    assert decision.method == "prefill"


# --- within the same bounds as a retry --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_the_budget_pays_for_it(how: Any) -> None:
    """Each takes a token, and without any the break is raised."""
    policy = RetryPolicy(on_mid_stream=how, budget=2)
    assert [broken(policy) is not None for _ in range(3)] == [True, True, False]
    for _ in range(2):
        policy.post_attempt(Outcome("ok", status=200), context())
    assert broken(policy) is not None


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_the_deadlines_hold_for_it(how: Any) -> None:
    """The caller's, and the policy's own from the first attempt on."""
    assert broken(RetryPolicy(on_mid_stream=how), ctx=context(committed=True, deadline=1000.5)) is None
    policy, clock = RetryPolicy(on_mid_stream=how, deadline=10.0), HandClock()
    ctx = context(clock, committed=True)
    policy.pre_attempt(GPT, ctx)
    clock.at += 9.5
    assert policy.on_error(BROKEN, ctx) is None


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_the_server_directs_its_wait_as_well(how: Any) -> None:
    """An error event may say when to come back; too late is no time at all."""
    decision = broken(RetryPolicy(on_mid_stream=how), evolve(BROKEN, kind="overloaded", retry_after=3.0))
    assert 3 <= decision.after <= 3.3
    assert broken(RetryPolicy(on_mid_stream=how), evolve(BROKEN, retry_after=61.0)) is None


@pytest.mark.parametrize("how", ["restart", "continue"])
def test_it_is_an_attempt_like_any_other(how: Any) -> None:
    """Who allows one attempt gets one."""
    assert broken(RetryPolicy(on_mid_stream=how, attempts=1)) is None
    assert broken(RetryPolicy(on_mid_stream=how), ctx=context(route_attempt=6, committed=True)) is None


def test_a_stream_that_delivered_nothing_is_retried_as_ever() -> None:
    """Before the commit point the setting means nothing."""
    for how in ("raise", "restart", "continue"):
        decision = broken(
            RetryPolicy(on_mid_stream=how), evolve(BROKEN, committed=False, retryable=True), ctx=context()
        )
        assert type(decision).__name__ == "Retry"


# --- under a host -----------------------------------------------------------------------------------------------------


def read(how: Any, *more: Any, **params: Any) -> tuple[str, Any, int]:
    """What a reader got of a stream that breaks after two words, why it ended, and the attempts that it took."""
    first = [Fault.reset(at_delta=2), Reply("one two three four")]
    plugins = {"errors": ErrorClassifier(), "retry": RetryPolicy(on_mid_stream=how)}
    bench = Bench(plugins, Script(first, *more, then=Fault.status(503)))
    got = bench.stream("Hello", **params)
    bench.close()
    assert not bench.blamed
    return got.text, got.error, bench.provider.calls


def test_a_broken_stream_goes_on_or_begins_anew() -> None:
    """As the setting says: the exact part and no more, the parts joined, or the whole once more."""
    text, error, calls = read("raise", Reply("one two three four"))
    assert (text, error.partial.text, calls) == ("one two ", "one two ", 1)
    assert read("continue", Reply("one two three four")) == ("one two three four", None, 2)
    assert read("restart", Reply("one two three four")) == ("one two one two three four", None, 2)


def test_what_does_not_go_on_ends_as_without_the_setting() -> None:
    """A second break, a provider that stays down, and JSON."""
    for text, error, calls in (
        read("continue", [Fault.reset(at_delta=1), Reply("two three four")]),
        read("continue"),
        read("continue", Reply("three"), response_format={"type": "json_object"}),
    ):
        assert text.startswith("one two ")
        assert error.partial.text == text
        assert calls <= 2
