"""What a breaker does to live calls, in every colour, through the real host."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from attrs import define
from calling import ROUTE as MAIN
from calling import Caller
from clippy_breaker import CircuitBreaker
from clippy_errors import ErrorClassifier
from clippy_hookspecs import (
    ErrorInfo,
    PluginError,
    ProviderError,
    RequestContext,
    RouteInfo,
    StateStore,
    Switch,
    hookimpl,
)
from clippy_retry import RetryPolicy

import clippy_core
from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import Bench, Fault, Reply, VirtualClock
from clippy_core.testing.cancelling import STOPS, quiet, stopped
from clippy_core.testing.contracts.sweeping import CALLS, Books, Suspends

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


def test_its_table_says_which_routes_are_open_and_for_how_long(sync_caller: Caller) -> None:
    """Nothing before the first call; then a line for each route, and why it is not closed."""
    plugins = alone()
    breaker: Any = plugins["breaker"]
    assert anyio.run(breaker.status_tables)[0].rows == ()
    sync_caller.start(plugins, Switchable(DOWN))
    calls(sync_caller, 9)

    def line() -> dict[str, Any]:
        [table] = anyio.run(breaker.status_tables)
        [row] = table.rows
        return dict(zip(table.columns, row, strict=True))

    closed = line()
    assert (closed["route"], closed["model"]) == ("openai.chat at http://fake.test", None)
    assert (closed["state"], closed["failures in a row"], closed["why"]) == ("closed", 9, None)
    calls(sync_caller, 1)
    opened = line()
    assert (opened["state"], opened["why"]) == (
        "open",
        "10 failures in a row, the last: overloaded, HTTP 503",
    )
    assert 8 <= opened["open for, s"] <= 12
    sync_caller.clock.advance(12.1)
    assert (line()["state"], line()["open for, s"]) == ("half_open", None)


def test_its_table_says_that_it_was_told_to_stop_nothing(sync_caller: Caller) -> None:
    """The setting stands behind the state that it overrules; one that is forced open is open."""
    plugins = alone(state="metrics_only")
    sync_caller.start(plugins, Switchable(DOWN))
    calls(sync_caller, 10)
    [table] = anyio.run(plugins["breaker"].status_tables)  # type: ignore[attr-defined]
    assert [row[2] for row in table.rows] == ["open (metrics_only)"]
    breaker: Any = plugins["breaker"]
    breaker.state = "forced_open"
    sync_caller.clock.advance(10_000)
    assert [row[2] for row in anyio.run(breaker.status_tables)[0].rows] == ["open (forced_open)"]


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


@pytest.mark.parametrize("code", [400, 401, 429])
def test_callers_read_the_providers_own_error_once_it_is_up_again(caller: Caller, code: int) -> None:
    """None of six reads of the breaker, which three of them close."""
    provider = Switchable(DOWN)
    plugins = alone()
    caller.start(plugins, provider)
    calls(caller, 10)
    provider.fault = Fault.status(code, kind="quota" if code == 429 else None)
    caller.clock.advance(12.1)
    ends = calls(caller, 6)
    assert "breaker_open" not in ends
    assert plugins["breaker"].state_of(ROUTE) == "closed"  # type: ignore[attr-defined]


def test_what_an_open_breaker_says_names_the_failure_under_it(sync_caller: Caller) -> None:
    """Whoever has a wrong address soon reads of the breaker only."""
    sync_caller.start(alone(), Switchable(Fault.connect_error()))
    calls(sync_caller, 10)
    with pytest.raises(ProviderError) as caught:
        sync_caller.chat("Hello")
    assert caught.value.info.kind == "breaker_open"
    assert "10 failures in a row, the last: network, ConnectError: " in str(caught.value)


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
    assert "openai.chat at http://fake.test is open for" in said[0]
    assert said[0].endswith("10 failures in a row, the last: overloaded, HTTP 503")
    where = "breaker: openai.chat at http://fake.test"
    sent = f"{where} is half open, a probe is sent"
    assert said[1:] == [
        *(sent, f"{where}: a probe went well, 1 in all"),
        *(sent, f"{where}: a probe went well, 2 in all"),
        *(sent, f"{where} is closed again"),
    ]
    assert not any("sk-" in line for line in said)


def test_a_probe_that_told_nothing_is_logged_with_how_it_ended(
    sync_caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """Or a log would be full of probes of which nobody reads what became."""
    caplog.set_level(logging.INFO, "clippy.breaker")
    provider = Switchable(DOWN)
    sync_caller.start(alone(), provider)
    calls(sync_caller, 10)
    provider.fault = Fault.status(501)
    sync_caller.clock.advance(12.1)
    calls(sync_caller, 1)
    [*_, last] = [record.message for record in caplog.records if record.name == "clippy.breaker"]
    assert last == (
        "breaker: openai.chat at http://fake.test is still half open, its probe said nothing: unsupported, HTTP 501"
    )


# --- streams ----------------------------------------------------------------------------------------------------------


def test_the_attempt_of_a_stream_ends_with_the_stream(caller: Caller) -> None:
    """Broken after its first text it is a failure, read to its end or left early a success."""
    provider = Switchable(Fault.reset(at_delta=1))
    caller.start(alone(), provider)
    for _ in range(9):
        assert caller.stream().error is not None
    provider.fault = None
    assert caller.stream(stop_after=1).text
    provider.fault = Fault.reset(at_delta=1)
    for _ in range(9):
        caller.stream()
    provider.fault = None
    assert caller.stream().text == "fine"
    provider.fault = Fault.reset(at_delta=1)
    for _ in range(10):
        caller.stream()
    kind = getattr(caller.stream().error, "info", None)
    assert kind is not None
    assert kind.kind == "breaker_open"


@pytest.mark.parametrize("probes", [1, 3])
def test_a_stream_that_is_a_probe_has_the_place_until_its_first_token(sync_caller: Caller, probes: int) -> None:
    """From there on the route is known to work: nobody waits for its end, be the breaker closed by it or not."""
    provider = Switchable(DOWN)
    sync_caller.start(alone(consecutive=1, probes=probes), provider)
    calls(sync_caller, 1)
    provider.fault = None
    sync_caller.clock.advance(12.1)
    with clippy_core.Client(sync_caller.host, sync_caller._http()) as client:
        with client.stream("Hello") as stream:
            assert stream.context.leases == 1
            assert calls(sync_caller, 1) == ["breaker_open"]
            chunks = iter(stream)
            while not stream.context.committed:
                next(chunks)
            assert stream.context.leases == 0
            while (first := calls(sync_caller, 1)) == ["breaker_open"]:  # it is settled on a thread of its own
                time.sleep(0.001)
            assert first + calls(sync_caller, probes - 1) == ["fine"] * probes
        assert calls(sync_caller, 1) == ["fine"]


@define(eq=False)
class Elsewhere:
    """A fallback outside: goes to another route once this one's breaker is open."""

    @hookimpl(tryfirst=True)
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | None:
        return Switch("spare") if error.kind == "breaker_open" and ctx.route.name == "main" else None


def test_a_fallback_outside_gets_its_turn_at_once(caller: Caller) -> None:
    """Retry and breaker are inside of it: with the breaker open nobody repeats or sleeps, and the spare answers."""
    routes = {"main": {**MAIN, "default": True}, "spare": {**MAIN, "base_url": "http://spare.test/v1"}}
    caller.start(
        {"aa-elsewhere": Elsewhere(), **stack()},
        lambda seen: Reply("spare") if "spare.test" in seen.url else DOWN,
        routes=routes,
    )
    calls(caller, 3)
    sleeps, asked = len(caller.clock.sleeps), caller.provider.calls
    assert calls(caller, 5) == ["spare"] * 5
    assert len(caller.clock.sleeps) == sleeps
    assert caller.provider.calls == asked + 5


def test_a_caller_under_an_sdk_gets_an_answer_that_no_sdk_repeats(caller: Caller) -> None:
    """503 in the wire API's own shape, with Retry-After in whole seconds (RFC 9110), and x-should-retry: false."""
    caller.start(alone(), Switchable(DOWN))
    calls(caller, 10)
    sent = caller.send(json={"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    assert sent.status == 503
    assert sent.headers["x-should-retry"] == "false"
    assert 8 <= int(sent.headers["retry-after"]) <= 12
    assert 0 <= 1000 * int(sent.headers["retry-after"]) - int(sent.headers["retry-after-ms"]) < 1000
    assert b"breaker_open" in sent.body


def test_a_refused_attempt_is_in_the_record(sync_caller: Caller) -> None:
    """Who said no, in the trace; and the attempt that was none, with its kind."""
    sync_caller.start(alone(), Switchable(DOWN))
    calls(sync_caller, 11)
    record = sync_caller.records.last
    assert [attempt.error.kind for attempt in record.attempts if attempt.error] == ["breaker_open"]
    assert [(call.plugin, call.action) for call in record.trace if call.hook == "pre_attempt"] == [
        ("breaker", "attemptrefused")
    ]


def test_retries_wait_for_a_cooldown_and_then_succeed(caller: Caller) -> None:
    """The limit of one call is known to the others: they wait for the rest of it and are answered, once each."""
    limit = Fault.status(429, retry_after=7)
    caller.start(stack(cooldown=True), [limit, Reply("one"), Reply("two")])
    assert calls(caller, 1) == ["one"]
    assert caller.provider.calls == 2
    assert 7 <= sum(caller.clock.sleeps) <= 7.8


def test_a_store_that_may_not_be_missing_is_an_error_of_the_plugin(sync_caller: Caller) -> None:
    """on_store_failure = "raise": the call ends, and says which plugin it was."""
    sync_caller.start({**alone(on_store_failure="raise"), "store": Gone()}, Reply("fine"))
    with pytest.raises(PluginError, match="breaker"):
        sync_caller.chat()
    sync_caller.start({**alone(), "store": Gone()}, Reply("fine"))
    assert sync_caller.chat().text == "fine"


@define(eq=False)
class Gone:
    """A shared store that cannot be reached.  Plain ``def``, which a host runs in threads where it must."""

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(StateStore, self)

    def __getattr__(self, name: str) -> Any:
        def method(*arguments: Any) -> Any:
            raise ConnectionError("the store is gone")

        if name not in vars(StateStore):
            raise AttributeError(name)
        return method


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", STOPS)
@pytest.mark.parametrize("name", ["chat", "stream"])
def test_a_probe_that_is_cancelled_at_any_await_gives_its_place_back(how: str, name: str) -> None:
    """Over a store that waits, as one over a network does: also where the place was given and nobody knows of it."""
    anyio.run(_cancel_everywhere, how, CALLS[name], backend="trio" if how == "trio" else "asyncio")


async def _cancel_everywhere(how: str, call: Any) -> None:
    clock, provider, books = VirtualClock(), Switchable(DOWN), Books()
    store = Suspends(MemoryStateStore(clock))
    plugins = {**alone(consecutive=1), "books": books, "store": store}
    bench = Bench(plugins, provider, clock=clock)
    async with bench.host, clippy_core.AsyncClient(bench.host, bench.provider.async_client()) as client:

        async def probe(point: int) -> Any:
            provider.fault = DOWN
            clock.advance(3600)  # it has forgotten everything
            await stopped(how, lambda: call(client, "down"), ())
            provider.fault = None
            clock.advance(12.1)
            return await stopped(how, lambda: call(client, "up"), {point})

        whole = await probe(0)
        assert whole.points > 4
        for point in range(1, whole.points + 1):
            result = await probe(point)
            assert not result.hung
            await quiet()
            assert store.held() == 0, f"cancelled at await {point} of {whole.points}"
            assert books.faults() == []
            assert (await client.chat("next")).text == "fine"


def test_a_disabled_breaker_takes_no_part_in_requests(sync_caller: Caller) -> None:
    """It is shown as idle, with the reason, and costs nothing."""
    sync_caller.start(alone(state="disabled"), Switchable(DOWN))
    assert calls(sync_caller, 12) == ["overloaded"] * 12
    assert not any(call.plugin == "breaker" for call in sync_caller.records.last.trace)
    (shown,) = [plugin for plugin in sync_caller.host.discovered.loaded if plugin.name == "breaker"]
    assert shown.idle == 'state is "disabled"'


def test_a_forced_open_breaker_sends_nothing(caller: Caller) -> None:
    """For maintenance: every call fails at once, and is not repeated."""
    caller.start(stack(state="forced_open"), Reply("fine"))
    assert calls(caller, 3) == ["breaker_open"] * 3
    assert (caller.provider.calls, caller.clock.sleeps) == (0, [])
