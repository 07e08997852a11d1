"""What is told of a request: a fixed set of fields, none of which holds a message, a header, a URL or content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from clippy_hookspecs import AttemptRecord, AuditRecord, ErrorInfo, Outcome, RequestContext

from .names import name
from .operations import operation

PREFIX = "clippy_"
"""Of every field, so that none has the name of a program's own."""
_MOST_FAILURES = 5
"""Failures that a record tells apart; the last ones."""


def of_request(record: AuditRecord) -> dict[str, Any]:
    """The fields of a request that has ended, without those that have nothing to say."""
    usage, error, origin = record.usage, record.error, record.provenance
    fields = {
        "id": name(record.id),
        "outcome": record.outcome,
        "ended_by": name(record.ended_by),
        "model": name(record.model),
        "answering_model": name(record.answering_model),
        "route": name(record.route),
        "api": name(record.api),
        "status": record.status,
        "duration": _seconds(record.duration),
        "attempts": sum(attempt.sent for attempt in record.attempts),
        "first_token": _seconds(record.first_token),
        "stream": record.stream,
        "method": name(record.method),
        "operation": operation(record.url),
        "parent": name(record.parent),
        "finish_reason": name(record.finish_reason),
    }
    if usage is not None:
        fields |= {
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "usage_estimated": usage.estimated,
        }
    if origin is not None:
        fields |= {"source": origin.source, "by": name(origin.by), "stale": origin.stale or None}
        if origin.source == "plugin":
            fields |= {"reason": name(origin.reason), "failures": _failures(record.attempts)}
    if error is not None:
        fields |= _error(error)
        if record.attempts and not record.attempts[-1].sent:
            fields["failures"] = _failures(record.attempts)
    return _said(fields)


def of_attempt(outcome: Outcome, ctx: RequestContext) -> dict[str, Any]:
    """The fields of an attempt that failed."""
    fields = {
        "id": name(ctx.id),
        "attempt": ctx.attempt,
        "route_attempt": ctx.route_attempt,
        "route": name(ctx.route.name),
        "api": name(ctx.route.api),
        "status": outcome.status,
        "duration": _seconds(outcome.duration),
        "sent": None if outcome.sent else False,
        "parent": name(ctx.parent),
    }
    return _said(fields | _error(outcome.error or ErrorInfo()))


def request_sentence(fields: dict[str, Any]) -> str:
    """The fields of a request, for people."""
    get = fields.get
    tokens = f"{get('input_tokens')}+{get('output_tokens')} tokens" if "input_tokens" in fields else ""
    attempts, made = get("attempts", 0), get("source") == "plugin"
    return _joined(
        get("model") or get("operation") or get("api"),
        get("answering_model") and f"answered by {get('answering_model')}",
        get("ended_by") and f"ended by {get('ended_by')}",
        get("route") and not made and f"by {get('route')}",
        _failure(fields),
        get("category") == "plugin" and get("code"),
        "status" in fields and f"status {get('status')}",
        _took(fields),
        f"{attempts} attempts" if attempts > 1 else "",
        get("source") not in (None, "provider") and _origin(fields),
        "failures" in fields and f"failed: {get('failures')}",
        "retry_after" in fields and f"asked to wait {get('retry_after'):g} s",
        tokens,
        f"id {get('id')}",
    )


def attempt_sentence(fields: dict[str, Any]) -> str:
    """The fields of a failed attempt, for people."""
    get = fields.get
    return _joined(
        get("route") and f"on {get('route')}",
        get("sent") is False and "not sent",
        _failure(fields),
        "status" in fields and f"status {get('status')}",
        _took(fields),
        "retry_after" in fields and f"the server asks for {get('retry_after'):g} s",
        f"id {get('id')}",
    )


def _error(error: ErrorInfo) -> dict[str, Any]:
    """How it failed.  Not the message: providers quote prompts and keys in it."""
    return {
        "category": name(error.category),
        "kind": name(error.kind),
        "code": name(error.code),
        "error_status": error.status,
        "retryable": error.retryable,
        "retry_after": _seconds(error.retry_after),
        "provider_request_id": name(error.request_id),
        "committed": error.committed or None,
    }


def _failures(attempts: Sequence[AttemptRecord]) -> str | None:
    """Which routes failed, and how: what an answer that no route gave, or a refusal to ask one more, came after."""
    told = (
        f"{name(one.route) or 'the planned address'} with {one.error.category}/{name(one.error.kind)}"
        + ("" if one.status is None else f" (status {one.status})")
        for one in attempts
        if one.error is not None
    )
    return "; ".join([*dict.fromkeys(told)][-_MOST_FAILURES:]) or None


def _origin(fields: dict[str, Any]) -> str:
    who, why = fields.get("by") or fields["source"], fields.get("reason")
    return f"from {who} ({why})" if why else f"from {who}"


def _failure(fields: dict[str, Any]) -> str:
    return f"{fields['category']}/{fields.get('kind')}" if "category" in fields else ""


def _took(fields: dict[str, Any]) -> str:
    return f"{fields['duration']:.3f} s" if "duration" in fields else ""


def _seconds(value: float | None) -> float | None:
    """A number that JSON has; microseconds are enough."""
    return None if value is None or not math.isfinite(value) else round(value, 6)


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _joined(*parts: Any) -> str:
    return ", ".join(part for part in parts if part)
