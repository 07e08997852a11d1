"""SDKs that repeat their requests by themselves, and plugins that decide about that."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

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


class SdkRetries:
    """The SDKs' clients under a host, each with the retries that it had of its own: none while plugins own retries."""

    def __init__(self) -> None:
        self._own: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def note(self, wrapped: Any, own: int | None) -> None:
        """Remember a client; *own* None is one that says nothing of retries."""
        if own is not None:
            self._own[wrapped] = own

    def follow(self, owned: bool) -> None:
        """Whether plugins own retries now.  What a program has set itself since then stays."""
        for reference in self._own.keyrefs():  # at once: another thread may wrap one meanwhile
            client = reference()
            own = self._own.get(client)
            if client is None or own is None:
                continue
            before, now = (own, 0) if owned else (0, own)
            if client.max_retries == before:
                client.max_retries = now
