"""One open cache file: connections to read with, one to write with, and what keeps the file whole.

Everything here raises; :mod:`clippy_cache_sqlite.store` decides what a failure means.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import define, field

from .readers import Readers, connect
from .schema import VERSION, DamagedFile, migrate, version_of

logger = logging.getLogger("clippy.cache-sqlite")

FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's functions raise: the second when the message quotes damaged text that is not UTF-8."""
_SUFFIXES = ("-wal", "-shm", "")
_AT_ONCE = 256

_INSERT = (
    "INSERT INTO entries (key, expires, size, checksum, tenant, user, session, tags, value)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_DELETE_MATCHING = (
    "DELETE FROM entries WHERE (:key IS NULL OR key = :key) AND (:tag IS NULL OR instr(tags, :tag) > 0)"
    " AND (:tenant IS NULL OR tenant = :tenant) AND (:user IS NULL OR user = :user)"
    " AND (:session IS NULL OR session = :session)"
)


def error_code(error: BaseException) -> int:
    """SQLite's primary result code, 0 if the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_damage(error: BaseException) -> bool:
    """Whether *error* says that the file's content is broken, and not that it cannot be reached.

    SQLITE_ERROR is among them: our statements are right, so a file that they do not fit is not what we wrote.
    """
    found_by_sqlite = error_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    return found_by_sqlite or isinstance(error, (DamagedFile, UnicodeDecodeError))


def reason_of(error: BaseException) -> str:
    """What to log: for damage not SQLite's message, which quotes the damaged place; that may be somebody's prompt."""
    if isinstance(error, DamagedFile) or not is_damage(error):
        return str(error)
    return "not a database" if error_code(error) == sqlite3.SQLITE_NOTADB else "malformed"


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
    value: bytes

    def columns(self) -> tuple[str | float | bytes, ...]:
        """What is inserted, in the statement's order."""
        scope = (self.tenant, self.user, self.session)
        return (self.key, self.expires, len(self.value), self.checksum, *scope, self.tags, self.value)


@define(eq=False)
class CacheFile:
    """The open file.  Any thread may call any method; a process that was forked must open its own."""

    path: Path
    max_bytes: int
    identity: tuple[int, int]
    readers: Readers = field(repr=False)
    _writer: sqlite3.Connection = field(repr=False)
    _writing: threading.Lock = field(init=False, repr=False, factory=threading.Lock)
    _counted: bool = field(init=False, default=False)

    @classmethod
    def open(cls, path: Path, max_bytes: int, longest: int, timeout: float) -> CacheFile:
        """Open *path*, made first if there is none; a damaged one is set aside and a new one begun.

        ``longest``: bytes of the largest value that is read.  ``timeout``: seconds to wait for other processes.
        Raises sqlite3.Error, OSError or :class:`~clippy_cache_sqlite.schema.StrangeFile`.
        """
        path = path.absolute()  # for the connections that are opened later
        with _alone(path, timeout):
            try:
                writer = _ready(path, longest, timeout)
            except (*FAILURES, DamagedFile) as error:
                if not is_damage(error):
                    raise
                _set_aside(path, error)
                writer = _ready(path, longest, timeout)
        try:
            return cls(path, max_bytes, _identity(path), Readers(path, longest, timeout), writer)
        except BaseException:
            writer.close()
            raise

    def moved(self) -> bool:
        """Whether the file at the path is another one by now: somebody deleted it or set it aside."""
        try:
            return _identity(self.path) != self.identity
        except OSError:
            return True

    def set_aside(self, timeout: float, error: BaseException) -> None:
        """Close the file and move it out of the way, if nobody else has done that."""
        self.close()
        with _alone(self.path, timeout):
            if not self.moved():
                _set_aside(self.path, error)

    def close(self) -> None:
        """Close all connections; the last one of all processes also folds the write-ahead log into the file."""
        self.readers.close()
        with self._writing:
            self._writer.close()

    def write(self, rows: Sequence[Row], now: float) -> None:
        """Store *rows*, each of a key of its own; all or nothing.

        Some of what has expired by *now* is dropped, and the oldest beyond the size limit.
        """
        with self._writing, self._writer as connection:
            connection.execute("BEGIN IMMEDIATE")
            # Not INSERT OR REPLACE: that would delete without the trigger that counts.
            connection.executemany("DELETE FROM entries WHERE key = ?", [(row.key,) for row in rows])
            connection.executemany(_INSERT, [row.columns() for row in rows])
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

    def delete(self, parts: Mapping[str, str | None]) -> None:
        """Delete what matches all given parts (key, tag, tenant, user, session) and overwrite it on the disk."""
        with self._writing:
            self._writer.execute("PRAGMA secure_delete = ON")
            try:
                with self._writer as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(_DELETE_MATCHING, parts)
            finally:
                self._writer.execute("PRAGMA secure_delete = OFF")
            # The log still holds the deleted pages.  While others read it cannot be cut; it is reused soon enough.
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


@contextmanager
def _alone(path: Path, timeout: float) -> Iterator[None]:
    """Let one process at a time create, check or set aside the file; a lock of SQLite's, freed even by ``kill -9``."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock")
    _create(lock)
    with closing(sqlite3.connect(lock, timeout=timeout, isolation_level=None, check_same_thread=False)) as guard:
        guard.execute("BEGIN EXCLUSIVE")
        yield


def _create(path: Path) -> bool:
    """Make an empty file that only we can read; False if there is one.

    O_EXCL matters: opening and closing a file that exists would free the locks that this process holds on it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def _ready(path: Path, longest: int, timeout: float) -> sqlite3.Connection:
    """The writing connection to a file that is checked, in WAL mode and of the present version."""
    if not path.exists():
        for suffix in ("-wal", "-shm"):
            # A log without its file would be replayed into the new one.
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    if not _create(path) and os.name == "posix":
        found = path.stat()
        if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o600)
    connection = connect(path, longest, timeout)
    try:
        version = version_of(connection)
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if version < VERSION:
            migrate(connection, version)
    except BaseException:
        connection.close()
        raise
    return connection


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _set_aside(path: Path, error: BaseException) -> None:
    """Rename the file and its log to ``.damaged``, over an earlier one: at most one is kept."""
    aside = path.with_name(path.name + ".damaged")
    for suffix in _SUFFIXES:
        source, target = path.with_name(path.name + suffix), aside.with_name(aside.name + suffix)
        target.unlink(missing_ok=True)
        if source.exists():
            source.replace(target)
    message = "the cache file %s is damaged (%s); it is now %s, and a new one is begun"
    logger.warning(message, path, reason_of(error), aside.name)
