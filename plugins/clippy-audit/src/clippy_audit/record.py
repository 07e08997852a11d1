"""What is written about a request, level by level.

Each level holds the fields of the one before it.

minimal
    Who was asked and how it ended, without any text, address or name of a person:
    id, parent, outcome, ended_by (of what was cancelled), api, method, model, answering_model (where another answered),
    stream, route, status, duration, tenant, attempts (their number), usage, error (category, kind, status, retryable),
    provenance (source, by).
standard
    Texts that a provider or a caller chose, redacted: url, user, session, finish_reason, first_token,
    attempt_list (number, route, status, waited, duration, error), error (code, message, request_id, scope, retry_after
    and the rest), provenance (route, age, stale, reason), trace (plugin, hook, action, ns, calls).
detailed
    The content, redacted: request (query, headers, messages, tools, params) and response (status, headers, message,
    finish_reason, id, model).  Pictures and signatures of reasoning are given by their length.

The writer adds v, time, boot, seq and lost to every record.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

import attrs
from clippy_hookspecs import AttemptRecord, AuditRecord, ErrorInfo, Json, Usage

from .cleaner import Cleaner
from .content import describe_request, describe_response, present

Level = Literal["minimal", "standard", "detailed"]
LEVELS: tuple[Level, ...] = ("minimal", "standard", "detailed")

_EPOCH = datetime(1970, 1, 1)
COUNTS = tuple(field.name for field in attrs.fields(Usage) if field.name != "extra")
counted = attrgetter(*COUNTS)


def timestamp(seconds: float) -> str | None:
    """*seconds* since 1970 as UTC in ISO 8601 with microseconds; None for a number that is no time."""
    if 1e9 <= seconds < 1e10:
        digits = str(int(seconds * 1e6 + 0.5))
        return f"{_second(digits[:-6])}.{digits[-6:]}Z"
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat(timespec="microseconds") + "Z"
    except (OverflowError, ValueError):
        return None


@lru_cache(maxsize=4)
def _second(since: str) -> str:
    """A second since 1970: the time of every record of it begins so."""
    return (_EPOCH + timedelta(seconds=int(since))).isoformat(timespec="seconds")


def describe(record: AuditRecord, level: Level, clean: Cleaner) -> dict[str, Any]:
    """*record* as what :mod:`clippy_audit.lines` writes, without the fields that have nothing to say."""
    full = level != "minimal"
    fields: dict[str, Json] = {
        "id": clean.id(record.id),
        "parent": clean.optional(record.parent),
        "outcome": record.outcome,
        "ended_by": clean.optional(record.ended_by),
        "api": clean.text(record.api),
        "method": clean.text(record.method),
        "model": clean.optional(record.model),
        "answering_model": clean.optional(record.answering_model),
        "stream": record.stream,
        "route": clean.optional(record.route),
        "status": record.status,
        "duration": _number(record.duration),
        "tenant": clean.name(record.scope.tenant),
        "attempts": sum(attempt.sent for attempt in record.attempts),
        "usage": _counts(record.usage),
        "error": _error(record.error, full, clean),
        "provenance": _provenance(record, full, clean),
    }
    if full:
        fields |= _standard(record, clean)
    if level == "detailed":
        fields |= {
            "request": describe_request(record.request, clean),
            "response": describe_response(record.response, clean),
        }
    return present(fields)


def _standard(record: AuditRecord, clean: Cleaner) -> dict[str, Any]:
    return {
        "url": clean.url(record.url),
        "user": clean.name(record.scope.user),
        "session": clean.name(record.scope.session),
        "finish_reason": clean.optional(record.finish_reason),
        "first_token": _number(record.first_token),
        "attempt_list": [_attempt(attempt, clean) for attempt in record.attempts],
        "trace": clean.trace(record.trace),
    }


def _counts(usage: Usage | None) -> dict[str, Json] | None:
    """Those of *usage*; what else a provider says about it is content of its own choosing and stays out."""
    if usage is None:
        return None
    return {name: value for name, value in zip(COUNTS, counted(usage), strict=True) if value}


def _error(error: ErrorInfo | None, full: bool, clean: Cleaner) -> dict[str, Json] | None:
    if error is None:
        return None
    fields: dict[str, Json] = {
        "category": clean.text(error.category),
        "kind": clean.text(error.kind),
        "status": error.status,
        "retryable": error.retryable,
    }
    if full:
        fields |= {
            "scope": error.scope,
            "code": clean.optional(error.code),
            "message": clean.text(error.message),
            "request_id": clean.optional(error.request_id),
            "retry_after": _number(error.retry_after),
            "outage": error.outage,
            "should_retry": error.should_retry,
            "committed": error.committed,
        }
    return present(fields)


def _provenance(record: AuditRecord, full: bool, clean: Cleaner) -> dict[str, Json] | None:
    origin = record.provenance
    if origin is None:
        return None
    fields: dict[str, Json] = {"source": origin.source, "by": clean.optional(origin.by)}
    if full:
        fields |= {
            "route": clean.optional(origin.route),
            "age": _number(origin.age),
            "stale": origin.stale or None,
            "reason": clean.optional(origin.reason),
        }
    return present(fields)


def _attempt(attempt: AttemptRecord, clean: Cleaner) -> dict[str, Json]:
    return present(
        {
            "number": attempt.number,
            "route": clean.text(attempt.route),
            "status": attempt.status,
            "waited": _number(attempt.waited),
            "duration": _number(attempt.duration),
            "error": _error(attempt.error, True, clean),
            "sent": None if attempt.sent else False,
        }
    )


def _number(value: float | None) -> float | None:
    """A number that JSON has; microseconds are enough."""
    return None if value is None or not math.isfinite(value) else micros(value)


def micros(value: float) -> float:
    """*value* at six digits, in a fraction of the time of ``round(value, 6)``.

    The quotient of two whole numbers is the float that is nearest to it, which is what those digits are read as.
    """
    return (value * 1e6 + 0.5) // 1.0 / 1e6 if -1e9 < value < 1e9 else value
