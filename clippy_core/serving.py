"""Which set of plugins serves whom, and what becomes of one that was replaced while requests use it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .forks import leave_to_the_parent
from .lifespans import LOOP_SECONDS, Held, Life
from .portal import Portal
from .runtime import AsyncRuntime, Runtime
from .tables import Tables

log = logging.getLogger("clippy")

PATIENCE = 600.0
"""Seconds that a removed plugin stays open for the requests that still use it: as long as SDKs wait for an answer."""


class Serving:
    """The tables that serve new requests.

    A runtime (the threads, or an event loop) goes over to new tables once everything of theirs is open for it, so that
    no request ever gets a plugin that is not open.  *settle* makes what requests need to know, and imports what they
    need: before that rather than in the first one, which may find no file left to open.  Where it fails nothing was
    opened.
    """

    def __init__(self, current: Tables, settle: Callable[[Tables], object]) -> None:
        self.current = current
        self.settle = settle
        self._replaced: list[Replaced] = []

    def forget(self, host: object, portal: Portal) -> None:
        """To the state in which nobody is served and nothing is open: at first, and after a fork."""
        tables = self.current
        for life in (tables.life, *(one.tables.life for one in self._replaced)):
            for held in life.held:
                if held.holds:
                    leave_to_the_parent(held)
        tables.life, tables.under_way = Life(host, tables.chains.steps["lifespan"], portal), set()
        self._changing = threading.RLock()
        self._lock = threading.RLock()  # a signal handler that reloads may find its own thread in here
        self._tables: dict[Runtime, Tables] = {}
        self._replaced = []

    def of(self, runtime: Runtime) -> Tables:
        """The tables for a request that begins now."""
        return self._tables.get(runtime, self.current)

    def open(self, runtime: Runtime) -> None:
        """Open the tables that serve now for threads, and serve *runtime* with them.  Raises PluginError."""
        while True:
            tables = self.current
            self._settle(tables)
            tables.life.open()
            if self._tables.get(runtime) is tables or self._goes_over(runtime, tables):
                return

    async def aopen(self, runtime: AsyncRuntime) -> None:
        """As ``open``, for the running event loop."""
        while True:
            tables = self.current
            self._settle(tables)
            await tables.life.aopen(runtime)
            if self._tables.get(runtime) is tables or self._goes_over(runtime, tables):
                return

    def ready(self, runtime: AsyncRuntime) -> bool:
        """Whether :meth:`aopen` would find nothing to do."""
        tables = self.current
        return self._tables.get(runtime) is tables and tables.life.ready(runtime)

    def _goes_over(self, runtime: Runtime, tables: Tables) -> bool:
        """Serve *runtime* with *tables*, which are open for it; False if others serve meanwhile."""
        with self._lock:
            if tables is not self.current:
                return False
            self._tables[runtime] = tables
        self._look()
        return True

    def _settle(self, tables: Tables) -> None:
        if tables.settings is None and not (tables.chains.idle and tables.upstream is None):
            self.settle(tables)

    def drop(self, runtime: AsyncRuntime) -> None:
        """Let go of an event loop that is gone."""
        with self._lock:
            self._tables.pop(runtime, None)
        self.current.life.drop(runtime)
        for one in [*self._replaced]:
            one.tables.life.drop(runtime)
        self._look()

    def swap(self, tables: Tables) -> None:
        """Serve with *tables* from now on; what only the old ones hold is closed when nobody uses them any more.

        Raises PluginError, with the old ones serving on, if something cannot be opened.
        """
        old = self.current
        if old.settings is not None:
            self._settle(tables)
        tables.life.open_as(old.life)
        with self._lock:
            self.current = tables
            for runtime, served in [*self._tables.items()]:
                if tables.life.is_open(runtime) or not served.life.is_open(runtime):
                    self._tables[runtime] = tables
            replaced = Replaced(self, old)
            self._replaced.append(replaced)
        replaced.close_when_unused()

    @contextmanager
    def changing(self, patience: float = -1) -> Iterator[None]:
        """A change inside the block is the only one; after *patience* seconds it goes on all the same."""
        alone = self._changing.acquire(timeout=patience)
        try:
            yield
        finally:
            if alone:
                self._changing.release()

    def close(self) -> None:
        """Close everything but what belongs to an event loop.  Waits for a reload, but not for one that hangs."""
        with self.changing(LOOP_SECONDS):
            self._close_replaced()
            self.current.life.close()

    async def aclose(self, runtime: AsyncRuntime) -> None:
        """As ``close``, with what belongs to this event loop."""
        if self._replaced or not self._changing.acquire(blocking=False):
            import anyio.to_thread

            await anyio.to_thread.run_sync(self._close_replaced)
        else:
            self._changing.release()
        await self.current.life.aclose(runtime)

    def _close_replaced(self) -> None:
        with self.changing(LOOP_SECONDS):
            for one in [*self._replaced]:
                one.close()
                if one.thread is not None:
                    one.thread.join(2.0)

    def uses(self, tables: Tables) -> bool:
        """Whether a request or a runtime still uses replaced *tables*."""
        return bool(tables.under_way) or tables in self._tables.values()

    def only_in(self, replaced: Replaced) -> list[Held]:
        """What only these tables hold open; what others that are still used hold as well is closed with those."""
        others = [self.current, *(one.tables for one in self._replaced if one is not replaced)]
        return [one for one in replaced.tables.life.held if not any(one in other.life.held for other in others)]

    def let_go(self, replaced: Replaced) -> list[Held]:
        """As ``only_in``, for whoever closes it now: nobody else will."""
        with self._lock:
            if replaced not in self._replaced:
                return []
            self._replaced.remove(replaced)
            return self.only_in(replaced)

    def _look(self) -> None:
        for one in [*self._replaced]:
            one.look.set()


class Replaced:
    """Tables that were replaced by others."""

    def __init__(self, serving: Serving, tables: Tables) -> None:
        self._serving, self.tables = serving, tables
        self.look = threading.Event()
        self.thread: threading.Thread | None = None
        self._done = False

    def close_when_unused(self) -> None:
        """Close at once if nobody uses them, else on a thread of their own once the last request has ended."""
        self.tables.unused = self.look.set
        if self._serving.uses(self.tables):
            self.thread = threading.Thread(target=self._wait, name="clippy-replaced", daemon=True)
            self.thread.start()
        else:
            self.close()

    def close(self) -> None:
        """Close what nobody else holds; any number of times."""
        self.tables.unused = None
        self.tables.life.end(self._serving.let_go(self))
        self._done = True
        self.look.set()

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self._done and self._serving.uses(self.tables) and (left := end - time.monotonic()) > 0:
            self.look.wait(left)
            self.look.clear()
        names = sorted({one.step.plugin for one in self._serving.only_in(self)})
        if names and not self._done and self.tables.under_way:
            log.warning(
                "%d requests still use plugins that were removed or changed %g s ago; what these hold is closed: %s",
                len(self.tables.under_way), PATIENCE, ", ".join(names),
            )  # fmt: skip
        self.close()
