"""How often a breaker opens for nothing, how soon it opens in an outage, and how many attempts an outage costs.

    python tests/support/campaign_breaker.py --n 1000000 --seed 1

Independent faults are thrown at the pure rule, N attempts at each share of faults, one after the other; then a tenth of
that at eight workers with one store, one attempt at a time and forty that overlap and end in any order.  Then 1,000
calls with retries meet a provider that is down, in sync, asyncio and trio, on the virtual clock.

Exit status 1 if it opens falsely more than 0.1 times in 10,000 attempts at a fifth of independent faults, later than
after twelve attempts of a total outage, or if 1,000 calls of one cost more than 60 attempts.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parent))

from breaker_lab import FAILED, OK, Begun, HandClock, Lab, lab
from clippy_breaker import CircuitBreaker
from clippy_breaker.rule import CLOSED, Rule
from clippy_errors import ErrorClassifier
from clippy_hookspecs import ProviderError
from clippy_retry import RetryPolicy

import clippy_core
from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import Bench, Fault

WORKERS = 8
MOST_FALSE, MOST_TO_OPEN, MOST_IN_OUTAGE = 0.1, 12, 60
RATE = 20.0
"""Attempts a second: at this one the window of a minute is always full."""


def of_the_rule(n: int, share: float, seed: int) -> int:
    """False openings of the pure rule in *n* attempts; after each it begins anew."""
    rule, dice, machine, opened = Rule(), random.Random(seed), CLOSED, 0
    for number in range(n):
        now = number / RATE
        machine = rule.after(machine, [(now, "f" if dice.random() < share else ".")], now)
        if machine.until is not None:
            machine, opened = CLOSED, opened + 1
    return opened


def of_workers(n: int, share: float, seed: int, overlapping: int) -> int:
    """The same for the plugin, in eight workers that share a store."""
    dice, clock, opened = random.Random(seed), HandClock(), 0
    workers: list[Lab] = []
    under_way: list[Begun] = []
    for _ in range(n):
        if not workers:
            store = MemoryStateStore(clock)
            workers = [lab(store, clock) for _ in range(WORKERS)]
        clock.at += 1 / RATE
        begun = dice.choice(workers).begin()
        if isinstance(begun, Begun):
            under_way.append(begun)
            if len(under_way) >= overlapping:
                under_way.pop(dice.randrange(len(under_way))).end(FAILED if dice.random() < share else OK)
        else:
            workers, under_way, opened = [], [], opened + 1
    return opened


def attempts_to_open() -> int:
    """Attempts of a total outage after health until it opens."""
    it = lab()
    it.do(OK, 100)
    number = 0
    while isinstance(begun := it.begin(), Begun):
        begun.end(FAILED)
        number += 1
    return number


def outage(colour: str, gap: float, calls: int = 1000) -> tuple[int, int]:
    """What reaches a provider that is down of calls *gap* seconds apart, and how often they sleep."""
    plugins = {"errors": ErrorClassifier(), "retry": RetryPolicy(), "breaker": CircuitBreaker()}
    bench = Bench(plugins, Fault.status(503), colour=colour)

    async def run() -> None:
        async with clippy_core.AsyncClient(bench.host, bench.http()) as client:
            for _ in range(calls):
                try:
                    await client.chat("Hello")
                except ProviderError:
                    bench.clock.advance(gap)

    if colour == "sync":
        with clippy_core.Client(bench.host, bench.http()) as client:
            for _ in range(calls):
                try:
                    client.chat("Hello")
                except ProviderError:
                    bench.clock.advance(gap)
    else:
        anyio.run(run, backend=colour)
    return bench.provider.calls, len(bench.clock.sleeps)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="attempts at each share of faults")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("clippy").setLevel(logging.ERROR)
    began, failures = time.monotonic(), 0

    def judged(what: str, figure: float, most: float | None) -> None:
        nonlocal failures
        bad = most is not None and figure > most
        failures += bad
        print(f"{what:<76} {figure:>9.3f}" + (f"  at most {most:g}: {'FAILED' if bad else 'ok'}" if most else ""))

    for share in (0.2, 0.3, 0.4):
        found = of_the_rule(options.n, share, options.seed) / options.n * 10_000
        judged(f"false openings in 10,000, rule, {share:.0%} faults", found, MOST_FALSE if share == 0.2 else None)
    fewer = max(options.n // 10, 1)
    for share, overlapping in ((0.2, 1), (0.2, 40), (0.3, 40)):
        found = of_workers(fewer, share, options.seed, overlapping) / fewer * 10_000
        what = f"the same, {WORKERS} workers, {overlapping} at a time, {share:.0%} faults"
        judged(what, found, MOST_FALSE if share == 0.2 else None)
    judged("attempts of a total outage until it opens", attempts_to_open(), MOST_TO_OPEN)
    for colour in ("sync", "asyncio", "trio"):
        for gap in (0.0, 1.0):
            sent, sleeps = outage(colour, gap)
            what = f"attempts for 1,000 calls {gap:g} s apart in an outage, {colour}"
            judged(f"{what}, {sleeps} sleeps", sent, MOST_IN_OUTAGE)
    print(f"{options.n} attempts at each share, {fewer} of workers, {time.monotonic() - began:.0f} seconds")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
