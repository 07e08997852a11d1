"""What the provider says that it read from its prompt cache and wrote to it, summed up."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, fields, frozen
from clippy_hookspecs import AuditRecord, Usage

MAX_LINES = 256
"""Pairs of route and model that are counted apart; later ones are counted under the route and no model."""


@frozen
class Counts:
    """Sums over requests that the provider answered, in its tokens.

    ``input`` counts all tokens of the prompts, ``read`` those of them that came from the cache and ``written`` those
    that were put into it.  ``unmeasured`` requests are those of which the provider did not say what they used; nothing
    of them is in the sums.
    """

    requests: int = 0
    unmeasured: int = 0
    input: int = 0
    read: int = 0
    written: int = 0

    @property
    def share(self) -> float:
        """The part of the prompts' tokens that came from the cache, 0 to 1."""
        return self.read / self.input if self.input else 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.requests + other.requests,
            self.unmeasured + other.unmeasured,
            self.input + other.input,
            self.read + other.read,
            self.written + other.written,
        )


@frozen
class Statistics:
    """The counts of this process so far, by route and model."""

    lines: Mapping[tuple[str, str], Counts] = field(factory=dict)

    @property
    def total(self) -> Counts:
        """All of it."""
        return sum(self.lines.values(), Counts())


class Counter:
    """Adds up the records of requests.  Whoever owns it keeps its threads apart."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], list[int]] = {}
        """By route and model the fields of :class:`Counts`, in their order."""

    def add(self, record: AuditRecord, model: str) -> None:
        """Count *record*, whose last attempt asked for *model*, if a provider answered it."""
        given, usage = record.provenance, record.usage
        sent = any(attempt.sent for attempt in record.attempts)
        if usage is None or not sent or not (given is None or given.source == "provider"):
            return
        line = record.route or "", model
        sums = self._lines.get(line)
        if sums is None:
            if len(self._lines) >= MAX_LINES:
                line = line[0], ""
            sums = self._lines.setdefault(line, [0] * len(fields(Counts)))
        sums[0] += 1
        if not _told(usage):
            sums[1] += 1
            return
        sums[2] += usage.input
        sums[3] += usage.cache_read
        sums[4] += usage.cache_write

    def statistics(self) -> Statistics:
        """What was counted so far."""
        return Statistics({line: Counts(*sums) for line, sums in self._lines.items()})


def _told(usage: Usage) -> bool:
    """Whether the provider said what went in.  Of a stream that broke only the output may be an estimate."""
    return not usage.estimated or bool(usage.cache_read or usage.cache_write)
