"""What the provider says that it read from its prompt cache and wrote to it, summed up."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen
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
        self._lines: dict[tuple[str, str], Counts] = {}

    def add(self, record: AuditRecord, model: str) -> None:
        """Count *record*, whose last attempt asked for *model*, if a provider answered it."""
        counts = _counts(record)
        if counts is None:
            return
        line = record.route or "", model
        if line not in self._lines and len(self._lines) >= MAX_LINES:
            line = line[0], ""
        self._lines[line] = self._lines.get(line, Counts()) + counts

    def statistics(self) -> Statistics:
        """What was counted so far."""
        return Statistics(dict(self._lines))


def _counts(record: AuditRecord) -> Counts | None:
    provider = record.provenance is None or record.provenance.source == "provider"
    sent = any(attempt.sent for attempt in record.attempts)
    if not provider or not sent or record.usage is None:
        return None
    usage = record.usage
    if not _told(usage):
        return Counts(1, unmeasured=1)
    return Counts(1, 0, usage.input, usage.cache_read, usage.cache_write)


def _told(usage: Usage) -> bool:
    """Whether the provider said what went in.  Of a stream that broke only the output may be an estimate."""
    return not usage.estimated or bool(usage.cache_read or usage.cache_write)
