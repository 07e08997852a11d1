"""Which event loop runs in this thread, without importing one that nobody uses."""

from __future__ import annotations

import sys
from typing import Any


def running_library() -> str | None:
    """``asyncio`` or ``trio``, whichever runs the current task; None in a thread without an event loop."""
    in_trio_run = _of_trio("in_trio_run")
    if in_trio_run is not None and in_trio_run():
        return "trio"
    return None if _asyncio_loop() is None else "asyncio"


def running_loop() -> Any:
    """The running event loop: asyncio's loop or trio's token, by which other threads reach it.

    Raises RuntimeError in a thread without one.
    """
    loop = loop_here()
    if loop is None:
        raise RuntimeError("no running event loop")
    return loop


def loop_here() -> Any:
    """As :func:`running_loop`; None in a thread without one."""
    in_trio_run = _of_trio("in_trio_run")
    if in_trio_run is not None and in_trio_run():
        return _of_trio("current_trio_token")()
    return _asyncio_loop()


def _of_trio(name: str) -> Any:
    """A function of ``trio.lowlevel``; None if trio is not imported, or another thread is importing it just now."""
    module = sys.modules.get("trio.lowlevel")
    return None if module is None else getattr(module, name, None)  # asked thrice a request: None raises inside


def _asyncio_loop() -> Any:
    """asyncio's loop in this thread, or None.

    A sync program need not import asyncio to learn that it has no loop: where one runs, somebody has imported all of
    it.  The function is looked for as well, because another thread may be importing asyncio at this moment.
    """
    module = sys.modules.get("asyncio")
    running = None if module is None else getattr(module, "_get_running_loop", None)
    return None if running is None else running()
