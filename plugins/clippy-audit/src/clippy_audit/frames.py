"""Most records go the way of the one before: what stands around their numbers is remembered, redacted and written.

To describe a record and to write it out takes five times as long as to put its numbers between the pieces of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from operator import attrgetter
from typing import Any

import orjson
from clippy_hookspecs import AuditRecord, Json

from .cleaner import Cleaner
from .lines import in_ascii, written
from .record import counts, describe

MOST = 64
"""Frames that are remembered, each of at most so many bytes; then it begins anew:"""
LONGEST = 16384

_ALIKE = attrgetter(
    "outcome", "api", "method", "model", "stream", "route", "status", "url", "finish_reason",
    "scope.tenant", "scope.user", "scope.session",
    "provenance.source", "provenance.by", "provenance.route", "provenance.stale", "provenance.reason",
)  # fmt: skip
_HOLE = orjson.Fragment(b'"\\u0000"')
"""Written for what is another with each record; a text that is this very character makes one hole too many."""


def framed(record: AuditRecord, clean: Cleaner) -> bytes | None:
    """What :func:`headed` makes the line of *record* of, at the level *standard*.

    None for one that goes no usual way: with an error, a second attempt, or a number that JSON has not.
    """
    origin, attempts, first = record.provenance, record.attempts, record.first_token
    if record.error is not None or record.parent or origin is None or len(attempts) > 1 or not record.id:
        return None
    used, numbers = counts(record.usage), [record.duration]
    alike = (*_ALIKE(record), bool(used), origin.age is None, first is None, bool(record.trace))
    if origin.age is not None:
        numbers.append(origin.age)
    if first is not None:
        numbers.append(first)
    for attempt in attempts:
        if attempt.error is not None:
            return None
        alike += (attempt.number, attempt.route, attempt.status, attempt.sent)
        numbers += (attempt.waited, attempt.duration)
    if not all(map(isfinite, numbers)):
        return None
    told = orjson.dumps([round(number, 6) for number in numbers])[1:-1].split(b",")
    if used:
        try:
            told.insert(1, orjson.dumps(used))
        except TypeError:  # an integer beyond 64 bits
            return None
    if record.trace:
        told.append(clean.written_trace(record.trace).encode())
    told.insert(0, in_ascii(clean.id(record.id)).encode())
    frame = clean.frames.get(alike) or _frame(alike, record, clean, len(told))
    if frame is None:
        return None
    pieces = frame.copy()
    pieces[1::2] = told
    return b"".join(pieces)


def headed(head: dict[str, Json], rest: bytes) -> bytes:
    """The line that :func:`clippy_audit.lines.encode` makes of *head* and the record that is framed as *rest*."""
    return orjson.dumps(head)[:-1] + rest


def _frame(alike: tuple[Any, ...], record: AuditRecord, clean: Cleaner, holes: int) -> list[bytes] | None:
    """What stands around the numbers of *record*, every other piece empty; None if it is not sure which they are."""
    fields = describe(record, "standard", clean)
    _cut(fields, ("id", "duration", "usage", "first_token", "trace"))
    _cut(fields["provenance"], ("age",))
    for attempt in fields.get("attempt_list", ()):
        _cut(attempt, ("waited", "duration"))
    around = written(fields).split(orjson.dumps(_HOLE))
    if len(around) != holes + 1:
        return None
    frame = [b""] * (2 * holes + 1)
    frame[::2] = around
    frame[0] = b"," + frame[0][1:]  # it goes on where the head ends
    if sum(map(len, frame)) <= LONGEST:
        if len(clean.frames) >= MOST:
            clean.frames.clear()
        clean.frames[alike] = frame
    return frame


def _cut(fields: dict[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if name in fields:
            fields[name] = _HOLE
