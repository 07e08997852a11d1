"""A request on its shortest way to its route: where no plugin has anything to do with it, nothing is decoded.

It leaves as :func:`clippy_core.routes.through` would send it, header for header; what that has to look into for a
request (its body, another API, what is said to plugins) goes the long way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from clippy_hookspecs import Headers, RawRequest

from .host import OWN_HEADERS
from .records import new_raw_request
from .routes import WITHIN_AN_API, base_of, below, kept_query, route_headers
from .wire import find

if TYPE_CHECKING:
    from .settings import Settings

_KEPT = frozenset(name.encode() for name in WITHIN_AN_API)
_OWN = OWN_HEADERS.encode()


@frozen
class Plan:
    """What all requests on one route have in common."""

    api: str
    base: str
    headers: tuple[tuple[bytes, bytes], ...]


def straight_request(settings: Settings, request: RawRequest) -> RawRequest | None:
    """*request* as it leaves, None if somebody has to look into it.  Raises Refusal for a path that names no place."""
    plan = settings.plans.get(request.route)
    if plan is None:
        plan = settings.plans[request.route] = _planned(settings, request.route)
    if not plan.base:
        return None
    kept = []
    for pair in request.headers.raw:
        name = pair[0].lower()
        if name in _KEPT:
            kept.append(pair)
        elif name.startswith(_OWN):
            return None
    url, _, query = request.url.partition("?")
    path = "/" + url.partition("://")[2].partition("/")[2]
    api, endpoint = find(request.method, path)
    if endpoint.chat and (api is None or api.name != plan.api):
        return None
    sent = below(path, plan.base)
    if query and (query := kept_query(query)):
        sent = f"{sent}?{query}"
    kept += plan.headers
    return new_raw_request(request.method, sent, Headers.undecoded(kept), request.body)


def _planned(settings: Settings, name: str) -> Plan:
    """The plan of a route; one without a base for a route whose requests are looked into, or that there is not."""
    route = settings.routes.get(name)
    if route is None or route.models or route.model or settings.deadlines(name) != settings.no_deadlines:
        return Plan("", "", ())
    return Plan(route.api, base_of(route), tuple(Headers(route_headers(route, route.api)).raw))
