"""Connections that read one row by one select, from any thread and without a lock."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from typing import Any

from attrs import define, field

from .file import SqliteFile

READ_TIMEOUT = 0.25
"""Seconds a lookup waits for a lock, which in WAL mode happens only while somebody repairs after a crash."""
_MOST_IDLE = 8


@define(eq=False)
class Readers:
    """As many reading connections as threads read at the same moment; opened when needed, a few are kept.

    A connection is one thread's for one select.  No lock is taken: taking and giving back are atomic, and threads that
    wait for each other's select take twice as long as threads with a connection each.  So ``_busy`` is a deque as well,
    with one item for each thread that is reading.
    """

    file: SqliteFile
    select: str
    _idle: deque[sqlite3.Cursor] = field(init=False, repr=False, factory=deque)
    _busy: deque[None] = field(init=False, repr=False, factory=deque)
    _kept: int = field(init=False, default=_MOST_IDLE)

    def read(self, *values: Any) -> Any:
        """The row that the select finds for *values*, as it stands in the file; None if there is none.

        Raises sqlite3.Error, also once this was closed, and UnicodeDecodeError when SQLite quotes damaged text.
        """
        self._busy.append(None)  # before the look at _kept, as close() does it the other way round
        try:
            if not self._kept:
                raise sqlite3.ProgrammingError(f"the {self.file.what} was closed")
            try:
                cursor = self._idle.pop()
            except IndexError:
                cursor = self._open()
            try:
                found = cursor.execute(self.select, values).fetchone()
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
        if self.file.moved():
            # With the first one's log beside it, which close() removes.
            raise sqlite3.ProgrammingError(f"another file lies where the {self.file.what} was")
        connection = self.file.connect(min(self.file.timeout, READ_TIMEOUT))
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
