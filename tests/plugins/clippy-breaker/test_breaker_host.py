"""What a breaker does to live calls, in every colour, through the real host."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from calling import Caller
from clippy_breaker import CircuitBreaker
from clippy_errors import ErrorClassifier
from clippy_hookspecs import ProviderError, RouteInfo
from clippy_retry import RetryPolicy

import clippy_core
from clippy_core.testing import Fault, Reply

DOWN = Fault.status(503)
ROUTE = RouteInfo("main", "openai.chat", "http://fake.test/v1")


class Switchable:
    """A provider that a test breaks and repairs."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault

    def __call__(self, seen: Any) -> Any:
        return self.fault or Reply("fine")


def stack(**settings: Any) -> dict[str, object]:
    return {"errors": ErrorClassifier(), "retry": RetryPolicy(), "breaker": CircuitBreaker(**settings)}


def alone(**settings: Any) -> dict[str, object]:
    """Without retries: each call is one attempt."""
    return {"errors": ErrorClassifier(), "breaker": CircuitBreaker(**settings)}


def calls(caller: Caller, number: int, between: Callable[[], None] = lambda: None) -> list[str]:
    """So many plain calls one after the other: the text of each, or the kind of its failure."""
    ends: list[str] = []
    if caller.colour == "sync":
        with clippy_core.Client(caller.host, caller._http()) as client:
            for _ in range(number):
                try:
                    ends.append(client.chat("Hello").text)
                except ProviderError as error:
                    ends.append(error.info.kind)
                between()
        return ends

    async def run() -> None:
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            for _ in range(number):
                try:
                    ends.append((await client.chat("Hello")).text)
                except ProviderError as error:
                    ends.append(error.info.kind)
                between()

    anyio.run(run, backend=caller.colour)
    return ends


def test_a_total_outage_costs_few_attempts_and_no_waiting(caller: Caller) -> None:
    """1,000 calls of a route that is down: at most 60 attempts reach it, and the calls behind the open breaker fail at
    once instead of sleeping between repetitions."""
    caller.start(stack(), Switchable(DOWN))
    ends = calls(caller, 1000)
    assert caller.provider.calls <= 60
    assert ends.count("breaker_open") >= 990
    assert len(caller.clock.sleeps) <= 60


def test_it_opens_within_twelve_attempts(caller: Caller) -> None:
    """Ten failures in a row."""
    caller.start(alone(), Switchable(DOWN))
    assert calls(caller, 12) == ["overloaded"] * 10 + ["breaker_open"] * 2
    assert caller.provider.calls == 10


def test_it_recovers_after_the_open_time_and_one_probe(caller: Caller) -> None:
    """The first call after the open time is answered; after two more it is closed and knows of nothing."""
    provider = Switchable(DOWN)
    plugins = alone()
    caller.start(plugins, provider)
    calls(caller, 10)
    breaker: Any = plugins["breaker"]
    assert breaker.state_of(ROUTE) == "open"
    provider.fault = None
    caller.clock.advance(12.1)
    assert breaker.state_of(ROUTE) == "half_open"
    assert calls(caller, 2) == ["fine"] * 2
    assert breaker.state_of(ROUTE) == "half_open"
    assert calls(caller, 2) == ["fine"] * 2
    assert breaker.state_of(ROUTE) == "closed"
    provider.fault = DOWN
    assert calls(caller, 9) == ["overloaded"] * 9, "the failures of before were not forgotten"
    assert breaker.state_of(ROUTE) == "closed"


def test_each_failed_probe_doubles_the_open_time(caller: Caller) -> None:
    """10, 20, 40, 80 and then 120 seconds, a fifth more or less; one probe each."""
    caller.start(alone(), Switchable(DOWN))
    calls(caller, 10)
    for n, expected in enumerate([10, 20, 40, 80, 120, 120], start=1):
        caller.clock.advance(min(expected * 0.79, 120))
        assert calls(caller, 1) == ["breaker_open"]
        caller.clock.advance(min(expected * 1.21, 121) - min(expected * 0.79, 120))
        assert calls(caller, 2) == ["overloaded", "breaker_open"]
        assert caller.provider.calls == 10 + n


@pytest.mark.parametrize(
    "fault",
    [
        Fault.status(401),
        Fault.status(400),
        Fault.status(429, retry_after=1),
        Fault.status(429, kind="quota"),
        Fault.status(404),
    ],
    ids=lambda fault: f"{fault.code}-{fault.error}",
)
def test_a_failure_that_is_no_outage_never_opens_it(sync_caller: Caller, fault: Fault) -> None:
    """Keys, requests, limits and quotas say nothing about the health of a route."""
    sync_caller.start(alone(), Switchable(fault))
    assert "breaker_open" not in calls(sync_caller, 60)
    assert sync_caller.provider.calls == 60


def test_each_change_of_state_is_logged_without_the_key(sync_caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """Open, half open, closed; with the route and why."""
    caplog.set_level(logging.INFO, "clippy.breaker")
    provider = Switchable(DOWN)
    sync_caller.start(alone(), provider)
    calls(sync_caller, 10)
    provider.fault = None
    sync_caller.clock.advance(12.1)
    calls(sync_caller, 3)
    said = [record.message for record in caplog.records if record.name == "clippy.breaker"]
    assert len(said) == 5
    assert "openai.chat at http://fake.test is open for" in said[0]
    assert said[0].endswith("10 failures in a row, the last: overloaded, HTTP 503")
    assert "half open, a probe" in said[1]
    assert said[4] == "breaker: openai.chat at http://fake.test is closed again"
    assert not any("sk-" in line for line in said)
