"""A plugin that learns what became of requests."""

from __future__ import annotations

import threading
from collections import Counter

from attrs import define, field
from clippy_hookspecs import AuditRecord, hookimpl


@define(eq=False)
class Plugin:
    """Counts the tokens that each model used."""

    observes_only = True  # it changes no request and no answer, so installing it changes no cache key

    _tokens: Counter[str] = field(init=False, repr=False, factory=Counter)
    _lock: threading.Lock = field(init=False, repr=False, factory=threading.Lock)

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens by model, in and out together."""
        with self._lock:
            return dict(self._tokens)

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        """Count what was used; an answer that no provider was asked for, from a cache say, used nothing."""
        if record.usage is not None and any(attempt.sent for attempt in record.attempts):
            with self._lock:
                self._tokens[record.model or "unknown"] += record.usage.total
