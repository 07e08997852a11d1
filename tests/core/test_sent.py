"""Which attempts were sent: the host knows, and tells post_attempt, the context and the record."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from attrs import define, field
from calling import Caller
from clippy_hookspecs import (
    Answer,
    AttemptRefused,
    ErrorInfo,
    Message,
    Outcome,
    PluginError,
    ProviderError,
    RequestContext,
    Response,
    Switch,
    Text,
    hookimpl,
)

from clippy_core.testing import Fault, Reply

ROUTES = {
    "main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "m", "default": True},
    "spare": {"base_url": "http://spare.test/v1", "key": "sk-spare", "model": "m"},
}


class CooledDown(AttemptRefused):
    """A plugin's own kind of refusal."""


@define(eq=False)
class Held:
    """Lets nothing go to the main route, and notes how each attempt ended."""

    raises: Exception
    then: Any = None
    told: list[tuple[bool, int]] = field(factory=list)

    @hookimpl
    def pre_attempt(self, ctx: RequestContext) -> None:
        if ctx.route.name == "main":
            raise self.raises

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        self.told.append((outcome.sent, ctx.unsent))

    @hookimpl
    def on_error(self, error: ErrorInfo) -> Any:
        return self.then


REFUSALS = [AttemptRefused(ErrorInfo("transient", "open")), CooledDown(ErrorInfo("rate_limit", "cooldown"))]


@pytest.mark.parametrize("raised", REFUSALS, ids=lambda one: type(one).__name__)
def test_an_attempt_that_a_plugin_refused_was_not_sent(raised: Exception) -> None:
    """Whatever the refusal's class is called; the one that goes elsewhere was."""
    held = Held(raised, Switch("spare"))
    caller = Caller("sync", httpx).start([held], Reply("Hello"), routes=ROUTES)
    assert caller.chat().text == "Hello"
    assert held.told == [(False, 1), (True, 1)]
    assert [(one.route, one.sent) for one in caller.records.last.attempts] == [("main", False), ("spare", True)]


def test_an_attempt_that_a_plugin_broke_was_not_sent() -> None:
    held = Held(ValueError("a fault of its own"))
    caller = Caller("sync", httpx).start([held], Reply("Hello"), routes=ROUTES)
    with pytest.raises(PluginError):
        caller.chat()
    assert held.told == [(False, 1)]


def test_an_attempt_that_reached_nobody_was_sent() -> None:
    """The transport was asked: what a connection costs, and what it says of the provider, it has."""
    held = Held(ValueError("never raised there"))
    caller = Caller("sync", httpx).start([held], Fault.connect_error(), routes={"spare": ROUTES["spare"]})
    with pytest.raises(ProviderError):
        caller.chat()
    assert held.told == [(True, 0)]


def test_an_attempt_whose_flow_was_cancelled_before_it_went_was_not_sent() -> None:
    @define(eq=False)
    class Cancels:
        told: list[bool] = field(factory=list)

        @hookimpl
        def pre_attempt(self, ctx: RequestContext) -> None:
            ctx.flow.cancel()

        @hookimpl
        def post_attempt(self, outcome: Outcome) -> None:
            self.told.append(outcome.sent)

    cancels = Cancels()
    caller = Caller("sync", httpx).start([cancels], Reply("Hello"), routes={"spare": ROUTES["spare"]})
    with pytest.raises(ProviderError):
        caller.chat()
    record = caller.records.last
    assert (cancels.told, record.attempts[0].sent, record.usage, caller.provider.calls) == ([False], False, None, 0)


def test_an_answer_in_place_of_an_attempt_that_was_not_sent_used_nothing() -> None:
    """No provider read the question, so nobody is charged for an estimate of it."""
    spoken = Answer(Response(message=Message("assistant", (Text("I am busy"),)), finish_reason="stop"))
    caller = Caller("sync", httpx).start([Held(REFUSALS[0], spoken)], Reply("Hello"), routes=ROUTES)
    assert caller.chat().text == "I am busy"
    assert caller.records.last.usage is None
    assert caller.provider.calls == 0
