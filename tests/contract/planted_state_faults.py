"""State stores with one fault each."""

from __future__ import annotations

import time

from attrs import define
from clippy_hookspecs import Reservation
from planted_state import Store


def _far() -> None:
    """The way to a store on another machine and back, during which others work."""
    time.sleep(0.004)


# --- not atomic -------------------------------------------------------------------------------------------------------


@define(eq=False)
class LooksThenTakes(Store):
    """Looks whether there is room, and takes it later: two find the same room."""

    def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Reservation | None:
        with self._lock:
            room = self._total(key) + amount <= limit
        _far()
        with self._lock:
            return self._hold(key, amount, ttl) if room else None


@define(eq=False)
class ReadsThenWrites(Store):
    """Adds to a counter by reading it and writing it back: some additions are lost."""

    def add(self, key: str, amount: float, ttl: float) -> float:
        with self._lock:
            until, (total, ends) = self._until(ttl), self._counters.get(key, (0.0, 0.0))
        _far()
        with self._lock:
            if ends <= self._now():
                total, ends = 0.0, until
            self._counters[key] = (total + amount, ends)
            return total + amount


@define(eq=False)
class SwapsThenPuts(Store):
    """Compares, and puts later: two that expected the same value both win."""

    def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        same = self.get(key) == expected
        _far()
        if same:
            self.put(key, value, ttl)
        return same


@define(eq=False)
class ExpectsNothing(Store):
    """Takes "there must be no value" for "whatever there is"."""

    def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        with self._lock:
            if expected is not None and self.get(key) != expected:
                return False
            self.put(key, value, ttl)
            return True


# --- sums that do not add up ------------------------------------------------------------------------------------------


@define(eq=False)
class RefundsAgain(Store):
    """Takes a refund off the sum without looking whether it was given before."""

    def refund(self, reservation: Reservation) -> None:
        with self._lock:
            if self._held.get(reservation.key, {}).pop(reservation.id, None) is None:
                self._used.setdefault(reservation.key, []).append((-reservation.amount, reservation.expires_at))


@define(eq=False)
class SettlesAgain(Store):
    """Counts a use each time it is settled."""

    def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        with self._lock:
            self._held.get(reservation.key, {}).pop(reservation.id, None)
            self._used.setdefault(reservation.key, []).append((actual, self._until(ttl)))


@define(eq=False)
class NeverMoreThanReserved(Store):
    """Counts at most what was reserved, also when more was used."""

    def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        Store.settle(self, reservation, min(actual, reservation.amount), ttl)


# --- what should have ended -------------------------------------------------------------------------------------------


@define(eq=False)
class ValuesStay(Store):
    """Takes a ttl for its values and never looks at it again."""

    def get(self, key: str) -> str | None:
        with self._lock:
            return self._values.get(key, (None, 0.0))[0]


@define(eq=False)
class HeldForEver(Store):
    """Holds what a worker reserved that died before it could settle."""

    def _hold(self, key: str, amount: float, ttl: float) -> Reservation:
        reservation = Store._hold(self, key, amount, ttl)
        self._held[key][reservation.id] = (amount, float("inf"))
        return reservation


@define(eq=False)
class CountsOn(Store):
    """Lets every addition prolong a counter's life, so that a busy window never ends."""

    def add(self, key: str, amount: float, ttl: float) -> float:
        with self._lock:
            total = Store.add(self, key, amount, ttl)
            self._counters[key] = (total, self._until(ttl))
            return total


@define(eq=False)
class WallClock(Store):
    """Goes by the machine's time and not by the host's."""

    def _now(self) -> float:
        return time.time()


# --- leases -----------------------------------------------------------------------------------------------------------


@define(eq=False)
class LeaseForLife(Store):
    """Never takes a place back from a holder that died."""

    def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        with self._lock:
            taken = Store.lease(self, key, holder, ttl, places)
            if taken:
                self._leases[key][holder] = float("inf")
            return taken


@define(eq=False)
class OneTooMany(Store):
    """Compares with the wrong sign: one place has two holders."""

    def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        return Store.lease(self, key, holder, ttl, places + 1)


@define(eq=False)
class NoRenewal(Store):
    """Turns its own holder away when all places are taken, the holder's own among them."""

    def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        with self._lock:
            now = self._now()
            if sum(ends > now for ends in self._leases.get(key, {}).values()) >= places:
                return False
            return Store.lease(self, key, holder, ttl, places)


@define(eq=False)
class AnybodyReleases(Store):
    """Gives a place back for whoever asks, also one that is another's."""

    def release(self, key: str, holder: str) -> None:
        with self._lock:
            self._leases.pop(key, None)
