"""Writing on a thread of its own, so that no request waits for the disk or for another process's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import islice

from attrs import define, field

from .file import Row

MAX_PENDING_BYTES = 16 * 1024 * 1024
FLUSH_SECONDS = 10.0
_BATCH = 128


@define(eq=False)
class WriteBehind:
    """A bounded queue of rows and the thread that writes them, in batches of what has come together meanwhile.

    ``pending`` holds every row until it is written, so that a lookup can be answered from it.  ``dropped`` counts the
    rows that were refused because the queue was full.
    """

    write: Callable[[Sequence[Row]], None]
    max_bytes: int = MAX_PENDING_BYTES
    pending: dict[str, Row] = field(init=False, factory=dict)
    dropped: int = field(init=False, default=0)
    _bytes: int = field(init=False, default=0)
    _closing: bool = field(init=False, default=False)
    _changed: threading.Condition = field(init=False, repr=False, factory=threading.Condition)
    _thread: threading.Thread = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # A daemon: a host that nobody closes must not keep the process alive for the sake of a cache.
        self._thread = threading.Thread(target=self._run, name="clippy-cache-sqlite", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> bool:
        """Queue *row*, over an older one of its key; False if nobody writes any more."""
        with self._changed:
            if self._closing or not self._thread.is_alive():
                return False
            self._remove(self.pending.get(row.key))
            if self._bytes + len(row.value) > self.max_bytes:
                self.dropped += 1
            else:
                self.pending[row.key] = row
                self._bytes += len(row.value)
                self._changed.notify_all()
        return True

    def flush(self) -> bool:
        """Wait until everything is written; False if that took more than ten seconds or the thread is gone."""
        with self._changed:
            self._changed.wait_for(lambda: not self.pending or not self._thread.is_alive(), FLUSH_SECONDS)
            return not self.pending

    def close(self) -> None:
        """Write what is pending and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.pending or self._closing)
                batch = list(islice(self.pending.values(), _BATCH))
            if not batch:
                return
            try:
                self.write(batch)
            finally:
                with self._changed:
                    for row in batch:
                        self._remove(row)
                    self._changed.notify_all()

    def _remove(self, row: Row | None) -> None:
        # A newer row of the same key may have come while this one was written.
        if row is not None and self.pending.get(row.key) is row:
            del self.pending[row.key]
            self._bytes -= len(row.value)
