"""What the gateway refused itself: such a request reaches no plugin, so no audit and no recording tells of it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from attrs import define, field
from clippy_hookspecs import StatusTable

log = logging.getLogger("clippy.gateway")

_PAUSE = 1.0
"""Seconds between two lines of one kind: whoever sends nonsense all day long must not fill a disk with it."""
_SHOWN = 200


@define(eq=False)
class Refusals:
    """Counted by code and caller, both of which the configuration bounds; a line in the log for each, but no flood."""

    now: Callable[[], float] = time.monotonic
    counts: Counter[tuple[int, str, str]] = field(factory=Counter, init=False)
    _told: dict[tuple[int, str, str], tuple[float, int]] = field(factory=dict, init=False, repr=False)

    def note(self, status: int, code: str, caller: str, method: str, path: str, request_id: str) -> None:
        """One was refused.  *caller* is the name of a key in the configuration, "" for who has none."""
        kind = (status, code, caller)
        self.counts[kind] += 1
        at, seen = self._told.get(kind, (-_PAUSE, 0))
        now = self.now()
        if now - at < _PAUSE:
            return
        left_out = self.counts[kind] - seen - 1
        self._told[kind] = (now, self.counts[kind])
        log.warning(
            "refused with %s %s: %s %s of %s (request %s)%s",
            status, code, ascii(method[:20])[1:-1], ascii(path[:_SHOWN])[1:-1],
            f"the key {caller}" if caller else "nobody known", request_id,
            f"; {left_out} more of this kind since the last line" if left_out else "",
        )  # fmt: skip

    def table(self) -> StatusTable:
        """The counts, the most frequent first."""
        rows = tuple((status, code, caller, count) for (status, code, caller), count in self.counts.most_common(100))
        return StatusTable("refusals of the gateway", ("status", "code", "key", "requests"), rows)
