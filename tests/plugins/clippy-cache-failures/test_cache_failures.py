"""Stale answers when nothing else helps, and failures that are kept since they would come again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from attrs import define, evolve
from calling import COLOURS, ROUTE, Caller
from clippy_cache import CachePolicy
from clippy_cache_failures import CacheFailures
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import ProviderError, RequestContext, Retry, hookimpl
from clippy_retry import RetryPolicy

from clippy_core.testing import Fault, Reply


def start(colour: str, failures: CacheFailures, script: Any) -> Caller:
    plugins = {
        "cache": CachePolicy(keep_statistics=False),
        "cache-failures": failures,
        "cache-memory": MemoryCache(ttl=60.0, stale_if_error=1000.0),
        "errors": ErrorClassifier(),
        "retry": RetryPolicy(attempts=3, base=0.0),
    }
    return Caller(colour, httpx).start(plugins, script)


def failed(caller: Caller, *messages: Any, **params: Any) -> int | None:
    with pytest.raises(ProviderError) as caught:
        caller.chat(*messages, **params)
    return caught.value.info.status


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_stale_answer_is_given_when_every_retry_failed(colour: str, stream: bool) -> None:
    caller = start(colour, CacheFailures(stale_if_error=600.0), [Reply("first"), *[Fault.status(503)] * 6])
    caller.chat("Hello")
    caller.clock.advance(61)
    if stream:
        assert caller.stream("Hello").text == "first"
    else:
        answer = caller.chat("Hello")
        assert (answer.text, answer.provenance.stale) == ("first", True)
        assert answer.provenance.reason == "transient/overloaded"
    assert caller.provider.calls == 4
    caller.clock.advance(600)
    assert failed(caller) == 503


@pytest.mark.parametrize("fault", [Fault.status(429), Fault.status(429, kind="quota"), Fault.connect_error()])
def test_limits_quotas_and_connections_are_failures_of_that_kind(fault: Fault) -> None:
    caller = start("sync", CacheFailures(stale_if_error=600.0), [Reply("first"), *[fault] * 3])
    caller.chat("Hello")
    caller.clock.advance(61)
    assert caller.chat("Hello").text == "first"


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_the_caller_did_wrong_is_not_hidden(status: int) -> None:
    caller = start("sync", CacheFailures(stale_if_error=600.0), [Reply("first"), Fault.status(status)])
    caller.chat("Hello")
    caller.clock.advance(61)
    assert failed(caller) == status


def test_a_request_says_for_itself_how_old_an_answer_may_be() -> None:
    script = [Reply("first"), *[Fault.status(503)] * 9]
    caller = start("sync", CacheFailures(stale_if_error=600.0), script)
    caller.chat("Hello")
    caller.clock.advance(61)
    assert failed(caller, directives={"cache": "stale-if-error=0"}) == 503
    caller.clock.advance(700)
    assert failed(caller) == 503
    assert caller.chat("Hello", directives={"cache": "stale-if-error=900"}).text == "first"


def test_another_route_is_tried_before_a_stale_answer_is_given() -> None:
    def answers(seen: Any) -> Any:
        return (
            Reply("other") if seen.model == "other-model" else Reply("first") if seen.number == 1 else Fault.status(503)
        )

    caller = Caller("sync", httpx)
    plugins = {
        "cache-failures": CacheFailures(stale_if_error=600.0),
        "cache-memory": MemoryCache(ttl=60.0, stale_if_error=1000.0),
        "errors": ErrorClassifier(),
        "fallback": Fallback(routes=("other",)),
    }
    routes = {"main": {**ROUTE, "default": True}, "other": {**ROUTE, "model": "other-model"}}
    caller.start(plugins, answers, routes=routes)
    caller.chat("Hello")
    caller.clock.advance(61)
    assert caller.chat("Hello").text == "other"


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("fault", "kept"),
    [
        (Fault.status(400), True),
        (Fault.status(400, kind="context_length"), True),
        (Fault.status(404), True),
        (Fault.status(401), False),
        (Fault.status(403), False),
        (Fault.status(429, kind="quota"), False),
    ],
    ids=["invalid", "too long", "not there", "key", "permission", "quota"],
)
def test_a_failure_is_kept_if_an_equal_request_would_meet_it_again(colour: str, fault: Fault, kept: bool) -> None:
    caller = start(colour, CacheFailures(negative_ttl=30.0), [fault, fault, Reply("mended")])
    assert failed(caller) == failed(caller) == fault.code
    assert caller.provider.calls == (1 if kept else 2)
    caller.clock.advance(31)
    if kept:
        assert failed(caller) == fault.code
    assert caller.chat("Hello", directives={"cache": "no-cache"}).text == "mended"


def test_what_passes_by_itself_is_never_kept() -> None:
    caller = start("sync", CacheFailures(negative_ttl=30.0), [*[Fault.status(503)] * 3, Reply("up")])
    assert failed(caller) == 503
    assert caller.chat("Hello").text == "up"


def test_the_error_of_a_kept_failure_says_that_it_is_one_and_how_old() -> None:
    caller = start("sync", CacheFailures(negative_ttl=30.0), [Fault.status(404), Reply("there")])
    with pytest.raises(ProviderError) as fresh:
        caller.chat("Hello")
    caller.clock.advance(12)
    with pytest.raises(ProviderError) as kept:
        caller.chat("Hello")
    assert "stored failure" not in str(fresh.value)
    assert "[a stored failure, 12 s old, from cache-memory; no provider was asked now]" in str(kept.value)
    assert (kept.value.info.status, kept.value.info.kind) == (404, fresh.value.info.kind)


@pytest.mark.parametrize(
    ("header", "sent", "given"),
    [
        ("retry-after", "100", "60"),
        ("retry-after", "30", "0"),
        ("retry-after", "40.5", "1"),
        ("Retry-After", "Wed, 01 Jan 2031 00:00:00 GMT", "Wed, 01 Jan 2031 00:00:00 GMT"),
        ("retry-after", "1924992000", "1924992000"),
        ("retry-after-ms", "100000.5", "60001"),
        ("x-request-id", "100", "100"),
    ],
)
def test_the_head_of_a_kept_failure_tells_what_is_left_of_its_wait(header: str, sent: str, given: str) -> None:
    """RFC 9110, section 10.2.3: a number counts from when the answer came; a date, or a moment, stays."""
    caller = start("sync", CacheFailures(negative_ttl=90.0), [Fault.status(404, {header: sent}), Reply("there")])
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    assert caller.send(json=body).headers[header.lower()] == sent
    caller.clock.advance(40)
    assert caller.send(json=body).headers[header.lower()] == given


IN_THE_BODY = '{"error": {"message": "Rate limit reached; please try again in 50s", "type": "requests"}}'


@define(eq=False)
class KeepsAll:
    """Somebody else's plugin, which has every failure kept."""

    @hookimpl
    def pre_request(self, ctx: RequestContext) -> None:
        ctx.cache_control = evolve(ctx.cache_control, negative_ttl=900.0)


@pytest.mark.parametrize(
    "fault", [Fault.status(429, retry_after=50.0), Fault.status(429, body=IN_THE_BODY)], ids=["head", "body"]
)
def test_the_error_of_a_kept_failure_tells_what_is_left_of_its_wait(fault: Fault) -> None:
    plugins = {"cache-memory": MemoryCache(), "errors": ErrorClassifier(), "keeps-all": KeepsAll()}
    caller = Caller("sync", httpx).start(plugins, [fault, Reply("there")])
    waits = []
    for seconds in (0, 20, 35):
        caller.clock.advance(seconds)
        with pytest.raises(ProviderError) as caught:
            caller.chat("Hello")
        waits.append(caught.value.info.retry_after)
    assert waits == [50.0, 30.0, 0.0]


@define(eq=False)
class AsksOnceMore:
    """Somebody else's plugin, which decides before this one is asked."""

    @hookimpl
    def on_error(self, ctx: RequestContext) -> Retry | None:
        return Retry(0.0) if ctx.attempt == 1 else None


@pytest.mark.parametrize("order", [["once-more", "cache-failures"], ["cache-failures", "once-more"]], ids=str)
@pytest.mark.parametrize(("faults", "kept"), [((404, 503), False), ((503, 404), True)], ids=str)
def test_the_last_failure_decides_whether_it_is_kept(order: list[str], faults: tuple[int, int], kept: bool) -> None:
    plugins = {
        "cache-failures": CacheFailures(negative_ttl=30.0),
        "cache-memory": MemoryCache(),
        "errors": ErrorClassifier(),
        "once-more": AsksOnceMore(),
    }
    script = [*map(Fault.status, faults), Reply("up")]
    caller = Caller("sync", httpx).start(plugins, script, order=order)
    assert failed(caller) == faults[-1]
    if kept:
        assert failed(caller) == faults[-1]
    else:
        assert caller.chat("Hello").text == "up"


def test_no_store_keeps_no_failure_either() -> None:
    caller = start("sync", CacheFailures(negative_ttl=30.0), [Fault.status(404), Reply("there")])
    assert failed(caller, directives={"cache": "no-store"}) == 404
    assert caller.chat("Hello").text == "there"


def test_without_settings_it_takes_no_part_so_that_sdks_keep_their_retries() -> None:
    caller = start("sync", CacheFailures(), None)
    (plugin,) = [one for one in caller.host.discovered.plugins if one.name == "cache-failures"]
    assert (plugin.hooks, plugin.idle) == ((), "neither stale_if_error nor negative_ttl is set")
    assert not Caller("sync", httpx).start({"cache": CachePolicy(keep_statistics=False)}).host.owns_retries


def test_a_stale_answer_is_no_older_than_the_request_asks_for() -> None:
    """RFC 9111, 5.2.1.1: whoever says how old an answer may be says it of late answers too."""
    caller = start("sync", CacheFailures(stale_if_error=600.0), [Reply("first"), *[Fault.status(503)] * 9])
    caller.chat("Hello")
    caller.clock.advance(100)
    assert failed(caller, directives={"cache": "max-age=99"}) == 503
    assert failed(caller, directives={"cache": "max-age=99, stale-if-error=600"}) == 503
    assert caller.chat("Hello", directives={"cache": "max-age=100"}).provenance.stale


@pytest.mark.parametrize("late", [0.0, 61.0], ids=["fresh", "past its time"])
def test_a_failure_that_is_kept_takes_no_answer_away(late: float) -> None:
    script = [Reply("first"), Fault.status(404), *[Fault.status(503)] * 3]
    caller = start("sync", CacheFailures(stale_if_error=600.0, negative_ttl=30.0), script)
    caller.chat("Hello")
    caller.clock.advance(late)
    assert failed(caller, directives={"cache": "no-cache"}) == 404
    answer = caller.chat("Hello")
    assert (answer.text, answer.provenance.stale) == ("first", late > 0)


def test_a_failure_is_kept_once_the_answer_before_it_is_of_no_use() -> None:
    caller = start("sync", CacheFailures(stale_if_error=600.0, negative_ttl=30.0), [Reply("first"), Fault.status(404)])
    caller.chat("Hello")
    caller.clock.advance(60 + 1001)
    assert failed(caller) == failed(caller) == 404
    assert caller.provider.calls == 2
