"""What the suite for retry policies works with: how often is usual, what a failure is, a provider in trouble."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from attrs import define, evolve, field, frozen
from clippy_hookspecs import ErrorInfo, Failure, Refusal, RequestContext, hookimpl

from ..faults import Fault
from ..script import Reply, Step
from ..seen import SeenRequest

TOO_MANY = 200
"""Attempts of one request after which a policy counts as one that never stops."""
SAMPLES = 40
"""Requests of new policies that say what is usual for a policy."""
Tried = tuple[int, tuple[float, ...]]
"""How often a request was tried, and the waits before each repetition in seconds."""


@frozen
class Usual:
    """How often a policy tries a request that always fails: a number, or several if its waits are random."""

    tried: tuple[Tried, ...]

    @property
    def counts(self) -> list[int]:
        """The attempts of each request."""
        return [count for count, _ in self.tried]

    def like(self, counts: Sequence[int]) -> bool:
        """Whether *counts* are usual.

        Without randomness they are equal.  A policy whose waits are random may count on them (so many seconds in all,
        say): then some may lie beyond what was seen, below by half of its width and above by all of it, but not at one
        attempt if none did.
        """
        low, high = min(self.counts), max(self.counts)
        beyond = [count for count in counts if not low <= count <= high]
        if not beyond or len({waits for _, waits in self.tried}) == 1:
            return not beyond
        width = max(1, high - low)
        near = range(max(low - -(-width // 2), min(low, 2)), high + width + 1)
        return len(beyond) <= len(counts) // 2 and all(count in near for count in beyond)

    def __str__(self) -> str:
        return " or ".join(map(str, sorted(set(self.counts))))


def seeded(seed: int, work: Callable[[], Tried]) -> Tried:
    """What *work* gives with the module ``random`` seeded, which is put back as it was."""
    before = random.getstate()
    random.seed(seed)
    try:
        return work()
    finally:
        random.setstate(before)


@define(eq=False)
class Judge:
    """Says of every failure what the check wants it to be, and ends a request that is tried without end."""

    judge: Callable[[int], ErrorInfo]
    attempts: dict[str, int] = field(factory=dict)

    @hookimpl(trylast=True)
    def pre_attempt(self, ctx: RequestContext) -> None:
        self.attempts[ctx.id] = ctx.attempt
        if ctx.attempt > TOO_MANY:
            raise Refusal(f"more than {TOO_MANY} attempts", code="too_many")

    @hookimpl(trylast=True)
    def classify_error(self, failure: Failure, ctx: RequestContext) -> ErrorInfo:
        return evolve(self.judge(ctx.attempt), committed=failure.committed)


@define(eq=False)
class Trouble:
    """A provider that fails while it is in trouble, which a check begins and ends."""

    failures: float = math.inf

    def begin(self, failures: float = math.inf) -> None:
        """Fail so often, then answer."""
        self.failures = failures

    def __call__(self, seen: SeenRequest) -> Step:
        self.failures -= 1
        return Fault.status(503) if self.failures >= 0 else Reply("there you are")
