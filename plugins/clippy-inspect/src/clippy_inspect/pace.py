"""How many requests begin a second, counted as they do: also where more come than are kept."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

WINDOWS: Final = ((10.0, "10 s"), (60.0, "1 min"), (900.0, "15 min"))
SLOTS: Final = 10
"""Slots of a second: a window is right to one of them."""
MOST_KNOWN: Final = 20_000
"""Requests that are known to have begun; with more than these under way at once some count twice."""


@frozen
class Rate:
    """Requests that began in the last ``seconds``, as so many a second; None if we do not look back so far.

    ``over`` are the seconds that it is of: fewer where counting began later than that.
    """

    name: str
    seconds: float
    per_second: float | None
    over: float


def rate(name: str, seconds: float, count: int, age: float) -> Rate:
    """The rate of *count* requests in a window, where they have been counted for *age* seconds."""
    over = min(seconds, max(1.0, age))
    return Rate(name, seconds, count / over, over)


@define(eq=False)
class Pace:
    """Told of requests by their ids, each as often as one likes, from any thread; keeps 15 minutes of counts.

    ``now`` is a clock that is not set back, in seconds.
    """

    now: Callable[[], float] = field(default=time.monotonic, repr=False)
    _began: float = field(init=False, repr=False)
    _slots: deque[tuple[int, int]] = field(init=False, factory=deque, repr=False)
    _known: OrderedDict[str, None] = field(init=False, factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        self._began = self.now()

    @property
    def age(self) -> float:
        """For how many seconds it has counted."""
        return self.now() - self._began

    def heard(self, request_id: str) -> None:
        """Something happened to this request: the first time, it began."""
        with self._lock:
            if request_id in self._known:
                return
            self._known[request_id] = None
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
            slot = self._now()
            count = self._slots.pop()[1] if self._slots and self._slots[-1][0] == slot else 0
            self._slots.append((slot, count + 1))
            self._forget(slot)

    def rates(self) -> tuple[Rate, ...]:
        """Of each window; also right after a pause."""
        with self._lock:
            slot = self._now()
            self._forget(slot)
            slots = tuple(self._slots)
        age = self.age
        return tuple(
            rate(name, seconds, sum(count for at, count in slots if at > slot - seconds * SLOTS), age)
            for seconds, name in WINDOWS
        )

    def _now(self) -> int:
        return int(self.now() * SLOTS)

    def _forget(self, slot: int) -> None:
        while self._slots and self._slots[0][0] <= slot - WINDOWS[-1][0] * SLOTS:
            self._slots.popleft()
