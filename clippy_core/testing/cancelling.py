"""Cancelling a coroutine at one of its await points, on asyncio and trio, and waiting until nothing of it is left."""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import Callable, Collection, Coroutine, Generator
from typing import Any

import anyio
import anyio.lowlevel
from attrs import define, field

from ..loops import running_library

STOPS = ("native", "scope", "trio")
"""asyncio's ``task.cancel()``, anyio's cancel scopes on asyncio, trio's cancel scopes."""

PATIENCE = 10.0
"""Seconds after which a call that was cancelled counts as hanging."""


@define(eq=False)
class AwaitPoints:
    """Counts the times that a coroutine suspends, and does something at some of them."""

    at: Collection[int] = ()
    act: Callable[[], Any] = lambda: None
    count: int = field(init=False, default=0)

    @types.coroutine
    def drive(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Await this in place of *coroutine*."""
        step, value = coroutine.send, None
        while True:
            try:
                waits_for = step(value)
            except StopIteration as done:
                return done.value
            self.count += 1
            if self.count in self.at:
                self.act()
            try:
                step, value = coroutine.send, (yield waits_for)
            except BaseException as error:
                step, value = coroutine.throw, error


@define(eq=False)
class Stopped:
    """How a call ended: whether it was cancelled, what it raised, how often it had suspended, whether it hung."""

    points: int = 0
    cancelled: bool = False
    error: BaseException | None = None
    hung: bool = False


async def stopped(
    how: str,
    call: Callable[[], Coroutine[Any, Any, Any]],
    at: Collection[int],
    instead: Callable[[], Any] | None = None,
) -> Stopped:
    """Run *call* and cancel it at its await points *at*, or do *instead* there."""
    if how == "native":
        return await _by_task(call, at, instead)
    return await _by_scope(call, at, instead)


async def _by_task(
    call: Callable[[], Coroutine[Any, Any, Any]], at: Collection[int], instead: Callable[[], Any] | None
) -> Stopped:
    points, result = AwaitPoints(at), Stopped()

    async def run() -> None:
        await points.drive(call())

    task = asyncio.ensure_future(run())
    points.act = instead or task.cancel
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    result.points, result.hung = points.count, not done
    if done:
        result.cancelled = task.cancelled()
        result.error = None if task.cancelled() else task.exception()
    return result


async def _by_scope(
    call: Callable[[], Coroutine[Any, Any, Any]], at: Collection[int], instead: Callable[[], Any] | None
) -> Stopped:
    result = Stopped()
    with anyio.move_on_after(PATIENCE) as patience, anyio.CancelScope() as scope:
        points = AwaitPoints(at, instead or scope.cancel)
        try:
            await points.drive(call())
        except Exception as error:
            result.error = error
        finally:
            result.points = points.count
    result.cancelled, result.hung = scope.cancelled_caught, patience.cancelled_caught
    return result


async def quiet(limit: float = 4.0) -> list[str]:
    """Wait until no task but the caller's is left; names those that still are after *limit* seconds."""
    end = time.monotonic() + limit
    while left := _others():
        if time.monotonic() > end:
            return [f"a task is left: {name}" for name in left]
        await anyio.lowlevel.checkpoint()
    return []


def _others() -> list[str]:
    if running_library() != "trio":
        mine = asyncio.current_task()
        return [repr(task.get_coro()) for task in asyncio.all_tasks() if task is not mine]
    import trio  # whoever gets here has it

    task: Any = trio.lowlevel.current_task()
    root = trio.lowlevel.current_root_task()
    assert root is not None
    own, found = {task, *_ancestors(task)}, []
    waiting = [root]
    while waiting:
        one = waiting.pop()
        waiting += [child for nursery in one.child_nurseries for child in nursery.child_tasks]
        if one not in own and not one.name.startswith(("trio.", "<")):
            found.append(one.name)
    return found


def _ancestors(task: Any) -> list[Any]:
    found: list[Any] = []
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
        found.append(task)
    return found
