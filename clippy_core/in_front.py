"""A transport in front of another: what those of transports.py and passing.py share."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .host import Host


class InFront:
    """A host in front of an inner transport: what is the same in both colours."""

    closes = True
    """Whether the inner transport is closed with this one."""

    def __init__(self, host: Host, inner: Any) -> None:
        self.host, self.inner = host, inner

    def passes_by(self, request: Any) -> bool:
        """Whether a request is none of the plugins' business."""
        return self.host.passes_by(request.url.scheme, request.headers.raw)


def host_of(transport: Any) -> Host | None:
    """The host in *transport*, if it is one of ours."""
    return transport.host if isinstance(transport, InFront) else None


@functools.cache
def fronts(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """The sync and the async transport of *module* that opens and closes the one behind it."""

    class Front(InFront, module.BaseTransport):  # type: ignore[misc, name-defined]
        def close(self) -> None:
            if self.closes:
                self.inner.close()

        def __enter__(self) -> Any:
            if self.closes:
                self.inner.__enter__()
            return self

        def __exit__(self, *exc: Any) -> None:
            if self.closes:
                self.inner.__exit__(*exc)

    class AsyncFront(InFront, module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        async def aclose(self) -> None:
            if self.closes:
                await self.inner.aclose()

        async def __aenter__(self) -> Any:
            if self.closes:
                await self.inner.__aenter__()
            return self

        async def __aexit__(self, *exc: Any) -> None:
            if self.closes:
                await self.inner.__aexit__(*exc)

    return Front, AsyncFront


def named(sync: type[Any], asynchronous: type[Any]) -> tuple[type[Any], type[Any]]:
    """The two, with the names that a user meets in a traceback."""
    for made, name in ((sync, "Transport"), (asynchronous, "AsyncTransport")):
        made.__name__ = made.__qualname__ = f"Clippy{name}"
    return sync, asynchronous
