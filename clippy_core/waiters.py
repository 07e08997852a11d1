"""What one request waits for until another, maybe of another thread or event loop, has done something."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol


class Waiter(Protocol):
    """Waited for once, by one."""

    def set(self) -> None:
        """End the wait; from any thread, also before it has begun."""
        ...

    async def wait(self) -> object: ...


class ThreadWaiter:
    """Blocks its thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.set = self._event.set

    async def wait(self) -> object:
        return self._event.wait()


class TaskWaiter:
    """Suspends a task of the event loop in which it is made; *call_soon* runs a function there."""

    def __init__(self, call_soon: Callable[[Callable[[], Any]], bool]) -> None:
        import anyio  # by whom there is an event loop

        event = anyio.Event()
        self.wait = event.wait
        self._call_soon, self._set = call_soon, event.set

    def set(self) -> None:
        self._call_soon(self._set)


def on_a_thread(work: Callable[[], object]) -> bool:
    """Run *work* on a thread of its own, for which no program waits; False where there can be none any more."""
    try:
        threading.Thread(target=work, name="clippy-beside", daemon=True).start()
    except RuntimeError:  # the interpreter ends, or the system has no thread left
        return False
    return True


def nothing() -> None:
    """What is asked of an event loop to see whether it is there."""
