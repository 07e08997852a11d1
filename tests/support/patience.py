"""Waits for what another thread, task or process does.

Each looks again at once and goes on as soon as it has come about, so that the time it would wait at most matters only
where something is broken: it is long enough for a machine that others keep busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

PATIENCE = 60.0
"""Seconds for anything that is bound to come about."""


def until(true: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Whether *true* comes true; nothing is said of when."""
    end = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return bool(found)


async def meanwhile(true: Callable[[], object]) -> bool:
    """The same in an event loop, whose other tasks go on."""
    with anyio.move_on_after(PATIENCE):
        while not true():
            await anyio.sleep(0.002)
    return bool(true())
