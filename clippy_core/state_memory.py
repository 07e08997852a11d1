"""The StateStore of one process: what limits and breakers use until another is installed."""

from __future__ import annotations

import itertools
import threading

from clippy_hookspecs import Clock, Reservation

from .forks import follow_forks


class _Uses:
    """What is used and held of one limit, each with its end in unix seconds."""

    __slots__ = ("held", "settled")

    def __init__(self) -> None:
        self.settled: list[tuple[float, float]] = []
        self.held: dict[str, tuple[float, float]] = {}

    def total(self, now: float) -> float:
        self.settled = [use for use in self.settled if use[1] > now]
        self.held = {key: use for key, use in self.held.items() if use[1] > now}
        return sum(amount for amount, _ in self.settled) + sum(amount for amount, _ in self.held.values())


class MemoryStateStore:
    """Atomic by one lock that is never held while anything waits, so it is driven in place in every colour."""

    inline = True
    SWEEP = 4096
    """Every so many writes what has expired is swept out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin()
        follow_forks(self._begin)

    def _begin(self) -> None:
        """Nothing is held; in a forked child too, where the parent's requests hold what it held, and maybe the lock."""
        self._lock = threading.Lock()
        self._values: dict[str, tuple[str, float]] = {}
        self._counters: dict[str, tuple[float, float]] = {}
        self._uses: dict[str, _Uses] = {}
        self._leases: dict[str, dict[str, float]] = {}
        self._ids = itertools.count(1)
        self._writes = 0

    async def get(self, key: str) -> str | None:
        with self._lock:
            return self._live(key)

    async def put(self, key: str, value: str, ttl: float) -> None:
        with self._lock:
            self._values[key] = (value, self._until(ttl))

    async def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        with self._lock:
            if self._live(key) != expected:
                return False
            self._values[key] = (value, self._until(ttl))
            return True

    async def add(self, key: str, amount: float, ttl: float) -> float:
        with self._lock:
            until = self._until(ttl)
            total, ends = self._counters.get(key, (0.0, until))
            if ends <= self._clock.time():
                total, ends = 0.0, until
            self._counters[key] = (total + amount, ends)
            return total + amount

    async def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Reservation | None:
        with self._lock:
            until = self._until(ttl)
            uses = self._uses.setdefault(key, _Uses())
            if uses.total(self._clock.time()) + amount > limit:
                return None
            name = str(next(self._ids))
            uses.held[name] = (amount, until)
            return Reservation(name, key, amount, until)

    async def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        with self._lock:
            until = self._until(ttl)
            uses = self._uses.setdefault(reservation.key, _Uses())
            if uses.held.pop(reservation.id, None) is not None:
                uses.settled.append((actual, until))

    async def refund(self, reservation: Reservation) -> None:
        with self._lock:
            uses = self._uses.get(reservation.key)
            if uses is not None:
                uses.held.pop(reservation.id, None)

    async def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        with self._lock:
            until, now = self._until(ttl), self._clock.time()
            held = {name: ends for name, ends in self._leases.get(key, {}).items() if ends > now}
            if holder not in held and len(held) >= places:
                return False
            held[holder] = until
            self._leases[key] = held
            return True

    async def release(self, key: str, holder: str) -> None:
        with self._lock:
            self._leases.get(key, {}).pop(holder, None)

    def _live(self, key: str) -> str | None:
        value, ends = self._values.get(key, ("", 0.0))
        return value if ends > self._clock.time() else None

    def _until(self, ttl: float) -> float:
        """When something that is written now expires.  Raises ValueError if *ttl* is not above zero."""
        if not ttl > 0:
            raise ValueError(f"ttl is {ttl}; everything in a StateStore expires, so give seconds above 0")
        self._writes += 1
        if self._writes % self.SWEEP == 0:
            self._sweep()
        return self._clock.time() + ttl

    def _sweep(self) -> None:
        now = self._clock.time()
        self._values = {key: kept for key, kept in self._values.items() if kept[1] > now}
        self._counters = {key: kept for key, kept in self._counters.items() if kept[1] > now}
        self._uses = {key: uses for key, uses in self._uses.items() if uses.total(now) or uses.held}
        self._leases = {
            key: live
            for key, held in self._leases.items()
            if (live := {name: ends for name, ends in held.items() if ends > now})
        }
