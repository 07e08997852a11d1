"""Requests that an SDK repeats although plugins decide about that."""

from __future__ import annotations

import logging
from collections.abc import Iterable

log = logging.getLogger("clippy")


class Repeats:
    """How often an SDK repeated a request although plugins decide about that; the first is said."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, deciding: Iterable[str]) -> None:
        """Count one, which *deciding* plugins did not want."""
        self.count += 1
        if self.count == 1:
            log.warning(
                "an SDK repeats its requests by itself, and %s decides about that: it gets the same failure again; "
                "use the client that host.wrap returns, or give it max_retries=0 (clippy doctor MODULE:CLIENT looks)",
                " and ".join(deciding),
            )
