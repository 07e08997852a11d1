"""What the headers of a caller come to on a route is remembered, and is never another caller's."""

from __future__ import annotations

from typing import Any

import pytest
from clippy_hookspecs import Headers, Request, Scope
from hypothesis import given
from hypothesis import strategies as st

import clippy_core
from clippy_core import arrivals
from clippy_core.arrivals import arrival
from clippy_core.host import OWN_HEADERS
from clippy_core.keys import is_credential
from clippy_core.routes import WITHIN_AN_API, crossing_headers
from clippy_core.settings import Settings
from clippy_core.wire import decode_request

ROUTES = {
    "chat": {"base_url": "http://one.test/v1", "key": "sk-of-one"},
    "other": {"base_url": "http://two.test/v1", "key": "sk-of-two", "headers": {"x-team": "two"}},
}
NAMES = (
    b"accept", b"user-agent", b"Accept", b"traceparent", b"idempotency-key", b"openai-beta", b"authorization",
    b"x-api-key", b"Authorization", b"cookie", b"x-request-id", b"content-length", b"x-clippy-user", b"x", b"",
)  # fmt: skip
VALUES = (b"", b"a", b"b", b"a\0accept\0b", b"Bearer one", b"Bearer two", "ü".encode("latin-1"))
HEADS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)


def asked(pairs: list[tuple[bytes, bytes]]) -> Request:
    return decode_request("POST", "http://g/v1/chat/completions", "", Headers.undecoded(pairs), b"{}")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return clippy_core.Host([], config={"routes": ROUTES}).settings


@given(
    calls=st.lists(st.tuples(HEADS, st.sampled_from(sorted(ROUTES))), min_size=1, max_size=12), most=st.integers(1, 3)
)
def test_whoever_came_before_each_caller_has_its_own_headers_and_name(
    calls: list[Any], most: int, settings: Settings
) -> None:
    """Whatever is in a header, a null among it, and however often what is remembered begins anew."""
    with pytest.MonkeyPatch.context() as small:
        small.setattr(arrivals, "MOST", most)
        for pairs, name in [*calls, *calls]:
            request, route = asked(pairs), settings.routes[name]
            found = arrival(settings, request, name, route)
            assert len(settings.arrivals) <= most
            if found is None:
                continue
            who = settings.identity(request.headers)
            assert found.headers.raw == crossing_headers(request, route).raw
            assert found.scope == (Scope(user=f"key-{who[:16]}") if who else None)
            assert found.account == settings.identity(found.headers)
    settings.arrivals.clear()


def test_a_header_that_is_another_with_each_request_makes_no_caller_be_forgotten(settings: Settings) -> None:
    """Ids for tracing: what names them crosses where it may, and is not remembered."""
    named = [(b"authorization", b"Bearer one"), (b"accept", b"*/*")]
    route = settings.routes["chat"]
    kept = arrival(settings, asked(named), "chat", route)
    for number in range(3):
        value = b"%d" % number
        for name in (b"x-request-id", b"tracestate", b"traceparent", b"idempotency-key"):
            found = arrival(settings, asked([*named, (name, value)]), "chat", route)
            assert found is not None
            assert (found is kept) == (name.decode() not in WITHIN_AN_API)
            assert found.headers.get(name.decode()) == (None if found is kept else value.decode())
    assert len(settings.arrivals) == 1
    settings.arrivals.clear()


def test_no_header_that_counts_is_passed_over() -> None:
    """Nothing that crosses, names a caller or is said to us."""
    passed = {name.decode() for name in arrivals._PASSED_OVER}
    assert passed.isdisjoint(WITHIN_AN_API)
    assert not any(is_credential(name) or name.startswith(OWN_HEADERS) for name in passed)
    assert {name.decode() for name in arrivals._OF_ONE_REQUEST} <= WITHIN_AN_API
