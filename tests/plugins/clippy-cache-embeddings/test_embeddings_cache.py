"""Of an embeddings request only what was not answered before is sent, and nobody can tell it from the vectors."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
import httpx2
import openai
import pytest
from attrs import define, field
from calling import Caller, Keep, Sent
from clippy_cache_embeddings import EmbeddingsCache
from clippy_hookspecs import Answer, CacheControl, Request, RequestContext, Response, Scope, evolve, hookimpl
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core import Host
from clippy_core.testing import FakeProvider, Fault, Raw, SeenRequest, VirtualClock

TEXTS = ["one", "two", "three", "", "Zwölf", [1, 2], [3]]


def ask(caller: Caller, given: Any, headers: dict[str, str] | None = None, **params: Any) -> Sent:
    return caller.send(path="/embeddings", json={"model": "e", "input": given, **params}, headers=headers)


def said(sent: Sent) -> Any:
    assert (sent.status, sent.error) == (200, None), sent
    return json.loads(sent.body)


def vectors(sent: Sent) -> list[Any]:
    data = sorted(said(sent)["data"], key=lambda item: int(item["index"]))
    assert [item["index"] for item in data] == list(range(len(data)))
    return [item["embedding"] for item in data]


def asked(caller: Caller) -> list[Any]:
    """What was sent upstream, request by request."""
    return [seen.fields["input"] for seen in caller.provider.requests]


def bare(given: Any, **params: Any) -> list[Any]:
    """The vectors without us."""
    return vectors(ask(Caller("sync", httpx).start(), given, **params))


# --- what is sent, and what comes back --------------------------------------------------------------------------------


def test_only_new_inputs_are_sent(any_caller: Caller) -> None:
    """All come back in their places; the usage is what the provider counted for those that were sent."""
    any_caller.start([EmbeddingsCache(ttl=60)])
    first = ask(any_caller, ["one", "two"])
    second = ask(any_caller, ["three", "two", "four", "one"])
    assert asked(any_caller) == [["one", "two"], ["three", "four"]]
    assert vectors(first) == bare(["one", "two"])
    assert vectors(second) == bare(["three", "two", "four", "one"])
    sizes = [len(seen.body) // 4 for seen in any_caller.provider.requests]
    assert [said(sent)["usage"]["prompt_tokens"] for sent in (first, second)] == sizes


def test_known_inputs_are_answered_without_asking(any_caller: Caller) -> None:
    """The usage says that nothing was counted, the record who answered."""
    any_caller.start([EmbeddingsCache(ttl=60)])
    ask(any_caller, ["one", "two"])
    sent = ask(any_caller, ["two", "one", "two"])
    assert any_caller.provider.calls == 1
    assert vectors(sent) == bare(["two", "one", "two"])
    assert said(sent)["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert {name: said(sent)[name] for name in ("object", "model")} == {"object": "list", "model": "e"}
    record = any_caller.records.last
    assert (record.provenance.source, record.provenance.by) == ("plugin", "embeddings-cache")
    assert record.usage is None


def test_an_input_that_occurs_twice_is_sent_once(caller: Caller) -> None:
    caller.start([EmbeddingsCache(ttl=60)])
    assert vectors(ask(caller, ["one", "two", "one"])) == bare(["one", "two", "one"])
    assert asked(caller) == [["one", "two"]]


def test_a_text_alone_and_in_a_list_are_one_input_and_so_are_tokens(sync_caller: Caller) -> None:
    sync_caller.start([EmbeddingsCache(ttl=60)])
    for wanted in ("one", ["one"], [1, 2], [[1, 2]], "one"):
        assert vectors(ask(sync_caller, wanted)) == bare(wanted)
    assert asked(sync_caller) == ["one", [1, 2]]


@pytest.mark.parametrize("given", [[], None, 7, {"text": "one"}], ids=repr)
def test_what_is_no_list_of_inputs_is_the_providers_affair(sync_caller: Caller, given: Any) -> None:
    sync_caller.start([EmbeddingsCache(ttl=60)])
    for _ in range(2):
        assert ask(sync_caller, given).body
    assert asked(sync_caller) == [given, given]


def test_a_request_of_which_nothing_is_known_leaves_and_returns_as_its_bytes(sync_caller: Caller) -> None:
    body, answer = b'{ "model":"e",\n"input" : ["a"] , "x": 1.0}', told([("a", "[ 1e-05,\n2.50 ]")])
    sync_caller.start([EmbeddingsCache(ttl=60)], Raw(answer))
    sent = sync_caller.send(path="/embeddings", content=body, headers={"content-type": "application/json"})
    assert (sync_caller.provider.requests[0].body, sent.body) == (body, answer)


def told(vectors: Sequence[tuple[str, str]], model: str = "e-2") -> bytes:
    """An answer in a spelling of its own; the last of its items comes first."""
    items = [f'{{"index": {i}, "embedding": {vector} , "of": "{name}"}}' for i, (name, vector) in enumerate(vectors)]
    listed = " ,\n".join(reversed(items))
    return f'{{"id": 7.10,\n "data": [{listed}], "model": "{model}", "usage": {{"prompt_tokens": 3}}}}\n'.encode()


ODD = {"one": "[1e-05, 0.12345678901234567890123]", "two": "[-0.0, 12345678901234567890]", "three": "[1.50 ]"}


def odd(seen: SeenRequest) -> Raw:
    return Raw(told([(text, ODD[text]) for text in list(seen.fields["input"])]))


def test_every_digit_of_a_kept_vector_is_the_providers(any_caller: Caller) -> None:
    """In the answer that is put together, in one without asking, and of the fields that nobody knows."""
    any_caller.start([EmbeddingsCache(ttl=60)], odd)
    ask(any_caller, ["one", "two"])
    for wanted in (["two", "three", "one"], ["three", "two"]):
        sent = ask(any_caller, wanted)
        data = json.loads(sent.body, parse_float=str, parse_int=str)["data"]
        right = json.loads(told([(text, ODD[text]) for text in wanted]), parse_float=str, parse_int=str)["data"]
        assert data == right[::-1]
        assert b'"id": 7.10' in sent.body
        assert b'"model": "e-2"' in sent.body
    assert any_caller.provider.calls == 2


# --- who may see it, and for how long ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "headers"),
    [
        ({"model": "other"}, {}),
        ({"dimensions": 8}, {}),
        ({"encoding_format": "base64"}, {}),
        ({"user": "ann"}, {}),
        ({"a_field_of_tomorrow": None}, {}),
        ({}, {"authorization": "Bearer sk-other"}),
        ({}, {"openai-organization": "org-other"}),
        ({}, {"x-header-of-a-gateway": "other"}),
    ],
    ids=repr,
)
def test_whatever_else_differs_is_another_input(
    sync_caller: Caller, params: dict[str, Any], headers: dict[str, str]
) -> None:
    sync_caller.start([EmbeddingsCache(ttl=60)])
    usual = {"authorization": "Bearer sk-one"}
    ask(sync_caller, ["one"], usual)
    ask(sync_caller, ["one"], {**usual, **headers}, **params)
    assert sync_caller.provider.calls == 2
    ask(sync_caller, ["one"], usual)
    assert sync_caller.provider.calls == 2


def test_no_scope_gets_what_another_was_answered(sync_caller: Caller) -> None:
    """Tenants and users are apart; the sessions of one user share."""
    sync_caller.start([EmbeddingsCache(ttl=60)])
    scopes = [{}, {"tenant": "a"}, {"tenant": "b"}, {"tenant": "a", "user": "x"}, {"user": "x"}]
    for scope in scopes * 2:
        with sync_caller.host.scope(**scope):
            ask(sync_caller, ["one"])
    assert sync_caller.provider.calls == len(scopes)
    with sync_caller.host.scope(tenant="a", user="x", session="another"):
        ask(sync_caller, ["one"])
    assert sync_caller.provider.calls == len(scopes)


def test_how_a_call_travels_is_no_part_of_it(sync_caller: Caller) -> None:
    sync_caller.start([EmbeddingsCache(ttl=60)])
    ask(sync_caller, ["one"], {"traceparent": "00-1", "user-agent": "a", "x-stainless-retry-count": "0"})
    ask(sync_caller, ["one"], {"traceparent": "00-2", "user-agent": "b"})
    assert sync_caller.provider.calls == 1


def test_a_vector_is_given_again_while_it_is_younger_than_ttl(sync_caller: Caller) -> None:
    sync_caller.start([EmbeddingsCache(ttl=60)])
    ask(sync_caller, ["one"])
    sync_caller.clock.advance(59.5)
    ask(sync_caller, ["one", "two"])
    sync_caller.clock.advance(0.5)
    ask(sync_caller, ["one", "two"])
    assert asked(sync_caller) == [["one"], ["two"], ["one"]]


def test_what_another_cache_answered_is_as_old_as_it_is_there(sync_caller: Caller) -> None:
    cache = EmbeddingsCache(ttl=60)
    sync_caller.start([cache, keep := Keep()])
    ask(sync_caller, ["one"])
    sync_caller.clock.advance(50)
    cache._begin()
    ask(sync_caller, ["one"])  # from the other cache, fifty seconds old
    sync_caller.clock.advance(10)
    keep.entries.clear()
    ask(sync_caller, ["one"])
    assert sync_caller.provider.calls == 2


def test_the_least_recently_used_is_forgotten_first_and_the_cap_holds(sync_caller: Caller) -> None:
    sync_caller.start([cache := EmbeddingsCache(ttl=60)])
    ask(sync_caller, ["one"])
    size = cache._kept.currsize
    cache.max_bytes = size * 2 + size // 2
    cache._begin()
    for wanted in ("one", "two", "one", "three", "one", "two"):
        ask(sync_caller, [wanted])
        assert cache._kept.currsize <= cache.max_bytes
    assert asked(sync_caller)[1:] == [["one"], ["two"], ["three"], ["two"]]


def test_an_invalidation_drops_a_scope_or_everything(sync_caller: Caller) -> None:
    sync_caller.start([EmbeddingsCache(ttl=60)])

    def calls() -> int:
        for tenant in ("a", "b"):
            with sync_caller.host.scope(tenant=tenant, user="x"):
                ask(sync_caller, ["one"])
        return sync_caller.provider.calls

    assert calls() == 2
    selectors: list[tuple[dict[str, Any], int]] = [
        ({"scope": Scope(tenant="a")}, 1),
        ({"key": "k"}, 0),
        ({"tag": "t"}, 0),
        ({"key_prefix": "k"}, 0),
        ({"tag_prefix": "t"}, 0),
        ({"model": "other"}, 0),
        ({"model": "e"}, 2),
        ({"scope": Scope()}, 0),
        ({}, 2),
    ]
    for selector, more in selectors:
        before = calls()
        sync_caller.host.invalidate(**selector)
        assert calls() == before + more


@define(eq=False)
class Says:
    """What caches may do for each request, one after the other."""

    controls: list[CacheControl]

    @hookimpl(tryfirst=True)
    def pre_request(self, ctx: RequestContext) -> None:
        ctx.cache_control = self.controls.pop(0)


def test_what_is_said_of_a_requests_caching_holds_for_its_inputs(sync_caller: Caller) -> None:
    """Not to keep the vector, not to give one that is kept, to keep it for a shorter time."""
    usual = CacheControl()
    says = Says([CacheControl(store=False), CacheControl(ttl=5), usual, CacheControl(lookup=False), usual, usual])
    sync_caller.start([EmbeddingsCache(ttl=60), says])
    for calls, later in ((1, 0), (2, 4), (2, 0), (3, 6), (3, 54), (4, 0)):
        ask(sync_caller, ["one"])
        assert sync_caller.provider.calls == calls
        sync_caller.clock.advance(later)


def test_a_vector_older_than_a_request_wants_is_asked_for_again(sync_caller: Caller) -> None:
    says = Says([CacheControl(), CacheControl(max_age=30), CacheControl(max_age=9), CacheControl(max_age=9)])
    sync_caller.start([EmbeddingsCache(ttl=60), says])
    for calls, later in ((1, 10), (1, 0), (2, 9), (2, 0)):
        ask(sync_caller, ["one"])
        assert sync_caller.provider.calls == calls
        sync_caller.clock.advance(later)


def test_without_a_ttl_it_takes_no_part(sync_caller: Caller) -> None:
    sync_caller.start([EmbeddingsCache()])
    ask(sync_caller, ["one"])
    ask(sync_caller, ["one", "one"])
    assert asked(sync_caller) == [["one"], ["one", "one"]]
    assert EmbeddingsCache().idle == "no ttl is set"


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_failure_of_the_provider_is_passed_on_and_not_kept(any_caller: Caller) -> None:
    any_caller.start([EmbeddingsCache(ttl=60)], [odd, Fault.status(503), odd])
    ask(any_caller, ["one"])
    assert ask(any_caller, ["one", "two"]).status == 503
    assert len(vectors(ask(any_caller, ["one", "two"]))) == 2
    assert asked(any_caller) == [["one"], ["two"], ["two"]]


@pytest.mark.parametrize(
    "answer", [b"{}", b"not json", told([]), told([("two", "[1]"), ("three", "[2]")])], ids=lambda body: repr(body[:30])
)
def test_an_answer_that_does_not_fit_is_asked_anew_as_a_whole(any_caller: Caller, answer: bytes) -> None:
    """What was left out cannot be put back into it, and the caller must not get less than was asked for."""
    any_caller.start([EmbeddingsCache(ttl=60)], [odd, Raw(answer), odd])
    ask(any_caller, ["one"])
    assert vectors(ask(any_caller, ["two", "one"])) == [json.loads(ODD["two"]), json.loads(ODD["one"])]
    assert asked(any_caller) == [["one"], ["two"], ["two", "one"]]


def test_vectors_of_two_models_are_never_in_one_answer(any_caller: Caller) -> None:
    """The provider moved on to another model under the same name."""
    moved = Raw(told([("two", "[2]")], "e-3")), Raw(told([("two", "[2]"), ("one", "[3]")], "e-3"))
    any_caller.start([EmbeddingsCache(ttl=60)], [odd, *moved, Raw(told([("one", "[3]")], "e-3"))])
    ask(any_caller, ["one"])
    assert vectors(ask(any_caller, ["two", "one"])) == [[2], [3]]
    assert vectors(ask(any_caller, ["one"])) == [[3]]
    assert asked(any_caller) == [["one"], ["two"], ["two", "one"], ["one"]]


@define(eq=False)
class Rounds:
    """Stands further in and changes what the provider said."""

    @hookimpl
    def on_response(self, response: Response) -> Response:
        return evolve(response, params={**response.params, "rounded": True})


@define(eq=False)
class Mock:
    """Answers itself, with something that is no list of vectors."""

    asked: list[Any] = field(factory=list)

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> Answer:
        self.asked.append(request.params["input"])
        return Answer(Response(api=request.api, params={"mock": True}))


def test_what_a_plugin_behind_it_changed_is_not_kept(sync_caller: Caller) -> None:
    sync_caller.start({"a": EmbeddingsCache(ttl=60), "b": Rounds()})
    for _ in range(2):
        assert said(ask(sync_caller, ["one", "two", "one"]))["rounded"] is True
    assert vectors(ask(sync_caller, ["one", "two", "one"])) == bare(["one", "two", "one"])


def test_what_a_plugin_behind_it_answers_is_passed_on(sync_caller: Caller) -> None:
    sync_caller.start({"a": EmbeddingsCache(ttl=60), "b": (mock := Mock())})
    for _ in range(2):
        assert said(ask(sync_caller, ["one", "one"])) == {"mock": True}
    assert mock.asked == [["one"], ["one"]]


@pytest.mark.parametrize(
    "headers", [{"authorization": "AWS4-HMAC-SHA256 Credential=a"}, {"content-digest": "sha-256=:a:"}], ids=repr
)
def test_a_signed_request_is_left_alone(sync_caller: Caller, headers: dict[str, str]) -> None:
    """The provider would refuse it with another body."""
    sync_caller.start([EmbeddingsCache(ttl=60)])
    for _ in range(2):
        assert vectors(ask(sync_caller, ["one", "one"], headers)) == bare(["one", "one"])
    assert asked(sync_caller) == [["one", "one"]] * 2


# --- beside a cache of whole requests, in any sequence ----------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(TEXTS), min_size=1, max_size=5),
            st.sampled_from([{}, {"dimensions": 8}, {"encoding_format": "base64"}]),
            st.sampled_from(["ann", "bob"]),
        ),
        max_size=8,
    ),
    st.sampled_from(["alone", "before", "behind"]),
)
def test_any_sequence_is_answered_as_without_it_and_sends_each_input_once(
    calls: list[tuple[list[Any], dict[str, Any], str]], other: str
) -> None:
    """Whatever a cache of whole requests, before it or behind it, keeps of what was really sent."""
    caches: dict[str, object] = {"m": EmbeddingsCache(ttl=60)}
    if other != "alone":
        caches["a" if other == "before" else "z"] = Keep()
    caller = Caller("sync", httpx).start(caches)
    distinct = set()
    for given_inputs, params, user in calls:
        with caller.host.scope(user=user):
            assert vectors(ask(caller, given_inputs, **params)) == bare(given_inputs, **params)
        distinct |= {(user, json.dumps(value), json.dumps(params)) for value in inputs(given_inputs)}
    sent = Counter(
        (json.dumps(value), json.dumps({name: v for name, v in seen.fields.items() if name not in ("model", "input")}))
        for seen in caller.provider.requests
        for value in inputs(seen.fields["input"])
    )
    assert sent == Counter((value, params) for _, value, params in distinct)


def inputs(given: Any) -> list[Any]:
    return [given] if all(isinstance(token, int) for token in given) else given


def test_a_cache_of_whole_requests_keeps_what_was_sent_with_what_came(sync_caller: Caller) -> None:
    """Never what was put together: its key is that of the smaller request."""
    sync_caller.start([EmbeddingsCache(ttl=60), keep := Keep()])
    ask(sync_caller, ["one"])
    ask(sync_caller, ["one", "two"])
    assert [len(entry.response.params["data"]) for entry in keep.entries.values()] == [1, 1]


# --- under the SDK ----------------------------------------------------------------------------------------------------


def _client(kind: type[Any], http_client: Any) -> Any:
    return kind(api_key="sk-test", base_url="http://fake.test/v1", http_client=http_client, max_retries=0)


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_the_sdk_gets_the_same_floats(encoding: str | None) -> None:
    """It asks for base64 where nobody says otherwise, and takes it apart itself."""
    params = {} if encoding is None else {"encoding_format": encoding}
    provider, alone = FakeProvider(), FakeProvider()
    host = Host([EmbeddingsCache(ttl=60)], clock=VirtualClock())
    sdk = host.wrap(_client(openai.OpenAI, provider.client(httpx2)))
    plain = _client(openai.OpenAI, alone.client(httpx2))
    for wanted in (["one", "two"], ["two", "three", "two"], "three"):
        found, right = (one.embeddings.create(model="e", input=wanted, **params) for one in (sdk, plain))
        assert found.data == right.data
    assert [seen.fields["input"] for seen in provider.requests] == [["one", "two"], ["three"]]


@pytest.mark.anyio
async def test_the_async_sdk_gets_the_same_floats(anyio_backend: str) -> None:
    provider, alone = FakeProvider(), FakeProvider()
    host = Host([EmbeddingsCache(ttl=60)], clock=VirtualClock())
    sdk = host.wrap(_client(openai.AsyncOpenAI, provider.async_client(httpx2)))
    plain = _client(openai.AsyncOpenAI, alone.async_client(httpx2))
    for wanted in (["one", "two"], ["two", "three", "two"], "three"):
        found, right = [await one.embeddings.create(model="e", input=wanted) for one in (sdk, plain)]
        assert found.data == right.data
    assert [seen.fields["input"] for seen in provider.requests] == [["one", "two"], ["three"]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_begins_empty_and_works() -> None:
    cache = EmbeddingsCache(ttl=60)
    caller = Caller("sync", httpx).start([cache])
    ask(caller, ["one"])
    with cache._lock:
        child = os.fork()
        if not child:
            os._exit(0 if not cache._kept and cache._lock.acquire(blocking=False) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(cache._kept) == 1


def test_a_digest_tells_nobody_whose_it_is(sync_caller: Caller) -> None:
    """It is made with a secret of the process: of a credential in it not even the equality shows outside."""
    sync_caller.start([cache := EmbeddingsCache(ttl=60)])
    ask(sync_caller, ["one"], {"authorization": "Bearer sk-secret"})
    [key] = cache._kept
    assert b"sk-secret" not in key
    assert key != hashlib.blake2b(b"sk-secret", digest_size=32).digest()
