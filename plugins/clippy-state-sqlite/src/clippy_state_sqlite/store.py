"""The StateStore on the file, for coroutines that may suspend and for threads that may block."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import define
from clippy_hookspecs import Reservation

from .access import Access, Locked
from .file import BUSY_SECONDS, LONGEST, StateFile

T = TypeVar("T")

_PAUSE = (0.001, 0.01)


async def _suspend(seconds: float) -> None:
    import anyio  # a sync program needs no event loops

    await anyio.sleep(seconds)


async def _block(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251 (only threads without an event loop wait so)


@define(eq=False)
class SqliteStateStore:
    """Small state that the processes of one host share; each method is one transaction.

    Everything is done in place, because it takes less than handing it to a thread.  Only if another process has the
    file for longer than a transaction takes, ``wait`` waits, again and again for ``patience`` seconds.  ``blocking`` is
    the same for the threads of a sync host.

    Everything that cannot be done raises OSError with the name of the file, TimeoutError if it stayed locked.
    """

    access: Access
    patience: float
    wait: Callable[[float], Awaitable[None]] = _suspend
    blocking: SqliteStateStore | None = None

    @classmethod
    def on(cls, access: Access, patience: float) -> SqliteStateStore:
        """A store for both colours."""
        return cls(access, patience, blocking=cls(access, patience, _block))

    async def get(self, key: str) -> str | None:
        """The live value, or None; never makes a file."""
        name = _bytes("key", key)
        return await self._do(lambda file, now: file.get(name, now), reads=True)

    async def put(self, key: str, value: str, ttl: float) -> None:
        """Store *value* for *ttl* seconds."""
        name, content, ttl = _bytes("key", key), _bytes("value", value), _seconds(ttl)
        await self._do(lambda file, now: file.put(name, content, now + ttl, now))

    async def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        """Store *value* if the live value is *expected* (None: if there is none); whether it was."""
        name, content, ttl = _bytes("key", key), _bytes("value", value), _seconds(ttl)
        before = None if expected is None else _bytes("value", expected)
        return await self._do(lambda file, now: file.swap(name, before, content, now + ttl, now))

    async def add(self, key: str, amount: float, ttl: float) -> float:
        """Add to a counter, which starts at 0 and lives *ttl* seconds from its first addition; its new value."""
        name, amount, ttl = _bytes("key", key), _number(amount), _seconds(ttl)
        return await self._do(lambda file, now: file.add(name, amount, now + ttl, now))

    async def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Reservation | None:
        """Hold *amount* of *key* if what is used and held stays within *limit*; None if it does not fit."""
        name, amount, ttl = _bytes("key", key), _number(amount), _seconds(ttl)
        identity = os.urandom(12).hex()

        def reserve(file: StateFile, now: float) -> Reservation | None:
            fits = file.reserve(name, identity.encode(), amount, limit, now + ttl, now)
            return Reservation(identity, key, amount, now + ttl) if fits else None

        return await self._do(reserve)

    async def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        """Turn a reservation into *actual* use that counts for *ttl* seconds.  Twice is the same as once.

        One whose time is over counts as long as it has not been swept out: what was used was used.
        """
        key, name, actual, ttl = *_names(reservation), _number(actual), _seconds(ttl)
        await self._do(lambda file, now: file.settle(key, name, actual, now + ttl, now))

    async def refund(self, reservation: Reservation) -> None:
        """Give a reservation back unused.  Twice is the same as once."""
        key, name = _names(reservation)
        await self._do(lambda file, now: file.refund(key, name, now))

    async def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        """Take or renew one of *places* for *holder*; False when all are taken by others."""
        name, who, ttl = _bytes("key", key), _bytes("holder", holder), _seconds(ttl)
        return await self._do(lambda file, now: file.lease(name, who, places, now + ttl, now))

    async def release(self, key: str, holder: str) -> None:
        """Give the place back; nothing happens if *holder* has none."""
        name, who = _bytes("key", key), _bytes("holder", holder)
        await self._do(lambda file, now: file.release(name, who, now))

    async def _do(self, work: Callable[[StateFile, float], T], reads: bool = False) -> T:
        waited, access = 0.0, self.access
        while True:
            try:
                return access.attempt(work, reads)
            except Locked as error:
                if waited >= self.patience or access.hopeless:
                    access.gave_up()
                    message = f"the state file {access.path} is locked by another process (waited {waited:.3g} seconds)"
                    raise TimeoutError(message) from error.__cause__
            # Random, so that those who wait do not all come back at once; by the machine's time and not the host's, for
            # what is waited for is another process.
            seconds = random.uniform(*_PAUSE)  # noqa: S311
            await self.wait(seconds)
            waited += BUSY_SECONDS + seconds


def _bytes(what: str, text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    if len(content) > LONGEST:
        raise ValueError(f"a {what} of {len(content)} bytes; the state file takes at most {LONGEST}")
    return content


def _names(reservation: Reservation) -> tuple[bytes, bytes]:
    return _bytes("key", reservation.key), _bytes("reservation's id", reservation.id)


def _seconds(ttl: float) -> float:
    if not ttl > 0:
        raise ValueError(f"ttl is {ttl}; everything in a StateStore expires, so give seconds above 0")
    return float(ttl)


def _number(amount: float) -> float:
    if not math.isfinite(amount):
        raise ValueError(f"an amount is {amount}; give a finite number")
    return float(amount)
