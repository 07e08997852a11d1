"""Answering with what a cache keeps beyond its time, because the provider failed."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from attrs import define, evolve, field
from calling import Caller
from clippy_hookspecs import (
    Answer,
    AuditRecord,
    CacheEntry,
    ErrorInfo,
    Message,
    Provenance,
    Request,
    RequestContext,
    Response,
    Retry,
    Stale,
    Switch,
    Text,
    hookimpl,
)

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply
from clippy_core.wire import APIS
from clippy_core.wire.assemble import assemble_stream

FRESH = 60.0
ROUTES = {
    "main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "m"},
    "second": {"base_url": "http://second.test/v1", "key": "sk-second", "model": "m2"},
}
MADE = Response("openai.chat", message=Message("assistant", (Text("made"),)), finish_reason="stop")


@define(eq=False)
class Kept:
    """A cache whose answers are fresh for a minute, and kept for ever."""

    entries: dict[str, CacheEntry] = field(factory=dict)
    asked: list[float] = field(factory=list)

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        self.asked.append(ctx.stale_within)
        entry = self.entries.get(key)
        late = ctx.clock.time() - entry.stored_at - FRESH if entry is not None else 0.0
        return entry if late < 0 or late < ctx.stale_within else None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry) -> None:
        self.entries[key] = entry


@define(eq=False)
class Decides:
    decision: Any
    contexts: list[RequestContext] = field(factory=list)
    records: list[AuditRecord] = field(factory=list)
    on_failure = "raise"

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Any:
        return self.decision

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.contexts.append(ctx)
        self.records.append(record)


BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def post(caller: Caller, stream: bool = False) -> tuple[int, str]:
    """The status of an answer and its text."""
    sent = caller.send(json={**BODY, "stream": stream})
    if sent.status != 200:
        return sent.status, ""
    if stream:
        return sent.status, assemble_stream(APIS["openai.chat"], sent.pieces).text
    return sent.status, json.loads(sent.body)["choices"][0]["message"]["content"]


def start(colour: str, decision: Any, script: Any, cache: Kept | None = None) -> tuple[Caller, Decides, Kept]:
    decides, cache = Decides(decision), cache or Kept()
    caller = Caller(colour, httpx)
    return caller.start({"cache": cache, "decides": decides}, script, routes=ROUTES), decides, cache


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_an_answer_beyond_its_time_is_given_when_the_provider_fails_and_is_marked(colour: str, stream: bool) -> None:
    caller, decides, cache = start(colour, Stale(3600.0, "stale-if-error"), [Reply("old words"), Fault.status(503)])
    assert post(caller, stream) == (200, "old words")
    caller.clock.advance(FRESH + 100)

    assert post(caller, stream) == (200, "old words")
    assert cache.asked == [0.0, 0.0, 3600.0]
    last = decides.records[-1]
    assert last.outcome == "cached"
    assert last.provenance == Provenance("cache", "cache", "", FRESH + 100, True, "stale-if-error")
    assert [attempt.status for attempt in last.attempts] == [503]
    assert decides.contexts[-1].provenance == last.provenance


def test_an_answer_that_is_too_old_is_not_given() -> None:
    caller, decides, _ = start("sync", Stale(50.0), [Reply("old words"), Fault.status(503)])
    post(caller)
    caller.clock.advance(FRESH + 51)

    assert post(caller) == (503, "")
    assert decides.records[-1].outcome == "failed"


@pytest.mark.parametrize(
    ("otherwise", "text", "calls"),
    [(Answer(MADE), "made", 1), (Switch("second"), "fresh words", 2), (Retry(1.0), "fresh words", 2)],
    ids=["answer", "switch", "retry"],
)
def test_without_one_the_other_decision_is_carried_out(otherwise: Any, text: str, calls: int) -> None:
    caller, decides, _ = start("sync", Stale(50.0, otherwise=otherwise), [Fault.status(503), Reply("fresh words")])

    assert post(caller) == (200, text)
    assert decides.records[-1].outcome == "answered"
    assert len(caller.provider.requests) == calls


def test_after_a_switch_it_is_the_answer_of_the_planned_route() -> None:
    @define(eq=False)
    class Chain(Decides):
        @hookimpl
        def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Any:
            return Switch("second") if ctx.attempt == 1 else Stale(100.0)

    cache, chain = Kept(), Chain(None)
    caller = Caller("sync", httpx)
    faults = [Fault.status(503), Fault.status(503)]
    caller.start({"cache": cache, "chain": chain}, [Reply("planned"), *faults], routes=ROUTES)
    post(caller)
    caller.clock.advance(FRESH + 1)

    assert post(caller) == (200, "planned")
    assert [attempt.route for attempt in chain.records[-1].attempts] == ["", "second"]


def test_a_request_that_may_not_be_cached_has_no_stale_answer() -> None:
    caller, _, cache = start("sync", Stale(50.0), Fault.status(503))
    sent = caller.send(path="/audio/speech", json={"model": "tts", "input": "hi"})
    assert sent.status == 503
    assert cache.asked == []


def test_a_context_tells_who_gave_the_answer_and_whose_account_pays() -> None:
    decides = Decides(Switch("second", "planned route is down"))
    provider = FakeProvider([Fault.status(503), Reply("hello"), Reply("again")])
    host = clippy_core.Host({"decides": decides}, config={"routes": ROUTES})
    with clippy_core.Client(host, httpx.Client(transport=provider.transport())) as client:
        client.chat("hi", route="main")
        client.chat("hi", route="main")
    switched, straight = decides.contexts
    assert switched.provenance == Provenance("provider", None, "second", reason="planned route is down")
    assert straight.provenance == Provenance("provider", None, "main")
    assert switched.account != straight.account
    assert "sk-" not in switched.account + straight.account
    assert len({ctx.account for ctx in decides.contexts}) == 2
    assert switched.account == host.settings.identity(provider.requests[1].headers)


def test_what_a_nearer_cache_cannot_help_with_does_not_hide_what_a_farther_one_has() -> None:
    """A kept failure, or an answer older than this request wants, is passed over as if it were not there."""
    near, far, decides = Kept(), Kept(), Decides(Stale(100.0))
    caller = Caller("sync", httpx)
    caller.start({"a-near": near, "b-far": far, "decides": decides}, [Reply("old"), Fault.status(503)], routes=ROUTES)
    post(caller)
    (key,) = near.entries
    far.entries[key] = near.entries[key]
    refused = evolve(near.entries[key].response, status=404)
    near.entries[key] = evolve(near.entries[key], response=refused, stored_at=caller.clock.time() + 1)
    caller.clock.advance(FRESH + 1)

    assert post(caller) == (200, "old")
    assert decides.records[-1].provenance.by == "b-far"


@define(eq=False)
class Bounds:
    """Says how late an answer may be, as a request may."""

    most: float | None

    @hookimpl
    def pre_request(self, ctx: RequestContext) -> None:
        ctx.cache_control = evolve(ctx.cache_control, max_stale=self.most)


@pytest.mark.parametrize(
    ("most", "text"), [(0.0, "made"), (99.0, "made"), (101.0, "old words"), (None, "old words")], ids=str
)
def test_no_plugin_gives_an_answer_that_is_later_than_its_request_allows(most: float | None, text: str) -> None:
    """The plugin's own decision allows an hour; what it says otherwise is carried out."""
    decides, bounds, caller = Decides(Stale(3600.0, otherwise=Answer(MADE))), Bounds(None), Caller("sync", httpx)
    plugins = {"bounds": bounds, "cache": Kept(), "decides": decides}
    caller.start(plugins, [Reply("old words"), Fault.status(503)], routes=ROUTES)
    post(caller)
    caller.clock.advance(FRESH + 100)

    bounds.most = most
    assert post(caller) == (200, text)
