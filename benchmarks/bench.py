"""Where things are measured: a server, hosts and clients that are closed afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import define
from clippy_cache_memory import MemoryCache

import clippy_core
from benchmarks import hosts
from benchmarks.pace import Pace, Whole
from clippy_core.testing.canned import CannedServer
from clippy_core.testing.timing import Block, awaited, repeated

BARE, NONE, NOOP, TIMED, EVERY = "bare", "0 plugins", "5 no-op plugins", "5 with audit", "5 in every hook"
FAMILY, STACK, MEMORY, SQLITE, OWN = (
    "streams and recovery",
    "full default stack",
    "memory-cache hit",
    "sqlite-cache hit",
    "memory-cache hit, own client",
)


@define(eq=False)
class Bench:
    """Where things are measured: a server, a folder, an event loop, and what must be closed afterwards.

    ``paced``: instructions are counted, so what threads gather is written after fixed numbers of calls.
    """

    server: CannedServer
    folder: Path
    stack: ExitStack
    runner: asyncio.Runner
    paced: bool = False

    def host(self, plugins: Mapping[str, object]) -> clippy_core.Host:
        """An open host."""
        made = hosts.host(plugins, self.server.base_url)
        self.stack.callback(made.close)
        return made

    def variants(self, name: str) -> dict[str, clippy_core.Host | None]:
        """The hosts that a call is measured under; *name* keeps their files apart."""
        place = self.folder / name.replace(" ", "-").replace(",", "")
        place.mkdir(exist_ok=True)
        sets: dict[str, Mapping[str, object]] = {
            NONE: {},
            NOOP: hosts.several(hosts.OnTheWay, 5),
            TIMED: hosts.several(hosts.WithAudit, 5),
            EVERY: hosts.several(hosts.EveryHook, 5),
            FAMILY: hosts.family(),
            STACK: hosts.default_stack(place),
            MEMORY: {"cache-memory": MemoryCache()},
            SQLITE: hosts.sqlite_cache(place),
        }
        return {BARE: None, **{case: self.host(plugins) for case, plugins in sets.items()}}

    def sync_client(self, module: ModuleType, under: clippy_core.Host | None) -> Any:
        return self.stack.enter_context(hosts.sync_client(module, under))

    def async_client(self, module: ModuleType, under: clippy_core.Host | None) -> Any:
        client = hosts.async_client(module, under)
        self.stack.callback(lambda: self.runner.run(client.aclose()))
        return client

    def block(self, call: Callable[[], Any], waits: bool, under: clippy_core.Host | None = None) -> Block:
        """Calls that are made under a host, which need not be known if no plugin of it writes behind."""
        pace = Pace(under) if self.paced and under is not None and "cache" in under.plugins else None
        if waits:
            block = awaited(self.runner, call if pace is None else pace.of_async(call))
        else:
            block = repeated(call if pace is None else pace.of(call))
        return block if pace is None else Whole(block)
