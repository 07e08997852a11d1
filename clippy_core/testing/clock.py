"""Time that a test owns: nothing waits, and everything that would have waited is on record."""

from __future__ import annotations

import math
import threading

from attrs import define, field


@define(eq=False)
class VirtualClock:
    """A clock that moves only when somebody moves it; offers the ``Clock`` service.

    ``now()`` is monotonic seconds and starts at ``start``; ``time()`` is unix seconds and starts at ``epoch``.
    ``sleeps`` lists what was asked of :meth:`sleep`, in order; :meth:`advance` is not recorded there.
    Every method may be called from any thread.
    """

    start: float = 1000.0
    epoch: float = 1_763_800_000.0
    sleeps: list[float] = field(init=False, factory=list)
    _elapsed: float = field(init=False, default=0.0, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    def now(self) -> float:
        """Monotonic seconds."""
        with self._lock:
            return self.start + self._elapsed

    def time(self) -> float:
        """Unix seconds."""
        with self._lock:
            return self.epoch + self._elapsed

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass.  Raises ValueError for a negative or endless time."""
        _check(seconds)
        with self._lock:
            self._elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass, record them, and return without suspending, so that it also works without an event loop.

        Raises ValueError for a negative or endless time: a delay like that is a fault in what is tested.
        """
        _check(seconds)
        with self._lock:
            self.sleeps.append(seconds)
            self._elapsed += seconds


def _check(seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"cannot wait {seconds!r} seconds; give a finite number that is not below 0")
