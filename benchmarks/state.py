"""What a call of the state store costs by itself: it is asked at every attempt of every request."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from typing import Any

from clippy_hookspecs import ServiceRegistry, StateStore
from clippy_state_sqlite import SqliteState

from benchmarks.bench import Bench
from clippy_core.driven import drive
from clippy_core.making import SystemClock
from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing.timing import Block, Group, repeated


class _Offered(ServiceRegistry):
    """Where a plugin's offer is kept."""

    def offer(self, protocol: type[Any], provider: Any) -> None:
        self.store: StateStore = provider


def state_store(bench: Bench) -> Group:
    """The calls of the SQLite store, compared with the select that its lookup makes; beside it a lookup in memory."""
    offered, path = _Offered(), bench.folder / "state.db"
    SqliteState(path=path).register_services(offered)
    store, memory = offered.store, MemoryStateStore(SystemClock())
    for one in (store, memory):
        drive(one.put("breaker:main", '{"state": "closed"}', 1e9))
    database = sqlite3.connect(path, isolation_level=None)
    bench.stack.callback(database.close)
    cursor = database.cursor()

    def bare() -> None:
        assert cursor.execute("select value from kept where key = ? and ends > ?", (b"breaker:main", 2.0)).fetchone()

    async def held_and_refunded() -> None:
        held = await store.reserve("limit", 1.0, 10.0, 60.0)
        assert held is not None
        await store.refund(held)

    cases: dict[str, Block] = {
        "bare select": repeated(bare),
        "get": _driven(lambda: store.get("breaker:main")),
        "get from memory": _driven(lambda: memory.get("breaker:main")),
        "put": _driven(lambda: store.put("key", "value", 60.0)),
        "swap": _driven(lambda: store.swap("breaker:main", "another", "value", 60.0)),
        "add": _driven(lambda: store.add("counter", 1.0, 60.0)),
        "reserve and refund": _driven(held_and_refunded),
        "lease": _driven(lambda: store.lease("place", "holder", 60.0)),
    }
    return Group("state store in SQLite", cases, {"get": 3.0}, 200)


def _driven(call: Callable[[], Any]) -> Block:
    def several(times: int) -> None:
        for _ in itertools.repeat(None, times):
            drive(call())

    return several
