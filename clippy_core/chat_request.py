"""The request for a call of our own client: from a conversation and a route of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen
from clippy_hookspecs import ConfigError, Endpoint, Headers, Message, Request, Text, Tool, evolve

from . import routes
from .arguments import check_call, check_names, tell_of
from .config import RouteConfig
from .directives import as_headers
from .jsonio import dumps_known
from .settings import Settings
from .wire import APIS, WireApi, decode_request

if TYPE_CHECKING:
    from .host import Host

T = TypeVar("T")
_OPENAI, _ANTHROPIC = APIS["openai.chat"], APIS["anthropic.messages"]

Conversation = str | Sequence[Message | Mapping[str, Any]]


def build_request(
    host: Host,
    stream: bool,
    messages: Conversation,
    model: str | None,
    route: str | None,
    tools: Sequence[Tool | Mapping[str, Any]],
    directives: Mapping[str, str] | None,
    params: Mapping[str, Any],
) -> tuple[Request, Line]:
    """The request for a call of our own client, and its route.

    Raises ConfigError if there is no such route, ValueError if neither the call nor the route names a model, TypeError
    for what no request can be made of.
    """
    settings = host.settings
    check_names(model, route)
    if params:
        tell_of(params, settings.told)
    line = settings.lines.get(route) or _found(host, settings, route)
    chosen = line.route
    wanted = chosen.models.get(model or "") or model or chosen.model
    if not wanted:
        raise ValueError(f"which model? give model=..., or set routes.{line.name}.model")
    headers = line.headers
    if directives:
        headers = Headers([*headers.pairs, *as_headers(directives)])
    if line.api is _OPENAI and "stream" not in params and (said := _as_given(messages, tools)) is not None:
        # It is the body already, and as bytes a request like any other: taken apart when somebody looks.
        body = {**params, "model": wanted, "messages": said}
        if tools:
            body["tools"] = list(tools)
        if stream:
            body["stream"] = True
        try:
            data, known = dumps_known(body)
        except TypeError:
            check_call(messages, tools, params, stream)
            raise
        # Of the caller's own lists the messages alone were copied; others may change while the request is under way.
        known = known and not tools and list not in map(type, params.values())
        return decode_request("POST", line.url, "", headers, data, stream=stream, flat=body if known else None), line
    check_call(messages, tools, params, stream)
    messages, tools = (messages if isinstance(messages, str) else [*messages]), [*(tools or ())]
    if line.api is _ANTHROPIC:
        params = {"max_tokens": 4096, **params}  # the one parameter that this API requires
    conversation, offered = _messages(messages, line.api), _read("tools", tools, Tool, line.api)
    request = Request(
        chosen.api, line.endpoint, "POST", line.url, "", headers, wanted, conversation, offered, params, stream
    )
    return request, line


@frozen
class Line:
    """What all calls on one route have in common; ``caller`` is the digest of its credentials."""

    name: str
    route: RouteConfig
    api: WireApi
    url: str
    endpoint: Endpoint
    headers: Headers
    caller: str


def _found(host: Host, settings: Settings, route: str | None) -> Line:
    """The line of *route*, or of the default one; kept, since nothing of it changes while the settings do not."""
    name = route or _default_route(host)
    known = settings.routes
    if name not in known:
        raise ConfigError([f"there is no route {name!r}; the configuration has {', '.join(sorted(known)) or 'none'}"])
    chosen = known[name]
    url = routes.address(chosen.api, chosen.base_url)
    api = APIS[chosen.api]
    endpoint = api.endpoint("POST", url)
    assert endpoint is not None
    headers = Headers([("content-type", "application/json"), *routes.route_headers(chosen, chosen.api)])
    line = settings.lines[route] = Line(name, chosen, api, url, endpoint, headers, settings.identity(headers))
    return line


def _default_route(host: Host) -> str:
    known = host.settings.routes
    default = next((name for name, route in host.config.host.routes.items() if route.default), None)
    if default is None and len(known) == 1:
        default = next(iter(known))
    if default is None:
        raise ConfigError(
            ["no route to call: give route=..., or set default = true on one of "
             f"{', '.join(sorted(known)) or 'the [routes.NAME] tables, of which there are none'}"]
        )  # fmt: skip
    return default


def _as_given(messages: Conversation, tools: Sequence[Tool | Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """The messages of OpenAI's body for a conversation that is in its form, None for one with other values in it.

    They are copies: the caller's own may change while the request is under way.
    """
    if tools and not (isinstance(tools, (list, tuple)) and {dict}.issuperset(map(type, tools))):
        return None
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if not isinstance(messages, (list, tuple)):
        return None
    said = []
    for message in messages:
        if type(message) is not dict:
            return None
        said.append({**message})
    return said


def _messages(messages: Conversation, api: WireApi) -> tuple[Message, ...]:
    if isinstance(messages, str):
        return (Message("user", (Text(messages),)),)
    return _read("messages", messages, Message, api)


def _read(field: str, given: Sequence[Any], kind: type[T], api: WireApi) -> tuple[T, ...]:
    """Messages or tools.  OpenAI's form is the one that people know; another API gets them without that form."""
    read = _OPENAI.request_fields({field: [dict(one) for one in given if not isinstance(one, kind)]})[field]
    decoded = iter(read if api is _OPENAI else map(evolve, read))
    return tuple([one if isinstance(one, kind) else next(decoded) for one in given])
