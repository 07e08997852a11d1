"""The StateStore on one server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define
from clippy_hookspecs import Reservation
from clippy_redis import Operation, Server

from .operations import Operations


@define(eq=False)
class RedisStore:
    """Each method is one atomic operation, made by *ask*.  ``blocking`` is the same store for sync programs."""

    _operations: Operations
    _ask: Callable[[Operation], Awaitable[Any]]
    inline: bool = False
    blocking: RedisStore | None = None

    @classmethod
    def on(cls, server: Server, prefix: str) -> RedisStore:
        """The store of *server*, with keys that begin with *prefix*."""
        operations = Operations(prefix)
        in_place = cls(operations, server.ask_in_place, inline=True)
        return cls(operations, server.ask, blocking=in_place)

    async def get(self, key: str) -> str | None:
        found: str | None = await self._ask(self._operations.get(key))
        return found

    async def put(self, key: str, value: str, ttl: float) -> None:
        await self._ask(self._operations.put(key, value, ttl))

    async def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        swapped: bool = await self._ask(self._operations.swap(key, expected, value, ttl))
        return swapped

    async def add(self, key: str, amount: float, ttl: float) -> float:
        total: float = await self._ask(self._operations.add(key, amount, ttl))
        return total

    async def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Reservation | None:
        held: Reservation | None = await self._ask(self._operations.reserve(key, amount, limit, ttl))
        return held

    async def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        await self._ask(self._operations.settle(reservation, actual, ttl))

    async def refund(self, reservation: Reservation) -> None:
        await self._ask(self._operations.refund(reservation))

    async def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        taken: bool = await self._ask(self._operations.lease(key, holder, ttl, places))
        return taken

    async def release(self, key: str, holder: str) -> None:
        await self._ask(self._operations.release(key, holder))
