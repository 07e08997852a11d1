"""Which failures lead to which route, in which order, and what ends it."""

from __future__ import annotations

import json
from typing import Any, get_args
from urllib.parse import urlsplit

import httpx
import pytest
from attrs import define, evolve
from calling import Caller
from clippy_breaker import CircuitBreaker
from clippy_errors import KINDS, ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import (
    AttemptRefused,
    Category,
    ConfigError,
    ErrorInfo,
    Failure,
    Provenance,
    ProviderError,
    RequestContext,
    StreamInterrupted,
    hookimpl,
)
from clippy_retry import RetryPolicy
from patience import until

import clippy_core
from clippy_core.testing import Fault, Reply

ROUTES: dict[str, Any] = {
    "main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"},
    "second": {"base_url": "http://second.test/v1", "key": "sk-second", "model": "m2"},
    "third": {"base_url": "http://third.test/v1", "key": "sk-third", "model": "m3"},
    "claude": {"api": "anthropic.messages", "base_url": "http://claude.test", "key": "sk-ant", "model": "claude"},
}
COLOURS = ["sync", "asyncio", "trio"]
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def start(script: Any, colour: str = "sync", *, plugins: Any = None, config: Any = None, **settings: Any) -> Caller:
    """A host with a fallback and a classifier; nothing is retried unless a test adds who does."""
    named = {"errors": ErrorClassifier(), "fallback": Fallback(**settings), **(plugins or {})}
    return Caller(colour, httpx).start(named, script, **{"routes": ROUTES, **(config or {})})


def asked(caller: Caller) -> list[str]:
    """The hosts that were asked, in order."""
    return [urlsplit(request.url).netloc.partition(".")[0] for request in caller.provider.requests]


def answered(caller: Caller, **more: Any) -> tuple[int, str]:
    sent = caller.send(json={**BODY, **more})
    if sent.status != 200:
        return sent.status, ""
    return 200, json.loads(sent.body)["choices"][0]["message"]["content"]


def denied(status: int, code: str) -> Fault:
    """An answer as OpenAI gives it for this code."""
    return Fault.status(
        status, body=json.dumps({"error": {"message": code, "type": code, "param": None, "code": code}})
    )


QUOTA = denied(429, "insufficient_quota")
AUTH = denied(401, "invalid_api_key")
INVALID = denied(400, "invalid_value")
LENGTH = denied(400, "context_length_exceeded")
FILTERED = denied(400, "content_filter")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_another_route_answers_when_the_planned_one_is_down(colour: str, stream: bool) -> None:
    caller = start([Fault.status(503), Reply("hello")], colour, routes=("second",))
    if stream:
        assert caller.stream("Hello", route="main").text == "hello"
    else:
        assert caller.chat("Hello", route="main").text == "hello"
    assert asked(caller) == ["fake", "second"]
    last = caller.records.last
    assert last.provenance == Provenance("provider", None, "second", reason="overloaded at main")
    assert [(one.route, one.error and one.error.kind) for one in last.attempts] == [
        ("main", "overloaded"),
        ("second", None),
    ]


@pytest.mark.parametrize(
    "fault",
    [Fault.status(500), Fault.status(529), Fault.status(429), QUOTA, Fault.reset(), Fault.connect_error(),
     Fault.reset(at_delta=0)],
    ids=lambda fault: fault.kind,
)  # fmt: skip
def test_outages_rate_limits_and_spent_quotas_lead_to_the_next_route(fault: Fault) -> None:
    caller = start([fault, Reply("hello")], routes=("second",))
    assert caller.stream("Hello", route="main").text == "hello"
    assert asked(caller) == ["fake", "second"]


@pytest.mark.parametrize("settings", [{}, {"stale": 60.0, "static": "sorry"}], ids=["routes", "last resorts"])
@pytest.mark.parametrize("fault", [AUTH, INVALID, LENGTH, FILTERED, denied(404, "model_not_found")], ids=str)
def test_what_the_caller_did_is_not_hidden(fault: Fault, settings: Any) -> None:
    """A wrong key, a wrong request, a filtered one: one request upstream, and the provider's own answer."""
    caller = start([fault, Reply("hello")], routes=("second",), **settings)
    assert answered(caller)[0] == fault.code
    assert asked(caller) == ["fake"]


@pytest.mark.parametrize("name", ["context_length", "validation"])
def test_a_kind_or_category_that_is_named_leads_to_its_own_routes(name: str) -> None:
    caller = start([LENGTH, Reply("hello")], routes=("second",), kinds={name: ("third",)})
    assert answered(caller) == (200, "hello")
    assert asked(caller) == ["fake", "third"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("contextlength", "did you mean context_length?"),
        ("rate-limit", "did you mean rate_limit"),
        ("breaker-open", "did you mean breaker_open"),
        ("zzz", "there are auth, bad_body, "),
    ],
)
def test_a_kind_that_no_failure_has_is_a_fault_of_the_configuration(name: str, hint: str) -> None:
    config = {"routes": ROUTES, "plugins": {"fallback": {"kinds": {name: ["main"]}}}}
    with pytest.raises(ConfigError) as raised:
        clippy_core.Host({"fallback": Fallback}, config=config)
    assert f"plugins.fallback.kinds: {name!r} is no kind or category of failure; {hint}" in str(raised.value)


def test_a_failure_of_every_kind_can_be_named() -> None:
    names = {*KINDS, *get_args(Category), "breaker_open", "cooldown", "route_unfit", "total_timeout"}
    assert Fallback(kinds=dict.fromkeys(names, ())).kinds.keys() == names


def test_the_kind_is_named_before_its_category() -> None:
    kinds = {"validation": ("second",), "context_length": ("third",)}
    caller = start([LENGTH, Reply("hello")], kinds=kinds)
    assert answered(caller) == (200, "hello")
    assert asked(caller) == ["fake", "third"]


def test_an_empty_list_leads_nowhere() -> None:
    caller = start([Fault.status(429), Reply("hello")], routes=("second",), kinds={"rate_limit": ()})
    assert answered(caller)[0] == 429


def test_each_route_is_tried_once_in_order_and_the_caller_gets_the_last_failure() -> None:
    caller = start(
        [Fault.status(503), Fault.status(500), Fault.status(502)], routes=("second", "third", "second", "main")
    )
    with pytest.raises(ProviderError) as raised:
        caller.chat("Hello", route="main")
    assert asked(caller) == ["fake", "second", "third"]
    assert raised.value.info.status == 502
    assert [one.route for one in caller.records.last.attempts] == ["main", "second", "third"]


def test_every_request_begins_at_its_planned_route_again() -> None:
    """Keeping off a route that is down is a breaker's affair; without one each request asks it first."""
    caller = start([Fault.status(503), Reply("hello"), Reply("back")], routes=("second",))
    assert answered(caller) == (200, "hello")
    assert answered(caller) == (200, "back")
    assert asked(caller) == ["fake", "second", "fake"]


def test_each_failure_is_looked_up_by_itself() -> None:
    """An outage, then a spent quota: the second leads where quotas lead."""
    caller = start([Fault.status(503), QUOTA, Reply("hello")], routes=("second",), kinds={"quota": ("third",)})
    assert answered(caller) == (200, "hello")
    assert asked(caller) == ["fake", "second", "third"]


@pytest.mark.parametrize("fault", [AUTH, denied(404, "model_not_found")], ids=["key", "model"])
def test_a_fallback_route_with_a_fault_of_its_own_is_passed_over_and_named(fault: Fault, caplog: Any) -> None:
    script = [Fault.status(503), fault, Reply("hello")]
    caller = start(script * 2, routes=("second", "third"))
    assert answered(caller) == (200, "hello")
    assert asked(caller) == ["fake", "second", "third"]
    assert answered(caller) == (200, "hello")
    assert caplog.text.count("fallback route second failed: ") == 1


@pytest.mark.parametrize("fault", [INVALID, FILTERED], ids=["validation", "filter"])
def test_a_request_that_a_fallback_route_refuses_is_taken_no_further(fault: Fault) -> None:
    """Nobody is asked until somebody has no objection; and no last resort hides it."""
    caller = start([Fault.status(503), fault, Reply("hello")], routes=("second", "third"), static="sorry")
    assert answered(caller)[0] == 400
    assert asked(caller) == ["fake", "second"]


# --- with a retry and a breaker -------------------------------------------------------------------------------------


@define(eq=False)
class Backoff(RetryPolicy):
    """A policy whose name comes before the fallback's in the alphabet."""


@pytest.mark.parametrize("name", ["retry", "a-policy"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_route_is_repeated_before_it_is_left(colour: str, name: str) -> None:
    plugins = {name: Backoff(attempts=3)}
    caller = start([*[Fault.status(503)] * 4, Reply("hello")], colour, plugins=plugins, routes=("second",))
    assert answered(caller) == (200, "hello")
    assert asked(caller) == ["fake"] * 3 + ["second"] * 2


def test_with_the_default_installation_retry_is_asked_before_it(tmp_path: Any) -> None:
    """Everything that is installed, with the file that the README shows."""
    file = tmp_path / "clippy.toml"
    file.write_text('[plugins.fallback]\nroutes = ["second"]\n[routes.second]\nbase_url = "http://second.test/v1"\n')
    order = [step.plugin for step in clippy_core.Host.from_config(file).chains.on_error]
    assert order.index("retry") < order.index("fallback")
    assert order[-1] == "fallback"


def test_a_wait_that_is_too_long_for_a_retry_leads_to_another_route_at_once() -> None:
    fault = Fault.status(429, headers={"retry-after": "120"})
    caller = start([fault, Reply("hello")], plugins={"retry": RetryPolicy()}, routes=("second",))
    before = caller.clock.now()
    assert answered(caller) == (200, "hello")
    assert caller.clock.now() == before
    assert asked(caller) == ["fake", "second"]


@define(eq=False)
class Closes:
    """Lets no attempt go out on some routes, as an open breaker or a local limit does."""

    routes: tuple[str, ...]
    info: ErrorInfo

    @hookimpl
    def pre_attempt(self, ctx: RequestContext) -> None:
        if ctx.route.name in self.routes:
            raise AttemptRefused(self.info)


BREAKER = ErrorInfo("transient", "breaker_open", scope="route", retry_after=9.0)
REFUSED = [BREAKER, evolve(BREAKER, category="permanent"), ErrorInfo("rate_limit", "requests", scope="route")]


@pytest.mark.parametrize("info", REFUSED, ids=lambda info: f"{info.category}-{info.kind}")
@pytest.mark.parametrize("colour", COLOURS)
def test_where_no_attempt_may_go_out_the_next_route_answers_at_once(colour: str, info: ErrorInfo) -> None:
    """Nothing is sent to the closed routes, and nobody waits for them."""
    plugins = {"breaker": Closes(("", "second"), info)}
    caller = start([Reply("hello")], colour, plugins=plugins, routes=("second", "third"))
    before = caller.clock.now()
    assert answered(caller) == (200, "hello")
    assert asked(caller) == ["third"]
    assert caller.clock.now() == before
    assert caller.records.last.provenance == Provenance("provider", None, "third", reason=f"{info.kind} at second")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_in_an_outage_the_breaker_keeps_off_the_route_and_the_fallback_answers(colour: str, stream: bool) -> None:
    """Everybody is answered; the route that is down is asked until the breaker opens, and later by single probes."""
    plugins = {"breaker": CircuitBreaker(), "retry": RetryPolicy()}
    down = True

    def provider(seen: Any) -> Any:
        return Fault.status(503) if down and "fake" in seen.url else Reply("hello")

    caller = start(provider, colour, plugins=plugins, routes=("second",))
    ask = caller.stream if stream else caller.chat
    assert {ask(f"Hello {number}", route="main").text for number in range(40)} == {"hello"}
    assert asked(caller).count("fake") <= 12
    assert caller.records.last.provenance == Provenance("provider", None, "second", reason="breaker_open at main")

    down = False
    caller.clock.advance(300)
    again: set[str] = set()

    def back() -> bool:
        """A stream's end is counted beside its reader, who may ask again while the probe is still under way."""
        again.add(ask("Hello again", route="main").text)
        return asked(caller)[-4:] == ["fake"] * 4

    assert until(back), "three probes, and then everybody"
    assert again == {"hello"}


# --- deadlines and what is not chat -----------------------------------------------------------------------------------


def test_no_route_is_tried_with_too_little_time_left() -> None:
    config = {"deadlines": {"total": 5.0}}
    for min_time, expected in [(1.0, ["fake", "second"]), (2.0, ["fake"])]:
        caller = start(
            [[Fault.stall(3.5), Fault.status(503)], Reply("hello")],
            config=config,
            routes=("second",),
            min_time=min_time,
        )
        answered(caller)
        assert asked(caller) == expected


def test_a_call_that_is_not_chat_goes_to_no_other_route() -> None:
    caller = start([Fault.status(503), Reply("hello")], routes=("second",), static="sorry")
    sent = caller.send(path="/embeddings", json={"model": "e", "input": "words"})
    assert sent.status == 503
    assert asked(caller) == ["fake"]


def test_a_stream_that_has_begun_is_not_answered_by_anybody_else() -> None:
    caller = start(
        [[Fault.reset(at_delta=2), Reply("one two three")], Reply("other")], routes=("second",), static="sorry"
    )
    read = caller.stream("Hello", route="main")
    assert isinstance(read.error, StreamInterrupted)
    assert "other" not in read.text
    assert "sorry" not in read.text


def test_without_settings_it_is_idle() -> None:
    assert Fallback().idle
    assert not Fallback(routes=("x",)).idle
    assert not Fallback(static="").idle
    host = clippy_core.Host({"fallback": Fallback()})
    assert host.chains.idle


@define(eq=False)
class Unclear:
    @hookimpl
    def classify_error(self, failure: Failure) -> ErrorInfo:
        return ErrorInfo("unknown", "unknown")


def test_what_nobody_can_judge_is_left_alone_unless_it_is_named() -> None:
    plugins = {"errors": Unclear()}
    assert answered(start([Fault.status(503), Reply("x")], plugins=plugins, routes=("second",)))[0] == 503
    caller = start([Fault.status(503), Reply("x")], plugins=plugins, kinds={"unknown": ("second",)})
    assert answered(caller) == (200, "x")
