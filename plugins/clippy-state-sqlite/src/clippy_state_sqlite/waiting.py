"""A short wait that fits whoever waits: a task of an event loop lets others run, a thread just waits."""

from __future__ import annotations

import inspect
import sys
import time
from types import FrameType
from typing import Any

_OF_COROUTINES = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ITERABLE_COROUTINE


async def pause(seconds: float) -> None:
    """Wait, by the machine's own time: what is waited for is another process."""
    if _in_task(sys._getframe()):  # noqa: SLF001 (the only way to a frame)
        import anyio  # a sync program needs no event loops

        await anyio.sleep(seconds)
    else:
        _wait(seconds)


def _wait(seconds: float) -> None:
    time.sleep(seconds)


def _in_task(frame: FrameType | None) -> bool:
    """Whether the coroutine of *frame* is awaited by a task of the event loop that runs in this thread.

    That a loop runs here is not enough: a sync client that is called in a notebook drives its coroutines itself, within
    a task, and they must not suspend.  Then the way from *frame* to the task leads through a function that is no
    coroutine.
    """
    task = getattr(_task_coroutine(), "cr_frame", None)
    while frame is not None and frame is not task and frame.f_code.co_flags & _OF_COROUTINES:
        frame = frame.f_back
    return frame is not None and frame is task


def _task_coroutine() -> Any:
    """The coroutine of the running task of asyncio or trio; None if there is no task."""
    if (trio := sys.modules.get("trio")) is not None:
        try:
            return trio.lowlevel.current_task().coro
        except (RuntimeError, AttributeError):  # no trio task; trio is being imported by another thread
            pass
    if (asyncio := sys.modules.get("asyncio")) is not None:
        try:
            task = asyncio.current_task()
        except (RuntimeError, AttributeError):  # no event loop; asyncio is being imported by another thread
            return None
        return None if task is None else task.get_coro()
    return None
