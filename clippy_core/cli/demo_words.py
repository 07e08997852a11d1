"""How the demo says what it saw."""

from __future__ import annotations

from typing import Any

from clippy_hookspecs import AttemptRecord, AuditRecord

from .screen import Line, Span, line

COUNTED = "One, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve."
"""The answer of the streams."""


def attempt_line(attempt: AttemptRecord) -> Line:
    """One attempt: when it began, what came of it, what the server asked for."""
    what, style = ("ok", "good") if attempt.error is None else (kind(attempt), "warn")
    waited = f"after {attempt.waited:.2f} s" if attempt.waited else ""
    asked = attempt.error.retry_after if attempt.error else None
    wish = f", asks for {asked:g} s" if asked else ""
    kept = "" if attempt.sent else ", not sent"
    return line(f"      attempt {attempt.number}  {waited:<12}  ", Span(f"{what}{wish}{kept}", style))


def kind(attempt: AttemptRecord) -> str:
    """What kind of failure ended an attempt."""
    assert attempt.error is not None
    status = f"HTTP {attempt.status} " if attempt.status else ""
    return f"{status}{attempt.error.category}/{attempt.error.kind}"


def attempt_facts(attempt: AttemptRecord) -> dict[str, Any]:
    """An attempt as data."""
    return {
        "status": attempt.status,
        "waited": attempt.waited,
        "duration": attempt.duration,
        "error": kind(attempt) if attempt.error else None,
        "sent": attempt.sent,
    }


def facts_of(text: str, sent: int, record: AuditRecord) -> dict[str, Any]:
    """What every scene with a call has as data."""
    return {
        "text": text,
        "requests": sent,
        "outcome": record.outcome,
        "source": source_of(record),
        "by": record.provenance.by if record.provenance else None,
        "seconds": record.duration,
    }


def source_of(record: AuditRecord) -> str:
    """Who answered: provider, cache or plugin."""
    return record.provenance.source if record.provenance else "provider"


def answerer(record: AuditRecord) -> str:
    """The plugin that answered."""
    return (record.provenance.by if record.provenance else None) or "a cache"


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def requests(number: int) -> str:
    """A number of requests."""
    return count(number, "request")


def ms(seconds: float) -> str:
    """Seconds as milliseconds."""
    return f"{seconds * 1000:,.1f} ms"


def quoted(text: str) -> str:
    """A text on one short line, in quotation marks."""
    flat = " ".join(text.split())
    return f"“{flat if len(flat) <= 40 else flat[:39] + '…'}”"
