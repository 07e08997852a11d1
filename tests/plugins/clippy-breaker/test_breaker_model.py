"""Any sequence of attempts, against a breaker that is written down as naively as can be."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from breaker_lab import CANCELLED, FAILED, OK, Begun, Lab, lab
from clippy_breaker import record
from clippy_hookspecs import ErrorInfo
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

CONSECUTIVE, SHARE, WINDOW, LEAST, AGE, OPEN, MOST, PROBES, LEASE = 4, 0.6, 12, 6, 60, 10, 45, 2, 30
SETTINGS = {
    "consecutive": CONSECUTIVE, "share": SHARE, "window": WINDOW, "least": LEAST, "max_age": float(AGE),
    "open_time": float(OPEN), "max_open": float(MOST), "probes": PROBES, "probe_time": float(LEASE),
}  # fmt: skip


@define
class Naive:
    """Keeps every result since it was last closed, and works everything out from those."""

    ends: list[tuple[float, bool]] = field(factory=list)
    until: float | None = None
    turn: int = 0
    good_probes: int = 0
    era: int = 0
    probe: tuple[int, float] | None = None
    """The attempt that has the probe's place, and until when."""

    def settle(self, one: Running, now: float) -> None:
        """A probe's answer has begun: it went well, and what it comes to in the end counts as for any other."""
        counts = one.era == self.era
        self.end(one.number, one.kind, one.era, True, now)
        one.settled = True
        if counts:
            one.era = self.era

    def state(self, now: float) -> str:
        return "closed" if self.until is None else "open" if now < self.until else "half_open"

    def admit(self, number: int, now: float) -> str:
        """Whether an attempt is refused, a probe, or one like any other."""
        state = self.state(now)
        if state != "half_open":
            return "refused" if state == "open" else "plain"
        if self.probe is not None and now < self.probe[1]:
            return "refused"
        self.probe = (number, now + LEASE)
        return "probe"

    def end(self, number: int, kind: str, era: int, good: bool | None, now: float) -> None:
        if self.probe is not None and self.probe[0] == number:
            self.probe = None
        if good is None or era != self.era:
            return
        if kind == "probe" and self.until is not None:
            self.good_probes += good
            if not good:
                self._open(now)
            elif self.good_probes == PROBES:
                self._change(now, until=None, turn=0)
            return
        self.ends.append((now, good))
        if not good and self._trips(now):
            self._open(now)

    def _trips(self, now: float) -> bool:
        last = [good for _, good in self.ends]
        if len(last) >= CONSECUTIVE and not any(last[-CONSECUTIVE:]):
            return True
        recent = [good for at, good in self.ends if now - at <= AGE][-WINDOW:]
        return len(recent) >= LEAST and recent.count(False) >= SHARE * len(recent)

    def _open(self, now: float) -> None:
        self._change(now, until=now + min(MOST, OPEN * 2**self.turn), turn=self.turn + 1)

    def _change(self, now: float, until: float | None, turn: int) -> None:
        self.ends, self.until, self.turn, self.good_probes, self.era = [], until, turn, 0, self.era + 1


@define(eq=False)
class Running:
    """An attempt in both worlds."""

    number: int
    begun: Begun
    kind: str
    era: int
    settled: bool = False


class AnySequence(RuleBasedStateMachine):
    """Attempts begin, overlap, end and are refused; time passes in whole seconds."""

    running = Bundle("running")

    @initialize()
    def start(self) -> None:
        self.lab: Lab = lab(**SETTINGS)
        self.naive = Naive()
        self.number = 0
        self.probing: list[Running] = []
        self.forget, record.FORGET = record.FORGET, 1e9  # what a store forgets in time is another test

    def teardown(self) -> None:
        record.FORGET = self.forget

    def try_one(self) -> Running | None:
        self.number += 1
        expected = self.naive.admit(self.number, self.lab.clock.at)
        begun = self.lab.begin()
        assert isinstance(begun, ErrorInfo) == (expected == "refused")
        if isinstance(begun, ErrorInfo):
            return None
        assert begun.ctx.leases == (expected == "probe")
        one = Running(self.number, begun, expected, self.naive.era)
        if expected == "probe":
            self.probing.append(one)
        return one

    @rule(target=running)
    def begin(self) -> Any:
        return self.try_one() or multiple()

    @rule(one=consumes(running), good=st.sampled_from([True, False, None]))
    def end(self, one: Running, good: bool | None) -> None:
        if one in self.probing:
            self.probing.remove(one)
        if not (one.settled and good):
            self.naive.end(one.number, one.kind, one.era, good, self.lab.clock.at)
        one.begun.end({True: OK, False: FAILED, None: CANCELLED}[good])
        assert one.begun.ctx.leases == 0

    @rule(one=running)
    def answers(self, one: Running) -> None:
        if one in self.probing:
            self.naive.settle(one, self.lab.clock.at)
            self.probing.remove(one)
        one.begun.answers()

    @rule(ends=st.lists(st.sampled_from([True, False, False]), max_size=10))
    def several(self, ends: list[bool]) -> None:
        """One after the other, as a simple program makes them."""
        for good in ends:
            one = self.try_one()
            if one is not None:
                self.end(one, good)

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.lab.clock.at += seconds

    @invariant()
    def the_same_state(self) -> None:
        assert self.lab.state() == self.naive.state(self.lab.clock.at)


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
