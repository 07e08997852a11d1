"""The host's own settings: what stands in the configuration beside the tables of the plugins."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import field, frozen
from attrs.validators import gt, optional
from clippy_hookspecs import POLICIES

from .config_values import Secret

Failure = Literal["raise", "skip", "disable"]
Api = Literal["openai.chat", "openai.responses", "anthropic.messages"]
Tracing = bool | Literal["json"] | Path
HOOKS = tuple(POLICIES)


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


def _seconds(doc: str) -> Any:
    return field(default=None, validator=optional(gt(0)), metadata=_doc(doc))


@frozen
class Deadlines:
    """How long things may take, in seconds; None waits as long as the caller does."""

    connect: float | None = _seconds("until the connection stands")
    first_token: float | None = _seconds("until the first piece of the answer")
    idle: float | None = _seconds("between two pieces of an answer")
    total: float | None = _seconds("for the whole request, its attempts and waits included")


def _salt_path() -> Path:
    from .salt import default_path

    return default_path()


def _is_address(_: object, __: attrs.Attribute[Any], value: str) -> None:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError(f"must begin with http:// or https://, got {value!r}")


@frozen
class RouteConfig:
    """One way to a provider; it replaces address, API, model and all credentials of a request."""

    api: Api = field(default="openai.chat", metadata=_doc("the provider's wire API"))
    base_url: str = field(
        default="",
        validator=_is_address,
        metadata={"doc": "base URL; empty: the API's own", "schema": {"pattern": r"^(https?://|(?![\s\S]))"}},
    )
    key: Secret | None = field(default=None, metadata=_doc('the provider\'s key, best as {env = "NAME"}'))
    headers: Mapping[str, Secret] = field(factory=dict, metadata=_doc("headers to send along"))
    model: str | None = field(default=None, metadata=_doc("the model where the request names none"))
    models: Mapping[str, str] = field(factory=dict, metadata=_doc("models by the name the caller uses"))
    deadlines: Deadlines = field(factory=Deadlines, metadata=_doc("deadlines of this route, before the host's"))
    context_tokens: int | None = field(
        default=None, validator=optional(gt(0)), metadata=_doc("input tokens that fit; None: not known")
    )
    default: bool = field(default=False, metadata=_doc("use it for requests that name no route"))


@frozen
class Order:
    """The user's order of plugins, outermost first; a hook's own list stands instead of the default one."""

    default: tuple[str, ...] = ()
    hooks: Mapping[str, tuple[str, ...]] = field(factory=dict)

    def of(self, hook: str) -> tuple[str, ...]:
        """The names that the user has put in order for *hook*."""
        return self.hooks.get(hook, self.default)


@functools.cache
def order_table() -> Any:
    """How an :class:`Order` is written, as a class: a list for each hook that has its own, beside the default one."""
    own: Any = tuple[str, ...] | None
    lists = {
        "default": field(default=(), type=tuple[str, ...]),
        **{hook: field(default=None, type=own) for hook in HOOKS},
    }
    return attrs.make_class("OrderTable", lists, frozen=True)


@frozen
class AuditConfig:
    """What the host puts into audit records."""

    content: bool = field(default=False, metadata=_doc("hand prompts and answers to plugins that read content"))


def _one_default(_: object, __: attrs.Attribute[Any], routes: Mapping[str, RouteConfig]) -> None:
    names = [name for name, route in routes.items() if route.default]
    if len(names) > 1:
        raise ValueError(f"only one route can be the default, {' and '.join(names)} say default = true")


def _is_tracing(_: object, __: attrs.Attribute[Any], value: Tracing) -> None:
    if isinstance(value, Path) and len(value.parts) < 2:  # a misspelt word would become a file of that name
        raise ValueError(f'must be true, false, "json" or a path with a slash in it, got {str(value)!r}')


@frozen
class HostConfig:
    """The host's own settings, beside the tables of its plugins."""

    allow: Literal["off"] | tuple[str, ...] | None = field(
        default=None, metadata=_doc('the only plugins to load; "off": none; None: all that are installed')
    )
    disable: tuple[str, ...] = field(default=(), metadata=_doc("plugins not to load"))
    locked: bool = field(default=False, metadata=_doc("load only what clippy.lock, beside this file, has"))
    order: Order = field(factory=Order, metadata=_doc("plugins, outermost first; a list, or lists by hook"))
    on_failure: Mapping[str, Failure] = field(factory=dict, metadata=_doc("by plugin: raise, skip or disable"))
    routes: Mapping[str, RouteConfig] = field(factory=dict, validator=_one_default, metadata=_doc("ways to providers"))
    deadlines: Deadlines = field(factory=Deadlines, metadata=_doc("deadlines of every request"))
    trust_headers: bool = field(default=False, metadata=_doc("believe X-Clippy-Tenant, -User and -Session headers"))
    audit: AuditConfig = field(factory=AuditConfig, metadata=_doc("what goes into audit records"))
    abandoned_after: float = field(
        default=60.0, validator=gt(0), metadata=_doc("seconds after which a stream that nobody reads is closed")
    )
    salt_path: Path | None = field(
        default=None,
        metadata={"doc": "file of the salt for credentials; None: the data folder", "unset": _salt_path},
    )
    trace: Tracing = field(
        default=False,
        validator=_is_tracing,
        metadata={
            **_doc('tell of each request on stderr (true, or "json" for JSON lines), or in the file of this path'),
            "schema": {"pattern": r"^json$|[/\\]"},
        },
    )
