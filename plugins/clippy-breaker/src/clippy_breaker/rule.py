"""When a breaker opens, for how long, and when it closes: a pure rule over values, without clock, store or route.

The figures are those of a comparison by simulation (reference/reliability.md sections 1.3 and 1.5): ten failures in a
row, or 60 % of the last 50, open within twelve attempts of a total outage and next to never at 20 % independent faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from attrs import evolve, frozen

State = Literal["closed", "open", "half_open"]
Mark = Literal[".", "f", "s"]
"""How an attempt ended: well, in a failure, or well but slowly."""

CLOCK_SKEW = 5.0
"""Seconds by which the clocks of two processes that share a breaker may differ."""


@frozen
class Machine:
    """One breaker.  Times are seconds of the clock that all who share it go by.

    ``epoch`` counts the changes of state: an attempt that began in another epoch says nothing about this one.
    ``changed`` is when it last changed.  Closed: ``run`` failures in a row, and ``marks``, how the last attempts ended
    and when, oldest first.  Open while ``until`` lies ahead, for ``length`` seconds; then half open, with
    ``probed`` probes that went well.  ``turn`` counts the openings since it was last closed.  ``why`` is the failure
    that opened it, in words.
    """

    epoch: int = 0
    changed: float = 0.0
    run: int = 0
    marks: tuple[tuple[float, Mark], ...] = ()
    until: float | None = None
    length: float = 0.0
    turn: int = 0
    probed: int = 0
    why: str = ""

    def state(self, now: float) -> State:
        """What it is at *now*.

        An end that lies further ahead than the whole open time was written by another clock, or before this one was
        set back: nobody waits for that.
        """
        if self.until is None:
            return "closed"
        return "open" if 0 < self.until - now <= self.length + CLOCK_SKEW else "half_open"

    def left(self, now: float) -> float:
        """Seconds until it is half open."""
        return 0.0 if self.until is None or self.state(now) != "open" else self.until - now


CLOSED = Machine()


@frozen
class Rule:
    """The settings of :class:`~clippy_breaker.CircuitBreaker` that the rule needs, under the same names."""

    consecutive: int = 10
    share: float = 0.6
    window: int = 50
    least: int = 30
    max_age: float = 60.0
    slow_share: float = 0.8
    open_time: float = 10.0
    max_open: float = 120.0
    probes: int = 3

    def after(
        self,
        machine: Machine,
        ends: Sequence[tuple[float, Mark]],
        now: float,
        *,
        why: str = "",
        asked: float | None = None,
        jitter: float = 1.0,
    ) -> Machine:
        """A closed breaker after attempts that ended so, oldest first; one that ended well opens nothing.

        *asked*: seconds for which the server wants to be left alone; *jitter* is a factor for the open time.
        """
        run = machine.run
        for _, mark in ends:
            run = run + 1 if mark == "f" else 0
        marks = tuple(end for end in (*machine.marks, *ends) if abs(now - end[0]) <= self.max_age)[-self.window :]
        found = self._reason(run, marks) if ends and ends[-1][1] != "." else ""
        if found:
            return self.opened(machine, now, why=f"{found}, the last: {why}", asked=asked, jitter=jitter)
        return evolve(machine, run=run, marks=marks)

    def _reason(self, run: int, marks: Sequence[tuple[float, Mark]]) -> str:
        """Why it opens, "" while it stays closed."""
        if run >= self.consecutive:
            return f"{run} failures in a row"
        if len(marks) < self.least:
            return ""
        failed = sum(mark == "f" for _, mark in marks)
        slow = sum(mark == "s" for _, mark in marks)
        if failed >= self.share * len(marks):
            return f"{failed} of {len(marks)} attempts failed"
        if slow and failed + slow >= self.slow_share * len(marks):
            return f"{slow} of {len(marks)} attempts were slow and {failed} failed"
        return ""

    def opened(
        self,
        machine: Machine,
        now: float,
        *,
        why: str = "",
        asked: float | None = None,
        jitter: float = 1.0,
    ) -> Machine:
        """It opens, or opens again after a probe that failed; each time for twice as long."""
        # Past 2 to the 30th power every bound is reached; a float has no room for many more doublings.
        length = min(self.max_open, self.open_time * 2.0 ** min(machine.turn, 30) * jitter)
        if asked is not None and asked > length:  # never true of NaN
            length = min(asked, self.max_open)
        return Machine(machine.epoch + 1, now, until=now + length, length=length, turn=machine.turn + 1, why=why)

    def probed(self, machine: Machine, now: float) -> Machine:
        """A half-open breaker after a probe that went well; after the last it is closed and remembers nothing."""
        if machine.probed + 1 >= self.probes:
            return Machine(machine.epoch + 1, now)
        return evolve(machine, probed=machine.probed + 1)
