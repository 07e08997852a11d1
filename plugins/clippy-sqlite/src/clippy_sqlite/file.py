"""A SQLite file of many processes: made, checked, opened, and moved out of the way when it is broken.

Everything here raises; who uses it decides what a failure means.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from attrs import define, field

from .failures import FAILURES, error_code, is_damage, reason_of
from .schema import DamagedFile, Schema, StrangeFile

_SUFFIXES = ("-wal", "-shm", "")
_MAGIC = b"SQLite format 3\0"
_APPLICATION = slice(68, 72)
"""Where the header of a file says whose it is (https://sqlite.org/fileformat.html)."""
_PRAGMAS = ("synchronous = NORMAL", "trusted_schema = OFF", "cell_size_check = ON", "journal_size_limit = 4000000")


def _absolute(path: Path) -> Path:
    return path.absolute()


@define(eq=False)
class SqliteFile:
    """The file at ``path``, in WAL mode, for its owner's eyes only (0600).

    ``what`` is its name in messages ("cache file"), ``log`` is told when a damaged one is replaced.  ``longest``: bytes
    of the largest value that is read.  ``timeout``: seconds to wait for other processes.
    """

    path: Path = field(converter=_absolute)  # for the connections that are opened later
    schema: Schema = field(repr=False)
    what: str
    log: logging.Logger = field(repr=False)
    longest: int
    timeout: float
    _identity: tuple[int, int] | None = field(init=False, default=None)
    _log: tuple[int, int] | None = field(init=False, default=None)

    def open(self) -> sqlite3.Connection:
        """A connection to the file, made first if there is none; a damaged one is set aside and a new one begun.

        Raises sqlite3.Error, OSError or :class:`~clippy_sqlite.StrangeFile`, the last of these before anything is
        touched: a wrong path must cost nothing of what lies there.
        """
        self._judge()
        with self._alone():
            try:
                connection = self._ready()
            except (*FAILURES, DamagedFile) as error:
                if not is_damage(error):
                    raise
                self._set_aside(error)
                connection = self._ready()
            try:
                self._identity = self._found()
                with suppress(FileNotFoundError):
                    self._log = self._found("-wal")
            except BaseException:
                connection.close()
                raise
        return connection

    def trial(self) -> str | None:
        """Why :meth:`open` would raise, by looking only, None if nothing says so; nothing is made or changed."""
        try:
            self._judge()
        except StrangeFile as error:
            return str(error)
        found = next(one for one in (self.path, *self.path.parents) if one.exists())
        needed = os.W_OK | (os.X_OK if found.is_dir() else 0)
        if found != self.path and not found.is_dir():
            return f"{found} is no folder"
        return None if os.access(found, needed) else f"{found} may not be written by this user"

    def connect(self, timeout: float | None = None) -> sqlite3.Connection:
        """A connection for any thread to the file, which must exist; *timeout* in place of the file's own."""
        # mode=rw: never make a file here, it would have the wrong permissions.
        return self._connected("mode=rw", self.timeout if timeout is None else timeout)

    def _connected(self, how: str, patience: float) -> sqlite3.Connection:
        uri = f"{self.path.as_uri()}?{how}"
        connection = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None, check_same_thread=False)
        try:
            # Damaged text must come back as bytes that fail the checksum, damaged lengths must not be allocated.
            connection.text_factory = bytes
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self.longest)
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self, connection: sqlite3.Connection) -> None:
        """Close what :meth:`open` gave, after all other connections to the file.

        Where another file lies at the path by now, the log beside it is still that of the file that was opened.  SQLite
        would take it for the other's, and write old pages into a backup that somebody restored: so it goes first.
        """
        try:
            if self._log is not None and self.moved():
                with self._alone(), suppress(FileNotFoundError):
                    # While our connection is open no other log can have its number; another process may have been here.
                    if self._found("-wal") == self._log:
                        for suffix in ("-wal", "-shm"):
                            self._beside(suffix).unlink(missing_ok=True)
        except (*FAILURES, OSError) as error:
            message = "the log of an earlier %s is still beside %s and could not be removed: %s"
            self.log.warning(message, self.what, self.path, reason_of(error))
        finally:
            connection.close()

    def moved(self) -> bool:
        """Whether the file at the path is not the one that was opened: it was deleted, set aside or replaced."""
        try:
            return self._found() != self._identity
        except OSError:
            return True

    def set_aside(self, error: BaseException) -> None:
        """Move the file that was opened out of the way, if nobody else has done that; its connections are closed.

        Raises :class:`~clippy_sqlite.StrangeFile`, and leaves it, if it is not damaged but a newer version's by now.
        """
        with self._alone():
            if not self.moved():
                with suppress(*FAILURES, DamagedFile), closing(self.connect()) as connection:
                    self.schema.version_of(connection)
                self._set_aside(error)

    def _judge(self) -> None:
        """Raise StrangeFile for what is surely not ours, by looking only; all else shows when the file is opened.

        SQLite itself reads it: a file that this process had open another way would lose its locks when that is closed.
        ``immutable`` takes no lock and makes no file beside it, but does not read the log, in which all may still be.
        """
        try:
            found = self.path.stat()
        except OSError:
            return
        if stat.S_ISDIR(found.st_mode):
            raise StrangeFile("is a folder; name a file in it")
        if not stat.S_ISREG(found.st_mode):
            raise StrangeFile("is no regular file; name another one")
        try:
            with closing(self._connected("immutable=1", self.timeout)) as connection:
                empty = not self.schema.version_of(connection)
            if empty and Path(f"{os.path.realpath(self.path)}-wal").exists():
                with closing(self.connect()) as connection:
                    self.schema.version_of(connection)
        except (*FAILURES, DamagedFile) as error:
            if error_code(error) == sqlite3.SQLITE_NOTADB:
                self._refuse_foreign()

    def _refuse_foreign(self) -> None:
        """Raise StrangeFile unless the file begins as SQLite's do, as far as it was written: the rest may be zeros.

        To read it so may free locks on it (see _create), which are worth nothing on a damaged file.
        """
        if not _MAGIC.startswith(_head(self.path)[: len(_MAGIC)].rstrip(b"\0")):
            raise StrangeFile("is no SQLite file, so it is left as it is; name another one")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time create, check or set aside; a lock of SQLite's, freed even by ``kill -9``."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._beside(".lock")
        _create(lock)
        opened = sqlite3.connect(lock, timeout=self.timeout, isolation_level=None, check_same_thread=False)
        with closing(opened) as guard:
            guard.execute("BEGIN EXCLUSIVE")
            yield

    def _ready(self) -> sqlite3.Connection:
        """A connection to a file that is checked, in WAL mode and of the present version."""
        if not self.path.exists():
            for suffix in ("-wal", "-shm"):
                # A log without its file would be replayed into the new one.
                self._beside(suffix).unlink(missing_ok=True)
        if not _create(self.path) and os.name == "posix":
            found = self.path.stat()
            if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
                self.path.chmod(0o600)
        connection = self.connect()
        try:
            version = self.schema.version_of(connection)
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if version < self.schema.version:
                self.schema.migrate(connection, version)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self, error: BaseException) -> None:
        """Rename the file and its log to ``.damaged``, over an earlier one of ours: of those one is kept.

        Raises :class:`~clippy_sqlite.StrangeFile`, and leaves it, if it cannot be ours.
        """
        self._refuse_foreign()
        aside, number = self._beside(".damaged"), 1
        # What is not surely ours may be the only copy of what somebody had at a wrong path.
        while aside.exists() and _head(aside)[_APPLICATION] != self.schema.application.to_bytes(4, "big"):
            number += 1
            aside = self._beside(f".damaged-{number}")
        for suffix in _SUFFIXES:
            source, target = self._beside(suffix), aside.with_name(aside.name + suffix)
            target.unlink(missing_ok=True)
            if source.exists():
                source.replace(target)
        message = "the %s %s is damaged (%s); it is now %s, and a new one is begun"
        self.log.warning(message, self.what, self.path, reason_of(error), aside.name)

    def _found(self, suffix: str = "") -> tuple[int, int]:
        """What tells the file at the path, or the one beside it, from any other."""
        found = self._beside(suffix).stat()
        return found.st_dev, found.st_ino

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)


def _head(path: Path) -> bytes:
    """The first bytes of a file, those of SQLite's header."""
    with path.open("rb") as file:
        return file.read(100)


def _create(path: Path) -> bool:
    """Make an empty file that only we can read; False if there is one.

    O_EXCL matters: opening and closing a file that exists would free the locks that this process holds on it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True
