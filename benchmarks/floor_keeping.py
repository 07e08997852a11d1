"""The least that keeping calls in memory costs a gateway with the default stack, beside what the recorder costs.

    python -m benchmarks.floor_keeping [--rounds 60]

Gateways without a server in front (as :mod:`benchmarks.gateways` has them) in one process, 32 requests at a time, in
turns; CPU microseconds of the thread, and the median of the differences to the first row inside a round.  "the same
again" shows what the machine alone makes of a difference.  Who keeps nothing and is told everything costs what the host
does for observers.  The two that keep do no more than that: no lock, no count of bytes, nothing told to pages.  What
they cost is that memory of 500 calls is in no cache any more when the next call needs it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field
from clippy_gateway.serving import favour_requests
from clippy_hookspecs import AuditRecord, Event, RequestContext, StashKey, hookimpl
from clippy_recorder import Recorder

from benchmarks import hosts
from benchmarks.bench import Bench
from benchmarks.gateways import gateway_call
from clippy_core.testing.canned import CannedServer

KEPT, AT_ONCE, BLOCK, WARM = 500, 32, 300, 700
_EVENTS = StashKey[list[Event]]("floor.events")


@define(eq=False)
class Told:
    """Is told everything, and keeps nothing."""

    observes_only = True
    observes_passed = False
    reads_content = True

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        """Nothing."""

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Nothing."""


@define(eq=False)
class KeepsRecords:
    """Keeps the record of a call, with what was said in it."""

    observes_only = True
    reads_content = True
    _kept: deque[AuditRecord] = field(init=False, factory=lambda: deque(maxlen=KEPT))

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Keep it."""
        self._kept.append(record)


@define(eq=False)
class KeepsAll:
    """Keeps the record of a call and what happened in it."""

    observes_only = True
    observes_passed = False
    reads_content = True
    _kept: deque[Any] = field(init=False, factory=lambda: deque(maxlen=KEPT))

    @hookimpl
    def observe(self, event: Event, ctx: RequestContext) -> None:
        """Keep it."""
        ctx.stash.setdefault(_EVENTS, list).append(event)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        """Keep it."""
        self._kept.append((record, ctx.stash.get(_EVENTS)))


ROWS: dict[str, Callable[[], object] | None] = {
    "default stack": None,
    "the same again": None,
    "+ told everything": Told,
    "+ keeps records": KeepsRecords,
    "+ keeps records and events": KeepsAll,
    "+ recorder, in memory": lambda: Recorder(enabled=True, keep=KEPT),
}


@contextmanager
def _server() -> Iterator[CannedServer]:
    """The provider in a process of its own, on another core."""
    program = (
        "from clippy_core.testing.canned import CannedServer as S\nwith S() as s: print(s.port, flush=True); input()"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        server = CannedServer()
        server.port = int(process.stdout.readline())
        if hasattr(os, "sched_setaffinity") and len(cores := sorted(os.sched_getaffinity(0))) > 1:
            os.sched_setaffinity(process.pid, cores[1:])
            os.sched_setaffinity(0, cores[:1])
        try:
            yield server
        finally:
            process.communicate("\n")


async def _many(call: Callable[[], Any], count: int) -> None:
    left = iter(range(count))

    async def some() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def measure(rounds: int) -> dict[str, list[float]]:
    """Microseconds a request of each row in each round."""
    found: dict[str, list[float]] = {name: [] for name in ROWS}
    with _server() as server, ExitStack() as outer:
        folder = Path(outer.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        runner = outer.enter_context(asyncio.Runner())
        bench = Bench(server, folder, outer.enter_context(ExitStack()), runner)
        calls = {}
        for number, (name, make) in enumerate(ROWS.items()):
            (place := folder / str(number)).mkdir()
            plugins = hosts.default_stack(place) | ({} if make is None else {"kept": make()})
            calls[name] = gateway_call(bench, plugins)
            runner.run(_many(calls[name], WARM))
        favour_requests()  # as a worker does when it has begun
        names = list(ROWS)
        for turn in range(rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                began = time.thread_time()
                runner.run(_many(calls[name], BLOCK))
                found[name].append((time.thread_time() - began) / BLOCK * 1e6)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    found = measure(parser.parse_args().rounds)
    base = found["default stack"]
    print(f"{'':<30}{'CPU us':>10}{'more':>10}{'ratio':>10}")
    for name, row in found.items():
        more = statistics.median(a - b for a, b in zip(row, base, strict=True))
        ratio = statistics.median(a / b for a, b in zip(row, base, strict=True))
        print(f"{name:<30}{statistics.median(row):>10.1f}{more:>10.1f}{ratio:>10.3f}")


if __name__ == "__main__":
    main()
