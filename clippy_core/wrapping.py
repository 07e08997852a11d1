"""``host.wrap(client)``: put a host under a client that exists.

The caller's own settings stay: proxies, certificates, timeouts, base URL, an inner transport.  An SDK's client is
copied and the copy gets the host; the original is untouched.  A bare httpx or httpx2 client is changed in place.
SDKs are recognised by what they are made of, so none is imported here.
"""

from __future__ import annotations

import copy
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .http_modules import module_of
from .in_front import host_of

if TYPE_CHECKING:
    from .host import Host

C = TypeVar("C")
_STRICT = "_strict_response_validation"
_ONLY_OURS = 2
"""References to what only one local variable holds: that, and the argument of ``sys.getrefcount``."""


def wrap(host: Host, client: C) -> C:
    """*client* with *host* under it.

    Takes ``openai.OpenAI``, ``openai.AsyncOpenAI``, ``anthropic.Anthropic``, ``anthropic.AsyncAnthropic`` and their
    Azure, Bedrock and Vertex kinds, and the clients of httpx and httpx2.  Raises TypeError for anything else, and for
    a kind of client that its SDK cannot copy.

    Where a plugin decides about failures, an SDK's ``max_retries`` as they are now say how often a call that could do
    harm twice (an upload, a batch) is sent again; say 0 before wrapping to have such calls sent once.
    """
    module = module_of(client)
    if module is not None:
        _put_under(host, client, module)
        return client
    http = getattr(client, "_client", None)
    if http is not None and module_of(http) is not None and callable(getattr(client, "with_options", None)):
        return cast("C", _wrap_sdk(host, client, http))
    if isinstance(client, type):
        raise TypeError(
            f"cannot wrap the class {client.__module__}.{client.__qualname__}; make a client of it first: "
            f"host.wrap({client.__name__}(...))"
        )
    raise TypeError(
        f"cannot wrap an object of type {type(client).__module__}.{type(client).__qualname__}; "
        "give the client of an SDK built on httpx or httpx2, such a client itself, or pass "
        "clippy_core.transport(host) as its transport"
    )


def _wrap_sdk(host: Host, client: Any, http: Any) -> Any:
    module = module_of(http)
    assert module is not None
    own = _copy_of(http)
    repeats = getattr(client, "max_retries", None)
    _put_under(host, own, module, shared=True, instead_of=repeats or 0)
    changes: dict[str, Any] = {"http_client": own}
    if host.owns_retries:
        changes["max_retries"] = 0
    wrapped = _with_options(client, changes)
    # Both SDKs forget this one setting when they copy a client.
    if getattr(client, _STRICT, False):
        setattr(wrapped, _STRICT, True)
    host.sdk_retries.note(wrapped, repeats)
    return wrapped


def _with_options(client: Any, changes: dict[str, Any]) -> Any:
    try:
        return client.with_options(**changes)
    except TypeError as error:
        kind = type(client)
        raise TypeError(
            f"cannot copy a client of type {kind.__module__}.{kind.__qualname__} ({error}); "
            "its with_options must work, or give it host.wrap(http_client) as its http_client instead"
        ) from error


def _copy_of(http: Any) -> Any:
    """An HTTP client with the settings of *http* that shares its connections and leaves it alone.

    Its cookies, headers and hooks are its own.  An SDK's HTTP client closes its connections when it is collected, so
    that the copy keeps it alive, until the copy is closed: then they are closed unless somebody else uses them.
    """
    own = copy.copy(http)
    own._clippy_original = http  # noqa: SLF001
    own._mounts = dict(http._mounts)  # noqa: SLF001
    own._headers = http._headers.copy()  # noqa: SLF001
    own._cookies = type(http._cookies)(http._cookies)  # noqa: SLF001
    own._event_hooks = {event: list(hooks) for event, hooks in http._event_hooks.items()}  # noqa: SLF001
    kind = type(http)
    if not issubclass(kind, _Copy):  # a copy of a copy is one already
        own.__class__ = type(kind.__name__, (_Copy, kind), {"__module__": kind.__module__})
    return own


class _Copy:
    """What a copy of an HTTP client does otherwise: its transports let go of connections instead of closing them.

    When nobody else holds the original, nobody else will close it, so that it is closed with its copy.  Its own
    ``__del__`` would be too late for that: an async one starts a task, and a caller's HTTP client has none.
    """

    _clippy_original: Any

    def __del__(self) -> None:
        """In place of an SDK's: the original client closes what it opened."""

    def close(self) -> None:
        """Close the client."""
        super().close()  # type: ignore[misc]
        original, self._clippy_original = self._clippy_original, None
        if original is not None and sys.getrefcount(original) <= _ONLY_OURS:
            original.close()

    async def aclose(self) -> None:
        """As ``close``, for async clients."""
        await super().aclose()  # type: ignore[misc]
        original, self._clippy_original = self._clippy_original, None
        if original is not None and sys.getrefcount(original) <= _ONLY_OURS:
            await original.aclose()


def _put_under(host: Host, http: Any, module: ModuleType, *, shared: bool = False, instead_of: int = 0) -> None:
    """Put *host* under every transport of *http*; *shared* ones are not closed with it.

    *instead_of* are the retries of an SDK that the host takes over.
    """
    if host.chains.idle:
        from .passing import async_passing as for_async
        from .passing import passing as for_sync
    else:
        from .transports import async_transport as for_async
        from .transports import transport as for_sync
    make = for_sync if isinstance(http, module.Client) else for_async

    def once(inner: Any) -> Any:
        if host_of(inner) is host:  # wrapping twice must not retry twice
            if not instead_of:
                return inner
            inner = inner.inner  # nobody took over the retries of an SDK that comes on top only now
        made = make(host, module, inner)
        made.closes = not shared
        made.gave_up.instead_of = instead_of
        return made

    http._transport = once(http._transport)  # noqa: SLF001
    http._mounts = {  # noqa: SLF001
        pattern: inner if inner is None else once(inner)
        for pattern, inner in http._mounts.items()  # noqa: SLF001
    }
