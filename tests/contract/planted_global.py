"""A plugin whose fault is state of its module: apart from the others, whose modules have none."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from attrs import define
from planted_plugin import Desk

_COUNTS: dict[str, int] = {}
_LOCK = threading.Lock()


@define(eq=False)
class CountsForAll(Desk):
    """Counts in its module: two hosts in one process add to each other's counts."""

    def counts(self) -> Mapping[str, int]:
        with _LOCK:
            return dict(_COUNTS)

    def _count(self, tenant: str, words: int) -> None:
        with _LOCK:
            _COUNTS[tenant] = _COUNTS.get(tenant, 0) + words
