"""What was counted: a cell for each metric and set of labels, kept by whoever adds to it often."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping

from attrs import define, field

from .metrics import BOUNDS, Metric

Values = tuple[str, ...]
Example = tuple[str, float, float]
"""The id of a request, its seconds and when it was, in unix seconds."""


@define(eq=False)
class Count:
    """A number that grows."""

    value: float = 0.0


@define(eq=False)
class Spread:
    """How long things took: ``counts`` of each bucket by itself, the sum, and the last example in each bucket."""

    counts: list[int] = field(factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0
    examples: list[Example | None] = field(factory=lambda: [None] * (len(BOUNDS) + 1))

    def add(self, seconds: float, request_id: str, at: float) -> None:
        """One more took so long."""
        bucket = bisect_left(BOUNDS, seconds)
        self.counts[bucket] += 1
        self.total += seconds
        self.examples[bucket] = (request_id, seconds, at)

    def copy(self) -> Spread:
        return Spread([*self.counts], self.total, [*self.examples])


@define(eq=False)
class Numbers:
    """The cells of one registry.  Whoever makes or changes one holds ``lock``, never for longer than that takes.

    ``under_way`` are the requests that are not over, by id, and whether each is a stream.
    """

    # An abandoned stream may be settled by the garbage collector, which may come while the same thread counts.
    lock: threading.RLock = field(factory=threading.RLock, init=False, repr=False)
    under_way: dict[str, bool] = field(factory=dict, init=False, repr=False)
    _counts: dict[tuple[Metric, Values], Count] = field(factory=dict, init=False, repr=False)
    _spreads: dict[tuple[Metric, Values], Spread] = field(factory=dict, init=False, repr=False)
    life: int = field(default=0, init=False)
    """Grows when everything is forgotten: cells of a life before count for nothing."""

    def count(self, metric: Metric, *values: str) -> Count:
        """The cell for these values of the metric's labels."""
        found = self._counts.get((metric, values))
        if found is None:
            found = self._counts[metric, values] = Count()
        return found

    def spread(self, metric: Metric, *values: str) -> Spread:
        """The same for how long something took."""
        found = self._spreads.get((metric, values))
        if found is None:
            found = self._spreads[metric, values] = Spread()
        return found

    def read(self) -> tuple[Mapping[tuple[Metric, Values], float], Mapping[tuple[Metric, Values], Spread]]:
        """All of it at one moment."""
        with self.lock:
            counts = {key: cell.value for key, cell in self._counts.items()}
            return counts, {key: cell.copy() for key, cell in self._spreads.items()}

    def streams(self) -> int:
        """Requests under way that asked for a stream."""
        with self.lock:
            return sum(self.under_way.values())

    def after_fork(self) -> None:
        """In a forked child: what the parent counted is told by the parent."""
        self.lock = threading.RLock()
        self.life += 1
        self.under_way, self._counts, self._spreads = {}, {}, {}
