"""What the time of one request went into, part by part: together they are its whole time, to the nanosecond."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from attrs import fields, frozen
from clippy_recorder import Attempt, Exchange

_BEFORE_ITS_END: Final = frozenset({"on_chunk", "classify_error"})
"""Hooks that run while an attempt that fails is not over yet: their time is not the provider's."""


@frozen
class Parts:
    """Nanoseconds.

    ``plugins``: in hooks, as a clock in the host measured them.  ``until_answer``: from sending an attempt until its
    answer began.  ``between_chunks``: until more of an answer came, when it had been asked for.  ``waits``: before
    another attempt, or for the answer of an equal request under way.  ``caller``: nothing of a stream was read, because
    its reader was busy or its flow paused or paced.  ``host``: what is left, which is the host's own work.
    """

    plugins: int = 0
    until_answer: int = 0
    between_chunks: int = 0
    waits: int = 0
    caller: int = 0
    host: int = 0

    @property
    def provider(self) -> int:
        """All that the provider took."""
        return self.until_answer + self.between_chunks

    @property
    def wall(self) -> int:
        """All of it."""
        return sum(getattr(self, one.name) for one in fields(Parts))


def added(parts: Iterable[Parts]) -> Parts:
    """The sum of each part."""
    known = list(parts)
    return Parts(*(sum(getattr(one, part.name) for one in known) for part in fields(Parts)))


def parts_of(exchange: Exchange) -> Parts:
    """The parts of a request that is over.

    Times come from several clocks and are cut to microseconds: what would be more than the whole is left out, the parts
    that are known least exactly first.
    """
    rest = (exchange.duration or 0) * 1000

    def at_most(wanted: int) -> int:
        nonlocal rest
        taken = min(max(0, wanted), rest)
        rest -= taken
        return taken

    waits = at_most(sum(attempt.waited for attempt in exchange.attempts) * 1000)
    plugins = at_most(sum(step.ns for step in exchange.steps if step.hook != "audit"))
    caller = at_most(exchange.unread * 1000)
    until_answer = at_most(sum(_until_answer(exchange, one) for one in exchange.attempts) * 1000)
    between = sum(_after(exchange, one) for one in exchange.attempts) * 1000 - exchange.unread * 1000
    between_chunks = at_most(between)
    if (exchange.provenance or {}).get("reason") == "flight":  # what the host did meanwhile was to wait for another
        waits += at_most(rest)
    return Parts(plugins, until_answer, between_chunks, waits, caller, rest)


def end_of(exchange: Exchange, attempt: Attempt) -> int:
    """When an attempt was over, in microseconds: that of one that was never closed, when its request was."""
    return attempt.ended_at if attempt.ended_at is not None else exchange.duration or attempt.at


def _until_answer(exchange: Exchange, attempt: Attempt) -> int:
    """Microseconds from sending until the answer began, or until it was clear that there is none."""
    if attempt.head_at is not None:
        return attempt.head_at - attempt.at
    end = end_of(exchange, attempt)
    return end - attempt.at - _hooks(exchange, attempt.at, end)


def _after(exchange: Exchange, attempt: Attempt) -> int:
    """Microseconds in which more of an answer was waited for, whoever had to ask for it first."""
    if attempt.head_at is None:
        return 0
    last, end = attempt.head_at, end_of(exchange, attempt)
    pieces = [piece for piece in exchange.pieces if attempt.head_at <= piece.at <= end]
    waited, read = 0, False
    for piece in pieces:
        if piece.kind == "bytes":
            waited += piece.at - last
            read = True
        last = max(last, piece.at)
    if attempt.state != "ok" or exchange.lost or not read:  # nothing came any more, or it is not known when it did
        waited += end - last - _hooks(exchange, last, end)
    return waited


def _hooks(exchange: Exchange, begin: int, end: int) -> int:
    """Microseconds of hooks that ran before a failure was judged."""
    return sum(step.ns for step in exchange.steps if step.hook in _BEFORE_ITS_END and begin <= step.at <= end) // 1000
