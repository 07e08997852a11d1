"""What can go wrong with one call, for good: every attempt meets it."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from clippy_core.testing import Fault, Raw, Reply, Script

JSON = (("content-type", "application/json"),)
EVENTS = (("content-type", "text/event-stream"),)
_HELLO = Reply("Eins zwei drei vier fünf")

STATUSES: Mapping[str, Any] = {
    **{str(code): Fault.status(code) for code in (400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504, 529)},
    "quota": Fault.status(429, kind="quota"),
    "context length": Fault.status(400, kind="context_length"),
    "429 with a wait": Fault.status(429, retry_after=0.25),
    "429 with a long wait": Fault.status(429, retry_after=3600),
    "503 of a proxy": Fault.status(503, {"content-type": "text/html"}, "<html>Service Unavailable</html>"),
    "500 without a body": Fault.status(500, body=b""),
    "400 not to be repeated": Fault.status(400, {"x-should-retry": "false"}),
    "500 not to be repeated": Fault.status(500, {"x-should-retry": "false"}),
    "418": Fault.status(418, body=b'{"error": "a teapot"}'),
    "compressed 400": [Fault.gzip(), Fault.status(400)],
}
NETWORK: Mapping[str, Any] = {
    "connect error": Fault.connect_error(),
    "connect timeout": Fault.connect_timeout(),
    "read timeout": Fault.read_timeout(),
    "reset before the head": Fault.reset(),
    "hangup before the head": Fault.hangup(),
}
BODIES: Mapping[str, Any] = {
    "reset in the body": [Fault.reset(at_delta=2), _HELLO],
    "reset before the body": [Fault.reset(at_event=0), _HELLO],
    "reset amid an event": [Fault.reset(at_byte=700), _HELLO],
    "hangup in the body": [Fault.hangup(at_delta=2), _HELLO],
    "stall in the body": [Fault.stall(at_delta=2), _HELLO],
    "truncated JSON": [Fault.truncated_json(), _HELLO],
    "truncated JSON later": [Fault.truncated_json(at_delta=2), _HELLO],
    "error event first": [Fault.error_event(at_event=0), _HELLO],
    "error event": [Fault.error_event("server_error", at_delta=2), _HELLO],
    "error event quota": [Fault.error_event("quota", at_delta=0), _HELLO],
    "HTML with status 200": Fault.content_type("text/html", b"<html>Sign in</html>"),
    "plain text type": [Fault.content_type("text/plain"), _HELLO],
    "empty JSON body": Raw(b"", headers=JSON),
    "error object with status 200": Raw(b'{"error": {"message": "no", "type": "server_error"}}', headers=JSON),
    "not an object": Raw(b"[1, 2]", headers=JSON),
    "not JSON": Raw(b"\xff\xfe{", headers=JSON),
    "cut gzip": Raw(gzip.compress(b'{"a": "b"}' * 99)[:30], headers=(*JSON, ("content-encoding", "gzip"))),
    "more after gzip": Raw(gzip.compress(b'{"id": "1"}') + b"!!", headers=(*JSON, ("content-encoding", "gzip"))),
    "not gzip at all": Raw(b'{"id": 1}', headers=(*JSON, ("content-encoding", "gzip"))),
    "unknown coding": Raw(b'{"id": 1}', headers=(*JSON, ("content-encoding", "x-own"))),
}
HARMLESS: Mapping[str, Any] = {
    "gzip": [Fault.gzip(), _HELLO],
    "split UTF-8": [Fault.split_utf8(), Reply("Grüße 世界 🌍")],
    "slow": [Fault.slow(2.0), _HELLO],
    "no terminal event but a finish": [Fault.no_terminal(keep_finish=True), _HELLO],
    "events nobody knows": Raw(
        [b": ping\n\n", b'event: own\ndata: {"own": 1}\n\n', b"data: [DONE]\n\n"], headers=EVENTS
    ),
}
FAULTS = {name: Script(then=step) for name, step in {**STATUSES, **NETWORK, **BODIES, **HARMLESS}.items()}

TYPICAL = frozenset({"400", "429", "500", "503 of a proxy", "compressed 400"})
"""The statuses that stand for all others where a call is not the first of its list."""

OTHERWISE = frozenset({"truncated JSON", "truncated JSON later", "no terminal event but a finish"})
"""Faults that break a stream for us and not for the SDK, so that they are repaired, and told of, in our way."""

WHEN_OPENED = frozenset({"not gzip at all"})
"""Faults of an answer that is no stream although one was asked for: it is read whole, so it breaks when it is opened.

The bare SDKs meet them while they read, where Anthropic's and OpenAI's second let the HTTP module's error through.
"""


def cases(calls: Iterable[tuple[str, Any]], streams: Iterable[str], otherwise: frozenset[str] = OTHERWISE) -> list[Any]:
    """Each call with each fault, but *streams* without those of *otherwise*; the first call with every status."""
    return [
        pytest.param(colour, call, fault, id=f"{colour}-{call.__name__}-{fault}")
        for number, (colour, call) in enumerate(calls)
        for fault in FAULTS
        if not (fault in otherwise and call.__name__ in streams)
        if number == 0 or fault not in STATUSES or fault in TYPICAL
    ]
