"""The gaps between a stream's pieces, in a histogram of fixed size."""

from __future__ import annotations

from math import frexp

from attrs import define, field

STEPS = 16
"""Classes for each doubling: a percentile is at most 1 in 32 beside the gap that it stands for."""
SHORTEST = 5e-5
"""Seconds.  Shorter gaps are one class: those pieces came in one read."""
LONGEST = 4096.0
"""Seconds.  Longer gaps are one class, which keeps the histogram within 27 doublings of 16 classes."""


@define(eq=False)
class Gaps:
    """How long a stream's gaps were: each counts in a class of gaps that are about as long, so that none is kept."""

    longest: float = 0.0
    at_once: int = 0
    _classes: dict[int, int] = field(init=False, factory=dict)

    def add(self, seconds: float) -> None:
        """Count one gap."""
        if seconds > self.longest:
            self.longest = seconds
        if seconds < SHORTEST:
            self.at_once += 1
        else:
            part, doubling = frexp(min(seconds, LONGEST))
            place = doubling * STEPS + int((part - 0.5) * 2 * STEPS)
            self._classes[place] = self._classes.get(place, 0) + 1

    def percentile(self, share: float) -> float | None:
        """The gap that this share (0 to 1) of them does not exceed; None if there are none."""
        classes = sorted(dict(self._classes).items())
        left = share * (self.at_once + sum(count for _, count in classes)) - self.at_once
        if not (self.at_once or classes):
            return None
        if left <= 0:
            return 0.0
        for place, count in classes:
            left -= count
            if left <= 0:
                doubling, step = divmod(place, STEPS)
                return min(float((0.5 + (step + 0.5) / (2 * STEPS)) * 2.0**doubling), self.longest)
        return self.longest
