"""What caches did, as tables for people who watch."""

from __future__ import annotations

from clippy_hookspecs import StatusTable

from .statistics import Statistics


def tables_of(found: Statistics) -> tuple[StatusTable, ...]:
    """The rate of hits, the hits by kind and cache, the misses by reason, the commonest first."""
    rate = None if found.hit_rate is None else round(100 * found.hit_rate, 1)
    hits, misses = sum(found.hits.values()), sum(found.misses.values())
    by_cache = sorted(found.hits.items(), key=lambda one: (-one[1], one[0]))
    by_reason = sorted(found.misses.items(), key=lambda one: (-one[1], one[0]))
    return (
        StatusTable("caching", ("requests", "hits", "misses", "hits, %"), ((found.requests, hits, misses, rate),)),
        StatusTable("hits", ("kind", "cache", "answers"), tuple((kind, by, count) for (kind, by), count in by_cache)),
        StatusTable("misses", ("reason", "requests"), tuple(by_reason)),
    )
