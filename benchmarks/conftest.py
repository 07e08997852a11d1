"""One server and one set of hosts for all benchmarks of a run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.groups import GROUPS
from benchmarks.ratios import bench
from benchmarks.redis_server import Missing
from clippy_core.testing.timing import Group

Measures = Callable[[str, str], None]


@pytest.fixture(scope="session")
def comparison() -> Iterator[Callable[[str], Group]]:
    """The groups of cases by name, each built once."""
    with bench() as made:
        yield functools.cache(lambda name: GROUPS[name](made))


@pytest.fixture
def measures(benchmark: Any, comparison: Callable[[str], Group]) -> Measures:
    """Measures one case of a group; pytest-benchmark shows a group's cases side by side."""

    def measure(group: str, case: str) -> None:
        benchmark.group = group
        try:
            block = comparison(group).cases[case]
        except Missing as missing:
            pytest.skip(str(missing))
        benchmark(block, 1)

    return measure
