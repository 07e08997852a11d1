"""The pause after a failure: a server that is gone is asked by one call at a time, and all others fail at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from attrs import define, field


@define(eq=False)
class Rest:
    """``pause`` seconds, a random part of up to a half more or less, in which nobody asks.  Any thread may call.

    Each process and host draws its own end, so that they do not come back together.
    """

    pause: float
    now: Callable[[], float]
    failures: int = field(init=False, default=0)
    _until: float | None = field(init=False, default=None)
    _why: str = field(init=False, default="")
    _lock: threading.Lock = field(init=False, repr=False, factory=threading.Lock)

    def refusal(self) -> str | None:
        """Why the server is not asked now; None if it may be.

        When the pause is over the first caller gets None and the others a new pause, until :meth:`over` or its end.
        """
        if self._until is None:
            return None
        with self._lock:
            if self._until is None:
                return None
            left = self._until - self.now()
            if left <= 0:
                self._begin()
                return None
            return f"{self._why}; not asked again for {left:.1f} s"

    def begin(self, why: str) -> bool:
        """The server failed; whether that is news."""
        with self._lock:
            news, self._why = self._until is None, why
            self.failures += 1
            self._begin()
            return news

    def over(self, failures: int) -> bool:
        """The server answered a call that began after so many failures; whether that is news.

        An answer may have come before the server failed and be read after it: it says nothing of what is now.
        """
        if self._until is None:
            return False
        with self._lock:
            if self._until is None or self.failures != failures:
                return False
            self._until = None
            return True

    def _begin(self) -> None:
        self._until = self.now() + self.pause * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load, hides nothing
