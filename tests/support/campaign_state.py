"""Eight processes use one state file as hard as they can, some are killed at any moment, and the books are right.

    python tests/support/campaign_state.py --seconds 20

The processes are sync, asyncio and trio programs, each with a host of its own.  They add, count by swapping, take one
place in turn, and reserve, settle and refund within a limit.  What each of them was told it writes down at once, with
the time.  Every 20 to 200 milliseconds one of them is killed with SIGKILL, wherever it is, and another one begins.

In the end: no addition that somebody was told of is lost, and no more are there than killed processes may have been
about to be told of; no two processes ever had the place at the same time; what was used and held was never more than
the limit; what a killed one held was nobody's before its time was over, and is free after it; the file is sound, and
no process had to begin a new one.

Exit status 1 and what was otherwise, if anything was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import select
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field
from clippy_hookspecs import StateStore
from clippy_state_sqlite import SqliteState

from clippy_core import Host
from clippy_core.driven import drive

COLOURS = ("sync", "asyncio", "trio")
TTL = 0.4
"""Seconds a place or a reservation is held, if nobody gives it back."""
LIMIT = 20.0
PATIENCE = 30.0
SHOWN = 5
Say = Callable[..., None]


# --- the processes ----------------------------------------------------------------------------------------------------


async def hammer(store: Any, name: str, say: Say, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Everything, at random, for ever; ``say`` tells what the store has told."""
    rng = random.Random(name)
    while True:
        what = rng.random()
        if what < 0.4:
            await store.add("n", 1, 3600.0)
            say("add")
        elif what < 0.6:
            now = await store.get("k")
            if await store.swap("k", now, str(int(now or 0) + 1), 3600.0):
                say("swap")
        elif what < 0.8:
            asked = time.time()
            if await store.lease("l", name, TTL):
                say("enter", asked, time.time())
                await sleep(rng.random() * 0.002)
                say("leave", time.time())
                await store.release("l", name)
        else:
            await _spend(store, rng, say, sleep)
        if rng.random() < 0.1:
            await sleep(0.001)


async def _spend(store: Any, rng: random.Random, say: Say, sleep: Callable[[float], Awaitable[None]]) -> None:
    asked, amount = time.time(), rng.choice([1.0, 2.5, 7.0])
    held = await store.reserve("b", amount, LIMIT, TTL)
    if held is None:
        return
    say("hold", asked, time.time(), amount)
    await sleep(rng.random() * 0.002)
    if rng.random() < 0.5:
        say("over", time.time())
        await store.refund(held)
    else:
        say("over", time.time())
        asked, actual = time.time(), amount * rng.random()
        await store.settle(held, actual, 0.05)
        say("used", asked, time.time(), actual)


def process(path: Path, name: str, colour: str, pipe: int) -> None:
    """Everything a process does; it never returns."""

    def say(*what: Any) -> None:
        os.write(pipe, json.dumps(what).encode() + b"\n")

    async def block(seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 (a sync program's)

    async def as_task(host: Host) -> None:
        async with host:
            views = host._serving.current.views
            await hammer(views[False].get(StateStore), name, say, anyio.sleep)

    try:
        signal.alarm(300)
        host = Host({"state-sqlite": SqliteState(path=path)})
        if colour == "sync":
            host.open()
            drive(hammer(host.services.get(StateStore), name, say, block))
        else:
            anyio.run(as_task, host, backend=colour)
    except BaseException:
        say("failed", traceback.format_exc(limit=-3))
    os._exit(1)


# --- the books --------------------------------------------------------------------------------------------------------


@define
class Worker:
    """One process, what it has said, and whether it was killed."""

    pid: int
    name: str
    pipe: int
    rest: bytes = b""
    said: list[list[Any]] = field(factory=list)

    def read(self) -> bool:
        """Take what it says; False at the end."""
        piece = os.read(self.pipe, 1 << 16)
        *lines, self.rest = (self.rest + piece).split(b"\n")
        self.said += [json.loads(line) for line in lines]
        return bool(piece)


def import_all(path: Path) -> None:
    """What a host imports late is imported by now, so that processes that do not live long come to do something."""

    async def add(host: Host) -> None:
        async with host:
            await host._serving.current.views[False].get(StateStore).add("n", 1, 60.0)

    for colour in COLOURS[1:]:
        anyio.run(add, Host({"state-sqlite": SqliteState(path=path)}), backend=colour)


def start(path: Path, number: int) -> Worker:
    reader, writer = os.pipe()
    name = f"worker {number}"
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        process(path, name, COLOURS[number % len(COLOURS)], writer)
    os.close(writer)
    return Worker(pid, name, reader)


def run(path: Path, seconds: float, count: int, rng: random.Random) -> list[Worker]:
    """All processes that there were, the last of them killed as well."""
    living = [start(path, number) for number in range(count)]
    gone: list[Worker] = []

    def kill(worker: Worker) -> None:
        os.kill(worker.pid, signal.SIGKILL)
        os.waitpid(worker.pid, 0)
        while worker.read():
            pass
        os.close(worker.pipe)
        living.remove(worker)
        gone.append(worker)

    end = time.monotonic() + seconds
    next_kill = time.monotonic() + 0.5
    try:
        while (now := time.monotonic()) < end:
            ready, _, _ = select.select([worker.pipe for worker in living], [], [], max(0.0, min(next_kill, end) - now))
            for worker in [worker for worker in living if worker.pipe in ready]:
                if not worker.read():
                    kill(worker)
            if time.monotonic() >= next_kill:
                kill(rng.choice(living))
                next_kill = time.monotonic() + rng.uniform(0.02, 0.2)
            while len(living) < count:
                living.append(start(path, len(living) + len(gone)))
    finally:
        for worker in tuple(living):
            kill(worker)
    return gone


def intervals(workers: list[Worker]) -> tuple[list[tuple[float, float, str]], list[tuple[float, float, float]]]:
    """When who surely had the place, and when how much was surely used or held.

    On a busy machine a process may stand still for longer than what it has lasts.  What it settles after that counts,
    as it was used, although others have its room by then: such a use is left out.
    """
    places, held = [], []
    for worker in workers:
        place = hold = None
        lasts = 0.0
        for what, *values in worker.said:
            if what == "enter":
                place = values
            elif what == "leave" and place is not None:
                places.append((place[1], min(values[0], place[0] + TTL), worker.name))
                place = None
            elif what == "hold":
                hold, lasts = values, values[0] + TTL
            elif what == "over" and hold is not None:
                held.append((hold[1], min(values[0], lasts), hold[2]))
                hold = None
            elif what == "used" and values[1] < lasts:
                held.append((values[1], values[0] + 0.05, values[2]))
        # Killed while it had them: they are nobody's until their time is over.
        if place is not None:
            places.append((place[1], place[0] + TTL, worker.name))
        if hold is not None:
            held.append((hold[1], hold[0] + TTL, hold[2]))
    return places, held


def most(held: list[tuple[float, float, float]]) -> float:
    """The most that was used and held at any one time."""
    changes = sorted(
        [(begin, 1, amount) for begin, end, amount in held if begin < end]
        + [(end, 0, -amount) for begin, end, amount in held if begin < end]
    )
    total = highest = 0.0
    for _, _, amount in changes:
        total += amount
        highest = max(highest, total)
    return highest


def faults(path: Path, workers: list[Worker]) -> Counter[str]:
    """What is wrong with the books."""
    found: Counter[str] = Counter()
    said = Counter(what for worker in workers for what, *_ in worker.said)
    for worker in workers:
        found.update(values[0] for what, *values in worker.said if what == "failed")
    places, held = intervals(workers)
    places = sorted(place for place in places if place[0] < place[1])
    for (_, end, name), (begin, _, other) in itertools.pairwise(places):
        if begin < end:
            found[f"{other if name != other else name} got the place while another process had it"] += 1
    if most(held) > LIMIT + 1e-6:
        found[f"{most(held):g} of {LIMIT:g} were used and held at once"] += 1
    with Host({"state-sqlite": SqliteState(path=path)}) as host:
        store: Any = host.services.get(StateStore)
        for what, counted in (("add", drive(store.add("n", 0, 60.0))), ("swap", int(drive(store.get("k")) or 0))):
            if not said[what] <= counted <= said[what] + len(workers):
                found[f"{said[what]} times {what} were told to processes, and {counted:g} are in the file"] += 1
        time.sleep(TTL)
        if not drive(store.lease("l", "last", 60.0)):
            found["the place of a killed process is taken for ever"] += 1
        if drive(store.reserve("b", LIMIT, LIMIT, 60.0)) is None:
            found["what killed processes held is held for ever"] += 1
    with closing(sqlite3.connect(path)) as file:
        if file.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            found["the file is damaged"] += 1
    if path.with_name(path.name + ".damaged").exists():
        found["a process found the file damaged and began a new one"] += 1
    for what in ("add", "swap", "enter", "hold", "used"):
        if said[what] < 10:
            found[f"{what} was done {said[what]} times: this shows nothing"] += 1
    totals = ", ".join(f"{said[what]} {what}" for what in ("add", "swap", "enter", "hold", "used"))
    print(f"{len(workers)} processes, all killed: {totals}; at most {most(held):g} of {LIMIT:g} at once")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    with tempfile.TemporaryDirectory() as folder:
        import_all(Path(folder) / "another.db")
        path = Path(folder) / "state.db"
        found = faults(path, run(path, options.seconds, options.processes, random.Random(options.seed)))
    for what, count in found.most_common(SHOWN):
        print(f"FAILED {count} times: {what}")
    if not found:
        print("the books are right")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
