"""The handle of a live stream: pause, resume, limit, cancel, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

TERMINAL = frozenset({"cancelled", "completed", "failed"})


class FlowHandle:
    """State of one stream, idle until its first pull.  The stream asks :meth:`gate` before each pull.

    Waiting is the runtime's affair: it registers a callback that is called, from whatever thread, when something has
    changed, and looks again.
    """

    __slots__ = ("_lock", "_paused", "_state", "_waiting", "cancel_reason", "chunks_per_second", "held", "interrupt")

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler that cancels may find its own thread in here
        self._state = "idle"
        self._paused = False
        self._waiting: dict[int, Callable[[], object]] = {}
        self.cancel_reason: str | None = None
        self.chunks_per_second: float | None = None
        self.held = True
        """Whether the next chunk may not come at once: idle, paused, limited or cancelled.  Asked for each chunk."""
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

    def pause(self) -> None:
        """Stop reading after the current chunk."""
        with self._lock:
            self._paused = self._state not in TERMINAL and self.cancel_reason is None
            self._look()
        self._changed()

    def resume(self) -> None:
        """Go on reading."""
        with self._lock:
            self._paused = False
            self._look()
        self._changed()

    def limit(self, chunks_per_second: float | None) -> None:
        """Read at most so many chunks a second; None reads as fast as they come.

        Raises ValueError for a rate that is not above zero.
        """
        if chunks_per_second is not None and not chunks_per_second > 0:
            raise ValueError(f"chunks_per_second is {chunks_per_second}; give a rate above 0, or pause()")
        with self._lock:
            self.chunks_per_second = chunks_per_second
            self._look()

    def cancel(self, reason: str = "cancelled") -> None:
        """End the stream and close its upstream connection."""
        with self._lock:
            if self._state in TERMINAL:
                return
            self.cancel_reason = reason
            self._paused = False
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
            if self._state not in TERMINAL:
                self._state = state
            self._look()

    def watch(self, changed: Callable[[], object]) -> Callable[[], None]:
        """Have *changed* called at every change; returns what ends that."""
        with self._lock:
            self._waiting[id(changed)] = changed

        def forget() -> None:
            with self._lock:
                self._waiting.pop(id(changed), None)

        return forget

    def _look(self) -> None:
        stopped = self._paused or self.cancel_reason is not None
        self.held = stopped or self.chunks_per_second is not None or self._state == "idle"

    def _changed(self) -> None:
        with self._lock:
            waiting = tuple(self._waiting.values())
        for changed in waiting:
            changed()
