"""What was counted: a cell for each metric and set of labels, kept by whoever adds to it often."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator
from operator import itemgetter

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

    def add(self, seconds: float) -> int:
        """One more took so long; the bucket in which it is counted."""
        bucket = bisect_left(BOUNDS, seconds)
        self.counts[bucket] += 1
        self.total += seconds
        return bucket

    def include(self, other: Spread) -> None:
        """Count what *other* has as well; the later one of two examples stays."""
        self.counts = [one + more for one, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        both = zip(self.examples, other.examples, strict=True)
        self.examples = [max(filter(None, pair), key=itemgetter(2), default=None) for pair in both]


@define(eq=False)
class Numbers:
    """What one host counts.  Whoever makes or changes a cell holds ``lock``, never for longer than that takes.

    ``under_way`` are the requests that are not over, by id, and whether each is a stream.
    """

    # An abandoned stream may be settled by the garbage collector, which may come while the same thread counts.
    lock: threading.RLock = field(factory=threading.RLock, init=False, repr=False)
    under_way: dict[str, bool] = field(factory=dict, init=False, repr=False)
    _counts: dict[tuple[Metric, Values], Count] = field(factory=dict, init=False, repr=False)
    _spreads: dict[tuple[Metric, Values], Spread] = field(factory=dict, init=False, repr=False)
    life: int = field(default=0, init=False)
    """Grows when everything is forgotten: what was put into cells of a life before counts for nothing."""

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

    def include(self, other: Numbers) -> None:
        """Count what *other* has as well, as of one moment."""
        with other.lock:
            self.under_way |= other.under_way
            for (metric, values), count in list(other._counts.items()):
                self.count(metric, *values).value += count.value
            for (metric, values), spread in list(other._spreads.items()):
                self.spread(metric, *values).include(spread)

    def moved(self, to: Numbers) -> None:
        """Have *to* count what was counted here, which is forgotten here."""
        with self.lock:
            to.include(self)
            to.under_way.clear()
            self._forget()

    def counts(self) -> Iterator[tuple[Metric, Values, float]]:
        """Each metric with the values of its labels."""
        return ((metric, values, cell.value) for (metric, values), cell in self._counts.items())

    def spreads(self) -> Iterator[tuple[Metric, Values, Spread]]:
        """The same for how long things took."""
        return ((metric, values, spread) for (metric, values), spread in self._spreads.items())

    def after_fork(self) -> None:
        """In a forked child: what the parent counted is told by the parent."""
        self.lock, self.under_way = threading.RLock(), {}
        self._forget()

    def _forget(self) -> None:
        self.life += 1
        self._counts, self._spreads = {}, {}
