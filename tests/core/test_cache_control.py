"""``ctx.cache_control``: a plugin says what caches may do for a request, and the host sees to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from attrs import define, evolve, field
from calling import COLOURS, Caller
from clippy_hookspecs import (
    AuditRecord,
    CacheControl,
    CacheEntry,
    Chunk,
    ErrorInfo,
    Message,
    ProviderError,
    Request,
    RequestContext,
    Response,
    Stale,
    Text,
    dump_entry,
    hookimpl,
    load_entry,
)

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
ROUTES = {"main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "m"}}


@define(eq=False)
class Kept:
    """A cache that remembers what it was told."""

    entries: dict[str, CacheEntry] = field(factory=dict)
    asked: list[str] = field(factory=list)

    @hookimpl
    def cache_lookup(self, key: str, ctx: RequestContext) -> CacheEntry | None:
        self.asked.append(key)
        entry = self.entries.get(key)
        late = entry is not None and entry.expires_at is not None and entry.expires_at <= ctx.clock.time()
        return None if late and not ctx.stale_within else entry

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry) -> None:
        self.entries[key] = entry

    @property
    def only(self) -> CacheEntry:
        (entry,) = self.entries.values()
        return entry


Rule = Callable[[Request, RequestContext], CacheControl]


@define(eq=False)
class Policy:
    """Sets what *rule* says."""

    rule: Rule
    when_answered: CacheControl | None = None
    when_failed: CacheControl | None = None
    contexts: list[RequestContext] = field(factory=list)
    records: list[AuditRecord] = field(factory=list)
    decides: Any = None

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        ctx.cache_control = self.rule(request, ctx)
        self.contexts.append(ctx)

    @hookimpl
    def on_response(self, response: Response, ctx: RequestContext) -> None:
        ctx.cache_control = self.when_answered or ctx.cache_control

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Any:
        ctx.cache_control = self.when_failed or ctx.cache_control
        return self.decides

    @hookimpl
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.records.append(record)


def always(control: CacheControl) -> Rule:
    return lambda request, ctx: control


def start(colour: str, policy: Policy, script: Any = None) -> tuple[Caller, Kept]:
    cache, caller = Kept(), Caller(colour, httpx)
    caller.start({"a-policy": policy, "cache": cache}, script, routes=ROUTES)
    return caller, cache


def post(caller: Caller, headers: Mapping[str, str] | None = None, **more: Any) -> tuple[int, Any]:
    sent = caller.send(json={**BODY, **more}, headers={"authorization": "Bearer sk-a", **(headers or {})})
    if sent.status != 200 or more.get("stream"):
        return sent.status, sent.body
    return sent.status, json.loads(sent.body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_request_that_may_not_be_stored_is_neither_looked_up_nor_kept(colour: str, stream: bool) -> None:
    policy = Policy(always(CacheControl(lookup=False, store=False)))
    caller, cache = start(colour, policy)
    post(caller, stream=stream)
    post(caller, stream=stream)
    assert (cache.asked, cache.entries, len(caller.provider.requests)) == ([], {}, 2)


def test_without_lookup_the_answer_is_asked_for_and_kept_anew() -> None:
    policy = Policy(lambda request, ctx: CacheControl(lookup=len(policy.contexts) != 1))
    caller, cache = start("sync", policy, [Reply("old"), Reply("new")])
    assert [post(caller)[1] for _ in range(3)] == ["old", "new", "new"]
    assert len(cache.entries) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_storing_may_be_withdrawn_when_the_answer_is_known(stream: bool) -> None:
    policy = Policy(always(CacheControl()), when_answered=CacheControl(store=False))
    caller, cache = start("asyncio", policy)
    post(caller, stream=stream)
    assert cache.entries == {}
    assert len(cache.asked) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_an_entry_has_the_time_and_the_tags_that_were_asked_for(colour: str, stream: bool) -> None:
    caller, cache = start(colour, Policy(always(CacheControl(ttl=30.0, tags=("a", "b")))))
    post(caller, stream=stream)
    assert cache.only.tags == ("a", "b")
    assert cache.only.expires_at == cache.only.stored_at + 30.0


@define(eq=False)
class Upper:
    """Changes every piece of text, or holds all of it back until the end."""

    holds: bool = False
    held: str = ""

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> Any:
        if self.holds and chunk.kind == "text":
            self.held += chunk.delta
            return []
        if self.holds and chunk.kind == "stop":
            return [Chunk("text", self.held.upper()), chunk]
        return evolve(chunk, delta=chunk.delta.upper()) if chunk.kind == "text" else None


@pytest.mark.parametrize("holds", [False, True])
@pytest.mark.parametrize("colour", COLOURS)
def test_what_a_plugin_made_of_a_stream_is_not_what_is_stored(colour: str, holds: bool) -> None:
    """Although the answer that on_response gets, and that could be stored as well, is at hand by then."""
    cache, caller = Kept(), Caller(colour, httpx)
    caller.start({"a": Policy(always(CacheControl())), "cache": cache, "upper": Upper(holds)}, Reply("so it was"))
    post(caller, stream=True)
    assert cache.only.response.text == "so it was"


def test_what_may_not_be_stored_is_not_put_into_a_nearer_cache_either() -> None:
    policy, near, far, caller = Policy(always(CacheControl())), Kept(), Kept(), Caller("sync", httpx)
    caller.start({"a-policy": policy, "b-near": near, "c-far": far}, [Reply("once")], routes=ROUTES)
    post(caller)
    near.entries.clear()

    policy.rule = always(CacheControl(store=False))
    assert post(caller) == (200, "once")
    assert not near.entries
    policy.rule = always(CacheControl())
    assert post(caller) == (200, "once")
    assert near.entries == far.entries


def test_a_time_without_end_leaves_it_to_the_caches() -> None:
    """Infinity is no time that a stored entry can hold."""
    caller, cache = start("sync", Policy(always(CacheControl(ttl=math.inf))))
    post(caller)
    assert cache.only.expires_at is None
    assert load_entry(dump_entry(cache.only)).expires_at is None


@pytest.mark.parametrize("colour", COLOURS)
def test_an_answer_older_than_it_may_be_is_a_miss(colour: str) -> None:
    policy = Policy(always(CacheControl(max_age=10.0)))
    caller, cache = start(colour, policy, [Reply("old"), Reply("new")])
    said = []
    for seconds in (0, 10, 1, 0):
        caller.clock.advance(seconds)
        said.append(post(caller)[1])
    assert said == ["old", "old", "new", "new"]
    assert len(cache.entries) == 1


def test_answers_are_shared_as_widely_as_the_plugin_says_and_no_wider() -> None:
    def keys(share: Any) -> list[str]:
        policy = Policy(always(CacheControl(share=share)))
        caller, _ = start("sync", policy)
        for tenant, user, secret in [(None, None, "a"), (None, None, "b"), ("t", "u", "a"), ("t", "v", "b")]:
            with caller.host.scope(tenant=tenant, user=user):
                post(caller, {"authorization": f"Bearer sk-{secret}"})
        return [str(ctx.key) for ctx in policy.contexts]

    assert len(set(keys("caller"))) == 4
    nobody_a, nobody_b, one, other = keys("tenant")
    assert one == other
    assert len({nobody_a, nobody_b, one}) == 3
    assert len(set(keys("everyone"))) == 1
    # Nobody's private answers are not those for everyone, although neither names a caller.
    policy = Policy(always(CacheControl()))
    caller, _ = start("sync", policy)
    caller.send(json=BODY)
    assert policy.contexts[0].key not in keys("everyone")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_failure_is_kept_for_its_time_if_a_plugin_says_so(colour: str) -> None:
    policy = Policy(always(CacheControl()), when_failed=CacheControl(negative_ttl=10.0))
    caller, _ = start(colour, policy, [Fault.status(404), Fault.status(404), Reply("found")])
    first = post(caller)
    assert first[0] == 404
    assert post(caller) == first
    assert post(caller, stream=True) == first
    assert len(caller.provider.requests) == 1
    assert [record.outcome for record in policy.records] == ["failed", "cached", "cached"]
    caller.clock.advance(11)
    assert post(caller)[0] == 404
    caller.clock.advance(11)
    assert post(caller) == (200, "found")
    assert len(caller.provider.requests) == 3


def test_a_kept_failure_reaches_our_own_client_as_the_failure_that_it_was() -> None:
    policy = Policy(always(CacheControl()), when_failed=CacheControl(negative_ttl=10.0))
    provider = FakeProvider([Fault.status(404)])
    host = clippy_core.Host({"a-policy": policy, "cache": Kept()}, config={"routes": ROUTES})
    with clippy_core.Client(host, httpx.Client(transport=provider.transport())) as client:
        for ask in (lambda: client.chat("hi"), lambda: client.chat("hi"), lambda: list(client.stream("hi"))):
            with pytest.raises(ProviderError) as caught:
                ask()
            assert caught.value.info.status == 404
    assert len(provider.requests) == 1


@pytest.mark.parametrize("colour", COLOURS)
def test_an_error_under_a_good_status_is_not_kept_as_an_answer(colour: str) -> None:
    policy = Policy(always(CacheControl()), when_failed=CacheControl(negative_ttl=10.0))
    error = Fault.content_type("application/json", json.dumps({"error": {"message": "no", "code": 404}}).encode())
    caller, cache = start(colour, policy, [error, Reply("found")])
    caller.send(json=BODY, headers={"authorization": "Bearer sk-a"})
    assert cache.entries == {}
    assert post(caller) == (200, "found")
    assert [record.outcome for record in policy.records] == ["failed", "answered"]


@pytest.mark.parametrize("share", ["tenant", "everyone"])
def test_what_one_callers_credentials_are_refused_is_kept_for_nobody_else(share: Any) -> None:
    control = CacheControl(share=share, negative_ttl=10.0)
    caller, cache = start("sync", Policy(always(control)), [Fault.status(404), Reply("found")])
    with caller.host.scope(tenant="t"):
        assert post(caller, {"authorization": "Bearer sk-without-access"})[0] == 404
        assert cache.entries == {}
        assert post(caller) == (200, "found")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_others_get_an_answer_without_what_its_headers_say_of_the_callers_account(stream: bool) -> None:
    policy = Policy(always(CacheControl(share="everyone")))
    caller, cache = start("sync", policy, [Reply("hi", headers={"openai-organization": "org-a"}), Reply("hi")])
    post(caller, stream=stream)
    assert set(cache.only.response.headers) == {"content-type"}
    assert post(caller, {"authorization": "Bearer sk-b"}) == (200, "hi")
    assert len(caller.provider.requests) == 1


def test_a_tenant_without_a_name_is_nobodys() -> None:
    policy = Policy(always(CacheControl(share="tenant")))
    caller, cache = start("sync", policy, [Reply("one"), Reply("two")])
    with caller.host.scope(tenant=""):
        assert [post(caller, {"authorization": f"Bearer sk-{name}"})[1] for name in "ab"] == ["one", "two"]
    assert len(cache.entries) == 2


def test_a_plugin_that_changes_who_may_get_an_answer_once_its_key_is_made_is_too_late() -> None:
    failed = CacheControl(negative_ttl=10.0)
    policy = Policy(always(CacheControl(share="everyone")), when_failed=failed)
    caller, cache = start("sync", policy, [Fault.status(404)])
    post(caller)
    assert cache.entries == {}


def test_a_kept_failure_is_no_stale_answer() -> None:
    policy = Policy(always(CacheControl()), when_failed=CacheControl(negative_ttl=10.0), decides=Stale(100.0))
    caller, _ = start("sync", policy, [Fault.status(404), Fault.status(503)])
    post(caller)
    caller.clock.advance(11)
    assert post(caller)[0] == 503


# --- what callers say to plugins, and what a key is made of ----------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_what_a_caller_says_to_plugins_reaches_them_and_nobody_else(colour: str) -> None:
    policy = Policy(lambda request, ctx: CacheControl(lookup=ctx.directives.get("cache") != "no-cache"))
    caller, _ = start(colour, policy)
    post(caller)
    post(caller, {"X-Clippy-Cache": "no-cache"})
    assert dict(policy.contexts[1].directives) == {"cache": "no-cache"}
    assert [dict(ctx.directives) for ctx in policy.contexts[:1]] == [{}]
    assert len(caller.provider.requests) == 2
    assert not [name for request in caller.provider.requests for name in request.headers if "clippy" in name.lower()]


def test_our_own_client_says_it_by_an_argument() -> None:
    policy = Policy(always(CacheControl()))
    provider = FakeProvider()
    host = clippy_core.Host({"a-policy": policy}, config={"routes": ROUTES})
    with clippy_core.Client(host, httpx.Client(transport=provider.transport())) as client:
        client.chat("hi", directives={"cache": "ttl=5"})
        list(client.stream("hi", directives={"cache": "no-store"}))
    assert [dict(ctx.directives) for ctx in policy.contexts] == [{"cache": "ttl=5"}, {"cache": "no-store"}]
    assert "x-clippy-cache" not in provider.requests[0].headers


def test_two_keys_differ_in_the_parts_that_differ_and_parts_give_nothing_away() -> None:
    policy = Policy(always(CacheControl()))
    caller, _ = start("sync", policy)
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    changed = [said[0], {"role": "user", "content": "Goodbye"}]
    post(caller, messages=said, temperature=0)
    post(caller, messages=said, temperature=0, stream=True)
    post(caller, messages=changed, temperature=0.5)
    first, same, other = [ctx.key_fields() for ctx in policy.contexts]
    assert first == same
    assert {name for name in first | other if first.get(name) != other.get(name)} == {
        "body.messages[1]",
        "body.temperature",
    }
    assert {"scope", "auth", "base_url", "api", "route", "fingerprint", "body.model"} <= first.keys()
    assert "Hello" not in str(first)


def test_a_request_without_a_key_has_no_parts() -> None:
    policy = Policy(always(CacheControl()))
    caller, _ = start("sync", policy)
    caller.send(path="/audio/speech", json={"model": "tts", "input": "hi"})
    assert policy.contexts[0].key_fields() == {}


@pytest.mark.parametrize(
    "wrong", [{"ttl": 0}, {"negative_ttl": -1}, {"stale_if_error": -1}, {"share": "all"}, {"max_age": -1}]
)
def test_a_control_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        evolve(CacheControl(), **wrong)


@pytest.mark.parametrize("api", ["anthropic.messages", "no.such.api", ""])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_what_a_cache_gives_in_another_wire_api_is_a_miss(stream: bool, api: str) -> None:
    """Whatever is in a file or on a server may have been written by anybody."""
    caller, cache = start("sync", Policy(always(CacheControl())), [Reply("once"), Reply("again")])
    post(caller)
    ((key, entry),) = cache.entries.items()
    cache.entries[key] = evolve(entry, response=evolve(entry.response, api=api))
    status, _ = post(caller, stream=stream)
    assert (status, caller.provider.calls) == (200, 2)


@define(eq=False)
class Adds:
    """Adds a word to what is asked, where its host lets it."""

    word: str

    @hookimpl
    def pre_attempt(self, request: Request) -> Request:
        return evolve(request, messages=(*request.messages, Message("user", (Text(self.word),))))


@define(eq=False)
class AddsEarlier:
    word: str

    @hookimpl
    def compress_context(self, request: Request) -> Request:
        return evolve(request, messages=(*request.messages, Message("user", (Text(self.word),))))


@define(eq=False)
class Holds:
    """Changes nothing before an attempt, and says so."""

    @hookimpl
    async def pre_attempt(self, request: Request) -> None: ...


@pytest.mark.parametrize(
    ("plugins", "order", "shared"),
    [
        ({"one": AddsEarlier("one"), "two": AddsEarlier("two")}, [], True),
        ({"one": AddsEarlier("one"), "two": AddsEarlier("two")}, ["two", "one"], False),
        ({"one": AddsEarlier("one"), "two": AddsEarlier("two"), "adds": Adds("three")}, [], False),
        ({"one": AddsEarlier("one"), "two": AddsEarlier("two"), "holds": Holds()}, [], True),
    ],
    ids=["the same", "another order", "one that changes attempts", "one that does not"],
)
def test_an_answer_is_shared_by_hosts_that_send_the_same(
    plugins: dict[str, Any], order: list[str], shared: bool
) -> None:
    cache, first, second = Kept(), Caller("sync", httpx), Caller("sync", httpx)
    first.start({"one": AddsEarlier("one"), "two": AddsEarlier("two"), "cache": cache}, None, routes=ROUTES)
    second.start({**plugins, "cache": cache}, None, routes=ROUTES, order=order)
    for caller in (first, second):
        caller.chat("Hello")
    assert second.provider.calls == (0 if shared else 1)
