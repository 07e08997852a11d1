"""What caches did, as numbers: a value made from counts, whichever process or day they come from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import field, frozen

ACCURACY = 0.02
"""A quantile is off by at most so much of itself."""
_GROWTH = math.log((1 + ACCURACY) / (1 - ACCURACY))
_LEAST, _MOST = 1e-6, 1e6


def bucket(seconds: float) -> int:
    """The number of the bucket that a duration falls into; buckets grow by 4 %.

    The index of DDSketch (Masson, Rim and Lee, VLDB 2019), whose sketches of several processes can be added up.
    """
    return math.ceil(math.log(min(seconds, _MOST)) / _GROWTH) if seconds > _LEAST else FIRST


FIRST, LAST = (math.ceil(math.log(end) / _GROWTH) for end in (_LEAST, _MOST))


@frozen
class Latency:
    """How long answers took: how many fell into each bucket of :func:`bucket`."""

    buckets: Mapping[int, int] = field(factory=dict, repr=False)

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def quantile(self, q: float) -> float | None:
        """Seconds within which the share *q* of all came, within 2 %; None without any."""
        rank = q * (self.count - 1)
        passed = 0
        for number in sorted(self.buckets):
            passed += self.buckets[number]
            if passed > rank:
                return 2 * math.exp(number * _GROWTH) / (math.exp(_GROWTH) + 1)
        return None


@frozen
class Saving:
    """Tokens, US dollars and seconds.  ``unpriced`` and ``untimed``: how many answers' price or time is not known."""

    input: int = 0
    output: int = 0
    dollars: float = 0.0
    seconds: float = 0.0
    unpriced: int = 0
    untimed: int = 0


@frozen
class Statistics:
    """What became of requests, as far as caches are concerned.

    ``hits`` are answers by kind and cache: *exact*, *similar* (stored for another request that says the same),
    *negative* (a kept failure), *stale* (given because the provider failed) or *joined* (of an equal request under
    way).  ``misses`` are requests for which the provider was asked, or would have been, by reason; ``others`` those for
    which it never came to that, by outcome.  ``attempts`` is how often a provider was asked.  ``stored`` counts the
    answers that caches were given, by kind, ``not_stored`` those that they were not, by reason.  ``saved`` is what hits
    did not use again, ``spent`` what misses used.
    """

    hits: Mapping[tuple[str, str], int] = field(factory=dict)
    misses: Mapping[str, int] = field(factory=dict)
    others: Mapping[str, int] = field(factory=dict)
    attempts: int = 0
    stored: Mapping[str, int] = field(factory=dict)
    not_stored: Mapping[str, int] = field(factory=dict)
    saved: Saving = Saving()
    spent: Saving = Saving()
    hit_latency: Latency = Latency()
    miss_latency: Latency = Latency()

    @property
    def requests(self) -> int:
        """All of them."""
        return sum(self.hits.values()) + sum(self.misses.values()) + sum(self.others.values())

    @property
    def hit_rate(self) -> float | None:
        """The share of hits among hits and misses, None without any."""
        hits = sum(self.hits.values())
        asked = hits + sum(self.misses.values())
        return hits / asked if asked else None

    @classmethod
    def of(cls, counts: Mapping[str, float]) -> Statistics:
        """The statistics that *counts* say; a name that is none of ours is left out."""
        groups: dict[str, dict[str, float]] = {}
        for name, value in counts.items():
            group, _, rest = name.partition("/")
            groups.setdefault(group, {})[rest] = value
        hits: Counter[tuple[str, str]] = Counter()
        for rest, value in groups.get("hit", {}).items():
            kind, _, tier = rest.partition("/")
            hits[kind, tier] += int(value)
        return cls(
            hits,
            _whole(groups.get("miss", {})),
            _whole(groups.get("other", {})),
            int(groups.get("attempts", {}).get("", 0)),
            _whole(groups.get("stored", {})),
            _whole(groups.get("not-stored", {})),
            _saving(groups.get("saved", {})),
            _saving(groups.get("spent", {})),
            _latency(groups.get("hit-latency", {})),
            _latency(groups.get("miss-latency", {})),
        )

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "requests": self.requests,
            "hit_rate": self.hit_rate,
            "hits": [{"kind": kind, "cache": by, "count": count} for (kind, by), count in sorted(self.hits.items())],
            "misses": dict(sorted(self.misses.items())),
            "others": dict(sorted(self.others.items())),
            "attempts": self.attempts,
            "stored": dict(sorted(self.stored.items())),
            "not_stored": dict(sorted(self.not_stored.items())),
            "saved": _shown(self.saved),
            "spent": _shown(self.spent),
            "latency": {"hits": _quantiles(self.hit_latency), "misses": _quantiles(self.miss_latency)},
        }


def _whole(group: Mapping[str, float]) -> dict[str, int]:
    return {name: int(value) for name, value in group.items()}


def _saving(group: Mapping[str, float]) -> Saving:
    whole = {name: int(group.get(name, 0)) for name in ("input", "output", "unpriced", "untimed")}
    return Saving(**whole, dollars=float(group.get("dollars", 0)), seconds=float(group.get("seconds", 0)))


def _latency(group: Mapping[str, float]) -> Latency:
    return Latency({int(number): int(value) for number, value in group.items() if _is_bucket(number)})


def _is_bucket(number: str) -> bool:
    digits = number.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 6 and FIRST <= int(number) <= LAST


def _shown(saving: Saving) -> dict[str, float]:
    return {
        "input_tokens": saving.input,
        "output_tokens": saving.output,
        "dollars": saving.dollars,
        "unpriced": saving.unpriced,
        "seconds": saving.seconds,
        "untimed": saving.untimed,
    }


def _quantiles(latency: Latency) -> dict[str, float | None]:
    shares = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    return {"count": latency.count, **{name: latency.quantile(share) for name, share in shares}}


def added(counts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """All *counts* together."""
    total: dict[str, float] = {}
    for name, value in _items(counts):
        total[name] = total.get(name, 0) + value
    return total


def _items(counts: Iterable[Mapping[str, float]]) -> Iterator[tuple[str, float]]:
    for one in counts:
        yield from one.items()
