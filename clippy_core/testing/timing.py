"""Ratios that a noisy machine cannot spoil: cases take turns in short blocks, and are compared within one round."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import math
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal

from attrs import field, frozen

Block = Callable[[int], Any]
"""Does something so many times."""


@frozen
class Group:
    """Cases that do the same work; the first is what the others are compared with.

    ``per_block`` is how often a case is done in one block of a round.  ``bars`` are the ratios that must not be
    exceeded, by case; ``by`` says whether that is of the process's CPU time (all threads) or of wall time.
    """

    title: str
    cases: Mapping[str, Block]
    bars: Mapping[str, float] = field(factory=dict)
    per_block: int = 20
    by: str = "cpu"


@frozen
class Estimate:
    """A median over rounds, and its 95 % confidence interval: what was measured lies from ``least`` to ``most``."""

    middle: float
    least: float
    most: float

    @property
    def rough(self) -> float:
        """Half of the interval's width."""
        return (self.most - self.least) / 2

    @property
    def may_be_nothing(self) -> bool:
        """Of a difference: it was not measured."""
        return self.least <= 0.0 <= self.most


@frozen
class Row:
    """One case: its ratio to the baseline, the median over the rounds and their 10th and 90th percentile.

    From ``least`` to ``most`` is the 95 % confidence interval of the ratio that the bar speaks of.
    """

    group: str
    case: str
    cpu: float
    wall: float
    low: float
    high: float
    least: float
    most: float
    bar: float | None = None
    by: str = "cpu"
    unit: str = ""

    @property
    def rough(self) -> float:
        """Half of the interval's width: a smaller difference was not measured."""
        return (self.most - self.least) / 2

    @property
    def verdict(self) -> str:
        """``ok`` or ``over`` where the whole interval is on that side of the bar, else ``unsure``.

        The interval is one of order statistics over ratios of one round each, so this judges paired differences: a
        ratio is above the bar exactly where its case took more than so many times its own round's baseline.
        """
        if self.bar is None:
            return ""
        if self.most <= self.bar:
            return "ok"
        return "over" if self.least > self.bar else "unsure"


def repeated(call: Callable[[], Any]) -> Block:
    """A block of plain calls."""

    def block(times: int) -> None:
        for _ in range(times):
            call()

    return block


def awaited(runner: asyncio.Runner, call: Callable[[], Awaitable[Any]]) -> Block:
    """A block of awaited calls, one after the other, on *runner*'s loop."""

    async def several(times: int) -> None:
        for _ in range(times):
            await call()

    def block(times: int) -> None:
        runner.run(several(times))

    return block


@frozen
class Samples:
    """Nanoseconds that each case's blocks took, round by round: CPU of the process with its threads, and wall time."""

    cpu: Mapping[str, Sequence[float]]
    wall: Mapping[str, Sequence[float]]
    per_block: int

    @property
    def rounds(self) -> int:
        """How many rounds were done."""
        return len(next(iter(self.cpu.values())))

    def added(self, by: Literal["cpu", "wall"], case: str, baseline: str) -> Estimate:
        """Microseconds that one call of *case* takes more than one of *baseline*."""
        kind = self.cpu if by == "cpu" else self.wall
        more = [(one - other) / self.per_block / 1000 for one, other in zip(kind[case], kind[baseline], strict=True)]
        return estimate(more)

    def ratio(self, by: Literal["cpu", "wall"], case: str, baseline: str) -> Estimate:
        """How many times what *baseline* takes *case* takes."""
        kind = self.cpu if by == "cpu" else self.wall
        return estimate(paired(kind[case], kind[baseline]))


def compare(group: Group, rounds: int) -> list[Row]:
    """Measure *group*: in each round every case does one block, in an order that changes."""
    samples = sample(group, rounds)
    return [_row(group, name, samples.cpu, samples.wall) for name in group.cases]


def sample(group: Group, rounds: int, seconds: float = math.inf) -> Samples:
    """What *compare* measures, before it is judged; at least one round, and no new one after *seconds*."""
    names = list(group.cases)
    end = time.monotonic() + seconds
    for name in names:
        group.cases[name](max(3, group.per_block // 2))
    cpu: dict[str, list[float]] = {name: [] for name in names}
    wall: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.freeze()
    try:
        for number in range(rounds):
            if number and time.monotonic() >= end:
                break
            for name in random.Random(number).sample(names, len(names)):  # noqa: S311 - an order, no secret
                block = group.cases[name]
                began, used = time.perf_counter_ns(), time.process_time_ns()
                block(group.per_block)
                wall[name].append(time.perf_counter_ns() - began)
                _settle()
                cpu[name].append(time.process_time_ns() - used)
    finally:
        gc.unfreeze()
    return Samples(cpu, wall, group.per_block)


def _settle() -> None:
    """Wait, at most 50 ms, until the threads of the process have done what the block left to them: it is its work."""
    for _ in range(50):
        used = time.process_time_ns()
        time.sleep(0.001)
        if time.process_time_ns() - used < _IDLE:
            return


_IDLE = 100_000
"""Nanoseconds of CPU in a millisecond; sleeping takes less."""


def _row(group: Group, name: str, cpu: Mapping[str, Sequence[float]], wall: Mapping[str, Sequence[float]]) -> Row:
    first = next(iter(group.cases))
    by_cpu = paired(cpu[name], cpu[first])
    by_wall = paired(wall[name], wall[first])
    shown = sorted(by_cpu if group.by == "cpu" else by_wall)
    sure = estimate(shown)
    return Row(
        group.title,
        name,
        statistics.median(by_cpu),
        statistics.median(by_wall),
        shown[len(shown) // 10],
        shown[-1 - len(shown) // 10],
        sure.least,
        sure.most,
        group.bars.get(name),
        group.by,
    )


def paired(case: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """The ratio in each round."""
    return [one / other for one, other in zip(case, baseline, strict=True)]


def estimate(values: Sequence[float]) -> Estimate:
    """The median of *values* and its 95 % confidence interval, which leaves out as many at one end as at the other."""
    ordered = sorted(values)
    left_out = _left_out(len(ordered))
    return Estimate(statistics.median(ordered), ordered[left_out], ordered[-1 - left_out])


@functools.cache
def _left_out(count: int) -> int:
    """How many of *count* values lie on each side of the interval.

    Each value is below the true median with probability 1/2.  An interval that leaves out k at each end misses it when
    at most k values are on one side of it: the largest k for which that happens in at most 5 of 100 runs.  Fewer than
    six values cannot be as sure as that, and the interval is all of them.
    """
    one_side = itertools.accumulate(math.comb(count, number) for number in range(count))
    return max(0, sum(20 * 2 * ways <= 1 << count for ways in one_side) - 1)
