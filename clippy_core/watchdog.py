"""One thread of a sync host that acts on time: shuts a socket down at a deadline, closes a dropped stream."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger("clippy")


class Alarm:
    """Something to be done at a time, unless it is cancelled first."""

    __slots__ = ("action", "cancelled")

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        self.action = _nothing  # what it was for must not live until its time


def _nothing() -> None:
    """What a cancelled alarm does."""


class Watchdog:
    """Starts its thread with the first alarm; the thread ends when nothing is armed for a while."""

    LINGER = 5.0
    CROWD = 1000
    """Beyond so many alarms the cancelled ones are swept out: each read of a stream with a deadline leaves one."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._count = itertools.count()
        self._thread: threading.Thread | None = None

    def arm(self, seconds: float | None, action: Callable[[], None]) -> Alarm:
        """Do *action* after *seconds* (None: never) on the watchdog's thread."""
        alarm = Alarm(action)
        if seconds is None:
            return alarm
        with self._ready:
            if len(self._alarms) > self.CROWD:
                self._sweep()
            heapq.heappush(self._alarms, (time.monotonic() + seconds, next(self._count), alarm))
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="clippy-watchdog", daemon=True)
                self._thread.start()
            self._ready.notify()
        return alarm

    def here(self) -> bool:
        """Whether this thread is the watchdog's."""
        return threading.current_thread() is self._thread

    def forget(self) -> None:
        """After a fork: the thread is not in this process, and its alarms were the parent's."""
        self.__init__()  # type: ignore[misc]

    def _watch(self) -> None:
        while True:
            with self._ready:
                alarm = self._next()
            if alarm is None:
                return
            try:
                alarm.action()
            except Exception:
                log.exception("an action at its deadline failed")
            del alarm  # while the next one is waited for

    def _next(self) -> Alarm | None:
        """Wait for the next alarm that is due; None when the thread has nothing left to wait for."""
        idle_until = time.monotonic() + self.LINGER
        while True:
            while self._alarms and self._alarms[0][2].cancelled:
                heapq.heappop(self._alarms)
            now = time.monotonic()
            if self._alarms and self._alarms[0][0] <= now:
                return heapq.heappop(self._alarms)[2]
            if not self._alarms and now >= idle_until:
                self._thread = None
                return None
            until = self._alarms[0][0] if self._alarms else idle_until
            if not self._ready.wait(min(until - now, self.LINGER)):
                self._sweep()
            if self._alarms:
                idle_until = time.monotonic() + self.LINGER

    def _sweep(self) -> None:
        """Forget the alarms that were cancelled."""
        self._alarms = [entry for entry in self._alarms if not entry[2].cancelled]
        heapq.heapify(self._alarms)
