"""Opening and closing what plugins hold.

A plain context manager is entered once for the host.  An async one belongs to the event loop it was entered in, so
there is one set for each loop, held open by a task of the host's own: entered in a request's task it could not be left
in another, and a caller's timeout around its first call would break it (design-review.md finding 20).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

from attrs import define, field

from .chains import Step, raise_failed
from .portal import Portal
from .runtime import AsyncRuntime

if TYPE_CHECKING:  # needed by async lifespans only
    import anyio

log = logging.getLogger("clippy")


@define(eq=False)
class Waiting:
    """A plugin whose lifespan is async: its step, and the manager it gave when it was asked what it is."""

    step: Step
    given: Any

    def manager(self, host: object) -> Any:
        """The manager that was given, once; for the next event loop a new one."""
        given, self.given = self.given, None
        return given if given is not None else self.step.function(host)


def enter_shared(steps: Sequence[Step], host: object) -> tuple[ExitStack, tuple[Waiting, ...]]:
    """Enter the plain context managers; the stack that leaves them, and the plugins whose managers are async.

    Raises PluginError, with everything that was entered left again.
    """
    waiting: list[Waiting] = []
    with ExitStack() as stack:
        for step in steps:
            try:
                manager = step.function(host)
                if manager is None:
                    continue
                if isinstance(manager, AbstractAsyncContextManager) and not hasattr(manager, "__enter__"):
                    waiting.append(Waiting(step, manager))
                    continue
                manager.__enter__()
            except Exception as error:
                raise_failed(step, error)
            stack.callback(_leave, step, manager)
        return stack.pop_all(), tuple(waiting)


def _leave(step: Step, manager: Any) -> None:
    try:
        manager.__exit__(None, None, None)
    except Exception:
        log.exception("%s", step.blame("failed while the host was closing"))


def _event() -> anyio.Event:
    import anyio

    return anyio.Event()


@define(eq=False)
class LoopSet:
    """The async context managers of one event loop, held open by one task."""

    waiting: Sequence[Waiting]
    host: object
    ready: anyio.Event = field(factory=_event)
    closing: anyio.Event = field(factory=_event)
    closed: anyio.Event = field(factory=_event)
    error: Exception | None = None
    task: object = None

    async def hold(self) -> None:
        """The task: enter, wait, leave in reverse order."""
        try:
            async with AsyncExitStack() as stack:
                for waiting in self.waiting:
                    await self._enter(stack, waiting)
                self.ready.set()
                await self.closing.wait()
        except Exception as error:
            if not self.ready.is_set():
                self.error = error
            else:
                log.exception("a plugin failed while the host was closing")
        finally:
            self.ready.set()
            self.closed.set()

    async def _enter(self, stack: AsyncExitStack, waiting: Waiting) -> None:
        try:
            await stack.enter_async_context(waiting.manager(self.host))
        except Exception as error:
            raise_failed(waiting.step, error)

    async def opened(self) -> None:
        """Wait until everything is entered.  Raises what a plugin raised."""
        await self.ready.wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        """Leave everything and wait for it."""
        self.closing.set()
        await self.closed.wait()


class Life:
    """What one host holds open, until it is closed."""

    def __init__(self, host: object, steps: Sequence[Step], portal: Portal) -> None:
        self._host, self._steps, self._portal = host, steps, portal
        self._lock = threading.RLock()
        self._opened = False
        self._shared: ExitStack | None = None
        self._waiting: tuple[Waiting, ...] = ()
        self._on_portal: LoopSet | None = None
        self._on_loops: dict[AsyncRuntime, LoopSet] = {}

    def open(self) -> None:
        """For sync use: async context managers are held open on the portal's loop."""
        if self._opened:
            return
        with self._lock:
            self._open_shared()
            if self._waiting and self._on_portal is None:
                try:
                    self._on_portal = self._portal.run(self._hold_on_portal())
                except Exception:
                    self.close()
                    raise
            self._opened = True

    async def aopen(self, runtime: AsyncRuntime) -> None:
        """For an event loop: its async context managers are held open by a task of the host's."""
        if self._shared is None:
            self._open_shared()
        if self._waiting:
            held = self._on_loops.get(runtime)
            if held is None:
                held = self._on_loops[runtime] = LoopSet(self._waiting, self._host)
                runtime.hold(held.hold)
            try:
                await held.opened()
            except Exception:
                # The next request tries again; what the other plugins opened is closed until then.
                if self._on_loops.get(runtime) is held:
                    del self._on_loops[runtime]
                    if not self._on_loops and not self._opened:
                        self.close()
                raise

    def close(self) -> None:
        """Close everything but what belongs to an event loop."""
        with self._lock:
            shared, self._shared = self._shared, None
            on_portal, self._on_portal = self._on_portal, None
            self._opened = False
        if on_portal is not None:
            self._portal.run(on_portal.close())
        if shared is not None:
            shared.close()
        self._portal.close()

    async def aclose(self, runtime: AsyncRuntime) -> None:
        """Close everything, and what belongs to this event loop."""
        held = self._on_loops.pop(runtime, None)
        if held is not None:
            await held.close()
        self.close()

    def drop(self, runtime: AsyncRuntime) -> None:
        """Let go of what belonged to an event loop that is gone."""
        self._on_loops.pop(runtime, None)

    def _open_shared(self) -> None:
        with self._lock:
            if self._shared is None:
                self._shared, self._waiting = enter_shared(self._steps, self._host)

    async def _hold_on_portal(self) -> LoopSet:
        import asyncio

        held = LoopSet(self._waiting, self._host)
        held.task = asyncio.get_running_loop().create_task(held.hold())
        await held.opened()
        return held
