"""What the headers of a caller come to on a route, remembered: they are the same with every request of a program.

Nothing of the caller's is kept: its headers are known by a keyed digest, and what they come to is what may cross to the
route, the route's own, and the digests that stand for both credentials.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from attrs import frozen
from clippy_hookspecs import Headers, Request, Scope
from clippy_hookspecs.headers import beginning

from .config import RouteConfig
from .host import OWN_HEADERS
from .keys import keyed_digest
from .records import new_scope
from .routes import crossing_headers

if TYPE_CHECKING:
    from .settings import Settings

MOST = 256
"""Callers on routes that are remembered; then it begins anew."""
_PASSED_OVER = frozenset(
    {
        b"content-length", b"tracestate", b"baggage", b"x-request-id", b"x-correlation-id", b"x-amzn-trace-id",
        b"x-cloud-trace-context", b"b3", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"sentry-trace",
        b"x-datadog-trace-id", b"x-datadog-parent-id",
    }
)  # fmt: skip
"""Headers that are others with each request, and neither cross to a route nor say who calls."""
_OF_ONE_REQUEST = frozenset({b"traceparent", b"idempotency-key"})
"""Those that cross."""


@frozen
class Arrival:
    """``headers`` as they leave; whom the caller's credential names; the digest of the route's own."""

    headers: Headers
    scope: Scope | None
    account: str


def arrival(settings: Settings, asked: Request, name: str, route: RouteConfig) -> Arrival | None:
    """Of *asked* on the *route* of that *name*; None for what must be looked at each time.

    That is what says something to us or to plugins, has credentials in its query, or is put into another wire API.
    """
    if asked.query or (asked.endpoint.chat and route.api != asked.api):
        return None
    pairs = [pair for pair in asked.headers.raw if pair[0] not in _PASSED_OVER]
    told = b"\0".join(chain.from_iterable(pairs))
    if told.count(0) != max(0, 2 * len(pairs) - 1):  # no header of HTTP's has one in it, but then two heads look alike
        return None
    known = settings.arrivals
    key = name, keyed_digest(told, settings.salt)
    found = known.get(key)
    if found is None and not beginning(asked.headers, OWN_HEADERS):
        who = settings.identity(asked.headers)
        headers = crossing_headers(asked, route)
        scope = new_scope(None, f"key-{who[:16]}") if who else None
        found = Arrival(headers, scope, settings.identity(headers))
        if _OF_ONE_REQUEST.isdisjoint([name for name, _ in pairs]):
            if len(known) >= MOST:
                known.clear()
            known[key] = found
    return found
