"""The request for a call of our own client: from a conversation and a route of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clippy_hookspecs import ConfigError, Headers, Message, Request, Text, Tool, evolve

from . import routes
from .directives import as_headers
from .wire import APIS, WireApi

if TYPE_CHECKING:
    from .host import Host

Conversation = str | Sequence[Message | Mapping[str, Any]]


def build_request(
    host: Host,
    messages: Conversation,
    model: str | None,
    route: str | None,
    tools: Sequence[Tool | Mapping[str, Any]],
    directives: Mapping[str, str] | None,
    params: Mapping[str, Any],
    stream: bool,
) -> tuple[Request, str]:
    """The request for a call of our own client, and the name of its route.

    Raises ConfigError if there is no such route, ValueError if neither the call nor the route names a model, TypeError
    for directives that are no texts.
    """
    name = route or _default_route(host)
    known = host.settings.routes
    if name not in known:
        raise ConfigError([f"there is no route {name!r}; the configuration has {', '.join(sorted(known)) or 'none'}"])
    chosen = known[name]
    wanted = chosen.models.get(model or "") or model or chosen.model
    if not wanted:
        raise ValueError(f"which model? give model=..., or set routes.{name}.model")
    api = APIS[chosen.api]
    url = routes.address(chosen.api, chosen.base_url)
    endpoint = api.endpoint("POST", url)
    assert endpoint is not None
    if chosen.api == "anthropic.messages":
        params = {"max_tokens": 4096, **params}  # the one parameter that this API requires
    ours = (*routes.route_headers(chosen, chosen.api), *as_headers(directives))
    headers = Headers([("content-type", "application/json"), *ours])
    conversation, offered = _messages(messages, api), _tools(tools, api)
    request = Request(chosen.api, endpoint, "POST", url, "", headers, wanted, conversation, offered, params, stream)
    return request, name


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


def _messages(messages: Conversation, api: WireApi) -> tuple[Message, ...]:
    if isinstance(messages, str):
        return (Message("user", (Text(messages),)),)
    return tuple([one if isinstance(one, Message) else _read("messages", one, api) for one in messages])


def _tools(tools: Sequence[Tool | Mapping[str, Any]], api: WireApi) -> tuple[Tool, ...]:
    return tuple([one if isinstance(one, Tool) else _read("tools", one, api) for one in tools])


def _read(field: str, given: Mapping[str, Any], api: WireApi) -> Any:
    """A message or tool in OpenAI's form, which is the one that people know; another API gets it without that form."""
    known = APIS["openai.chat"]
    (decoded,) = known.request_fields({field: [dict(given)]})[field]
    return decoded if api is known else evolve(decoded)
