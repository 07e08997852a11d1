"""Which event loop runs in this thread, without importing one that nobody uses."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def running_library() -> str | None:
    """``asyncio`` or ``trio``, whichever runs the current task; None in a thread without an event loop."""
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
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
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_trio_token()
    return asyncio.get_running_loop()
