"""The SQLite form of a recording: a row for each call, of many processes, from which the oldest calls go."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from clippy_sqlite import FAILURES, Schema, SqliteFile, StrangeFile, follow_forks

logger = logging.getLogger("clippy.recorder")

APPLICATION: Final = 0x436C5265  # "ClRe": SQLite's application_id, which says whose file it is
BUSY: Final = 5.0
"""Seconds to wait for other programs that have the file."""
LONGEST: Final = 64 * 1024 * 1024
"""Bytes of one call's document."""
SCHEMA: Final = Schema(
    APPLICATION,
    (
        (
            "CREATE TABLE calls (id TEXT PRIMARY KEY, began REAL NOT NULL, document TEXT NOT NULL)",
            "CREATE INDEX calls_began ON calls (began)",
        ),
    ),
)
"""``user_version`` is the format number of the file."""
OLDEST: Final = "DELETE FROM calls WHERE rowid IN (SELECT rowid FROM calls ORDER BY began, rowid LIMIT ?)"
_USED: Final = (
    "SELECT (page_count - freelist_count) * page_size "
    "FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
)


_inherited: Final[list[sqlite3.Connection | None]] = []
"""Of a fork that nobody waited for: neither used nor closed."""


class Rows:
    """Adds rows to the file at *path*, which keeps at most *max_bytes*, or all with None.  Raises OSError.

    A file that was moved away while it is open, as logrotate does, is completed with what its log holds, and another
    one is begun.  While the process is forked it is closed: a child that had it open would not hold the locks that
    SQLite thinks it does, and another process would remove its log.
    """

    def __init__(self, path: Path, max_bytes: int | None) -> None:
        self._file = SqliteFile(path, SCHEMA, "recording", logger, LONGEST, BUSY)
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._lock, self._rests = threading.Lock(), False
        follow_forks(self, Rows._rest, Rows._resume, Rows._begin_anew)

    def insert(self, rows: Sequence[tuple[str, float, str]]) -> None:
        """Add *rows* (id, began, document), all or none of them."""
        with self._lock:
            self._insert(rows)

    def _insert(self, rows: Sequence[tuple[str, float, str]]) -> None:
        try:
            if self._connection is not None and self._file.moved():
                self._close()
            if self._connection is None:
                self._connection = self._file.open()
            with self._connection as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR REPLACE INTO calls (id, began, document) VALUES (?, ?, ?)", rows)
                if self._max_bytes is not None:
                    _make_room(connection, self._max_bytes)
        except (*FAILURES, StrangeFile) as error:
            self._close()
            raise OSError(5, f"SQLite: {error}") from error

    def trial(self) -> str | None:
        """Why nothing can be added, None if it can; nothing is made or changed."""
        return self._file.trial()

    def close(self) -> None:
        """Close the file; the next row opens the one that lies at the path then."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._file.moved():  # SQLite itself leaves the log beside the old name, where nobody finds it
            with suppress(*FAILURES):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._file.close(connection)

    def _rest(self) -> None:
        self._rests = self._lock.acquire(timeout=BUSY)
        if self._rests:  # else the file system hangs, and would keep the program from forking
            with suppress(Exception):
                self._close()

    def _resume(self) -> None:
        if self._rests:
            self._lock.release()

    def _begin_anew(self) -> None:
        _inherited.append(self._connection)
        self._connection, self._lock = None, threading.Lock()


def _make_room(connection: sqlite3.Connection, most: int) -> None:
    """Let the oldest calls go, a tenth at a time; the newest stays.  Their pages are used again."""
    while connection.execute(_USED).fetchone()[0] > most:
        (count,) = connection.execute("SELECT count(*) FROM calls").fetchone()
        if count < 2:
            return
        connection.execute(OLDEST, ((count + 9) // 10,))
