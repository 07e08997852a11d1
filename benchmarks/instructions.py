"""Counts the instructions of a call, a stream, a hit: ratios that a busy machine cannot spoil.

python -m benchmarks.instructions                                  every group that sends requests
python -m benchmarks.instructions --only call-sync,stream-sync     some, or parts by themselves, as in benchmarks.ratios
python -m benchmarks.instructions --only call-sync --case "0 plugins" --case "full default stack" --json figures.json

valgrind's cachegrind counts what a process executes.  One process imports everything, then forks children for each
case: all make it and do one block of it, the last does five blocks more, and the difference of its count and the one
before is what those cost.  The server is a process of its own, outside valgrind.  Threads that gather by time are made
to gather by calls (benchmarks/pace.py), as if 100 calls came in a second.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import httpx2
from attrs import asdict, frozen

from benchmarks import hosts
from benchmarks.bench import Bench
from benchmarks.groups import GROUPS
from clippy_core.testing.canned import CannedServer

SENDING = (
    "call-sync", "call-async", "cached-sync", "cached-async", "sdk-sync", "sdk-async",
    "stream-sync", "stream-async", "sdk-stream-sync", "sdk-stream-async",
)  # fmt: skip
BLOCKS = 5
"""How many blocks of a case one child does more than the other."""
LIMIT = 7200
"""Seconds for all of it."""
_VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
_REFS = re.compile(r"^==(\d+)== I +refs: +([\d,]+)$", re.MULTILINE)


@frozen
class Task:
    """A case to count; ``times`` is how often it is done in one block."""

    group: str
    case: str
    times: int
    bar: float | None = None
    title: str = ""


@frozen
class Count:
    """Instructions of one call of a case, and how many times those of the group's first case that is."""

    task: Task
    instructions: float
    ratio: float

    @property
    def verdict(self) -> str:
        """Whether it keeps to its bar; there is no noise to be unsure of."""
        bar = self.task.bar
        return "" if bar is None else "ok" if self.ratio <= bar else "over"


@contextmanager
def _bench(port: int) -> Iterator[Bench]:
    """A bench before the server that listens on *port*."""
    server = CannedServer()
    server.port = port
    with ExitStack() as outer:
        folder = Path(outer.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        runner = outer.enter_context(asyncio.Runner())
        yield Bench(server, folder, outer.enter_context(ExitStack()), runner, paced=True)


def tasks(port: int, groups: Sequence[str], cases: Sequence[str]) -> list[Task]:
    """The cases of these groups, or the first and those of them that are named.  A bar of wall time is none here."""
    found = []
    with _bench(port) as bench:
        for name in groups:
            group = GROUPS[name](bench)
            bars = group.bars if group.by == "cpu" else {}
            for place, case in enumerate(group.cases):
                if not cases or not place or case in cases:
                    times = max(group.per_block, math.ceil(getattr(group.cases[case], "least", 0) / BLOCKS))
                    found.append(Task(name, case, times, bars.get(case), group.title))
    return found


# --- under valgrind ---------------------------------------------------------------------------------------------------


def work(port: int, wanted: Sequence[tuple[str, str, int]]) -> None:
    """Fork children for each (group, case, times); say on standard output which process did how many blocks.

    The first of them is not counted: it does what only the first has to do, such as compiling a module that is imported
    at its first use.
    """
    if any("sdk" in group for group, _, _ in wanted):
        importlib.import_module("openai")  # before the forks: it takes long
    for module in (httpx, httpx2):
        hosts.tls(module)
    gc.collect()
    gc.freeze()
    for group, case, times in wanted:
        for more in (0, 0, BLOCKS):
            pid = os.fork()
            if not pid:
                _child(port, group, case, times, more)
            _, status = os.waitpid(pid, 0)
            if status:
                raise SystemExit(f"{group}, {case}: the process that did it failed")
            print(json.dumps([group, case, more, pid]), flush=True)


def _child(port: int, group: str, case: str, times: int, more: int) -> None:
    """One case, closed afterwards so that what its threads still have to do is done, too.  Ends the process."""
    status = 1
    try:
        with _bench(port) as bench:
            block = GROUPS[group](bench).cases[case]
            block(times)
            gc.collect()
            gc.freeze()
            block(times * more)
        status = 0
    except BaseException:  # of a fork, whose caller is not this process's
        traceback.print_exc()
    os._exit(status)


# --- outside ----------------------------------------------------------------------------------------------------------


def counted(wanted: Sequence[Task], said: str, log: str) -> list[Count]:
    """The counts in valgrind's *log* for the processes that the worker *said*."""
    refs = {int(pid): int(count.replace(",", "")) for pid, count in _REFS.findall(log)}
    done = {(group, case, more): pid for group, case, more, pid in map(json.loads, said.splitlines())}  # the later one
    first: dict[str, float] = {}
    counts = []
    for task in wanted:
        less, more = (refs[done[task.group, task.case, blocks]] for blocks in (0, BLOCKS))
        each = (more - less) / (BLOCKS * task.times)
        counts.append(Count(task, each, each / first.setdefault(task.group, each)))
    return counts


def count(port: int, wanted: Sequence[Task]) -> list[Count]:
    """Count these under valgrind, with the hashes of strings the same in every run."""
    asked = json.dumps([(task.group, task.case, task.times) for task in wanted])
    command = [*_VALGRIND, sys.executable, "-m", "benchmarks.instructions", "--worker", str(port), asked]
    around = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=around, timeout=LIMIT, check=False)
    if done.returncode:
        raise SystemExit(f"the counted process failed:\n{done.stderr[-3000:]}")
    return counted(wanted, done.stdout, done.stderr)


def table(counts: Sequence[Count]) -> Iterator[str]:
    """Each group as text."""
    title = ""
    for one in counts:
        if one.task.title != title:
            title = one.task.title
            yield f"\n{title:<46} {'instructions':>13} {'ratio':>7} {'bar':>6}"
        bar = "" if one.task.bar is None else f"{one.task.bar:>6.2f} {one.verdict}"
        yield f"  {one.task.case:<44} {one.instructions:>13,.0f} {one.ratio:>7.3f} {bar}".rstrip()


def figures(counts: Sequence[Count]) -> list[Mapping[str, object]]:
    """The same for a program."""
    return [{**asdict(one.task), "instructions": one.instructions, "ratio": one.ratio} for one in counts]


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        work(int(sys.argv[2]), json.loads(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SENDING), help=f"comma list of {', '.join(GROUPS)}")
    parser.add_argument("--case", action="append", default=[], help="count these only, and the first of each group")
    parser.add_argument("--json", type=Path, help="also write every figure here")
    options = parser.parse_args()
    groups = options.only.split(",")
    if unknown := [name for name in groups if name not in GROUPS]:
        parser.error(f"unknown groups: {unknown}")
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed; its cachegrind is what counts")
    began = time.monotonic()
    counts: list[Count] = []
    with CannedServer() as server:
        for name in groups:
            found = count(server.port, tasks(server.port, [name], options.case))
            print("\n".join(table(found)), flush=True)
            counts += found
    print(f"\nPython {platform.python_version()}, {time.monotonic() - began:.0f} seconds")
    if options.json is not None:
        options.json.write_text(json.dumps(figures(counts), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
