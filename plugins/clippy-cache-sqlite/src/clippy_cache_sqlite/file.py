"""One open cache file: connections to read with, one to write with.

Everything here raises; :mod:`clippy_cache_sqlite.store` decides what a failure means.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field
from clippy_sqlite import Readers, SqliteFile

from .schema import SCHEMA

logger = logging.getLogger("clippy.cache-sqlite")

_AT_ONCE = 256

_SELECT = "SELECT value, checksum FROM entries WHERE key = ? AND expires > ?"
_ROW = (
    "INTO entries (key, expires, size, checksum, tenant, user, session, tags, model, value)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT, _INSERT_NEW = "INSERT " + _ROW, "INSERT OR IGNORE " + _ROW
_MATCHING = (
    "(:key IS NULL OR key = :key) AND (:tag IS NULL OR instr(tags, :tag) > 0)"
    " AND (:tenant IS NULL OR tenant = :tenant) AND (:user IS NULL OR user = :user)"
    " AND (:session IS NULL OR session = :session) AND (:model IS NULL OR model = :model)"
    " AND (:key_prefix IS NULL OR substr(key, 1, length(:key_prefix)) = :key_prefix)"
    " AND (:tag_prefix IS NULL OR instr(tags, :tag_prefix) > 0)"
)
_DELETE_MATCHING = "DELETE FROM entries WHERE " + _MATCHING  # noqa: S608 (constants)
_LISTED = "SELECT key, model, tags, tenant, user, session, checksum, value FROM entries WHERE "
_LIST_MATCHING = _LISTED + _MATCHING + " ORDER BY id DESC LIMIT :limit"


@define(eq=False)
class Row:
    """One entry as it is written.  ``stored_at`` and ``expires`` are unix seconds, the rest is as the schema says."""

    key: str
    stored_at: float
    expires: float
    checksum: int
    tenant: str
    user: str
    session: str
    tags: str
    model: str
    value: bytes

    def columns(self) -> tuple[str | float | bytes, ...]:
        """What is inserted, in the statement's order."""
        scope = (self.tenant, self.user, self.session)
        return (self.key, self.expires, len(self.value), self.checksum, *scope, self.tags, self.model, self.value)


@define(eq=False)
class CacheFile:
    """The open file.  Any thread may call any method; a process that was forked must open its own."""

    max_bytes: int
    readers: Readers = field(repr=False)
    _disk: SqliteFile
    _writer: sqlite3.Connection = field(repr=False)
    _writing: threading.Lock = field(init=False, repr=False, factory=threading.Lock)
    _counted: bool = field(init=False, default=False)

    @classmethod
    def open(cls, path: Path, max_bytes: int, longest: int, timeout: float) -> CacheFile:
        """Open *path*, made first if there is none; a damaged one is set aside and a new one begun.

        ``longest``: bytes of the largest value that is read.  ``timeout``: seconds to wait for other processes.
        Raises sqlite3.Error, OSError or :class:`~clippy_sqlite.StrangeFile`.
        """
        disk = SqliteFile(path, SCHEMA, "cache file", logger, longest, timeout)
        writer = disk.open()
        return cls(max_bytes, Readers(disk, _SELECT), disk, writer)

    def moved(self) -> bool:
        """Whether the file at the path is another one by now: it was deleted, set aside or replaced."""
        return self._disk.moved()

    def set_aside(self, error: BaseException) -> None:
        """Close the file and move it out of the way, if nobody else has done that."""
        self.close()
        self._disk.set_aside(error)

    def close(self) -> None:
        """Close all connections; the last one of all processes also folds the write-ahead log into the file."""
        self.readers.close()
        with self._writing:
            self._disk.close(self._writer)

    def write(self, rows: Sequence[Row], now: float) -> None:
        """Store *rows*, each of a key of its own; all or nothing.

        Some of what has expired by *now* is dropped, and the oldest beyond the size limit.
        """
        with self._writing, self._writer as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._disk.schema.claim(connection)
            columns = [row.columns() for row in rows]
            # An answer is stored because there was none of its key, so few are there: to look for each costs a seventh.
            if connection.executemany(_INSERT_NEW, columns).rowcount != len(rows):
                # Not INSERT OR REPLACE: that would delete without the trigger that counts.
                connection.executemany("DELETE FROM entries WHERE key = ?", [(row.key,) for row in rows])
                connection.executemany(_INSERT, columns)
            expired = "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires <= ? LIMIT ?)"
            connection.execute(expired, (now, _AT_ONCE))
            if not self._counted:
                # Once for each open file: a count that was damaged would switch the limit off, or everything out.
                connection.execute("DELETE FROM totals")
                connection.execute("INSERT INTO totals SELECT CAST(total(size) AS INTEGER) FROM entries")
            self._evict(connection)
        self._counted = True

    def _evict(self, connection: sqlite3.Connection) -> None:
        (total,) = connection.execute("SELECT CAST(bytes AS INTEGER) FROM totals").fetchone()
        while total > self.max_bytes:
            query = "SELECT id, coalesce(CAST(size AS INTEGER), 0) FROM entries ORDER BY id LIMIT ?"
            oldest = connection.execute(query, (_AT_ONCE,)).fetchall()
            if not oldest:
                return
            going = 0
            while going < len(oldest) and total > self.max_bytes:
                total -= oldest[going][1]
                going += 1
            connection.execute("DELETE FROM entries WHERE id <= ?", (oldest[going - 1][0],))

    def drop(self, key: str) -> None:
        """Delete one row."""
        with self._writing, self._writer as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM entries WHERE key = ?", (key,))

    def matching(self, parts: Mapping[str, str | None], limit: int) -> list[Row]:
        """At most *limit* rows that match all given *parts*, as they were written but for their times, latest first."""
        with self._writing:
            found = self._writer.execute(_LIST_MATCHING, {**parts, "limit": limit}).fetchall()
        return [
            Row(key, 0.0, 0.0, checksum, tenant, user, session, tags, model, value)
            for *texts, checksum, value in found
            for key, model, tags, tenant, user, session in [map(_text, texts)]
        ]

    def held(self) -> tuple[int, int]:
        """How many rows there are, and the bytes of their values."""
        with self._writing:
            found = self._writer.execute("SELECT count(*), CAST(total(size) AS INTEGER) FROM entries").fetchone()
        return int(found[0]), int(found[1])

    def delete(self, parts: Mapping[str, str | None]) -> None:
        """Delete what matches all given *parts*, which are those of _MATCHING, and overwrite it on the disk."""
        with self._writing:
            self._writer.execute("PRAGMA secure_delete = ON")
            try:
                with self._writer as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    self._disk.schema.claim(connection)
                    connection.execute(_DELETE_MATCHING, parts)
            finally:
                self._writer.execute("PRAGMA secure_delete = OFF")
            # The log still holds the deleted pages.  While others read it cannot be cut; it is reused soon enough.
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _text(value: object) -> str:
    """A column's text, which comes as bytes; one that is damaged fits no checksum."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
