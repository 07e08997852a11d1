"""What stands under a client of a host without plugins: every request passes by.

It has the place of a transport of transports.py without its modules, which are most of what a call of ours needs in
memory.  A request that is for us all the same, by one of our headers, goes to such a transport, made then.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .in_front import InFront, fronts, named

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


class Before(InFront):
    """A host before an inner transport: what is the same in both colours."""

    def __init__(self, host: Host, inner: Any) -> None:
        super().__init__(host, inner)
        self.gave_up: Any = Retries()
        self._own: Any = None

    def _keep(self, own: Any) -> Any:
        """Keep the transport that takes what does not pass by."""
        own.gave_up.instead_of = self.gave_up.instead_of
        self._own, self.gave_up = own, own.gave_up
        return own


@functools.cache
def _classes(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """The sync and the async transport class of *module*."""
    front, async_front = fronts(module)

    class Passing(Before, front):  # type: ignore[misc, valid-type]
        """Hands requests to an inner transport."""

        def handle_request(self, request: Any) -> Any:
            if self.passes_by(request):
                return self.inner.handle_request(request)
            return (self._own or self._make()).handle_request(request)

        def _make(self) -> Any:
            from .transports import transport

            return self._keep(transport(self.host, module, self.inner))

    class AsyncPassing(Before, async_front):  # type: ignore[misc, valid-type]
        """The same for async clients."""

        async def handle_async_request(self, request: Any) -> Any:
            if self.passes_by(request):
                return await self.inner.handle_async_request(request)
            return await (self._own or self._make()).handle_async_request(request)

        def _make(self) -> Any:
            from .transports import async_transport

            return self._keep(async_transport(self.host, module, self.inner))

    return named(Passing, AsyncPassing)
