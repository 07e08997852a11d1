"""The two colours.  The pipeline is written once, as coroutines over a small Runtime.

``AsyncRuntime`` is anyio: asyncio and trio.  ``SyncRuntime`` does blocking work inside the coroutine, which therefore
never suspends, so the sync entrances drive it with :func:`drive`: no event loop, no thread hop, no second source.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .driven import about_to_wait, drive, drive_beside, the_rest_of, until_it_waits
from .flow import FlowHandle
from .loops import running_library, running_loop
from .owed import Owed
from .portal import Portal
from .waiters import TaskWaiter, ThreadWaiter, Waiter, nothing, on_a_thread
from .watchdog import Watchdog

if TYPE_CHECKING:
    import anyio
    import anyio.to_thread  # noqa: TC004 - what AsyncRuntime does first
    from clippy_hookspecs import Clock

    from .chains import Step

T = TypeVar("T")
log = logging.getLogger("clippy")

SETTLE_SECONDS = 2.0
"""How long settling may take after the caller was cancelled."""


class TimeIsUp(Exception):
    """The deadline passed before the work was done."""


class FlowCancelled(Exception):
    """The stream's flow was cancelled while the work was going on."""


class Runtime(Protocol):
    """What the pipeline needs of the world."""

    clock: Clock
    owed: Owed

    async def run_hook(self, coroutine: Any, step: Step) -> Any:
        """The result of an ``async def`` implementation."""
        ...

    async def sleep(self, seconds: float, flow: FlowHandle) -> None:
        """Wait; raises :class:`FlowCancelled` when the flow is cancelled meanwhile."""
        ...

    async def bounded(
        self, work: Coroutine[Any, Any, T], deadline: float | None, flow: FlowHandle, abort: Callable[[], None] | None
    ) -> T:
        """*work*, until *deadline* (clock seconds) or until the flow is cancelled; *abort* cuts its connection.

        Raises :class:`TimeIsUp` or :class:`FlowCancelled`.
        """
        ...

    async def settle(self, work: Callable[[], Coroutine[Any, Any, None]], *, cancelled: bool = False) -> None:
        """Run *work* in a task of the host's, so that not even a second cancellation of the caller can stop it.

        It has two seconds from the moment the caller is cancelled; *cancelled* says that it is already.  Raises what
        *work* raises.
        """
        ...

    async def settle_hooks(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """As ``settle``, for *work* that waits for nothing but hooks: until one of them waits, it needs no task."""
        ...

    async def gate(self, flow: FlowHandle) -> None:
        """Wait while the flow is paused or owes time; a change of it, a cancel too, is seen at once."""
        ...

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        """Run *work* after some seconds in a task or thread of the host's; returns what calls that off."""
        ...

    def soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """As ``later`` at once; may be called from any thread and from a finalizer."""
        ...

    def hold_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run *work* in a task or thread of the host's for as long as it takes, asked from any thread; False if not."""
        ...

    def runs(self) -> bool:
        """Whether what waits here can go on: an event loop may stand still, or be gone."""
        ...

    def waiter(self) -> Waiter:
        """What to wait for once in this colour."""
        ...


def _judge(clock: Clock, deadline: float | None, flow: FlowHandle, error: Exception | None) -> None:
    """Whether work ended, well or with *error*, because its time was over or its flow was cancelled."""
    if flow.cancelled:
        raise FlowCancelled(flow.cancel_reason) from error
    if deadline is not None and clock.now() >= deadline:
        raise TimeIsUp from error


class SyncRuntime:
    """Blocking work in the caller's thread."""

    def __init__(self, clock: Clock, portal: Portal, watchdog: Watchdog) -> None:
        self.clock = clock
        self._portal, self._watchdog = portal, watchdog
        self._sleep = getattr(clock, "sleep", None)
        self.owed = Owed()

    async def run_hook(self, coroutine: Any, step: Step) -> Any:
        return await coroutine if step.inline else self._portal.run(coroutine)

    async def sleep(self, seconds: float, flow: FlowHandle) -> None:
        if self._sleep is not None:
            await self._sleep(seconds)
        else:
            changed = threading.Event()
            forget = flow.watch(changed.set)
            until = time.monotonic() + seconds
            while not flow.cancelled and changed.wait(max(0.0, until - time.monotonic())):
                changed.clear()
            forget()
        if flow.cancelled:
            raise FlowCancelled(flow.cancel_reason)

    async def bounded(
        self, work: Coroutine[Any, Any, T], deadline: float | None, flow: FlowHandle, abort: Callable[[], None] | None
    ) -> T:
        alarm, outer = None, flow.interrupt
        if abort is not None:
            flow.interrupt = abort
            if deadline is not None and self._sleep is None:
                alarm = self._watchdog.arm(deadline - self.clock.now(), functools.partial(flow.cut, abort))
        if flow.cancel_reason is not None:
            flow.spare(outer)
            work.close()
            raise FlowCancelled(flow.cancel_reason)
        try:
            result = await work
        except Exception as error:
            # The watchdog or a cancel shut the socket down under the read: its error is only how we learn of it.
            _judge(self.clock, deadline, flow, error)
            raise
        finally:
            flow.spare(outer)
            if alarm is not None:
                alarm.cancel()
        if deadline is not None or flow.cancel_reason is not None:
            _judge(self.clock, deadline, flow, None)
        return result

    async def settle(self, work: Callable[[], Coroutine[Any, Any, None]], *, cancelled: bool = False) -> None:
        await work()

    async def settle_hooks(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await work()

    async def gate(self, flow: FlowHandle) -> None:
        changed = threading.Event()
        forget = flow.watch(changed.set)
        try:
            while not flow.cancelled and (flow.paused or flow.owes()):
                wait = None if flow.paused else flow.owes()
                if wait is not None and self._sleep is not None:
                    await self._sleep(wait)
                else:
                    changed.wait(wait if wait is None else min(wait, threading.TIMEOUT_MAX))
                    changed.clear()
        finally:
            forget()

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        return self._watchdog.arm(seconds, lambda: drive(work())).cancel

    def soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        owed = self.owed.take(work)
        self._watchdog.arm(0, lambda: drive(owed()))

    def rest(self) -> None:
        """Wait for what was asked for ``soon``, as long as settling may take, unless it is that which asks."""
        if self.owed and not self._watchdog.here():
            self.owed.wait(SETTLE_SECONDS)

    def hold_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        return on_a_thread(lambda: drive_beside(work))

    def runs(self) -> bool:
        return True

    def waiter(self) -> Waiter:
        return ThreadWaiter()


class AsyncRuntime:
    """anyio on the event loop that is running: made once for each loop."""

    def __init__(self, clock: Clock, portal: Portal) -> None:
        # A sync program never comes here and needs no anyio; a name of the module, so that no call pays for looking.
        global anyio
        import anyio
        import anyio.to_thread

        self.clock = clock
        self._portal = portal
        self._sleep = getattr(clock, "sleep", None)
        self._backend = running_library()
        self.owed = Owed()
        self._token = running_loop()
        self._scope = type(anyio.CancelScope())  # anyio would look for it in the loop with every request

    async def run_hook(self, coroutine: Any, step: Step) -> Any:
        if not step.inline:
            await about_to_wait()
        if self._backend != "asyncio" and getattr(step.owner, "asyncio_only", False):
            return await anyio.to_thread.run_sync(self._portal.run, coroutine, abandon_on_cancel=True)
        return await coroutine

    async def sleep(self, seconds: float, flow: FlowHandle) -> None:
        await self.bounded((self._sleep or anyio.sleep)(seconds), None, flow, None)

    async def bounded(
        self, work: Coroutine[Any, Any, T], deadline: float | None, flow: FlowHandle, abort: Callable[[], None] | None
    ) -> T:
        with self._scope() as scope:
            if deadline is not None and self._sleep is None:
                scope.deadline = anyio.current_time() + max(0.0, deadline - self.clock.now())
            outer, flow.interrupt = flow.interrupt, lambda: self._call_soon(scope.cancel)
            if flow.cancel_reason is not None:
                flow.interrupt = outer
                work.close()
                raise FlowCancelled(flow.cancel_reason)
            try:
                result = await work
            except Exception as error:
                _judge(self.clock, deadline, flow, error)
                raise
            finally:
                flow.interrupt = outer
        if scope.cancelled_caught and not flow.cancelled:
            raise TimeIsUp
        if deadline is not None or flow.cancel_reason is not None:
            _judge(self.clock, deadline, flow, None)
        return result

    async def settle(self, work: Callable[[], Coroutine[Any, Any, None]], *, cancelled: bool = False) -> None:
        until = anyio.current_time() + SETTLE_SECONDS if cancelled else math.inf
        done, limit = anyio.Event(), anyio.CancelScope(deadline=until)
        raised: list[Exception] = []

        async def keep_error() -> None:
            try:
                await work()
            except Exception as error:
                raised.append(error)

        try:
            self._spawn(keep_error, done, limit, contextvars.copy_context())
        except RuntimeError:  # trio closes what generators were left open when it takes no more tasks
            with anyio.move_on_after(SETTLE_SECONDS, shield=True):
                await work()
            return
        try:
            with anyio.CancelScope(shield=cancelled):
                await done.wait()
        except BaseException:
            limit.deadline = anyio.current_time() + SETTLE_SECONDS
            with anyio.CancelScope(shield=True):
                await done.wait()
            raise
        if raised:
            raise raised[0]

    async def settle_hooks(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        begun = work()
        if not await until_it_waits(begun):
            await self.settle(lambda: the_rest_of(begun))

    async def gate(self, flow: FlowHandle) -> None:
        while not flow.cancelled and (flow.paused or flow.owes()):
            changed = anyio.Event()
            forget = flow.watch(lambda event=changed: self._call_soon(event.set))  # type: ignore[misc]
            try:
                wait = math.inf if flow.paused else flow.owes()
                if wait < math.inf and self._sleep is not None:
                    await self._sleep(wait)
                elif wait and not flow.cancelled:
                    with anyio.move_on_after(wait):
                        await changed.wait()
            finally:
                forget()

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        scope = anyio.CancelScope()

        async def wait_then_work() -> None:
            with scope:
                await anyio.sleep(seconds)
            if not scope.cancelled_caught:
                await work()

        self._spawn(wait_then_work)

        def call_off() -> None:
            self._call_soon(scope.cancel)

        return call_off

    def soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if not self._call_soon(functools.partial(self._spawn, self.owed.take(work))):
            self.owed.settle_rest()

    async def rest(self) -> None:
        """As :meth:`SyncRuntime.rest`."""
        if self.owed:
            with anyio.move_on_after(SETTLE_SECONDS):
                await self.owed.paid(self.waiter())

    def hold(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run *work* in a task of the host's for as long as it takes."""
        self._spawn(work)

    def hold_soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """As ``hold``, from another thread; False if the loop is gone or stands still."""
        return self.runs() and self._call_soon(lambda: self._spawn(work))

    def runs(self) -> bool:
        return self.alive() if self._backend == "trio" else bool(self._token.is_running())

    def waiter(self) -> Waiter:
        return TaskWaiter(self._call_soon)

    def alive(self) -> bool:
        """Whether the loop of this runtime still runs."""
        if self._backend == "trio":
            try:
                self._token.run_sync_soon(nothing, idempotent=True)
            except RuntimeError:
                return False
            return True
        return not self._token.is_closed()

    def _call_soon(self, function: Callable[[], Any]) -> bool:
        """Run *function* on our loop, from whatever thread; False if the loop is gone."""
        try:
            if self._backend == "trio":
                self._token.run_sync_soon(function)
            else:
                self._token.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True

    def _spawn(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        done: anyio.Event | None = None,
        limit: anyio.CancelScope | None = None,
        context: contextvars.Context | None = None,
    ) -> None:
        """Start *work* in a task that belongs to the host, with an empty context if none is given."""
        context = context or contextvars.Context()

        async def owned() -> None:
            try:
                with limit or anyio.CancelScope():
                    await work()
            # Nobody awaits this task, and an error leaving it would end a trio program.
            except Exception:
                log.exception("settling a request failed")
            finally:
                if done is not None:
                    done.set()

        if self._backend == "trio":
            import trio

            trio.lowlevel.spawn_system_task(owned, context=context)
        else:
            task = self._token.create_task(owned(), context=context)
            _owned.add(task)
            task.add_done_callback(_owned.discard)


_owned: set[Any] = set()
"""asyncio keeps only weak references to tasks."""
