"""A sound state store.  It offers itself as the ``StateStore`` and takes the host's clock when the host opens."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field
from clippy_hookspecs import Clock, Host, Reservation, ServiceRegistry, StateStore, hookimpl


@define(eq=False)
class Store:
    """Small state in this process, atomic by one lock."""

    clock: Clock | None = field(default=None, metadata={"doc": "For programs: whose time counts, if not the host's."})
    _values: dict[str, tuple[str, float]] = field(init=False, factory=dict, repr=False)
    _counters: dict[str, tuple[float, float]] = field(init=False, factory=dict, repr=False)
    _held: dict[str, dict[str, tuple[float, float]]] = field(init=False, factory=dict, repr=False)
    _used: dict[str, list[tuple[float, float]]] = field(init=False, factory=dict, repr=False)
    _leases: dict[str, dict[str, float]] = field(init=False, factory=dict, repr=False)
    _lock: threading.RLock = field(init=False, factory=threading.RLock, repr=False)

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(StateStore, self)

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        if self.clock is None:
            self.clock = host.services.get(Clock)
        yield

    def _now(self) -> float:
        return time.time() if self.clock is None else self.clock.time()

    def _until(self, ttl: float) -> float:
        if not ttl > 0:
            raise ValueError(f"ttl is {ttl}; everything expires, so give seconds above 0")
        return self._now() + ttl

    # --- values -------------------------------------------------------------------------------------------------------

    def get(self, key: str) -> str | None:
        with self._lock:
            value, until = self._values.get(key, (None, 0.0))
            return value if until > self._now() else None

    def put(self, key: str, value: str, ttl: float) -> None:
        with self._lock:
            self._values[key] = (value, self._until(ttl))

    def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        with self._lock:
            if self.get(key) != expected:
                return False
            self.put(key, value, ttl)
            return True

    # --- counters -----------------------------------------------------------------------------------------------------

    def add(self, key: str, amount: float, ttl: float) -> float:
        with self._lock:
            until, (total, ends) = self._until(ttl), self._counters.get(key, (0.0, 0.0))
            if ends <= self._now():
                total, ends = 0.0, until
            self._counters[key] = (total + amount, ends)
            return total + amount

    # --- limits -------------------------------------------------------------------------------------------------------

    def _total(self, key: str) -> float:
        now = self._now()
        held = sum(amount for amount, until in self._held.get(key, {}).values() if until > now)
        return held + sum(amount for amount, until in self._used.get(key, []) if until > now)

    def _hold(self, key: str, amount: float, ttl: float) -> Reservation:
        reservation = Reservation(uuid.uuid4().hex, key, amount, self._until(ttl))
        self._held.setdefault(key, {})[reservation.id] = (amount, reservation.expires_at)
        return reservation

    def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Reservation | None:
        with self._lock:
            return self._hold(key, amount, ttl) if self._total(key) + amount <= limit else None

    def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        with self._lock:
            until = self._until(ttl)
            if self._held.get(reservation.key, {}).pop(reservation.id, None) is not None:
                self._used.setdefault(reservation.key, []).append((actual, until))

    def refund(self, reservation: Reservation) -> None:
        with self._lock:
            self._held.get(reservation.key, {}).pop(reservation.id, None)

    # --- leases -------------------------------------------------------------------------------------------------------

    def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        with self._lock:
            until, now = self._until(ttl), self._now()
            live = {name: ends for name, ends in self._leases.get(key, {}).items() if ends > now}
            if holder not in live and len(live) >= places:
                return False
            self._leases[key] = {**live, holder: until}
            return True

    def release(self, key: str, holder: str) -> None:
        with self._lock:
            self._leases.get(key, {}).pop(holder, None)
