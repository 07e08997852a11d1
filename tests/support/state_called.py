"""A SQLite state store as a sync program's thread calls it, on a clock that a test owns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clippy_state_sqlite.access import Access
from clippy_state_sqlite.store import SqliteStateStore

from clippy_core.driven import drive
from clippy_core.testing import VirtualClock

MEGABYTE = 1024 * 1024


class Called:
    """The store on a file, as a process of its own would open it; its methods are called and not awaited."""

    def __init__(
        self, path: Path, clock: VirtualClock, max_bytes: int = MEGABYTE, patience: float = 0.05, **more: Any
    ) -> None:
        self.clock, self.access = clock, Access(path, max_bytes)
        self.both = SqliteStateStore.on(self.access, patience)
        self.store = SqliteStateStore(self.access, patience, **more) if more else self.both.blocking
        self.access.start(clock)
        self.close = self.access.close

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: drive(getattr(self.store, name)(*arguments))
