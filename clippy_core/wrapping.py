"""``host.wrap(client)``: put a host under a client that exists.

The caller's own settings stay: proxies, certificates, timeouts, base URL, an inner transport.  An SDK's client is
copied and the copy gets the host; the original is untouched.  A bare httpx or httpx2 client is changed in place.
SDKs are recognised by what they are made of, so none is imported here.
"""

from __future__ import annotations

import copy
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .transports import async_transport, module_of, transport

if TYPE_CHECKING:
    from .host import Host

C = TypeVar("C")


def wrap(host: Host, client: C) -> C:
    """*client* with *host* under it.

    Takes ``openai.OpenAI``, ``openai.AsyncOpenAI``, ``anthropic.Anthropic``, ``anthropic.AsyncAnthropic`` and their
    Azure, Bedrock and Vertex kinds, and the clients of httpx and httpx2.  Raises TypeError for anything else.
    """
    module = module_of(client)
    if module is not None:
        _put_under(host, client, module)
        return client
    http = getattr(client, "_client", None)
    if http is not None and module_of(http) is not None and callable(getattr(client, "with_options", None)):
        return cast("C", _wrap_sdk(host, client, http))
    raise TypeError(
        f"cannot wrap a {type(client).__module__}.{type(client).__qualname__}; give the client of an SDK built "
        "on httpx or httpx2, such a client itself, or pass clippy_core.transport(host) as its transport"
    )


def _wrap_sdk(host: Host, client: Any, http: Any) -> Any:
    module = module_of(http)
    assert module is not None
    own = _copy_of(http)
    _put_under(host, own, module)
    changes: dict[str, Any] = {"http_client": own}
    if host.owns_retries:
        changes["max_retries"] = 0
    wrapped = client.with_options(**changes)
    # The SDK's own HTTP client closes its connections when it is collected, and they are now ours too.
    wrapped._clippy_original = client  # noqa: SLF001
    return wrapped


def _copy_of(http: Any) -> Any:
    """An HTTP client that shares connections with *http* and does not close them when it is collected."""
    own = copy.copy(http)
    own._mounts = dict(http._mounts)  # noqa: SLF001
    kind = type(http)
    if hasattr(kind, "__del__"):
        own.__class__ = type(kind.__name__, (kind,), {"__del__": _nothing, "__module__": kind.__module__})
    return own


def _nothing(self: object) -> None:
    """In place of an SDK's ``__del__``: the original client closes what it opened."""


def _put_under(host: Host, http: Any, module: ModuleType) -> None:
    make = transport if isinstance(http, module.Client) else async_transport
    http._transport = _once(host, http._transport, make, module)  # noqa: SLF001
    http._mounts = {  # noqa: SLF001
        pattern: inner if inner is None else _once(host, inner, make, module)
        for pattern, inner in http._mounts.items()  # noqa: SLF001
    }


def _once(host: Host, inner: Any, make: Any, module: ModuleType) -> Any:
    """*inner* under *host*, unless it is already: wrapping twice must not retry twice."""
    return inner if getattr(inner, "_host", None) is host else make(host, module, inner)
