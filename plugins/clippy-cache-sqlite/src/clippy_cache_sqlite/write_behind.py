"""Writing on a thread of its own, so that no request waits for the disk or for another process's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from attrs import define, field

from .file import Row

MAX_PENDING_BYTES = 16 * 1024 * 1024
FLUSH_SECONDS = 10.0
GATHER_SECONDS = 0.1
"""How long the first row of a batch waits for others: waking the thread and a commit cost ten times what a row does."""
_ENOUGH_ROWS = 128
_ENOUGH_BYTES = 1024 * 1024


@define(eq=False)
class WriteBehind:
    """A bounded queue of rows and the thread that writes them, in batches of what comes within ``gather`` seconds.

    ``pending`` holds every row until it is written, so that a lookup can be answered from it.  ``dropped`` counts the
    rows that were refused because the queue was full.
    """

    write: Callable[[Sequence[Row]], None]
    max_bytes: int = MAX_PENDING_BYTES
    gather: float = GATHER_SECONDS
    pending: dict[str, Row] = field(init=False, factory=dict)
    dropped: int = field(init=False, default=0)
    _bytes: int = field(init=False, default=0)
    _begun: int = field(init=False, default=0)
    _ended: int = field(init=False, default=0)
    _flushing: int = field(init=False, default=0)
    _closing: bool = field(init=False, default=False)
    _over: bool = field(init=False, default=False)
    _lock: threading.RLock = field(init=False, repr=False, factory=threading.RLock)
    _changed: threading.Condition = field(init=False, repr=False)
    """Of that lock, which ``put`` takes by itself: through the condition it would cost as much as all the rest."""
    _thread: threading.Thread = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._changed = threading.Condition(self._lock)
        # A daemon: a host that nobody closes must not keep the process alive for the sake of a cache.
        self._thread = threading.Thread(target=self._run, name="clippy-cache-sqlite", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> bool:
        """Queue *row*, over an older one of its key; False if nobody writes any more."""
        pending, key, size = self.pending, row.key, len(row.value)
        with self._lock:
            if self._closing or self._over:
                return False
            older = pending.get(key)
            if older is not None:
                self._remove(older)
            if self._bytes + size > self.max_bytes:
                self.dropped += 1
                return True
            pending[key] = row
            self._bytes += size
            if len(pending) == 1 or self._due():
                self._changed.notify_all()
        return True

    def flush(self) -> bool:
        """Wait until all that was put before is written; False if that took ten seconds or the thread is gone."""
        with self._changed:
            # The batch that is being written and the one after it, which has whatever waits now.
            last = self._begun + 1
            self._flushing += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._is_written(last) or self._over, FLUSH_SECONDS)
            finally:
                self._flushing -= 1
            return self._is_written(last)

    def close(self) -> None:
        """Write what is pending and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        try:
            while rows := self._gathered():
                for start in range(0, len(rows), _ENOUGH_ROWS):
                    # Not all at once: meanwhile no other process can write.
                    self._write(rows[start : start + _ENOUGH_ROWS])
                with self._changed:
                    self._ended += 1
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _gathered(self) -> list[Row]:
        """The next batch; nothing if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self.pending or self._closing)
            if self.pending:
                self._changed.wait_for(self._due, self.gather)
                self._begun += 1
            return list(self.pending.values())

    def _write(self, rows: Sequence[Row]) -> None:
        try:
            self.write(rows)
        finally:
            with self._changed:
                for row in rows:
                    self._remove(row)
                self._changed.notify_all()

    def _due(self) -> bool:
        """Whether the batch that is gathered should be written now."""
        enough = len(self.pending) >= _ENOUGH_ROWS or self._bytes >= _ENOUGH_BYTES
        return enough or self._flushing > 0 or self._closing

    def _is_written(self, batch: int) -> bool:
        return self._ended >= batch or not self.pending

    def _remove(self, row: Row) -> None:
        # A newer row of the same key may have come while this one was written.
        if self.pending.get(row.key) is row:
            del self.pending[row.key]
            self._bytes -= len(row.value)
