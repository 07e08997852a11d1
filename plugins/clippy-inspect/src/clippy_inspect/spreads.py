"""How long things took: nearest-rank quantiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from attrs import frozen


@frozen
class Spread:
    """How long things took, in microseconds: nearest-rank quantiles of all that was looked at; None: of nothing."""

    count: int
    p50: int | None
    p95: int | None
    p99: int | None


def spread(values: Iterable[int | None]) -> Spread:
    """The quantiles of *values*; None among them is left out."""
    known = sorted(value for value in values if value is not None)
    return Spread(len(known), *(quantile(known, share) for share in (0.50, 0.95, 0.99)))


def quantile(ordered: Sequence[int], share: float) -> int | None:
    """The nearest-rank quantile: the smallest value that at least *share* of all do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
