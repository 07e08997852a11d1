"""Routes: where requests go, by name.  A route replaces base URL, wire API, model and all credentials."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from clippy_hookspecs import ConfigError, ErrorInfo, Headers, Refusal, Request, evolve

from .config import RouteConfig
from .keys import is_credential
from .untouched import retouch
from .wire import APIS
from .wire.bound import kept_elsewhere, unbound
from .wire.translate import translate_request
from .wire.translate_params import untranslatable

CROSSES_ORIGINS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "user-agent", "idempotency-key", "traceparent"}
)
"""The caller's headers that may go to another origin than they were meant for; every other one stays behind."""

_OF_THE_API = frozenset({"anthropic-beta", "openai-beta"})
"""Those that say how a body of their wire API is to be read; without them another account would refuse it."""

WITHIN_AN_API = CROSSES_ORIGINS | _OF_THE_API

_QUERY_CREDENTIALS = ("key=", "api_key=", "api-key=")
"""As :func:`clippy_core.keys.credential_digest` knows them."""

_SUB = frozenset({"openai-organization", "openai-project"})
"""Headers that name an account behind one credential."""

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
    url = address(api, route.base_url)
    model = route.models.get(request.model) or route.model or request.model
    crosses = CROSSES_ORIGINS
    if api == request.api:
        crosses = crosses | (_OF_THE_API - {name.lower() for name in route.headers})
    carried = [pair for pair in request.headers.pairs if pair[0].lower() in crosses]
    headers = Headers([*carried, *route_headers(route, api)])
    moved = request
    if api != request.api:
        moved = translate_request(request, api, _origin(url)[1])
    elif not _same_account(request, route) or (api == "anthropic.messages" and model != request.model):
        moved = unbound(request, same_origin=_origin(request.url) == _origin(url))
    if model != moved.model:
        moved = evolve(moved, model=model)
    endpoint = APIS[api].endpoint("POST", _PATHS[api]) or moved.endpoint
    return retouch(moved, url=url, query="", headers=headers, endpoint=endpoint)


def through(request: Request, route: RouteConfig, headers: Headers | None = None) -> Request:
    """A request that came to a server of ours, as it goes to *route*: of its address the path below the API's root.

    What belongs to one account stays in it: whoever talks to such a server has had its answers from there.  A chat
    request for another API than the route's is translated.  Raises Refusal for what the route could only get wrong.
    *headers* are its :func:`crossing_headers`, where they are known already.
    """
    if request.endpoint.chat and route.api != request.api:
        unable = obstacle(request, route)
        if unable is not None:
            raise Refusal(f"the route for this request speaks {route.api}: {unable}", 400, "route_unfit")
        return redirect(request, route)
    asks_a_model = request.method == "POST" and request.endpoint.body == "json"
    if asks_a_model and (route.models or route.model):  # otherwise nobody has to look into the body
        model = route.models.get(request.model) or request.model or route.model or ""
        request = request if model == request.model else evolve(request, model=model)
    path = "/" + request.url.partition("://")[2].partition("/")[2]
    return retouch(
        request,
        url=below(path, base_of(route)),
        query=kept_query(request.query),
        headers=headers or crossing_headers(request, route),
    )


def crossing_headers(request: Request, route: RouteConfig) -> Headers:
    """Those of *request* that may go to *route* in its own wire API, and the route's own."""
    kept = [pair for pair in request.headers.pairs if pair[0].lower() in WITHIN_AN_API]
    return Headers([*kept, *route_headers(route, route.api)])


def kept_query(query: str) -> str:
    """*query* without the credentials that some clients put there."""
    return "&".join([part for part in query.split("&") if not part.startswith(_QUERY_CREDENTIALS)])


def base_of(route: RouteConfig) -> str:
    """Under which address a route has what its API's SDKs call ``/v1``."""
    base = (route.base_url or _BASES[route.api]).rstrip("/")
    return base + "/v1" if route.api == "anthropic.messages" and not base.endswith("/v1") else base


def below(path: str, base: str) -> str:
    """The same place under *base* as *path* names under its own root.  Raises Refusal for one outside.

    Read as the most generous server on the way might read it: decoded twice, without what follows a semicolon.
    """
    if "." in path or "%" in path or "\\" in path:
        steps = [step.partition(";")[0] for step in unquote(unquote(path)).replace("\\", "/").split("/")]
        if ".." in steps or "." in steps:
            raise Refusal("the path of a request names no place of its own: it has . or .. in it", 400, "bad_path")
    return base + (path[3:] if path.startswith("/v1/") else path)  # else "/v1%2f@elsewhere" would end base's host name


def obstacle(request: Request, route: RouteConfig) -> str | None:
    """Why *route* could only answer another question than *request* asks, in words; None if it can answer it."""
    api = route.api or request.api
    if api == request.api and _same_account(request, route):
        return None
    return kept_elsewhere(request) or (untranslatable(request, api) if api != request.api else None)


def unfit(name: str, why: str) -> ErrorInfo:
    """What on_error is told of a route that was chosen and cannot take the request; nothing was sent to it."""
    return ErrorInfo("permanent", "route_unfit", scope="route", message=f"route {name} is passed over: {why}")


def _same_account(request: Request, route: RouteConfig) -> bool:
    """Whether *route* sends the same credentials to the same place; two keys of one account look like two accounts."""
    own = Headers(route_headers(route, route.api))
    here, there = _origin(request.url), _origin(address(route.api, route.base_url))
    return here == there and _who(request.headers) == _who(own)


def _who(headers: Headers) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers.pairs if is_credential(name) or name.lower() in _SUB)


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; of what is no address the whole of it, and whoever sends to it will say so."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return "", url, None
