"""A store of this process alone, for the time in which the shared one cannot be asked."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from attrs import define, field

MOST = 4096
"""Keys after which what has expired is swept out."""


@define(eq=False)
class LocalStore:
    """The part of a StateStore that breakers need.  The lock is never held while anything waits."""

    _now: Callable[[], float]
    _values: dict[str, tuple[str, float]] = field(factory=dict, init=False)
    _holders: dict[str, tuple[str, float]] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _process: int = field(factory=os.getpid, init=False)

    async def get(self, key: str) -> str | None:
        value, ends = self._values.get(key, (None, 0.0))
        return value if ends > self._now() else None

    async def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        with self._own_lock():
            if await self.get(key) != expected:
                return False
            self._values[key] = (value, self._now() + ttl)
            if len(self._values) > MOST:
                self._values = {key: kept for key, kept in self._values.items() if kept[1] > self._now()}
            return True

    async def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        with self._own_lock():
            held, ends = self._holders.get(key, ("", 0.0))
            if held not in ("", holder) and ends > self._now():
                return False
            self._holders[key] = (holder, self._now() + ttl)
            return True

    async def release(self, key: str, holder: str) -> None:
        with self._own_lock():
            if self._holders.get(key, ("", 0.0))[0] == holder:
                del self._holders[key]

    def _own_lock(self) -> threading.Lock:
        """The lock; in a forked child another, since a thread of the parent may have held that one."""
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock
