"""What a failure of the file means: a miss, one line in the log, and the next try; never an exception in a request."""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

from attrs import define, field
from clippy_sqlite import FAILURES, DamagedFile, StrangeFile, error_code, is_damage, reason_of

from .file import CacheFile, Row, logger
from .write_behind import WriteBehind

REOPEN_AFTER = 10.0
"""Seconds until a file that could not be opened is tried again."""
LOOK_SECONDS = 1.0
"""How long lookups may still be answered from a file that somebody replaced, since to look costs a tenth of one."""
_BROKEN = (*FAILURES, DamagedFile, StrangeFile)
_UNUSABLE = "no cache: the file %s cannot be used: %s"


def checksum_of(key: str, value: bytes) -> int:
    """Binds a value to its key: SQLite finds a broken page, not a changed byte or an index that points astray."""
    return crc32(value, crc32(key.encode()))


@define(eq=False)
class EntryStore:
    """The cache file as one process uses it: opened on first use, written behind while a host is open."""

    path: Path
    max_bytes: int
    longest: int
    timeout: float
    _file: CacheFile | None = field(init=False, default=None)
    _behind: WriteBehind | None = field(init=False, default=None)
    _lives: int = field(init=False, default=0)
    _failed_at: float | None = field(init=False, default=None)
    _looked_at: float = field(init=False, default=-math.inf)
    _told: set[str] = field(init=False, factory=set)
    _lock: threading.RLock = field(init=False, repr=False, factory=threading.RLock)

    def get(self, key: str, now: float) -> bytes | None:
        """The value of *key* that is valid at *now* (unix seconds)."""
        behind = self._behind
        if behind is not None and (row := behind.pending.get(key)) is not None:
            return row.value if now < row.expires else None
        file = self._file
        if file is None or not 0 <= now - self._looked_at < LOOK_SECONDS:
            file = self._current(now)
        if file is None:
            return None
        try:
            found = file.readers.read(key, now)
        except FAILURES as error:
            if error_code(error) == sqlite3.SQLITE_TOOBIG:
                self.drop(key)
            else:
                self._failed("lookups miss", error, file)
            return None
        if found is None:
            return None
        value, checksum = found
        # checksum_of, written out.
        if type(value) is bytes and crc32(value, crc32(key.encode())) == checksum:
            return value
        self.drop(key)
        return None

    def put(self, row: Row, now: float) -> None:
        """Store *row*: soon if a host is open, at once otherwise."""
        behind = self._behind
        if behind is None or not behind.put(row):
            self._write([row], now)

    def drop(self, key: str) -> None:
        """Delete a row that cannot be read."""
        self._tell("row", "a stored answer in %s is damaged; it is deleted and counts as a miss", self.path)
        if (file := self._file) is not None:
            try:
                file.drop(key)
            except FAILURES as error:
                self._failed("nothing is stored", error, file)

    def delete(self, parts: Mapping[str, str | None]) -> None:
        """Delete what matches all *parts*.  Raises OSError or sqlite3.Error if that is not certain."""
        if (behind := self._behind) is not None and not behind.flush():
            raise OSError(f"what is still being written to {self.path} could not be dropped; try again")
        with self._lock:
            if self._file is not None and self._file.moved():
                self._forget(self._file)
            if self._file is None and not self.path.exists():
                return
            self._failed_at = None
            file = self._open(0.0)
        if file is None:
            raise OSError(f"nothing was dropped: the cache file {self.path} cannot be opened")
        try:
            file.delete(parts)
        except _BROKEN as error:
            # A file that was set aside answers nobody any more.
            if not self._failed("nothing is dropped", error, file):
                if isinstance(error, StrangeFile):
                    raise OSError(f"nothing was dropped: the cache file {self.path} {error}") from error
                raise

    def matching(self, parts: Mapping[str, str | None], limit: int) -> list[Row]:
        """Undamaged rows that match all *parts*, latest first.  Raises OSError or sqlite3.Error if it cannot read."""
        if (behind := self._behind) is not None:
            behind.flush()
        if self._file is None and not self.path.exists():
            return []
        file = self._current(0.0)
        if file is None:
            raise OSError(f"the cache file {self.path} cannot be opened")
        return [
            row
            for row in file.matching(parts, limit)
            if type(row.value) is bytes and checksum_of(row.key, row.value) == row.checksum
        ]

    def held(self) -> tuple[int, int]:
        """Rows in the file and bytes of their values, without what is still to be written.

        Raises OSError or sqlite3.Error if it cannot read.
        """
        if self._file is None and not self.path.exists():
            return 0, 0
        file = self._current(0.0)
        if file is None:
            raise OSError(f"the cache file {self.path} cannot be opened")
        return file.held()

    def start(self) -> None:
        """A host opened: write behind from now on."""
        with self._lock:
            self._lives += 1
            if self._behind is None:
                self._behind = WriteBehind(self._write_behind)

    def stop(self) -> None:
        """A host closed; after the last one everything is written and closed."""
        with self._lock:
            self._lives = max(0, self._lives - 1)
            last = not self._lives
        if last:
            self.close()

    def close(self) -> None:
        """Write what is pending and close the file; the next use opens it again."""
        with self._lock:
            behind, self._behind = self._behind, None
        if behind is not None:
            # Not under the lock: the thread needs it to open the file.
            behind.close()
            if behind.dropped:
                logger.warning("%d answers were not stored: they came faster than the disk took them", behind.dropped)
        with self._lock:
            # Another host may have opened meanwhile.
            if self._file is not None and self._behind is None:
                self._forget(self._file)

    def rest(self) -> None:
        """Close the file and keep every thread out of it until :meth:`resume`: the process is about to be forked."""
        self._lock.acquire()
        if (file := self._file) is not None:
            # Waits for a running read or write; a thread that comes later finds the file closed and opens it again.
            self._forget(file)
            file.readers.wait(self.timeout)

    def resume(self) -> None:
        """The process was forked; the next use opens the file again."""
        self._lock.release()

    def _write_behind(self, rows: Sequence[Row]) -> None:
        self._write(rows, max(row.stored_at for row in rows))

    def _write(self, rows: Sequence[Row], now: float) -> None:
        for _ in range(2):
            file = self._current(now)
            if file is None:
                return
            try:
                file.write(rows, now)
                return
            except _BROKEN as error:
                # A second time only if the damaged file was set aside, or closed by another thread meanwhile.
                if not self._failed("nothing is stored", error, file) and self._file is file:
                    return

    def _current(self, now: float) -> CacheFile | None:
        """The file at the path: the open one, unless another has taken its place."""
        self._looked_at = now
        file = self._file
        if file is not None and file.moved():
            self._forget(file)
        return self._file or self._open(now)

    def _open(self, now: float) -> CacheFile | None:
        with self._lock:
            if self._file is not None:
                return self._file
            if self._failed_at is not None and 0 <= now - self._failed_at < REOPEN_AFTER:
                return None
            try:
                self._file = CacheFile.open(self.path, self.max_bytes, self.longest, self.timeout)
            except (*FAILURES, OSError, StrangeFile) as error:
                self._failed_at = now
                self._tell("open", _UNUSABLE, self.path, reason_of(error))
            return self._file

    def _failed(self, effect: str, error: Exception, file: CacheFile) -> bool:
        """Take note of a failure; True if it was damage and the file is out of the way."""
        with self._lock:
            if self._file is not file:
                return False
            if file.moved():
                self._forget(file)
                return False
            if not is_damage(error) and not isinstance(error, StrangeFile):
                self._tell(effect, "the cache file %s: %s, so %s", self.path, reason_of(error), effect)
                return False
            self._file = None
            try:
                file.set_aside(error)
            except StrangeFile as strange:
                self._tell("open", _UNUSABLE, self.path, strange)
                return False
            except (*FAILURES, OSError) as failure:
                self._tell("aside", "the cache file %s is damaged and cannot be moved away: %s", self.path, failure)
                return False
            return True

    def _forget(self, file: CacheFile) -> None:
        with self._lock:
            if self._file is file:
                self._file = None
                file.close()

    def _tell(self, what: str, message: str, *values: object) -> None:
        """Log *message*, the first time that *what* happens."""
        if what not in self._told:
            self._told.add(what)
            logger.warning(message, *values)
