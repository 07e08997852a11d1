"""What is told of a failed request: a fixed set of fields, none of which holds a message, a header or content."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlsplit

from clippy_audit import redact
from clippy_hookspecs import AttemptRecord, AuditRecord, ErrorInfo, Outcome, RequestContext, Usage

LONGEST = 200
"""Characters of a name, which is also what Sentry keeps of a tag.  What is longer is no name, and may be a prompt."""
ATTEMPTS = 20
"""Attempts that an event tells of, the last ones."""


def kind_of(record: AuditRecord) -> tuple[str, ...]:
    """What makes two failures the same one: how it ended, category, kind, route and model.  Sentry groups by it."""
    info = record.error or ErrorInfo()
    parts = (record.outcome, info.category, info.kind, record.route, record.model)
    return "clippy", *(name(part) or "-" for part in parts)


def event_of(record: AuditRecord, suppressed: int = 0, forgotten: int = 0) -> dict[str, Any]:
    """The Sentry event of *record*.

    It has an exception without a stack: a program whose client attaches stacks to messages would otherwise send the
    local variables of whoever called the model, prompts among them.
    """
    info = record.error or ErrorInfo()
    _, outcome, category, kind, route, model = fingerprint = kind_of(record)
    attempts = sum(attempt.sent for attempt in record.attempts)
    failed = list(dict.fromkeys(call.plugin for call in record.trace if call.action == "failed"))
    where = model if route == "-" else f"{model} by {route}"
    told = (where, record.status and f"status {record.status}", attempts > 1 and f"{attempts} attempts")
    tags = {
        "clippy.outcome": outcome,
        "clippy.ended_by": name(record.ended_by),
        "clippy.category": category,
        "clippy.kind": kind,
        "clippy.route": route,
        "clippy.model": model,
        "clippy.api": name(record.api),
        "clippy.provider": name(_host(record.url)),
    }
    context = {
        "request_id": name(record.id),
        "parent_id": name(record.parent),
        "stream": record.stream,
        "status": record.status,
        "duration": _seconds(record.duration),
        "first_token": _seconds(record.first_token),
        "attempts": attempts,
        "attempt_list": [_attempt(attempt) for attempt in record.attempts[-ATTEMPTS:]],
        "usage": _usage(record.usage),
        "error": _error(info),
        "answering_model": record.answering_model and name(record.answering_model),
        "answer_by": record.provenance and name(record.provenance.by),
        "failed_plugins": [name(plugin) for plugin in failed[:ATTEMPTS]],
        "suppressed": suppressed,
        "suppressed_of_other_kinds": forgotten or None,
    }
    return {
        "level": "error" if record.outcome == "failed" else "warning",
        "logger": "clippy",
        "fingerprint": list(fingerprint),
        "exception": {
            "values": [
                {
                    "type": f"{category}/{kind}" if outcome == "failed" else f"{outcome}: {category}/{kind}",
                    "value": ", ".join(part for part in told if part),
                    "mechanism": {"type": "clippy", "handled": True},
                }
            ]
        },
        "tags": present(tags),
        "contexts": {"clippy": present(context)},
    }


def failed_crumb(outcome: Outcome, ctx: RequestContext) -> dict[str, Any]:
    """The breadcrumb of an attempt that failed."""
    info = outcome.error or ErrorInfo()
    where = f" on {route}" if (route := name(ctx.route.name)) else ""
    what = f"attempt {ctx.attempt}{where}: {name(info.category)}/{name(info.kind)}"
    data = {"request_id": name(ctx.id), "status": outcome.status, "duration": _seconds(outcome.duration)}
    return {"category": "clippy.attempt", "level": "warning", "message": what, "data": present(data)}


def switch_crumb(before: str, ctx: RequestContext) -> dict[str, Any]:
    """The breadcrumb of an attempt that went elsewhere than the one *before*."""
    what = f"attempt {ctx.attempt} went from {name(before)} to {name(ctx.route.name)}"
    return {"category": "clippy.switch", "level": "info", "message": what, "data": {"request_id": name(ctx.id)}}


def name(text: str | None) -> str | None:
    """A short text without secrets and personal data, as the audit log has it."""
    if not text:
        return None
    return redact(text) if len(text) <= LONGEST else f"[{len(text)} characters]"


def present(fields: dict[str, Any]) -> dict[str, Any]:
    """*fields* without those that have nothing to say."""
    return {key: value for key, value in fields.items() if value is not None and value != []}


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return present(
        {
            "number": attempt.number,
            "route": name(attempt.route),
            "status": attempt.status,
            "waited": _seconds(attempt.waited),
            "duration": _seconds(attempt.duration),
            "error": attempt.error and _error(attempt.error),
            "sent": None if attempt.sent else False,
        }
    )


def _error(info: ErrorInfo) -> dict[str, Any]:
    """Not the message: providers quote prompts and keys in it."""
    return present(
        {
            "category": name(info.category),
            "kind": name(info.kind),
            "code": name(info.code),
            "status": info.status,
            "retryable": info.retryable,
            "retry_after": _seconds(info.retry_after),
            "scope": info.scope,
            "outage": info.outage,
            "committed": info.committed,
            "provider_request_id": name(info.request_id),
        }
    )


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {"input": usage.input, "output": usage.output, "estimated": usage.estimated}


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _seconds(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 6)
