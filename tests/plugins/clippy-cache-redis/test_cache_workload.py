"""What is asked again is answered from the cache, but for what has expired and what had no room."""

from __future__ import annotations

import pytest
from campaign_cache_workload import run
from redis_server import redis_program


@pytest.mark.parametrize("backend", ["memory", "sqlite", "redis"])
def test_every_repeat_is_answered_as_the_model_says(backend: str) -> None:
    """Of requests that are asked very unequally; everything that can happen to an answer happens."""
    if backend == "redis":
        redis_program()
    counts, wrong = run(backend, 3000, seed=1)
    assert wrong == []
    assert sum(counts.values()) == 3000
    happens = {"hit", "new", "expired"} if backend == "redis" else {"hit", "new", "expired", "evicted"}
    assert set(counts) == happens
