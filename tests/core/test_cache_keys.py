"""Two requests share an answer if and only if nothing that can change the answer tells them apart."""

from __future__ import annotations

import copy
import json
import math
import random
import string
import sys
from pathlib import Path
from typing import Any

import pytest
from clippy_hookspecs import Headers, Message, Request, RouteInfo, Scope, Text, evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from clippy_core.keys import SEMANTIC_HEADERS, cache_key, cache_keys, credential_digest

CORPUS = Path(__file__).parents[3] / "shared" / "data" / "cachekeys-dev.jsonl"
CLIENT_ONLY = ("timeout",)
"""What a caller's library keeps to itself; it never becomes a part of the HTTP request."""

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "temperature": 0, "max_tokens": 10}
CALL: dict[str, Any] = {
    "body": BODY,
    "api": "openai.chat",
    "base_url": "https://api.example.org/v1",
    "scope": Scope("t1", "u1"),
    "auth": "digest-a",
    "headers": {"anthropic-version": "2023-06-01"},
    "route": "main",
    "fingerprint": "plugins-1",
    "query": "api-version=1",
}


def key(**changes: Any) -> str:
    return cache_key(**{**CALL, **changes})


def body_key(**changes: Any) -> str:
    return key(body={**BODY, **changes})


def key_of(call: dict[str, Any]) -> str:
    """The key of one call of the corpus, sent as an SDK sends it: each option at its place in the HTTP request."""
    params = {name: value for name, value in call["params"].items() if name not in CLIENT_ONLY}
    headers = {"x-request-id": call.get("request_id", ""), **params.pop("extra_headers", {})}
    if "organization" in params:
        headers["openai-organization"] = params.pop("organization")
    version = params.pop("api_version", None)
    return cache_key(
        body={"model": call["model"], "messages": call["messages"], **params},
        api=call["provider"],
        base_url=call["base_url"],
        scope=Scope(call["tenant"]),
        auth=call["auth"],
        headers=headers,
        query="" if version is None else f"api-version={version}",
    )


@pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus {CORPUS.name} is not beside this checkout")
def test_every_pair_of_the_corpus_is_told_apart_or_not_as_it_says() -> None:
    """Delimiters moved between fields, look-alike letters, numbers and texts, orders: every pair without exception."""
    cases = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    wrong = []
    for case in cases:
        found = "same" if key_of(case["a"]) == key_of(case["b"]) else "differ"
        if found not in case.get("expect_accept", [case["expect"]]):
            wrong.append((case["name"], found))
    assert len(cases) > 30
    assert not wrong


OTHERS: dict[str, Any] = {
    "body": {**BODY, "seed": 1},
    "api": "openai.responses",
    "base_url": "https://evil.example/v1",
    "scope": Scope("t2", "u1"),
    "auth": "digest-b",
    "headers": {"anthropic-version": "2024-01-01"},
    "route": "spare",
    "fingerprint": "plugins-2",
    "query": "api-version=2",
}


@pytest.mark.parametrize("field", CALL)
def test_each_field_counts(field: str) -> None:
    """Another value of any one field is another key, and so is the field left out."""
    assert key(**{field: OTHERS[field]}) != key()
    if field != "body":
        assert cache_key(**{name: value for name, value in CALL.items() if name != field}) != key()


@given(st.sampled_from(sorted(CALL.keys() - {"body", "scope", "headers", "base_url"})), st.text(max_size=12))
def test_any_other_text_in_any_field_is_another_key(field: str, text: str) -> None:
    """Whatever the text: empty, with delimiters, with NUL, in another script."""
    assert (key(**{field: text}) == key()) == (text == CALL[field])


@given(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6))
def test_no_text_can_move_from_one_field_into_the_next(first: str, moved: str, last: str) -> None:
    """The fields are not joined by anything that a value could hold."""
    assume(moved)
    assert key(auth=first + moved, route=last) != key(auth=first, route=moved + last)
    assert key(scope=Scope(first + moved, last)) != key(scope=Scope(first, moved + last))
    assert body_key(model=first + moved, user=last) != body_key(model=first, user=moved + last)


def test_who_calls_is_told_apart_also_when_not_said() -> None:
    """No tenant, a tenant without a name and a tenant called None are three; a session shares its user's answers."""
    tenants = [None, "", "None", "null", "t1", "T1", "../t1", "t1 ", "t1\0", "\uff541"]
    assert len({key(scope=Scope(tenant)) for tenant in tenants}) == len(tenants)
    assert len({key(scope=Scope("t", user)) for user in (None, "", "u")}) == 3
    assert key(scope=Scope("t", "u", "s1")) == key(scope=Scope("t", "u", "s2"))


DIFFERENT: list[tuple[Any, Any]] = [
    ({"content": "hi"}, {"content": "hi "}),
    ({"content": "hi"}, {"content": "Hi"}),
    ({"content": "a\nb"}, {"content": "a\r\nb"}),
    ({"content": "café"}, {"content": "cafe\u0301"}),
    ({"content": "a"}, {"content": "\u0430"}),
    ({"content": "ab"}, {"content": "a\u200bb"}),
    ({"content": "hi"}, {"content": [{"type": "text", "text": "hi"}]}),
    ({"content": ["ab"]}, {"content": ["a", "b"]}),
    ({"content": ["a", ["b"]]}, {"content": ["a", "b"]}),
    ({"content": ""}, {"content": None}),
    ({"content": None}, {}),
    ({"stop": []}, {"stop": None}),
    ({"stop": ["a,b"]}, {"stop": ["a", "b"]}),
    ({"stop": ["a", "b"]}, {"stop": ["b", "a"]}),
    ({"n": 1}, {"n": "1"}),
    ({"n": 1}, {"n": True}),
    ({"n": 0}, {"n": False}),
    ({"n": 0}, {"n": None}),
    ({"n": 0}, {"n": ""}),
    ({"n": []}, {"n": {}}),
    ({"n": 0.1}, {"n": 0.10000000000000002}),
    ({"n": 2**53}, {"n": 2**53 + 1}),
    ({"n": 10**30}, {"n": 10**30 + 1}),
    ({"n": math.nan}, {"n": "NaN"}),
    ({"n": math.nan}, {"n": None}),
    ({"n": math.inf}, {"n": -math.inf}),
    ({"logit_bias": {"1": 1}}, {"logit_bias": {"1": -1}}),
    ({"a": {"b": 1}}, {"a.b": 1}),
    ({"a": {"b": 1}, "c": 2}, {"a": {"b": 1, "c": 2}}),
    ({"\ud800": 1}, {"\udc00": 1}),
    ({"tools": [{"name": "f", "parameters": {"a": {}}}]}, {"tools": [{"name": "f", "parameters": {"b": {}}}]}),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=repr)
def test_values_that_read_alike_are_told_apart(one: Any, other: Any) -> None:
    """At the top of the body and inside a message."""
    assert key(body=one) != key(body=other)
    assert key(body={"messages": [one]}) != key(body={"messages": [other]})


def test_equal_numbers_are_equal() -> None:
    """0 and 0.0 are the same temperature to every provider."""
    assert body_key(temperature=0) == body_key(temperature=0.0) == body_key(temperature=-0.0)
    assert body_key(temperature=1) == body_key(temperature=1.0) == body_key(temperature=1e0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(max_size=6).filter(lambda n: n not in ("stream", "stream_options")), json_values)


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(name, shuffled(item, rng)) for name, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@given(bodies, st.randoms(use_true_random=False))
def test_the_order_of_names_does_not_matter(body: dict[str, Any], rng: random.Random) -> None:
    """At any depth, and a body that was written and read again has its key too."""
    assert key(body=shuffled(body, rng)) == key(body=body)
    assert key(body=json.loads(json.dumps(body))) == key(body=body)


@given(bodies, st.booleans() | st.none(), json_values)
def test_how_an_answer_travels_does_not_matter(body: dict[str, Any], stream: bool | None, options: Any) -> None:
    """One entry serves callers that stream and callers that do not; inside a message the same words count."""
    assert key(body={**body, "stream": stream, "stream_options": options}) == key(body=body)
    assert body_key(messages=[{"stream": stream}]) != body_key(messages=[{}])


def exact(value: Any) -> Any:
    """*value* such that two are equal if and only if they say the same in JSON: True is not 1, 1.0 is."""
    if isinstance(value, dict):
        return "object", frozenset((name, exact(item)) for name, item in value.items())
    if isinstance(value, list):
        return "array", tuple(map(exact, value))
    return type(value) is bool, value


@given(bodies, bodies)
def test_different_bodies_never_share_a_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Random pairs are told apart exactly when they differ."""
    assert (key(body=one) == key(body=other)) == (exact(one) == exact(other))


@given(bodies.filter(bool), st.data())
def test_one_changed_value_anywhere_is_another_key(body: dict[str, Any], data: st.DataObject) -> None:
    """A change of one value at any depth of a body is seen."""
    changed = copy.deepcopy(body)
    place: Any = changed
    while True:
        name = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not (isinstance(place[name], dict | list) and place[name] and data.draw(st.booleans())):
            break
        place = place[name]
    place[name] = data.draw(json_values)
    assert (key(body=changed) == key(body=body)) == (exact(changed) == exact(body))


def test_ten_thousand_bodies_have_ten_thousand_keys() -> None:
    """Bodies that differ in a letter or two, as cached prompts do."""
    rng = random.Random(11)
    texts = {"".join(rng.choices(string.printable, k=rng.randrange(1, 6))) for _ in range(10_000)}
    assert len({body_key(messages=[{"role": "user", "content": text}]) for text in texts}) == len(texts)


def test_only_headers_that_change_an_answer_count_and_their_case_does_not() -> None:
    """A beta switched on is another answer; a trace id, a user agent and a retry count are not."""
    for name in SEMANTIC_HEADERS:
        assert key(headers={name: "x"}) != key(headers={})
        assert key(headers={name.title(): "x"}) == key(headers={name: "x"}) == key(headers=Headers([(name, "x")]))
    for name in ("x-request-id", "user-agent", "x-stainless-retry-count", "traceparent", "idempotency-key", "date"):
        assert key(headers={name: "x"}) == key(headers={})


@pytest.mark.parametrize("name", ["X-Portkey-Provider", "X-Portkey-Config", "Helicone-Target-URL"])
def test_what_tells_a_gateway_who_shall_answer_is_in_the_key(name: str) -> None:
    """All providers behind one have one address and, often, one credential."""
    assert len({key(headers=said) for said in ({}, {name: "openai"}, {name: "anthropic"})}) == 3


def test_one_address_has_one_spelling() -> None:
    """Case of scheme and host, the usual port and a slash at the end do not matter; all else of an address does."""
    same = ("https://api.example.org/v1", "https://api.example.org/v1/", "HTTPS://API.Example.org:443/v1")
    assert len({key(base_url=url) for url in same}) == 1
    others = (
        "http://api.example.org/v1",
        "https://api.example.org/V1",
        "https://api.example.org/v1?a=1",
        "https://api.example.org:8443/v1",
        "https://api.example.org:80/v1",
        "https://api.example.org.evil.example/v1",
        "https://user:Pass@api.example.org/v1",
        "https://user:pass@api.example.org/v1",
        "https://[not-an-address/v1",
        "",
    )
    assert len({key(base_url=url) for url in (*others, same[0])}) == len(others) + 1


def test_a_credential_is_told_apart_in_every_header_that_may_hold_it() -> None:
    """Two keys are two digests, the same key is one, none is empty, and no digest shows its key."""
    salt = b"salt"
    for name in (
        "authorization", "x-api-key", "api-key", "x-goog-api-key", "ocp-apim-subscription-key", "cookie", "x_api_key",
        "authentication", "x-password", "x-jwt", "bearer",
    ):  # fmt: skip
        one, two = (credential_digest(Headers([(name, value)]), "", salt) for value in ("key-A", "key-B"))
        assert one != two
        assert one == credential_digest(Headers([(name.upper(), "key-A")]), "", salt)
        assert one != credential_digest(Headers([(name, "key-A")]), "", b"other")
        assert "key" not in one
    assert credential_digest(Headers(), "key=A", salt) != credential_digest(Headers(), "key=B", salt)
    assert credential_digest(Headers(), "alt=sse", salt) == ""


def test_the_partition_is_the_key_of_everything_but_what_is_said() -> None:
    """Other messages have another key in the same partition; other parameters and another caller another partition."""
    said = (Message("user", (Text("hi"),)),)
    request = Request(api="openai.chat", url="https://x.example/v1", model="m", messages=said, params={"seed": 1})
    asked = (Scope("t"), "a", RouteInfo("r"), "f")

    def keys_of(request: Request, *who: Any) -> tuple[str | None, str | None]:
        key, partition, _ = cache_keys(request, *who, b"salt")
        assert partition is not None
        return key, partition()

    key, partition = keys_of(request, *asked)
    assert key != partition
    other_key, same_partition = keys_of(evolve(request, messages=(Message("user", (Text("ho"),)),)), *asked)
    assert (other_key != key, same_partition) == (True, partition)
    for changed, who in (
        (evolve(request, params={"seed": 2}), asked),
        (evolve(request, model="n"), asked),
        (request, (Scope("u"), *asked[1:])),
    ):
        assert {key, partition}.isdisjoint(keys_of(changed, *who))


def test_a_partition_is_asked_for_deeper_in_the_stack_than_the_key_was_made() -> None:
    """A body that is nested as deeply as just gives a key may have no partition there; it is no failure."""

    def made(levels: int) -> tuple[str | None, Any]:
        nested: Any = [1.0]
        for _ in range(levels):
            nested = [nested]
        request = Request(api="openai.chat", url="https://x.example/v1", model="m", params={"x": nested})
        return cache_keys(request, Scope("t"), "a", RouteInfo("r"), "f", b"salt")[:2]

    def deeper(frames: int, partition: Any) -> str | None:
        return deeper(frames - 1, partition) if frames else partition()

    levels = next(levels for levels in range(sys.getrecursionlimit(), 0, -1) if made(levels)[0] is not None)
    partition = made(levels)[1]
    assert partition() is not None
    assert deeper(50, partition) is None


def test_a_header_on_two_lines_is_not_its_first_line() -> None:
    """Two lines say what one line with both values says, and something else than one of them alone."""
    one, other = ("anthropic-beta", "a"), ("Anthropic-Beta", "b")
    alone, twice = cache_key(body=BODY, headers=Headers([one])), cache_key(body=BODY, headers=Headers([one, other]))
    assert alone != twice
    assert twice == cache_key(body=BODY, headers=Headers([("anthropic-beta", "a, b")]))
    assert twice == cache_key(
        body=BODY, headers=Headers.undecoded([(b"anthropic-beta", b"a"), (b"anthropic-beta", b"b")])
    )
