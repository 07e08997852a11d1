"""Handing log records to their handlers on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

from attrs import define, field


@define(eq=False)
class Delivery:
    """A bounded queue of log records and the thread that hands them to ``deliver``.

    It is what ``QueueHandler`` and ``QueueListener`` of the standard library do, but for three things that matter to a
    request: the queue has a bound, a full one loses the record and counts it, and closing does not wait for a handler
    that hangs.  The bound may be passed by one record for each thread that logs at that very moment.
    """

    deliver: Callable[[logging.LogRecord], None]
    size: int
    _closed: bool = field(init=False, default=False)
    _given_up: bool = field(init=False, default=False)
    _queue: SimpleQueue[logging.LogRecord | None] = field(init=False, factory=SimpleQueue, repr=False)
    _thread: threading.Thread = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # A daemon: a handler that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="clippy-telemetry-log", daemon=True)
        self._thread.start()

    def put(self, record: logging.LogRecord) -> bool:
        """Queue *record*; False if the queue is full or closed.  Never waits."""
        if self._closed or self._queue.qsize() >= self.size:
            return False
        self._queue.put(record)
        return True

    def close(self, patience: float) -> int:
        """Deliver what is queued, for *patience* seconds at most; how many records were then still waiting.

        Those are given up: delivered later, they would turn up among the lines of another life of the host.
        """
        self._closed = True
        self._queue.put(None)
        self._thread.join(patience)
        if not self._thread.is_alive():
            return 0
        self._given_up = True
        return max(0, self._queue.qsize() - 1)

    def _run(self) -> None:
        while (record := self._queue.get()) is not None and not self._given_up:
            self.deliver(record)
