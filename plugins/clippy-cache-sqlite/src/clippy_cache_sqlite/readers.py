"""Connections to the cache file, and the lookup that each of them makes."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import Any

from attrs import define, field

READ_TIMEOUT = 0.25
"""Seconds a lookup waits for a lock, which in WAL mode happens only while somebody repairs after a crash."""
_MOST_IDLE = 8
_PRAGMAS = ("synchronous = NORMAL", "trusted_schema = OFF", "cell_size_check = ON", "journal_size_limit = 4000000")
_SELECT = "SELECT value, checksum FROM entries WHERE key = ? AND expires > ?"


@define(eq=False)
class Readers:
    """As many reading connections as threads read at the same moment; opened when needed, a few are kept.

    A connection is one thread's for one select.  No lock is taken: taking and giving back are atomic, and threads that
    wait for each other's select take twice as long as threads with a connection each.  So ``_busy`` is a deque as well,
    with one item for each thread that is reading.
    """

    path: Path
    longest: int
    timeout: float
    _idle: deque[sqlite3.Cursor] = field(init=False, repr=False, factory=deque)
    _busy: deque[None] = field(init=False, repr=False, factory=deque)
    _kept: int = field(init=False, default=_MOST_IDLE)

    def read(self, key: str, now: float) -> tuple[Any, Any] | None:
        """Value and checksum of *key* as they stand in the file, None if there is no entry that is live at *now*.

        Raises sqlite3.Error, also once this was closed, and UnicodeDecodeError when SQLite quotes damaged text.
        """
        self._busy.append(None)  # before the look at _kept, as close() does it the other way round
        try:
            if not self._kept:
                raise sqlite3.ProgrammingError("the cache file was closed")
            try:
                cursor = self._idle.pop()
            except IndexError:
                cursor = self._open()
            try:
                found: tuple[Any, Any] | None = cursor.execute(_SELECT, (key, now)).fetchone()
            finally:
                self._idle.append(cursor)
                if len(self._idle) > self._kept:
                    self._close_surplus()
        finally:
            self._busy.pop()
        return found

    def close(self) -> None:
        """Close all connections, those in use when they are given back."""
        self._kept = 0
        self._close_surplus()

    def wait(self, seconds: float) -> None:
        """After :meth:`close`: wait until no thread is reading any more, at most so long."""
        end = time.monotonic() + seconds
        while self._busy and time.monotonic() < end:
            time.sleep(0.0005)

    def _open(self) -> sqlite3.Cursor:
        connection = connect(self.path, self.longest, min(self.timeout, READ_TIMEOUT))
        connection.execute("PRAGMA query_only = ON")
        # One cursor for all lookups of a connection: a new one each time costs a tenth of the select.
        return connection.cursor()

    def _close_surplus(self) -> None:
        while len(self._idle) > self._kept:
            try:
                cursor = self._idle.popleft()
            except IndexError:  # another thread was here
                return
            cursor.connection.close()


def connect(path: Path, longest: int, timeout: float) -> sqlite3.Connection:
    """A connection to the file at *path*, which must exist.

    ``longest``: bytes of the largest value that is read.  ``timeout``: seconds to wait for a lock.
    """
    # mode=rw: never make a file here, it would have the wrong permissions.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    try:
        # Damaged text must come back as bytes that fail the checksum, damaged lengths must not be allocated.
        connection.text_factory = bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection
