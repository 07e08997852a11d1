"""Prints what clippy costs, as ratios, beside the bars that they must stay under.

python -m benchmarks.ratios                     everything, some minutes
python -m benchmarks.ratios --only call-sync,stream-sync --rounds 61
python -m benchmarks.ratios --json results.json
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from attrs import asdict

from benchmarks import startup
from benchmarks.bench import Bench
from benchmarks.groups import GROUPS
from benchmarks.redis_server import Missing
from clippy_core.testing.canned import CannedServer
from clippy_core.testing.timing import Row, compare

_PACKAGES = ("clippy-core", "httpx", "httpx2", "openai", "attrs", "anyio", "orjson", "pluggy")


@contextmanager
def bench() -> Iterator[Bench]:
    """A server, a folder and an event loop to measure with."""
    with ExitStack() as outer:
        folder = Path(outer.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        runner = outer.enter_context(asyncio.Runner())
        server = outer.enter_context(CannedServer())
        yield Bench(server, folder, outer.enter_context(ExitStack()), runner)


def measure(names: Sequence[str], rounds: int) -> Iterator[list[Row]]:
    """The rows of each group, as it is done."""
    with bench() as made:
        for name in names:
            if name == "startup":
                for _, rows in itertools.groupby(startup.measure(made.server, max(15, rounds // 2)), _group):
                    yield list(rows)
                continue
            with ExitStack() as stack:
                made.stack = stack
                try:
                    group = GROUPS[name](made)
                except Missing as missing:
                    print(f"\n{name} is not measured: {missing}", flush=True)
                    continue
                yield compare(group, rounds)


def _group(row: Row) -> str:
    return row.group


def table(rows: Sequence[Row]) -> str:
    """One group as text."""
    lines = [f"{rows[0].group:<52} {'CPU':>7} {'wall':>7} {'10-90 %':>15} {'+-':>6} {'bar':>6}"]
    for row in rows:
        bar = "" if row.bar is None else f"{row.bar:>6.2f} {row.verdict}"
        spread = f"{row.low:.3f}-{row.high:.3f}"
        figures = f"{row.cpu:>7.3f} {row.wall:>7.3f} {spread:>15} {row.rough:>6.3f} {bar} {row.unit}"
        lines.append(f"  {row.case:<50} {figures}".rstrip())
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"comma list of {', '.join((*GROUPS, 'startup'))}")
    parser.add_argument("--rounds", type=int, default=31, help="rounds of each group, at least 15")
    parser.add_argument("--json", type=Path, help="also write every figure here")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [*GROUPS, "startup"]
    unknown = [name for name in names if name not in GROUPS and name != "startup"]
    if unknown or options.rounds < 15:
        parser.error(f"unknown groups: {unknown}" if unknown else "fewer than 15 rounds say nothing")
    about = {name: version(name) for name in _PACKAGES}
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {number}" for name, number in about.items()))
    rows: list[Row] = []
    began = time.monotonic()
    for found in measure(names, options.rounds):
        rows += found
        print(f"\n{table(found)}", flush=True)
    print(f"\n{time.monotonic() - began:.0f} seconds, {options.rounds} rounds")
    if options.json is not None:
        figures = [{**asdict(row), "rough": row.rough, "verdict": row.verdict} for row in rows]
        text = {"python": platform.python_version(), "packages": about, "rounds": options.rounds, "rows": figures}
        options.json.write_text(json.dumps(text, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
