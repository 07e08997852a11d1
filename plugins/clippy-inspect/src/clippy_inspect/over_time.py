"""Requests over time: equal spans from the oldest that is looked at until now, and what each span came to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from attrs import frozen
from clippy_recorder import Exchange

from .spreads import quantile

SPANS: Final = 60
FAILED: Final = ("failed", "abandoned")


@frozen
class Span:
    """What began in one of the spans: ``at`` is where it begins, unix seconds; ``p50`` and ``p95`` are microseconds
    of what was answered, None where nothing was."""

    at: float
    requests: int
    failed: int
    p50: int | None
    p95: int | None


def over_time(exchanges: Sequence[Exchange], since: float | None, now: float) -> tuple[Span, ...]:
    """*exchanges* in at most ``SPANS`` spans of a second at least; none of a time in which nothing is known."""
    if since is None:
        return ()
    width = max(1.0, (now - since) / SPANS)
    within: list[list[Exchange]] = [[] for _ in range(SPANS)]
    for one in exchanges:
        within[min(SPANS - 1, max(0, int((one.began - since) / width)))].append(one)
    used = min(SPANS, max(1, math.ceil((now - since) / width)))
    return tuple(_span(since + place * width, found) for place, found in enumerate(within[:used]))


def _span(at: float, exchanges: Sequence[Exchange]) -> Span:
    took = sorted(one.duration for one in exchanges if one.state in ("answered", "cached") and one.duration is not None)
    failed = sum(one.state in FAILED for one in exchanges)
    return Span(at, len(exchanges), failed, quantile(took, 0.50), quantile(took, 0.95))
