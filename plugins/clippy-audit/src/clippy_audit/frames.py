"""Most records go the way of the one before: what stands around their numbers is remembered, redacted and written.

To describe a record and to write it out takes five times as long as to put its numbers between the pieces of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import truth
from typing import Any

import orjson
from clippy_hookspecs import AuditRecord, Json

from .cleaner import Cleaner
from .lines import written
from .record import COUNTS, counted, describe, micros

MOST = 64
"""Frames that are remembered, each of at most so many bytes; then it begins anew:"""
LONGEST = 16384

_HOLE = orjson.Fragment(b'"\\u0000"')
"""Written for what is another with each record; a text that is this very character makes one hole too many."""


def framed(record: AuditRecord, clean: Cleaner) -> bytes | None:
    """What :func:`headed` makes the line of *record* of, at the level *standard*.

    None for one that goes no usual way: with an error, a second attempt, or a number that JSON has not.
    """
    origin, attempts, used, scope = record.provenance, record.attempts, record.usage, record.scope
    first, trace = record.first_token, record.trace
    if record.error is not None or record.parent or origin is None or len(attempts) > 1 or not record.id:
        return None
    numbers: list[Any] = [clean.id(record.id), micros(record.duration)]
    counts: tuple[bool, ...] | None = None
    tried: tuple[Any, ...] = ()
    if used is not None:
        numbers += filter(None, told := counted(used))
        counts = tuple(map(truth, told))
    if origin.age is not None:
        numbers.append(micros(origin.age))
    if first is not None:
        numbers.append(micros(first))
    if attempts:
        (attempt,) = attempts
        if attempt.error is not None:
            return None
        tried = attempt.number, attempt.route, attempt.status, attempt.sent
        numbers += micros(attempt.waited), micros(attempt.duration)
    holes = _written(numbers)
    if holes is None:
        return None
    if trace:
        holes.append(clean.written_trace(trace))
    alike = (
        record.outcome, record.api, record.method, record.model, record.stream, record.route, record.status, record.url,
        record.finish_reason, record.answering_model, record.ended_by, scope.tenant, scope.user, scope.session,
        origin.source, origin.by, origin.route, origin.stale, origin.reason,
        counts, tried, origin.age is None, first is None, not trace,
    )  # fmt: skip
    frame = clean.frames.get(alike) or _frame(alike, record, clean)
    if frame is None or len(frame) != 2 * len(holes) + 1:
        return None
    pieces = frame.copy()
    pieces[1::2] = holes
    return b"".join(pieces)


def _written(values: list[Any]) -> list[bytes] | None:
    """Each of *values* as JSON; None where that is none, or not of ASCII.  A comma in one makes it one too many."""
    try:
        line = orjson.dumps(values)
    except TypeError:  # a lone surrogate, an integer beyond 64 bits
        return None
    # No number is null, but one that JSON has not.  To ask for bytes by "in" raises and catches an error inside.
    if line.find(b"null") >= 0 or 0x7F in line or not line.isascii():
        return None
    return line[1:-1].split(b",")


def headed(head: dict[str, Json], rest: bytes) -> bytes:
    """The line that :func:`clippy_audit.lines.encode` makes of *head* and the record that is framed as *rest*."""
    return orjson.dumps(head)[:-1] + rest


def _frame(alike: tuple[Any, ...], record: AuditRecord, clean: Cleaner) -> list[bytes] | None:
    """What stands around the numbers of *record*, every other piece empty; None if it is not sure which they are."""
    fields = describe(record, "standard", clean)
    holes = _cut(fields, ("id", "duration", "first_token", "trace"))
    holes += _cut(fields.get("usage", {}), COUNTS) + _cut(fields["provenance"], ("age",))
    holes += sum(_cut(attempt, ("waited", "duration")) for attempt in fields.get("attempt_list", ()))
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


def _cut(fields: dict[str, Any], names: Sequence[str]) -> int:
    """Make holes of those of *fields* that have these *names*; how many they are."""
    found = [name for name in names if name in fields]
    fields |= dict.fromkeys(found, _HOLE)
    return len(found)
