"""Which event loop runs in this thread, without importing one that nobody uses."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def running_library() -> str | None:
    """``asyncio`` or ``trio``, whichever runs the current task; None in a thread without an event loop."""
    in_trio_run = _of_trio("in_trio_run")
    if in_trio_run is not None and in_trio_run():
        return "trio"
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return "asyncio"


def running_loop() -> Any:
    """The running event loop: asyncio's loop or trio's token, by which other threads reach it.

    Raises RuntimeError in a thread without one.
    """
    if running_library() == "trio":
        return _of_trio("current_trio_token")()
    return asyncio.get_running_loop()


def _of_trio(name: str) -> Any:
    """A function of ``trio.lowlevel``; None if trio is not imported, or another thread is importing it just now."""
    return getattr(sys.modules.get("trio.lowlevel"), name, None)
