"""The handle of a live stream: pause, resume, limit, pace, cancel, from any thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

TERMINAL = frozenset({"cancelled", "completed", "failed"})

CATCH_UP = 0.05
"""Seconds by which a wait may be late without losing them: a loop that wakes late must not slow a stream down."""
LEAST = 1e-6
"""Seconds; a shorter debt is what rounding leaves and is not waited for."""
_NEVER = -math.inf
_RLock = type(threading.RLock())
"""The class itself: ``threading.RLock`` is a function around it, and every request has a lock."""


class FlowHandle:
    """State of one stream, idle until its first pull.  The stream asks before each pull whether it is :attr:`held`.

    Waiting is the runtime's affair: it registers a callback that is called, from whatever thread, when something has
    changed, and looks again.  *now* is the host's clock.
    """

    __slots__ = (
        "_due", "_given_at", "_lock", "_look_again", "_now", "_paused", "_paused_at", "_paused_before", "_state",
        "_unread", "_waiting", "cancel_reason", "cancelled_by", "chunks_per_second", "cut_by", "held", "interrupt",
    )  # fmt: skip

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._lock = _RLock()  # a signal handler that cancels may find its own thread in here
        self._now = now
        self._state = "idle"
        self._paused = self._look_again = False
        self._paused_at = self._paused_before = self._unread = 0.0
        self._given_at: float | None = None
        self._due = _NEVER  # on the clock of _active, which stands still while the stream is paused
        self._waiting: dict[int, Callable[[], object]] = {}
        self.cancel_reason: str | None = None
        self.cancelled_by = "caller"
        self.cut_by: Callable[[], str] | None = None
        """What says who ended it where that was not done through this handle."""
        self.chunks_per_second: float | None = None
        self.held = True
        """Whether the next chunk may not come at once: idle, paused, limited, paced or cancelled; asked for each chunk.

        What was paced or paused stays held until :meth:`owes` has said that the time is over.
        """
        self.interrupt: Callable[[], object] | None = None
        """What ends the work that the runtime waits for, called from whatever thread; it must not touch this handle."""

    @property
    def state(self) -> str:
        """idle, streaming, paused, cancelled, completed or failed."""
        return "paused" if self._paused and self._state not in TERMINAL else self._state

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def cancelled(self) -> bool:
        return self.cancel_reason is not None

    @property
    def paused_seconds(self) -> float:
        """Seconds that the stream was paused so far, a pause that goes on included."""
        if not self._paused:  # asked for each chunk; resume() adds to the sum before it says that it is over
            return self._paused_before
        with self._lock:
            return self._paused_before + (self._now() - self._paused_at if self._paused else 0.0)

    @property
    def unread_for(self) -> float:
        """Seconds since the last piece was given, 0 while the next one is read."""
        return 0.0 if self._given_at is None else self._now() - self._given_at

    @property
    def unread_seconds(self) -> float:
        """Seconds in which nothing was read so far: nobody asked for more, or this handle held it back."""
        return self._unread if self._given_at is None else self._unread + self.unread_for

    def given(self) -> None:
        """From now on nothing is read, until somebody has :meth:`asked`."""
        self.asked()
        self._given_at = self._now()

    def asked(self) -> None:
        """The next piece is asked for, and may be read."""
        if self._given_at is not None:
            self._unread += self._now() - self._given_at
            self._given_at = None

    def pause(self) -> None:
        """Stop reading after the current chunk."""
        with self._lock:
            if not self._paused and self._state not in TERMINAL and self.cancel_reason is None:
                self._paused_at = self._now()
                self._paused = self._look_again = True
            self._look()
        self._changed()

    def resume(self) -> None:
        """Go on reading."""
        with self._lock:
            self._unpause()
            self._look()
        self._changed()

    def limit(self, chunks_per_second: float | None) -> None:
        """Read at most so many chunks a second; None reads as fast as they come.

        What is still owed from before is forgotten.  Raises ValueError for a rate that is not above zero, or so near to
        it that one chunk would take for ever.
        """
        if chunks_per_second is not None and not (chunks_per_second > 0 and 1.0 / chunks_per_second < math.inf):
            raise ValueError(f"chunks_per_second is {chunks_per_second}; give a rate above 0, or pause()")
        with self._lock:
            self.chunks_per_second = chunks_per_second
            self._due = _NEVER
            self._look()
        self._changed()

    def pace(self, seconds: float) -> None:
        """What was just passed takes up so many seconds: the next pull waits until they are over.

        They add up on a schedule that begins anew only where the stream was behind it, so that waits that end a little
        late do not add up.  Raises ValueError for a time that is negative or endless.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"cannot take up {seconds!r} seconds; give a finite number from 0 on, or pause()")
        with self._lock:
            if self._state in TERMINAL or self.cancel_reason is not None:
                return
            now = self._active()
            self._due = (self._due if now - self._due <= CATCH_UP else now) + seconds
            self._look_again = True
            self._look()

    def passed(self) -> None:
        """A chunk was handed on."""
        rate = self.chunks_per_second
        if rate is not None:
            self.pace(1.0 / rate)

    def owes(self) -> float:
        """Seconds until the next pull, leaving out a pause; 0 when it may be now."""
        with self._lock:
            wait = self._due - self._active()
            if wait > LEAST:
                return wait
            self._look_again = self._paused
            self._look()
            return 0.0

    @property
    def ended_by(self) -> str:
        """Who ended what did not come to its end."""
        return self.cut_by() if self.cancelled_by == "caller" and self.cut_by is not None else self.cancelled_by

    def cancel(self, reason: str = "cancelled", by: str = "program") -> None:
        """End the stream and close its upstream connection; *by* is who does, the first one counts."""
        with self._lock:
            if self._state in TERMINAL:
                return
            if self.cancel_reason is None:
                self.cancelled_by = by
            self.cancel_reason = reason
            self._unpause()
            self._look()
            # Whoever sets it looks at cancel_reason afterwards, so that one of the two sees the other.
            if self.interrupt is not None:
                self.interrupt()
        self._changed()

    def cut(self, work: Callable[[], object]) -> None:
        """Call *work* if it still is the interrupt: once that work is over, its connection may be another request's."""
        with self._lock:
            if self.interrupt is work:
                work()

    def spare(self, outer: Callable[[], object] | None) -> None:
        """The work is over, and from now on nothing interrupts it; *outer* is the interrupt of what it was part of."""
        with self._lock:
            self.interrupt = outer

    def enter(self, state: str) -> None:
        """The stream reports its state; a terminal one stays."""
        with self._lock:
            if self._state in TERMINAL:
                return
            self._state = state
            if state in TERMINAL:
                self._unpause()
                self.chunks_per_second, self._due, self._look_again = None, _NEVER, False
                self.held = self.cancel_reason is not None
            else:
                self._look()

    def watch(self, changed: Callable[[], object]) -> Callable[[], None]:
        """Have *changed* called at every change; returns what ends that."""
        with self._lock:
            self._waiting[id(changed)] = changed

        def forget() -> None:
            with self._lock:
                self._waiting.pop(id(changed), None)

        return forget

    def _unpause(self) -> None:
        if self._paused:
            self._paused_before += self._now() - self._paused_at
            self._paused = False

    def _active(self) -> float:
        """Seconds of the clock without the pauses."""
        return (self._paused_at if self._paused else self._now()) - self._paused_before

    def _look(self) -> None:
        stopped = self._paused or self.cancel_reason is not None
        self.held = stopped or self._look_again or self.chunks_per_second is not None or self._state == "idle"

    def _changed(self) -> None:
        with self._lock:
            waiting = tuple(self._waiting.values())
        for changed in waiting:
            changed()
