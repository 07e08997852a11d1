"""Transports that count what they send, so that each call of a case can prove whether it reached the server."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from attrs import define

from benchmarks import hosts


@define(eq=False)
class Reach:
    """How many requests were sent."""

    count: int = 0


def counted(module: ModuleType, reach: Reach, *, waits: bool, **options: Any) -> Any:
    """The transport of httpx or httpx2 that a client would make itself, which counts in *reach*."""
    made = _kind(module, waits)(verify=hosts.tls(module), **options)
    made.reach = reach
    return made


@functools.cache
def _kind(module: ModuleType, waits: bool) -> type[Any]:
    sync: Any = module.HTTPTransport
    own: Any = module.AsyncHTTPTransport

    class Counted(sync):  # type: ignore[misc]
        reach: Reach

        def handle_request(self, request: Any) -> Any:
            self.reach.count += 1
            return super().handle_request(request)

    class AsyncCounted(own):  # type: ignore[misc]
        reach: Reach

        async def handle_async_request(self, request: Any) -> Any:
            self.reach.count += 1
            return await super().handle_async_request(request)

    return AsyncCounted if waits else Counted
