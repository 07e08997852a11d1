"""After an attempt: what its end means for the breakers, written where all who share them look."""

from __future__ import annotations

import logging
import random

from attrs import define, field
from clippy_hookspecs import ErrorInfo, Outcome

from .attempt import Attempt
from .record import ROUTE
from .rule import CLOSED, Machine, Mark, Rule

log = logging.getLogger("clippy.breaker")

TRIES = 20
"""Writes of one result at the most.  Each that fails is another's success, and after ten of those it is open anyway."""
MOST_WORDS = 200
"""Characters of what a connection said that failed, which is kept in the store and shown in errors and logs."""
JITTER = 0.2
"""The part by which an open time is lengthened or shortened, so that processes do not all come back at once."""


@define(eq=False)
class Results:
    """Counts them by *rule*; one whose first token took more than *slow_after* seconds is slow."""

    rule: Rule
    slow_after: float | None
    # The system's source: processes forked from one parent must not all come back at the same moment.
    rng: random.Random = field(factory=random.SystemRandom)

    async def count(self, attempt: Attempt, outcome: Outcome, settled: tuple[str, ...], would: str) -> None:
        """Count how an attempt ended; as a success only for other breakers than those that are *settled*."""
        error = outcome.error
        if error is not None and error.outage:
            name = attempt.model if error.scope == "model" else ROUTE
            await self._note(attempt, name, "f", _described(error), _asked(error), would)
            return
        if error is not None:
            good = attempt.is_any_probe and answered(outcome)
        else:  # who stops reading an answer that has begun has seen a route at work; other ends say nothing about it
            began = outcome.first_token is not None
            good = outcome.state == "ok" or (outcome.state == "cancelled" and began)
        if not good:
            _said_nothing(attempt, error)
            return
        waited = outcome.duration if outcome.first_token is None else outcome.first_token
        slow = self.slow(waited)
        why = f"{'first token' if error is None else _described(error)} after {waited:.1f} s" if slow else ""
        known, machines = attempt.known, attempt.known.record.machines
        if not (slow or machines or attempt.seen.machines):
            known.keep_success(ROUTE, CLOSED.epoch, attempt.place.now())  # as nearly always
            return
        names = [ROUTE]
        if machines.keys() - {ROUTE} and (model := attempt.model) in machines:
            names.insert(0, model)
        for name in names:
            # A closed breaker takes an error that speaks for a route at work for nothing at all.
            if name not in settled and (error is None or attempt.is_probe(name)):
                await self._note(attempt, name, "s" if slow else ".", why, None, would)

    def slow(self, waited: float) -> bool:
        """Whether so many seconds to the first token are too many."""
        return self.slow_after is not None and waited > self.slow_after

    async def succeed(self, probe: Attempt, name: str, whole: Attempt, would: str) -> None:
        """Count one of the probes that *probe* took over from *whole*, whose end then belongs to what it led to."""
        if (after := await self._note(probe, name, ".", "", None, would)) is not None:
            whole.seen = whole.seen.seeing(name, after)

    async def _note(
        self, attempt: Attempt, name: str, mark: Mark, why: str, asked: float | None, would: str
    ) -> Machine | None:
        """Count one result for one breaker; the breaker after it, None where nothing was written."""
        known, now = attempt.known, attempt.place.now()
        epoch, probe = attempt.seen.machine(name).epoch, attempt.is_probe(name)
        well: list[float] = []
        fresh = False
        for _ in range(TRIES):
            text, record = known.seen
            machine = record.machine(name)
            if machine.epoch != epoch or probe != (machine.until is not None):
                if fresh:
                    return None  # it began before the breaker changed its state, or while it was open: neither counts
                await attempt.look()  # what is known may be older than the attempt, if another thread read it
                fresh = True
                continue
            if mark == "." and not probe and machine.run == 0:
                for at in (*well, now):
                    known.keep_success(name, epoch, at)
                return None
            well += known.take_successes(name, epoch)
            changed = self._changed(machine, probe, mark, well, now, why, asked)
            record = record.having(name, changed, now)
            if await attempt.write(text, record, record.lifetime(now, self.rule)):
                _report(attempt.named(name), machine, changed, would)
                return changed
            await attempt.look()
            fresh = True
        return None

    def _changed(
        self, machine: Machine, probe: bool, mark: Mark, well: list[float], now: float, why: str, asked: float | None
    ) -> Machine:
        jitter = 1 + JITTER * (2 * self.rng.random() - 1)
        if probe and mark == ".":
            return self.rule.probed(machine, now)
        if probe:
            return self.rule.opened(machine, now, why=why, asked=asked, jitter=jitter)
        ends: list[tuple[float, Mark]] = [*((at, ".") for at in well), (now, mark)]
        return self.rule.after(machine, ends, now, why=why, asked=asked, jitter=jitter)


def answered(outcome: Outcome) -> bool:
    """Whether it is an error that shows a provider at work: one that it answered, and that is no failure of the route.

    Where the status said "well" it may have been on our side that the rest of the answer was given up.
    """
    error, status = outcome.error, outcome.status
    if error is None or error.outage or not outcome.sent or error.category in ("plugin", "cancelled"):
        return False
    if status is None or status >= 500:
        return False
    return status >= 300 or error.category not in ("transient", "unknown")


def _said_nothing(attempt: Attempt, error: ErrorInfo | None) -> None:
    for name in attempt.probes:
        if attempt.is_probe(name):
            how = "cancelled" if error is None else _described(error)
            log.info("breaker: %s is still half open, its probe said nothing: %s", attempt.named(name), how)


def _report(named: str, before: Machine, after: Machine, would: str) -> None:
    if before.epoch == after.epoch:
        if after.probed > before.probed:
            log.info("breaker: %s: a probe went well, %d in all", named, after.probed)
        return
    if after.until is None:
        log.warning("breaker: %s is closed again%s", named, would)
    else:
        how = "open again" if before.until is not None else "open"
        log.warning("breaker: %s is %s for %.1f s: %s%s", named, how, after.length, after.why, would)


def _described(error: ErrorInfo) -> str:
    """A failure for people and logs.  Where nobody answered it is our own side that speaks, and no provider's words."""
    if error.status:
        return f"{error.kind}, HTTP {error.status}"
    said = " ".join(error.message.split())[:MOST_WORDS]
    return f"{error.kind}, {said}" if said else error.kind


def _asked(error: ErrorInfo) -> float | None:
    """Seconds for which an overloaded server wants to be left alone."""
    return error.retry_after if error.status in (503, 529) else None
