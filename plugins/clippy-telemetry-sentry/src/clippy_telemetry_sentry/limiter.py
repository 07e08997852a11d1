"""How many events may be sent: an outage is one thing to report, and not ten thousand."""

from __future__ import annotations

import threading
from collections import OrderedDict

from attrs import define, field

KEPT = 1000
"""Kinds of failures that are remembered; of more the one that is longest ago is forgotten."""


@define(eq=False)
class Bucket:
    """A token bucket: ``tokens`` events may be sent now, and one more for each that time fills in."""

    tokens: float
    at: float
    suppressed: int = 0

    def fill(self, now: float, per_second: float, most: float) -> bool:
        """Bring the bucket to the time *now*, in seconds; whether it has an event to give."""
        self.tokens = min(most, self.tokens + max(0.0, now - self.at) * per_second)
        self.at = now
        return self.tokens >= 1.0


@define(eq=False)
class Limiter:
    """A bucket for each kind of failure, by its key, and one for all of them.

    Of one kind ``burst`` events are sent at once and then ``per_minute``; of all kinds together never more than
    ``most_per_minute`` at once and in a minute.
    """

    burst: int
    per_minute: float
    most_per_minute: int
    _all: Bucket = field(init=False, repr=False)
    _kinds: OrderedDict[tuple[str, ...], Bucket] = field(init=False, factory=OrderedDict, repr=False)
    _forgotten: int = field(init=False, default=0, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        self._all = Bucket(float(self.most_per_minute), 0.0)

    def take(self, key: tuple[str, ...], now: float) -> tuple[int, int] | None:
        """Whether an event of this kind may be sent *now*, in seconds of a clock that never goes back.

        None if not.  Otherwise how many of its kind were suppressed since the last that was sent, and how many of kinds
        that are forgotten.
        """
        with self._lock:
            kind = self._kinds.pop(key, None) or Bucket(float(self.burst), now)
            self._kinds[key] = kind
            if len(self._kinds) > KEPT:
                self._forgotten += self._kinds.popitem(last=False)[1].suppressed
            mine = kind.fill(now, self.per_minute / 60.0, self.burst)
            if not (self._all.fill(now, self.most_per_minute / 60.0, self.most_per_minute) and mine):
                kind.suppressed += 1
                return None
            kind.tokens -= 1.0
            self._all.tokens -= 1.0
            told = kind.suppressed, self._forgotten
            kind.suppressed = self._forgotten = 0
            return told
