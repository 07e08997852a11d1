"""Asking the server from the hooks of a sync host and of an async one."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from clippy_redis import Operation, Server


@runtime_checkable
class Asking(Protocol):
    """A service of the cache's own: the host knows whether who asks may suspend, and no hook can see it otherwise.

    It is the same for all caches of a host, whatever their servers.
    """

    async def ask(self, server: Server, operation: Operation) -> Any:
        """The result of *operation*.  Raises ServerUnavailable."""
        ...


class InPlace:
    """Blocks the calling thread."""

    async def ask(self, server: Server, operation: Operation) -> Any:
        return await server.ask_in_place(operation)


class Suspending:
    """Waits as async programs do."""

    blocking = InPlace()

    async def ask(self, server: Server, operation: Operation) -> Any:
        return await server.ask(operation)
