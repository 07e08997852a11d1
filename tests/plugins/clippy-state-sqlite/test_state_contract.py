"""The SQLite store keeps what every StateStore promises, for threads, processes and killed processes."""

from __future__ import annotations

from typing import Any

import pytest
from clippy_state_sqlite import SqliteState

from clippy_core.testing import PluginContract, StateStoreContract

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


class TestSqliteStateStore(StateStoreContract):
    shared = True

    def make(self) -> Any:
        return SqliteState(path=self.folder / "state.db")


class TestSqliteStateAsPlugin(PluginContract):
    def make(self) -> Any:
        return SqliteState()
