"""What stands under a client of a host without plugins: every request passes by.

It has the place of a transport of transports.py without its modules, which are most of what a call of ours needs in
memory.  A request that is for us all the same, by one of our headers, goes to such a transport, made then.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .host import Host


def passing(host: Host, module: ModuleType, inner: Any) -> Any:
    """As :func:`clippy_core.transports.transport`."""
    return _classes(module)[0](host, inner)


def async_passing(host: Host, module: ModuleType, inner: Any) -> Any:
    """As :func:`clippy_core.transports.async_transport`."""
    return _classes(module)[1](host, inner)


class Retries:
    """The retries of an SDK that the host took over, until a transport keeps account of them."""

    instead_of = 0


class Before:
    """A host before an inner transport: what is the same in both colours."""

    def __init__(self, host: Host, inner: Any) -> None:
        self._host, self._inner, self._closes = host, inner, True
        self._gave_up: Any = Retries()
        self._own: Any = None

    def _passes_by(self, request: Any) -> bool:
        return self._host.passes_by(request.url.scheme, request.headers.raw)

    def _keep(self, own: Any) -> Any:
        """Keep the transport that takes what does not pass by."""
        own._gave_up.instead_of = self._gave_up.instead_of  # noqa: SLF001
        self._own, self._gave_up = own, own._gave_up  # noqa: SLF001
        return own


@functools.cache
def _classes(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """The sync and the async transport class of *module*."""

    class Passing(Before, module.BaseTransport):  # type: ignore[misc, name-defined]
        """Hands requests to an inner transport."""

        def handle_request(self, request: Any) -> Any:
            if self._passes_by(request):
                return self._inner.handle_request(request)
            return (self._own or self._make()).handle_request(request)

        def _make(self) -> Any:
            from .transports import transport

            return self._keep(transport(self._host, module, self._inner))

        def close(self) -> None:
            if self._closes:
                self._inner.close()

        def __enter__(self) -> Any:
            if self._closes:
                self._inner.__enter__()
            return self

        def __exit__(self, *exc: Any) -> None:
            if self._closes:
                self._inner.__exit__(*exc)

    class AsyncPassing(Before, module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        """The same for async clients."""

        async def handle_async_request(self, request: Any) -> Any:
            if self._passes_by(request):
                return await self._inner.handle_async_request(request)
            return await (self._own or self._make()).handle_async_request(request)

        def _make(self) -> Any:
            from .transports import async_transport

            return self._keep(async_transport(self._host, module, self._inner))

        async def aclose(self) -> None:
            if self._closes:
                await self._inner.aclose()

        async def __aenter__(self) -> Any:
            if self._closes:
                await self._inner.__aenter__()
            return self

        async def __aexit__(self, *exc: Any) -> None:
            if self._closes:
                await self._inner.__aexit__(*exc)

    for made, name in ((Passing, "Transport"), (AsyncPassing, "AsyncTransport")):
        made.__name__ = made.__qualname__ = f"Clippy{name}"
    return Passing, AsyncPassing
