"""Opening and closing what plugins hold.

A plain context manager is entered once for the host.  An async one belongs to the event loop it was entered in, so
there is one set for each loop, held open by a task of the host's own: entered in a request's task it could not be left
in another, and a caller's timeout around its first call would break it (design-review.md finding 20).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from typing import Any

import anyio
from attrs import define, field

from .chains import Step, raise_failed

log = logging.getLogger("clippy")
Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]


def enter_shared(steps: Sequence[Step], host: object) -> tuple[ExitStack, tuple[Step, ...]]:
    """Enter the plain context managers; the stack that leaves them, and the steps whose managers are async.

    Raises PluginError, with everything that was entered left again.
    """
    waiting: list[Step] = []
    with ExitStack() as stack:
        for step in steps:
            try:
                manager = step.function(host)
                if manager is None:
                    continue
                if isinstance(manager, AbstractAsyncContextManager) and not hasattr(manager, "__enter__"):
                    waiting.append(step)
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


@define(eq=False)
class LoopSet:
    """The async context managers of one event loop, held open by one task."""

    steps: Sequence[Step]
    host: object
    ready: anyio.Event = field(factory=anyio.Event)
    closing: anyio.Event = field(factory=anyio.Event)
    closed: anyio.Event = field(factory=anyio.Event)
    error: Exception | None = None
    task: object = None

    async def hold(self) -> None:
        """The task: enter, wait, leave in reverse order."""
        try:
            async with AsyncExitStack() as stack:
                for step in self.steps:
                    await self._enter(stack, step)
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

    async def _enter(self, stack: AsyncExitStack, step: Step) -> None:
        try:
            await stack.enter_async_context(step.function(self.host))
        except Exception as error:
            raise_failed(step, error)

    async def opened(self) -> None:
        """Wait until everything is entered.  Raises what a plugin raised."""
        await self.ready.wait()
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        """Leave everything and wait for it."""
        self.closing.set()
        await self.closed.wait()
