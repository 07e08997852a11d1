"""A store on a file of its own and on a clock that the test owns, called as a sync program's thread calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from clippy_state_sqlite.store import SqliteStateStore

from clippy_core.runtime import drive
from clippy_core.testing import VirtualClock

MEGABYTE = 1024 * 1024


@define(eq=False)
class Called:
    """A store whose methods are called and not awaited."""

    store: SqliteStateStore
    clock: VirtualClock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: drive(getattr(self.store, name)(*arguments))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "state.db"


@pytest.fixture
def opens(path: Path) -> Iterator[Callable[..., Called]]:
    """Opens the file as another process would."""
    opened: list[Called] = []

    def one(where: Path = path, max_bytes: int = MEGABYTE, patience: float = 0.05) -> Called:
        called = Called(SqliteStateStore(where, max_bytes, patience), opened[0].clock if opened else VirtualClock())
        called.store.start(called.clock)
        opened.append(called)
        return called

    yield one
    for called in opened:
        called.store.close()


@pytest.fixture
def store(opens: Callable[..., Called]) -> Called:
    return opens()
