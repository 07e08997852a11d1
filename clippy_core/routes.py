"""Routes: where requests go, by name.  A route replaces base URL, wire API, model and all credentials."""

from __future__ import annotations

from clippy_hookspecs import ConfigError, Headers, Request, evolve

from .config import RouteConfig
from .untouched import retouch
from .wire import APIS
from .wire.translate import translate_request

CROSSES_ORIGINS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "user-agent", "idempotency-key", "traceparent"}
)
"""The caller's headers that may go to another origin than they were meant for; every other one stays behind."""

_PATHS = {"openai.chat": "/chat/completions", "openai.responses": "/responses", "anthropic.messages": "/v1/messages"}
_BASES = {
    "openai.chat": "https://api.openai.com/v1",
    "openai.responses": "https://api.openai.com/v1",
    "anthropic.messages": "https://api.anthropic.com",
}
ANTHROPIC_VERSION = "2023-06-01"


def address(api: str, base_url: str) -> str:
    """The URL of an API's chat endpoint under *base_url* ("" = the provider's own)."""
    if api not in _PATHS:
        raise ConfigError([f"a route's api is {api!r}; it is one of {', '.join(sorted(_PATHS))}"])
    base = (base_url or _BASES[api]).rstrip("/")
    if api == "anthropic.messages" and base.endswith("/v1"):
        base = base.removesuffix("/v1")
    return base + _PATHS[api]


def route_headers(route: RouteConfig, api: str) -> list[tuple[str, str]]:
    """The headers a route brings: its credentials in its API's own form, and those of its configuration."""
    own: list[tuple[str, str]] = []
    if route.key:
        if api == "anthropic.messages":
            own.append(("x-api-key", str(route.key)))
        else:
            own.append(("authorization", f"Bearer {route.key}"))
    if api == "anthropic.messages":
        own.append(("anthropic-version", ANTHROPIC_VERSION))
    named = {name.lower() for name in route.headers}
    return [pair for pair in own if pair[0] not in named] + [(n, str(v)) for n, v in route.headers.items()]


def redirect(request: Request, route: RouteConfig) -> Request:
    """*request* as it goes to *route*."""
    api = route.api or request.api
    model = route.models.get(request.model) or route.model or request.model
    carried = [pair for pair in request.headers.pairs if pair[0].lower() in CROSSES_ORIGINS]
    headers = Headers([*carried, *route_headers(route, api)])
    moved = request
    if api != request.api:
        moved = translate_request(request, api)
    if model != moved.model:
        moved = evolve(moved, model=model)
    endpoint = APIS[api].endpoint("POST", _PATHS[api]) or moved.endpoint
    return retouch(moved, url=address(api, route.base_url), query="", headers=headers, endpoint=endpoint)
