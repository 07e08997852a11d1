"""What a runtime was asked to do soon by somebody who does not wait for it; whoever closes the host does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from .driven import without_a_loop

if TYPE_CHECKING:
    from .runtime import AsyncRuntime, SyncRuntime
    from .waiters import Waiter

Work = Callable[[], Coroutine[Any, Any, None]]


class Owed:
    """Work that is not done yet.

    The garbage collector asks for some of it, in whatever thread and at whatever moment: nothing here takes a lock.
    """

    def __init__(self) -> None:
        self._works: dict[int, Work] = {}
        self._waiting: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        return bool(self._works)

    def take(self, work: Work) -> Work:
        """*work*, known here until it has ended."""
        self._works[id(work)] = work

        async def pay() -> None:
            try:
                await work()
            finally:
                self._works.pop(id(work), None)
                if not self._works:
                    for done in [*self._waiting]:
                        done()

        return pay

    def wait(self, seconds: float) -> None:
        """Block until nothing is owed, for some *seconds* at most."""
        done = threading.Event()
        self._waiting.append(done.set)
        if self._works:
            done.wait(seconds)
        self._waiting.remove(done.set)

    async def paid(self, waiter: Waiter) -> None:
        """Wait with *waiter*, of an event loop, until nothing is owed."""
        self._waiting.append(waiter.set)
        try:
            if self._works:
                await waiter.wait()
        finally:
            self._waiting.remove(waiter.set)

    def settle_rest(self) -> None:
        """Once the loop is gone: do what it no longer came to, as far as that goes without it."""
        while self._works:
            try:
                _, work = self._works.popitem()
            except KeyError:  # the collector came in between and did it
                return
            without_a_loop(work)


def rest(threads: SyncRuntime, loops: Sequence[AsyncRuntime]) -> None:
    """Before anything is closed: wait, for a while, for what was left to be done soon; its records are owed."""
    threads.rest()
    for one in loops:
        if not one.alive():
            one.owed.settle_rest()
        elif one.owed:
            from .lifespans import in_loop  # brings attrs along, which whoever only imports the host does without

            in_loop(one, one.rest)


async def arest(threads: SyncRuntime, runtime: AsyncRuntime) -> None:
    """As ``rest``, in the event loop of *runtime*."""
    await runtime.rest()
    if threads.owed:
        import anyio.to_thread

        await anyio.to_thread.run_sync(threads.rest)
