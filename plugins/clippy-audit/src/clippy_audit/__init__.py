"""Writes one line for each request, without secrets."""

from clippy_lines import follow_forks

from .log import AuditLog
from .record import Level
from .redaction import SECRET_HEADERS, redact, redact_headers, redact_url, redact_value, says_secret

__all__ = [
    "SECRET_HEADERS", "AuditLog", "Level", "follow_forks", "redact", "redact_headers", "redact_url", "redact_value",
    "says_secret",
]  # fmt: skip
