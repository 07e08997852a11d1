"""Threads that gather by time, made to gather by calls: as if 100 calls came in a second, however slow it is.

Under valgrind a program is fifty times as slow.  A thread that writes what came within a tenth of a second would then
write one row or two at a time, and what is counted of it would be of valgrind and not of the program.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from threading import TIMEOUT_MAX
from typing import Any

from attrs import define, field

import clippy_core
from clippy_core.testing.timing import Block

A_SECOND = 100
"""Calls that count as a second, in which clippy-cache writes its counts once.

One thread can send a thousand to a server on the same machine.  With those a call of the default stack is less than a
hundredth of a bare call cheaper, and counting takes ten times as long (benchmarks/profiles/call.md).
"""
A_BATCH = 10
"""Calls that count as a tenth of one, what clippy-cache-sqlite gathers."""


@define(eq=False)
class Whole:
    """A block of calls of which only some multiple of ``least`` costs what they cost on average."""

    block: Block
    least: int = A_SECOND

    def __call__(self, times: int) -> None:
        self.block(times)


@define(eq=False)
class Pace:
    """Makes the threads of the caches of an open *host* write after so many calls, and at no other time."""

    host: clippy_core.Host
    _calls: int = field(init=False, default=0)

    def of(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """*call*, paced."""

        def paced() -> None:
            call()
            self._called()

        return paced

    def of_async(self, call: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        """The same of a call that is awaited."""

        async def paced() -> None:
            await call()
            self._called()

        return paced

    def _called(self) -> None:
        # Fields of first-party plugins that nobody else needs to reach, here and in no product.
        plugins: Any = self.host.plugins
        ledger, behind = plugins["cache"]._ledger, plugins["cache-sqlite"]._store._behind
        self._calls += 1
        if self._calls == 1:
            ledger.gather = behind.gather = TIMEOUT_MAX
        if self._calls == 1 or self._calls % A_BATCH == 0:  # the first one's thread still looks at the clock
            assert behind.flush(), "the cache's thread did not write in ten seconds"
        if self._calls % A_SECOND == 0:
            ledger.flush()
