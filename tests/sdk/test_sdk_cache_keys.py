"""Whatever an SDK sends differently is another question to a cache, and the same in another order is the same."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import httpx2
import pytest
from attrs import define, field
from captured_requests import Captured, at, captured, changed, drop, others, put, shuffled
from clippy_cache_memory import MemoryCache
from hypothesis import given
from hypothesis import strategies as st
from sdk_lab import SDK_GENERATORS

import clippy_core
from clippy_core.keys import NOT_IN_KEY, SEMANTIC_HEADERS
from clippy_core.testing import FakeProvider, VirtualClock

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]

STATEFUL = ("previous_response_id", "conversation", "background", "container")
"""With one of these an answer depends on what the provider keeps, and no cache is asked."""


@define(eq=False)
class Cached:
    """A host with the memory cache, and its provider."""

    host: clippy_core.Host
    client: Any
    provider: FakeProvider
    plugins: dict[str, Any] = field(factory=dict)

    def asks(self, url: str, headers: Any, body: Any, **scope: str) -> bool:
        """Whether a request goes to the provider."""
        before = self.provider.calls
        with self.host.scope(**scope) if scope else nullcontext():
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.client.post(url, headers=list(headers), content=content)
        return self.provider.calls > before

    def asks_again(self, one: Captured, **changes: Any) -> bool:
        """The same for a captured request with *changes*."""
        given = {"url": one.url, "headers": one.headers, "body": one.body, **changes}
        return self.asks(given.pop("url"), given.pop("headers"), given.pop("body"), **given)


@contextmanager
def cached() -> Iterator[Cached]:
    clock = VirtualClock()
    provider = FakeProvider(clock=clock)
    with clippy_core.Host({"cache-memory": MemoryCache()}, clock=clock) as host:
        with host.wrap(provider.client(httpx2)) as client:
            yield Cached(host, client, provider)


@pytest.fixture
def world() -> Iterator[Cached]:
    with cached() as made:
        yield made


def test_the_captured_requests_are_of_all_four_endpoints() -> None:
    """Plain and streamed, with tools, images, schemas and reasoning: what the rest of this module is about."""
    found = captured()
    ends = {one.url.partition("?")[0].rpartition("/")[2] for one in found}
    assert ends == {"completions", "responses", "messages", "embeddings"}
    assert len(found) > 25
    assert {"tools", "response_format", "stream", "metadata", "encoding_format"} <= {
        key for o in found for key in o.body
    }


@pytest.mark.parametrize("one", captured(), ids=lambda one: one.name)
def test_each_value_of_the_body_changed_removed_or_added_misses(world: Cached, one: Captured) -> None:
    """Every value at every depth; only what says how an answer travels is not asked about."""
    assert world.asks_again(one)
    stored = not any(one.body.get(name) for name in STATEFUL)
    assert world.asks_again(one) != stored
    asked_before = set()
    for path in one.paths:
        travels = path[0] in NOT_IN_KEY
        changes = [drop, *(put(value) for value in others(at(one.body, path)))]
        # Whether a stream is asked for must itself be told; an SDK never sends another value than these.
        if path == ("stream",):
            changes = [drop, put(not one.body["stream"])]
        for number, change in enumerate(changes):
            body = changed(one.body, path, change)
            spelled = json.dumps(body, sort_keys=True)
            if spelled in asked_before:  # a list without its first is the same as its first taken away
                continue
            asked_before.add(spelled)
            assert world.asks_again(one, body=body) == (not (travels and stored)), (path, number)
    assert world.asks_again(one, body={**one.body, "a_parameter_of_tomorrow": 1})


@pytest.mark.parametrize("one", captured(), ids=lambda one: one.name)
def test_names_in_another_order_hit(world: Cached, one: Captured) -> None:
    """At every depth, with other white space and other escapes: a JSON object has no order."""
    stored = not any(one.body.get(name) for name in STATEFUL)
    world.asks_again(one)
    for seed in range(5):
        body = shuffled(one.body, random.Random(seed))
        assert world.asks_again(one, body=body) != stored
        assert world.asks_again(one, body=json.dumps(body, indent=seed, ensure_ascii=seed % 2 == 0).encode()) != stored


@pytest.mark.parametrize("one", captured(), ids=lambda one: one.name)
def test_what_is_around_the_body_counts(world: Cached, one: Captured) -> None:
    """Who asks, by which credentials, at which address, with which headers that change an answer."""
    headers = {name.lower(): value for name, value in one.headers}
    assert world.asks_again(one)
    for name in SEMANTIC_HEADERS:
        assert world.asks_again(one, headers=[*(headers | {name: "another"}).items()]), name
        if name in headers:
            assert world.asks_again(one, headers=[(key, item) for key, item in headers.items() if key != name]), name
    credentials = [name for name in headers if name in ("authorization", "x-api-key")]
    assert credentials
    for name in (*credentials, "cookie", "x-goog-api-key", "api-key"):
        assert world.asks_again(one, headers=[*(headers | {name: "another"}).items()]), name
    for scope in ({"tenant": "t"}, {"tenant": "u"}, {"tenant": "t", "user": "1"}, {"tenant": "t", "user": "2"}):
        assert world.asks_again(one, **scope)
        stored = not any(one.body.get(name) for name in STATEFUL)
        assert world.asks_again(one, **scope) != stored
    for url in (
        one.url.replace("http://", "https://"), one.url.replace("fake.test", "other.test"),
        one.url.replace("fake.test", "fake.test:8080"), one.url.replace("/v1/", "/v2/v1/"), f"{one.url}?api-version=1",
        one.url.replace("fake.test", "key@fake.test"),
    ):  # fmt: skip
        assert world.asks_again(one, url=url), url
    for name in ("user-agent", "x-stainless-retry-count", "x-request-id", "traceparent"):
        assert world.asks_again(one, headers=[*(headers | {name: "another"}).items()]) != stored, name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one: 1 and 1.0 are one number, True is none."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and type(one) in (int, float, type(other)) and one == other


@given(st.data())
def test_any_other_value_anywhere_in_any_captured_request_misses(data: st.DataObject) -> None:
    """And in whatever order its names stand, it is stored under a key of its own."""
    one = data.draw(st.sampled_from([one for one in captured() if not any(map(one.body.get, STATEFUL))]))
    path = data.draw(st.sampled_from([path for path in one.paths if path[0] not in NOT_IN_KEY]))
    value, seed = data.draw(JSON), data.draw(st.integers(0, 99))
    body = changed(one.body, path, put(value))
    with cached() as world:
        assert world.asks_again(one)
        assert world.asks_again(one, body=shuffled(body, random.Random(seed))) != same(value, at(one.body, path))


def test_another_route_misses() -> None:
    """Also one to the same address with the same key: its name says what its owner means by it."""
    clock = VirtualClock()
    provider = FakeProvider(clock=clock)
    route = {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "m"}
    routes = {"main": route, "spare": route, "third": {**route, "model": "n"}}
    host = clippy_core.Host({"cache-memory": MemoryCache()}, config={"routes": routes}, clock=clock)
    with host, clippy_core.Client(host, provider.client()) as client:
        for calls, name in enumerate(routes, 1):
            for _ in range(2):
                client.chat("Hello", route=name)
            assert provider.calls == calls
