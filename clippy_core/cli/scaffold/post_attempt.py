"""A plugin that learns how attempts end."""

from __future__ import annotations

import threading
from collections import Counter

from attrs import define, field
from clippy_hookspecs import Outcome, RequestContext, hookimpl


@define(eq=False)
class Plugin:
    """Counts how the attempts on each route end."""

    _ended: Counter[tuple[str, str]] = field(init=False, repr=False, factory=Counter)
    _lock: threading.Lock = field(init=False, repr=False, factory=threading.Lock)

    @property
    def ended(self) -> dict[tuple[str, str], int]:
        """Attempts by route and state: ok, error or cancelled."""
        with self._lock:
            return dict(self._ended)

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """Count it; this is called exactly once for each attempt."""
        with self._lock:
            self._ended[ctx.route.name, outcome.state] += 1
