"""Cancels calls at random await points and checks that every book is closed.

    python tests/support/campaign_cancel.py --n 2000 --seed 1

For each of asyncio's ``task.cancel()``, anyio's scopes on asyncio and trio, N calls are cancelled, once or twice, by a
cancel of their task, a cancel of their flow or a close of their stream, half of them in process and half over loopback.
Then calls of a sync program are cancelled over loopback, by their flow and from another thread.  The host has every
first-party plugin, asynchronous hooks and a lease; the provider has faults.  After each call the audit record is there
exactly once, each attempt has ended once, no lease, task or connection is left; at the end no thread.

Exit status 1 and the first failures of each kind, with what repeats them, if anything was otherwise.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field

sys.path.insert(0, str(Path(__file__).parent))

from campaign_stops import STOPS, Stopped, quiet, stopped
from campaign_world import CALLS, EXPECTED, World, faulty

BATCH = 50
"""Cancellations of one host."""

HANGS = 60.0
"""Seconds after which a call that nothing ends stops the campaign, with a traceback of every thread."""

SHOWN = 3
"""Failures of each kind that are printed."""


@define(eq=False)
class Tally:
    """What the campaign found: failures by what was wrong, each with the trial that shows it."""

    trials: Counter[str] = field(factory=Counter)
    cancelled: Counter[str] = field(factory=Counter)
    outcomes: Counter[str] = field(factory=Counter)
    failures: dict[str, list[str]] = field(factory=lambda: defaultdict(list))

    def note(self, where: str, found: list[str]) -> None:
        for what in found:
            self.failures[what].append(where)

    def report(self) -> None:
        for name, count in self.trials.items():
            print(f"{name:<22} {count:>6} calls, {self.cancelled[name]:>6} of them cancelled")
        print("audit records         ", ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items())))
        for what, places in sorted(self.failures.items(), key=lambda item: -len(item[1])):
            print(f"FAILED {len(places)} times: {what}")
            for place in places[:SHOWN]:
                print(f"    {place}")
        if not self.failures:
            print("every book was closed")


@define(eq=False)
class Batch:
    """Some cancellations under one host, all in one way, decided by one seed."""

    how: str
    loopback: bool
    seed: str
    size: int
    tally: Tally
    longest: dict[str, int] = field(factory=lambda: dict.fromkeys(CALLS, 8))
    """The most await points that a call was seen to have."""

    @property
    def name(self) -> str:
        return f"{self.how} {'loopback' if self.loopback else 'in process'}"

    def run(self) -> None:
        """Run on an event loop of its own, then look for threads."""
        before = set(threading.enumerate())
        with World(faulty(random.Random(self.seed).randrange(2**32)), self.loopback) as world:
            anyio.run(self._trials, world, backend="trio" if self.how == "trio" else "asyncio")
            self.tally.outcomes += world.last.outcomes
        self.tally.note(f"{self.name} seed {self.seed}", threads_left(before))

    async def _trials(self, world: World) -> None:
        async with world.async_clients():
            for number in range(self.size):
                await self._trial(world, random.Random(f"{self.seed}-{number}"), number)

    async def _trial(self, world: World, chance: random.Random, number: int) -> None:
        faulthandler.dump_traceback_later(HANGS, exit=True)
        name, call = chance.choice(list(CALLS.items()))
        prompt = f"prompt {chance.randrange(10)}" if chance.random() < 0.3 else f"prompt {self.seed} {number}"
        first = chance.randint(1, self.longest[name] + 1)
        at = {first, first + chance.randint(1, 3)} if chance.random() < 0.3 else {first}
        kind = chance.choices(("task", "flow", "both"), (7, 2, 1))[0]
        instead = None if kind == "task" else lambda: _cancel_flow(world)
        result = await stopped(self.how, lambda: call(world, prompt), at, instead if kind == "flow" else None)
        if kind == "both" and not result.cancelled:
            _cancel_flow(world)
        self.longest[name] = max(self.longest[name], result.points)
        self.tally.trials[self.name] += 1
        self.tally.cancelled[self.name] += result.cancelled or kind == "flow"
        found = [*await quiet(), *_ending(result), *await self._books(world)]
        self.tally.note(f"{self.name} seed {self.seed} trial {number}: {name}, {kind} at {sorted(at)}", found)

    async def _books(self, world: World) -> list[str]:
        pools = self.how != "native"
        end = time.monotonic() + 10.0
        # A server notices a moment later that its client has left.
        while self.loopback and world.open_connections(pools) and time.monotonic() < end:
            await anyio.sleep(0.002)
        faults: list[str] = world.faults(pools)
        return faults


def _cancel_flow(world: World) -> None:
    for context in world.witness.contexts.values():
        context.flow.cancel("by the campaign")


def _ending(result: Stopped) -> list[str]:
    if result.hung:
        return ["the call hung"]
    if result.error is not None and not isinstance(result.error, EXPECTED):
        return [f"the call raised {result.error!r}"]
    return []


# --- a program without an event loop ----------------------------------------------------------------------------------


def sync_batch(seed: str, size: int, tally: Tally) -> None:
    """Calls over loopback whose flow another thread cancels."""
    before = set(threading.enumerate())
    with World(faulty(random.Random(seed).randrange(2**32)), loopback=True) as world, world.clients():
        for number in range(size):
            chance = random.Random(f"{seed}-{number}")
            name = chance.choice(list(SYNC_CALLS))
            found = _sync_trial(world, name, f"prompt {seed} {number}", chance.uniform(0.0, 0.012))
            tally.trials["sync loopback"] += 1
            tally.cancelled["sync loopback"] += 1
            tally.note(f"sync loopback seed {seed} trial {number}: {name}", found)
        tally.outcomes += world.last.outcomes
    tally.note(f"sync loopback seed {seed}", threads_left(before))


def _sync_trial(world: World, name: str, prompt: str, after: float) -> list[str]:
    faulthandler.dump_traceback_later(HANGS, exit=True)
    over = threading.Event()

    def cancel() -> None:
        over.wait(after)
        _cancel_flow(world)

    other = threading.Thread(target=cancel)
    other.start()
    found = []
    try:
        SYNC_CALLS[name](world, prompt)
    except EXPECTED:
        pass  # cancelled, or a fault of the script that nobody could repair
    except Exception as error:
        found.append(f"the call raised {error!r}")
    over.set()
    other.join()
    end = time.monotonic() + 10.0
    # A stream that is cancelled between two reads is settled by the host's own thread, maybe a moment later.
    while (world.open_connections() or world.witness.faults()) and time.monotonic() < end:
        time.sleep(0.002)
    return [*found, *world.faults()]


def _chat(world: World, prompt: str) -> None:
    world.ours.chat(prompt)


def _stream(world: World, prompt: str) -> None:
    with world.ours.stream(prompt) as chunks:
        for _ in chunks:
            pass


def _post_stream(world: World, prompt: str) -> None:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    with world.http.stream("POST", f"{world.base}/chat/completions", json=body) as response:
        for _ in response.iter_bytes():
            pass


SYNC_CALLS: dict[str, Callable[[World, str], Any]] = {"chat": _chat, "stream": _stream, "post stream": _post_stream}


def threads_left(before: set[threading.Thread]) -> list[str]:
    """Threads of ours that are still there; anyio's workers and a watchdog that lingers end by themselves."""
    end = time.monotonic() + 3.0
    while True:
        ours = ("clippy-portal", "cache-sqlite", "fake provider")
        left = [one.name for one in set(threading.enumerate()) - before if one.name.startswith(ours)]
        if not left or time.monotonic() > end:
            return [f"a thread is left: {name}" for name in left]
        time.sleep(0.01)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000, help="cancellations of each async backend")
    parser.add_argument("--sync", type=int, default=300, help="cancellations of the sync host")
    parser.add_argument("--seed", default="1", help="decides every choice; times over loopback are not its to decide")
    parser.add_argument("--only", choices=(*STOPS, "sync"), help="one backend")
    options = parser.parse_args()
    tally, began = Tally(), time.monotonic()
    for how in STOPS if options.only is None else {options.only} & set(STOPS):
        for number in range(0, options.n, BATCH):
            size = min(BATCH, options.n - number)
            Batch(how, (number // BATCH) % 2 == 1, f"{options.seed}-{how}-{number}", size, tally).run()
    if options.only in (None, "sync"):
        for number in range(0, options.sync, BATCH):
            sync_batch(f"{options.seed}-sync-{number}", min(BATCH, options.sync - number), tally)
    faulthandler.cancel_dump_traceback_later()
    tally.report()
    print(f"{time.monotonic() - began:.0f} seconds")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
