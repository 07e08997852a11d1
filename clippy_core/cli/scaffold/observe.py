"""A plugin that records what happens inside."""

from __future__ import annotations

import threading
from collections import Counter

from attrs import define, field
from clippy_hookspecs import Event, hookimpl


@define(eq=False)
class Plugin:
    """Counts what happens inside: attempts, heads, pieces of bytes, chunks."""

    observes_only = True  # it changes no request and no answer, so installing it changes no cache key

    _events: Counter[str] = field(init=False, repr=False, factory=Counter)
    _lock: threading.Lock = field(init=False, repr=False, factory=threading.Lock)

    @property
    def events(self) -> dict[str, int]:
        """Events by kind."""
        with self._lock:
            return dict(self._events)

    @hookimpl
    def observe(self, event: Event) -> None:
        """Count it, and no more: this runs for every chunk of every stream."""
        with self._lock:
            self._events[event.kind] += 1
