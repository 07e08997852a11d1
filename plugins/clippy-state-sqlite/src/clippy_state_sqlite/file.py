"""One open state file: what the store does as single statements, each of them a transaction of its own.

A statement runs from lock to commit without Python in between, so that no other thread can take the interpreter while
the file is locked for everybody.  Everything here raises, and :mod:`clippy_state_sqlite.store` decides what that means.
Times are unix seconds.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path
from typing import Any

from attrs import define, field
from clippy_sqlite import DamagedFile, Readers, SqliteFile

from .schema import SCHEMA

logger = logging.getLogger("clippy.state-sqlite")

LONGEST = 1024 * 1024
"""Bytes of a value, a key or a name."""
BUSY_SECONDS = 0.005
"""How long SQLite itself waits for a lock, which stops an event loop: a transaction takes a hundredth of that."""
SWEEP_EVERY = 64
"""Writes, of which each leaves at most one row that has ended, between two sweeps."""
_SWEPT_AT_ONCE = 256
_LOG_PAGES = 4000
"""Four times SQLite's own: whoever fills the log waits for the disk, which is rarer so and hardly takes longer."""

_GET = "SELECT value FROM kept WHERE key = ? AND ends > ?"
_PUT = "INSERT OR REPLACE INTO kept (key, value, ends) VALUES (?, ?, ?)"
_SWAP = "UPDATE kept SET value = ?, ends = ? WHERE key = ? AND value = ? AND ends > ?"
_SWAP_NOTHING = (
    "INSERT INTO kept (key, value, ends) VALUES (?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value, ends = excluded.ends WHERE kept.ends <= ?"
)
_ADD = (
    "INSERT INTO counters (key, total, ends) VALUES (:key, :amount, :until) ON CONFLICT (key) DO UPDATE SET"
    " total = CASE WHEN ends > :now THEN total + :amount ELSE :amount END,"
    " ends = CASE WHEN ends > :now THEN ends ELSE :until END"
)
_ADDED = "SELECT total FROM counters WHERE key = ?"
_RESERVE = (
    "INSERT INTO uses (key, id, amount, ends, held) SELECT :key, :id, :amount, :until, 1"
    " WHERE (SELECT total(amount) FROM uses WHERE key = :key AND ends > :now) + :amount <= :limit"
)
_SETTLE = "UPDATE uses SET amount = ?, ends = ?, held = 0 WHERE key = ? AND id = ? AND held = 1"
_REFUND = "DELETE FROM uses WHERE key = ? AND id = ? AND held = 1"
_LEASE = (
    "INSERT INTO leases (key, holder, ends) SELECT :key, :holder, :until"
    " WHERE EXISTS (SELECT 1 FROM leases WHERE key = :key AND holder = :holder AND ends > :now)"
    " OR (SELECT count(*) FROM leases WHERE key = :key AND ends > :now) < :places"
    " ON CONFLICT (key, holder) DO UPDATE SET ends = excluded.ends"
)
_RELEASE = "DELETE FROM leases WHERE key = ? AND holder = ?"
_SWEEPS = (
    "DELETE FROM kept WHERE key IN (SELECT key FROM kept WHERE ends <= ? LIMIT ?)",
    "DELETE FROM counters WHERE key IN (SELECT key FROM counters WHERE ends <= ? LIMIT ?)",
    "DELETE FROM uses WHERE (key, id) IN (SELECT key, id FROM uses WHERE ends <= ? LIMIT ?)",
    "DELETE FROM leases WHERE (key, holder) IN (SELECT key, holder FROM leases WHERE ends <= ? LIMIT ?)",
)


@define(eq=False)
class StateFile:
    """The open file.  Any thread may call any method; a process that was forked must open its own."""

    _disk: SqliteFile
    _readers: Readers = field(repr=False)
    _writer: sqlite3.Cursor = field(repr=False)
    _writing: threading.Lock = field(init=False, repr=False, factory=threading.Lock)
    _writes: int = field(init=False, default=0)

    @classmethod
    def open(cls, path: Path, max_bytes: int) -> StateFile:
        """Open *path*, made first if there is none, with at most *max_bytes*; a damaged one is replaced.

        Raises sqlite3.Error, OSError or :class:`~clippy_sqlite.StrangeFile`.
        """
        disk = SqliteFile(path, SCHEMA, "state file", logger, 3 * LONGEST, BUSY_SECONDS)
        connection = disk.open()
        try:
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count = {max_bytes // page}").fetchone()
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchone()
        except BaseException:
            connection.close()
            raise
        return cls(disk, Readers(disk, _GET), connection.cursor())

    def moved(self) -> bool:
        """Whether the file at the path is another one by now."""
        return self._disk.moved()

    def set_aside(self, error: BaseException) -> None:
        """Close the file and move it out of the way, if nobody else has done that."""
        self.close()
        self._disk.set_aside(error)

    def close(self) -> None:
        """Wait for a write that is under way and close all connections."""
        self._readers.close()
        with self._writing:
            self._disk.close(self._writer.connection)

    def wait_for_readers(self, seconds: float) -> None:
        """After :meth:`close`: wait until no thread is reading any more, at most so long."""
        self._readers.wait(seconds)

    # --- values -------------------------------------------------------------------------------------------------------

    def get(self, key: bytes, now: float) -> str | None:
        """The live value."""
        found = self._readers.read(key, now)
        if found is None:
            return None
        value = found[0]
        if type(value) is not bytes:
            raise DamagedFile("a value is not what was written")
        return value.decode("utf-8", "surrogatepass")

    def put(self, key: bytes, value: bytes, until: float, now: float) -> None:
        """Store a value."""
        self._write(now, _PUT, (key, value, until))

    def swap(self, key: bytes, expected: bytes | None, value: bytes, until: float, now: float) -> bool:
        """Store a value if the live one is *expected*."""
        if expected is None:
            return self._write(now, _SWAP_NOTHING, (key, value, until, now))
        return self._write(now, _SWAP, (value, until, key, expected, now))

    # --- counters -----------------------------------------------------------------------------------------------------

    def add(self, key: bytes, amount: float, until: float, now: float) -> float:
        """Add to a counter; its new value."""
        with self._writing:
            self._sweep_in_turn(now)
            writer = self._writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                writer.execute(_ADD, {"key": key, "amount": amount, "until": until, "now": now})
                (total,) = writer.execute(_ADDED, (key,)).fetchone()
                writer.execute("COMMIT")
            finally:
                if writer.connection.in_transaction:
                    writer.execute("ROLLBACK")
        return float(total)

    # --- reservations -------------------------------------------------------------------------------------------------

    def reserve(self, key: bytes, name: bytes, amount: float, limit: float, until: float, now: float) -> bool:
        """Hold *amount* if it fits."""
        values = {"key": key, "id": name, "amount": amount, "limit": limit, "until": until, "now": now}
        return self._write(now, _RESERVE, values)

    def settle(self, key: bytes, name: bytes, actual: float, until: float, now: float) -> None:
        """Turn what is held into use."""
        self._write(now, _SETTLE, (actual, until, key, name))

    def refund(self, key: bytes, name: bytes, now: float) -> None:
        """Forget what is held."""
        self._write(now, _REFUND, (key, name))

    # --- leases -------------------------------------------------------------------------------------------------------

    def lease(self, key: bytes, holder: bytes, places: int, until: float, now: float) -> bool:
        """Take or renew a place."""
        values = {"key": key, "holder": holder, "places": places, "until": until, "now": now}
        return self._write(now, _LEASE, values)

    def release(self, key: bytes, holder: bytes, now: float) -> None:
        """Give a place back."""
        self._write(now, _RELEASE, (key, holder))

    # --- how it is written --------------------------------------------------------------------------------------------

    def _write(self, now: float, statement: str, values: Any) -> bool:
        """Whether *statement* changed something."""
        with self._writing:
            self._sweep_in_turn(now)
            return self._writer.execute(statement, values).rowcount > 0

    def sweep(self, now: float) -> bool:
        """Delete all that has ended by *now*; whether there was anything."""
        with self._writing:
            before = self._writer.connection.total_changes
            while self._sweep(now):
                pass
            return self._writer.connection.total_changes > before

    def _sweep_in_turn(self, now: float) -> None:
        """In the first write, for processes that do not live long, and then now and then."""
        if self._writes % SWEEP_EVERY == 0:
            self._sweep(now)
        self._writes += 1

    def _sweep(self, now: float) -> bool:
        """Delete some of what has ended by *now*; whether there may be more."""
        return sum(self._writer.execute(sweep, (now, _SWEPT_AT_ONCE)).rowcount for sweep in _SWEEPS) > 0
