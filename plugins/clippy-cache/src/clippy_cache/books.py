"""The counts of one process, kept by each request's audit record."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache

from attrs import define, field, frozen
from clippy_hookspecs import AuditRecord, Prices, Provenance, RequestContext, Usage
from clippy_hookspecs.blocks import maker

from .notes import Notes
from .statistics import FIRST, LAST, bucket

MOST_KNOWN = 10_000
MOST_NAMES = 2_000
"""Counts that a process keeps apart; a name beyond them is counted as ``more``."""
ANOTHER_API = "given by another route in another wire API"
"""Why the answer of a fallback is not stored: it has no key, since it is of another API than the request."""
_FLIGHT = "flight"
"""The reason that the host gives for an answer of an equal request under way."""


@frozen
class Known:
    """What the answer of a key took when the provider was asked; None is not known, which is not the same as nothing.

    ``seconds`` is the whole request, ``dollars`` the price of its tokens.
    """

    seconds: float | None
    usage: Usage | None
    dollars: float | None


_known = maker(Known)


@define(eq=False)
class Books:
    """Counts by name, and what the stored answers took.  Any thread may call any method."""

    counts: dict[str, float] = field(factory=dict)
    _known: dict[str, Known] = field(factory=dict, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, repr=False)

    def hit(self, record: AuditRecord, ctx: RequestContext, given: Provenance) -> None:
        """A cache answered."""
        kind = _kind(record, given)
        sent = ctx.attempt - ctx.unsent
        known = None
        gains: Sequence[tuple[str, float]] = ()
        if not sent and kind != "negative":
            known = self._taken(record, ctx, kind)
            gains = _gains("saved", known, record.duration if kind in ("exact", "similar") else None)
        where = "miss-latency/" if sent else "hit-latency/"
        self.add(
            (
                (f"hit/{kind}/{given.by or ''}", 1),
                (_bucket_name(where, bucket(record.duration)), 1),
                ("attempts", sent),
                *gains,
            )
        )

    def miss(self, record: AuditRecord, ctx: RequestContext, notes: Notes | None) -> None:
        """No cache answered."""
        sent = ctx.attempt - ctx.unsent
        if notes is None or not (sent or notes.refused):
            self.add(((f"other/{record.outcome}", 1),))
            return
        told = [
            (f"miss/{self._why(ctx, notes)}", 1.0),
            (_bucket_name("miss-latency/", bucket(record.duration)), 1.0),
            ("attempts", sent),
        ]
        known = self._priced(record, ctx, record.duration)
        if known.usage is not None:
            told += _gains("spent", known, None)
        if notes.stored is not None:
            if record.outcome == "failed":
                told.append(("stored/negative", 1))
            else:
                told.append(("stored/answers", 1))
                self._remember(notes.stored, known)
        elif record.outcome != "failed" and ctx.key is not None:
            told.append((f"not-stored/{_why_not(record, ctx, notes)}", 1))
        self.add(told)

    def knows(self, key: str | None) -> bool:
        """Whether an answer for *key* was stored, or given, in this process."""
        return key in self._known

    def add(self, told: Iterable[tuple[str, float]]) -> None:
        """Count."""
        with self._lock:
            counts = self.counts
            for name, value in told:
                before = counts.get(name)
                if before is None and len(counts) >= MOST_NAMES:
                    name = f"{name.partition('/')[0]}/more"
                    before = counts.get(name)
                counts[name] = value if before is None else before + value

    def read(self) -> dict[str, float]:
        """A copy of all counts."""
        with self._lock:
            return dict(self.counts)

    def _why(self, ctx: RequestContext, notes: Notes) -> str:
        control = ctx.cache_control
        if notes.refused:
            return "only-if-cached"
        if not control.lookup:
            return control.reason or "no lookup"
        if ctx.key is None:
            return "not cacheable"
        return "gone" if notes.was_known else "absent"

    def _taken(self, record: AuditRecord, ctx: RequestContext, kind: str) -> Known:
        """What the answer that was given took, which another process, or an earlier one, may have stored."""
        key = ctx.key or ""
        known = self._known.get(key) if kind != "similar" else None
        if known is None:
            known = self._priced(record, ctx, None)
            if kind in ("exact", "stale"):  # others tell nothing of what is stored under this key
                self._remember(key, known)
        return known

    def _remember(self, key: str, known: Known) -> None:
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = known
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]

    @staticmethod
    def _priced(record: AuditRecord, ctx: RequestContext, seconds: float | None) -> Known:
        usage, dollars = record.usage, None
        if usage is not None:
            prices = ctx.services.get(Prices, None)
            model = record.answering_model or record.model or ""
            dollars = None if prices is None else prices.cost(model, usage)
        return _known(seconds, usage, dollars)


def _kind(record: AuditRecord, given: Provenance) -> str:
    if given.reason == _FLIGHT:
        return "joined"
    if given.stale:
        return "stale"
    if (record.status or 0) >= 400:
        return "negative"
    return "similar" if given.reason else "exact"


def _gains(what: str, known: Known, took: float | None) -> list[tuple[str, float]]:
    """What an answer uses, or that it is not known; the time only where it is told how long a hit took."""
    told: list[tuple[str, float]] = []
    taken, given, unpriced, dollars, untimed, seconds = _GAINS[what]
    if known.usage is not None:
        told += [(taken, known.usage.input), (given, known.usage.output)]
    told.append((unpriced, 1) if known.dollars is None else (dollars, known.dollars))
    if took is not None:
        told.append((untimed, 1.0) if known.seconds is None else (seconds, max(0.0, known.seconds - took)))
    return told


_GAINS = {
    what: tuple(f"{what}/{one}" for one in ("input", "output", "unpriced", "dollars", "untimed", "seconds"))
    for what in ("saved", "spent")
}


@lru_cache(maxsize=LAST - FIRST + 1)
def _bucket_name(where: str, number: int) -> str:
    return f"{where}{number}"


def _why_not(record: AuditRecord, ctx: RequestContext, notes: Notes) -> str:
    """Why the answer to a miss was given to no cache."""
    control = ctx.cache_control
    if notes.withdrawn is not None:
        return notes.withdrawn
    if not control.store:
        return control.reason or "no store"
    if record.outcome != "answered":
        return record.outcome
    given = record.provenance
    if given is not None and given.source == "plugin":
        return "answered by a plugin"
    if record.api and ctx.route.api and record.api != ctx.route.api:
        return ANOTHER_API
    return f"ended with {record.finish_reason}" if record.finish_reason else "not stored by the host"
