"""Opening and closing what plugins hold.

A plain context manager is entered once for the host.  An async one belongs to the event loop it was entered in, so
there is one for each loop, held open by a task of the host's own: entered in a request's task it could not be left
in another, and a caller's timeout around its first call would break it (design-review.md finding 20).  Each has a task
to itself, so that one plugin's can be left while the others stay.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from .chains import Step
from .faults import raise_failed
from .loops import running_library
from .portal import Portal
from .runtime import AsyncRuntime

if TYPE_CHECKING:  # needed by event loops only
    import anyio

log = logging.getLogger("clippy")

LOOP_SECONDS = 5.0
"""How long another thread waits for an event loop to open something, or to close what was removed."""


def _event() -> anyio.Event:
    import anyio

    return anyio.Event()


class LoopTask:
    """One async context manager in one event loop, held open by one task."""

    def __init__(self, step: Step, manager: Any) -> None:
        self._step, self._manager = step, manager
        self._ready, self._closing, self._closed = _event(), _event(), _event()
        self._error: Exception | SystemExit | None = None
        self.task: object = None

    async def hold(self) -> None:
        """The task: enter, wait, leave."""
        try:
            async with self._manager:
                self._ready.set()
                await self._closing.wait()
        except (Exception, SystemExit) as error:  # which would end the event loop
            if not self._ready.is_set():
                self._error = error
            else:
                log.exception("%s", self._step.blame("failed while the host was closing"))
        finally:
            self._ready.set()
            self._closed.set()

    async def opened(self) -> None:
        """Wait until it is entered.  Raises PluginError if it cannot be."""
        await self._ready.wait()
        if self._error is not None:
            raise_failed(self._step, self._error)

    async def close(self, patience: float | None = None) -> None:
        """Leave it and wait for that, for *patience* seconds at most."""
        import anyio

        self._closing.set()
        with anyio.move_on_after(patience):
            await self._closed.wait()


class Held:
    """What one plugin holds open: a plain manager for the whole host, or an async one for each event loop.

    ``on`` are the tasks of an async one, by runtime; the portal's is under None.  Once it is ``over`` nothing is
    opened any more: the plugin was removed while somebody was about to.
    """

    def __init__(self, step: Step, host: object) -> None:
        self.step, self._host = step, host
        self.is_async = self.over = False
        self.on: dict[AsyncRuntime | None, LoopTask] = {}
        self._asked = False
        self._plain: Any = None
        self._given: Any = None
        self._lock = threading.RLock()

    def enter(self) -> bool:
        """Ask for the manager and enter a plain one, unless that was done; whether it was done now.

        Raises PluginError.
        """
        with self._lock:
            if self._asked or self.over:
                return False
            try:
                manager = self.step.function(self._host)
                if isinstance(manager, AbstractAsyncContextManager) and not hasattr(manager, "__enter__"):
                    self._given, self.is_async = manager, True
                elif manager is not None:
                    manager.__enter__()
                    self._plain = manager
            except Exception as error:
                raise_failed(self.step, error)
            self._asked = True
            return True

    @property
    def holds(self) -> bool:
        """Whether something is open."""
        return self._plain is not None or bool(self.on)

    def finish(self) -> None:
        """Have nothing opened any more."""
        with self._lock:
            self.over = True

    def leave(self) -> None:
        """Leave a plain manager; the next opening asks for another."""
        with self._lock:
            plain, self._plain = self._plain, None
            self._asked = self.is_async
        if plain is not None:
            try:
                plain.__exit__(None, None, None)
            except Exception:
                log.exception("%s", self.step.blame("failed while the host was closing"))

    def begin(self, runtime: AsyncRuntime | None) -> LoopTask | None:
        """The new task of an event loop; None if it has one, or needs none."""
        if not self.is_async or runtime in self.on:
            return None
        with self._lock:
            if self.over:
                return None
            given, self._given = self._given, None
            try:
                task = self.on[runtime] = LoopTask(self.step, given or self.step.function(self._host))
            except Exception as error:
                raise_failed(self.step, error)
        return task


class Opening:
    """How opening for one event loop goes."""

    def __init__(self) -> None:
        self.done = _event()
        self.error: Exception | None = None


class Life:
    """What one set of plugins holds open, until it is closed.  *before* is the set it replaces: it shares what stays.

    *kept* are the names of the plugins that stay.
    """

    def __init__(
        self,
        host: object,
        steps: Sequence[Step],
        portal: Portal,
        before: Life | None = None,
        kept: Collection[str] = (),
    ) -> None:
        shared: dict[str, Held] = (
            {one.step.plugin: one for one in before.held if one.step.plugin in kept} if before else {}
        )
        self.held: tuple[Held, ...] = tuple(shared.get(step.plugin) or Held(step, host) for step in steps)
        self._portal = portal
        self._lock = threading.RLock()
        self._opened = False
        self._shared = False
        self._entered: list[Held] = []
        self._loops: dict[AsyncRuntime, Opening] = {}

    def open(self) -> None:
        """For sync use: async context managers are held open on the portal's loop."""
        if self._opened:
            return
        with self._lock:
            self._enter()
            begun: list[LoopTask] = []
            try:
                for one in self.held:
                    if one.is_async:
                        begun += self._portal.run(_start(one))
            except Exception:
                for one in reversed(self.held):
                    if (task := one.on.get(None)) in begun:
                        one.on.pop(None, None)
                        self._portal.run(task.close())
                self._leave_again()
                raise
            self._opened = True

    async def aopen(self, runtime: AsyncRuntime) -> None:
        """For an event loop: its async context managers are held open by tasks of the host's."""
        if not self._shared:
            self._enter()
        opening = self._loops.get(runtime)
        if opening is None:
            opening = self._loops[runtime] = Opening()
            if any(one.is_async for one in self.held):
                runtime.hold(lambda: self._open_in(runtime, opening))
            else:
                opening.done.set()
        if not opening.done.is_set():
            await opening.done.wait()
        if opening.error is not None:
            raise opening.error

    async def _open_in(self, runtime: AsyncRuntime, opening: Opening) -> None:
        begun: list[Held] = []
        try:
            for one in self.held:
                task = one.begin(runtime)
                if task is not None:
                    begun.append(one)
                    runtime.hold(task.hold)
                if (task := one.on.get(runtime)) is not None:  # the set before may be opening it just now
                    await task.opened()
        except Exception as error:
            # The next request tries again; what the other plugins opened is closed until then.
            opening.error = error
            for one in reversed(begun):
                if (task := one.on.pop(runtime, None)) is not None:
                    await task.close()
            self._loops.pop(runtime, None)
            self._leave_again()
        finally:
            opening.done.set()

    def ready(self, runtime: AsyncRuntime) -> bool:
        """Whether :meth:`aopen` would find everything open: what every request asks first."""
        opening = self._loops.get(runtime)
        return opening is not None and self._shared and opening.error is None and opening.done.is_set()

    def is_open(self, runtime: object) -> bool:
        """Whether everything is open for the threads (any runtime but an event loop's) or for an event loop."""
        if not isinstance(runtime, AsyncRuntime):
            return self._opened
        opening = self._loops.get(runtime)
        return opening is not None and opening.done.is_set()

    def close(self) -> None:
        """Close everything but what belongs to an event loop."""
        with self._lock:
            self._opened = False
            for one in reversed(self.held):
                if (task := one.on.pop(None, None)) is not None:
                    self._portal.run(task.close())
            self._entered, self._shared = [], False
            _leave(self.held)
        self._portal.close()

    async def aclose(self, runtime: AsyncRuntime) -> None:
        """Close everything, and what belongs to this event loop."""
        self._loops.pop(runtime, None)
        for one in reversed(self.held):
            if (task := one.on.pop(runtime, None)) is not None:
                await task.close()
        self.close()

    def drop(self, runtime: AsyncRuntime) -> None:
        """Let go of what belonged to an event loop that is gone."""
        self._loops.pop(runtime, None)
        for one in self.held:
            one.on.pop(runtime, None)

    # --- a change of plugins --------------------------------------------------------------------------------------

    def open_as(self, before: Life) -> None:
        """Open what is new wherever *before* is open: for the host, for threads, in every event loop.

        From a thread without an event loop.  A loop that does not come to it in time opens it with its next request.
        Raises PluginError, with everything that was opened here closed again.
        """
        try:
            if before._shared:  # not in an event loop: it would stand still meanwhile
                self._enter()
            if before._opened:
                self.open()
            for runtime in [*before._loops]:
                in_loop(runtime, lambda runtime=runtime: self.aopen(runtime))  # type: ignore[misc]
        except BaseException:
            self.end([one for one in self.held if one not in before.held])
            raise

    def end(self, held: Sequence[Held]) -> None:
        """Close these for good."""
        for one in held:
            one.finish()
        for one in reversed(held):
            for runtime in [*one.on]:
                task = one.on.pop(runtime)
                if runtime is None:
                    self._portal.run(task.close(LOOP_SECONDS))
                else:
                    in_loop(runtime, task.close)
        _leave(held)

    def _enter(self) -> None:
        """Enter the plain managers, and learn which are async."""
        with self._lock:
            for one in self.held:
                try:
                    if one.enter():
                        self._entered.append(one)
                except Exception:
                    self._leave_again()
                    raise
            self._shared = True

    def _leave_again(self) -> None:
        """After a failed opening: if nothing else is open, leave the plain managers that were entered for it."""
        with self._lock:
            if not self._loops and not self._opened:
                entered, self._entered, self._shared = self._entered, [], False
                _leave(entered)


def _leave(held: Sequence[Held]) -> None:
    for one in reversed(held):
        one.leave()


async def _start(held: Held) -> list[LoopTask]:
    """Hold open, on the running asyncio loop, what threads use of an async manager; its task unless there was one."""
    task = held.begin(None)
    if task is None:
        if (other := held.on.get(None)) is not None:  # the set before may be opening it just now
            await other.opened()
        return []
    import asyncio

    task.task = asyncio.get_running_loop().create_task(task.hold())
    try:
        await task.opened()
    except Exception:
        held.on.pop(None, None)  # unless it was removed meanwhile
        raise
    return [task]


def in_loop(runtime: AsyncRuntime, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Run *work* on an event loop and wait for it, unless this thread runs a loop itself; whether it is done.

    Raises what *work* raises.
    """
    done, raised = threading.Event(), []

    async def run() -> None:
        try:
            await work()
        except Exception as error:
            raised.append(error)
        finally:
            done.set()

    if not runtime.hold_soon(run) or not done.wait(0 if running_library() else LOOP_SECONDS):
        return False
    if raised:
        raise raised[0]
    return True
