"""Writes one line for each request, without secrets."""

from .log import AuditLog
from .record import Level
from .redaction import SECRET_HEADERS, redact, redact_headers, redact_url, redact_value

__all__ = ["SECRET_HEADERS", "AuditLog", "Level", "redact", "redact_headers", "redact_url", "redact_value"]
