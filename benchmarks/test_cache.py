"""What an answer from a cache costs: the whole call, and the cache by itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.bench import BARE, MEMORY, OWN, SQLITE


@pytest.mark.parametrize("case", [BARE, MEMORY, SQLITE, OWN])
def test_a_call_answered_by_a_cache(measures: Callable[[str, str], None], case: str) -> None:
    """The same question again; the server is not asked."""
    measures("cached-sync", case)


@pytest.mark.parametrize("case", [BARE, MEMORY, SQLITE])
def test_an_async_call_answered_by_a_cache(measures: Callable[[str, str], None], case: str) -> None:
    """The same on an event loop."""
    measures("cached-async", case)


@pytest.mark.parametrize("case", ["dict.get", "lookup", "key and lookup"])
def test_a_hit_in_memory(measures: Callable[[str, str], None], case: str) -> None:
    """The memory cache with and without making the key."""
    measures("memory", case)


@pytest.mark.parametrize("case", ["bare select", "lookup", "bare select of another", "lookup of another"])
def test_a_hit_in_sqlite(measures: Callable[[str, str], None], case: str) -> None:
    """The SQLite cache beside the select that it makes."""
    measures("sqlite", case)


@pytest.mark.parametrize("group", ["redis-sync", "redis-async"])
@pytest.mark.parametrize("case", ["redis-py GET", "lookup", "redis-py GET of another", "lookup of another"])
def test_a_hit_on_a_redis_server(measures: Callable[[str, str], None], group: str, case: str) -> None:
    """The Redis cache beside redis-py's own GET of the same value."""
    measures(group, case)
