"""A text made into a vector, compared with the bare matrix products that the model cannot do without.

    uv run python -m benchmarks.embedding [--n 200]     # milliseconds of this machine, beside the bar of 25 for a query

The bar is nlp.md G7: a query on one core.  Of a busy machine read the CPU time and the ratio.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from clippy_embed_minilm import MiniLMEmbedder
from clippy_embed_minilm.model import LAYERS, WIDTH
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from benchmarks.bench import Bench
from clippy_core.testing.timing import Group, repeated

QUERY = "How do I reset the password of my account when I no longer have access?"
TOKENS = 18
"""Those of QUERY with a number behind it are 19 or 20."""
BAR = 25.0
"""Milliseconds."""


def products() -> Callable[[], Any]:
    """The matrix products of TOKENS tokens in all layers, and nothing else."""
    random = np.random.default_rng(0)
    shapes = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)] * LAYERS
    # Each layer has matrices of its own: 42 MB, which no cache of a core holds.
    matrices = [random.standard_normal(shape, dtype=np.float32) for shape in shapes]
    states = {width: random.standard_normal((TOKENS, width), dtype=np.float32) for width in (WIDTH, 4 * WIDTH)}
    threads = ThreadpoolController()

    def multiply() -> None:
        with threads.limit(limits=1, user_api="blas"):
            for matrix in matrices:
                states[len(matrix)] @ matrix

    return multiply


def _calls() -> dict[str, Callable[[], Any]]:
    embedder, nothing_kept = MiniLMEmbedder(), MiniLMEmbedder(max_bytes=0)
    numbers = itertools.count()
    embedder.embed([QUERY])
    return {
        "matrix products": products(),
        "a new query": lambda: nothing_kept.embed([f"{QUERY} {next(numbers)}"]),
        "eight new queries": lambda: nothing_kept.embed([f"{QUERY} {next(numbers)}" for _ in range(8)]),
        "a kept query": lambda: embedder.embed([QUERY]),
    }


def embedding(bench: Bench) -> Group:
    """A query of 19 tokens, eight of them, and one whose vector is kept."""
    return Group("embedding", {name: repeated(call) for name, call in _calls().items()}, per_block=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="calls of each kind")
    wanted = parser.parse_args()
    calls = _calls()
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(wanted.n):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    base = _median([cpu for _, cpu in spent["matrix products"]])
    print(f"{'milliseconds':20}{'p50':>9}{'p95':>9}{'CPU p50':>9}{'ratio':>8}   bar")
    for name, both in spent.items():
        walls, cpus = sorted(wall for wall, _ in both), [cpu for _, cpu in both]
        late, cpu = walls[int(len(walls) * 0.95)], _median(cpus)
        bar = f"{BAR:.0f} {'ok' if _median(walls) * 1000 <= BAR else 'over'}" if name == "a new query" else ""
        print(f"{name:20}{_median(walls) * 1000:9.3f}{late * 1000:9.3f}{cpu * 1000:9.3f}{cpu / base:8.2f}   {bar}")


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main()
