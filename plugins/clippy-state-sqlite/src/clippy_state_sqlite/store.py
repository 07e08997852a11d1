"""The StateStore on a file: opened when it is needed, waited for when it is locked, replaced when it is damaged."""

from __future__ import annotations

import math
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from attrs import define, field
from clippy_hookspecs import Clock, Reservation
from clippy_sqlite import FAILURES, DamagedFile, StrangeFile, error_code, follow_forks, is_damage, reason_of

from .file import BUSY_SECONDS, LONGEST, StateFile
from .waiting import pause

T = TypeVar("T")

HOPELESS_SECONDS = 1.0
"""After a file could not be opened or waited for in vain: how long nobody tries or waits again."""
_PAUSE = (0.001, 0.01)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_TRIES = 3
"""With a file that another thread closes meanwhile, or that has to be replaced."""


class _Locked(Exception):
    """Somebody else has the file at this moment."""


class _System:
    """The machine's time, for use without a host."""

    now = staticmethod(time.monotonic)
    time = staticmethod(time.time)


@define(eq=False)
class SqliteStateStore:
    """Small state that the processes of one host share; each method is one transaction.

    Its methods are driven in place in every colour, and wait for another process only when the file is locked longer
    than a transaction takes.  Everything that cannot be done raises OSError with the name of the file, TimeoutError if
    the file was locked for ``patience`` seconds.
    """

    inline = True
    path: Path
    max_bytes: int
    patience: float
    clock: Clock = field(factory=_System)
    _file: StateFile | None = field(init=False, default=None)
    _lives: int = field(init=False, default=0)
    _failed: tuple[float, str] | None = field(init=False, default=None)
    _locked_until: float = field(init=False, default=-math.inf)
    _inherited: list[StateFile] = field(init=False, repr=False, factory=list)
    _lock: threading.RLock = field(init=False, repr=False, factory=threading.RLock)

    def __attrs_post_init__(self) -> None:
        follow_forks(self, SqliteStateStore._rest, SqliteStateStore._resume, SqliteStateStore._begin_anew)

    # --- the service --------------------------------------------------------------------------------------------------

    async def get(self, key: str) -> str | None:
        """The live value, or None; never makes a file."""
        name = _bytes("key", key)
        return await self._do(lambda file, now: file.get(name, now), reads=True)

    async def put(self, key: str, value: str, ttl: float) -> None:
        """Store *value* for *ttl* seconds."""
        name, content, ttl = _bytes("key", key), _bytes("value", value), _seconds(ttl)
        await self._do(lambda file, now: file.put(name, content, now + ttl, now))

    async def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        """Store *value* if the live value is *expected* (None: if there is none); whether it was."""
        name, content, ttl = _bytes("key", key), _bytes("value", value), _seconds(ttl)
        before = None if expected is None else _bytes("value", expected)
        return await self._do(lambda file, now: file.swap(name, before, content, now + ttl, now))

    async def add(self, key: str, amount: float, ttl: float) -> float:
        """Add to a counter, which starts at 0 and lives *ttl* seconds from its first addition; its new value."""
        name, amount, ttl = _bytes("key", key), _number(amount), _seconds(ttl)
        return await self._do(lambda file, now: file.add(name, amount, now + ttl, now))

    async def reserve(self, key: str, amount: float, limit: float, ttl: float) -> Reservation | None:
        """Hold *amount* of *key* if what is used and held stays within *limit*; None if it does not fit."""
        name, amount, ttl = _bytes("key", key), _number(amount), _seconds(ttl)
        identity = os.urandom(12).hex()

        def reserve(file: StateFile, now: float) -> Reservation | None:
            fits = file.reserve(name, identity.encode(), amount, limit, now + ttl, now)
            return Reservation(identity, key, amount, now + ttl) if fits else None

        return await self._do(reserve)

    async def settle(self, reservation: Reservation, actual: float, ttl: float) -> None:
        """Turn a reservation into *actual* use that counts for *ttl* seconds.  Twice is the same as once.

        One whose time is over counts as long as it has not been swept out: what was used was used.
        """
        key, name, actual, ttl = *_names(reservation), _number(actual), _seconds(ttl)
        await self._do(lambda file, now: file.settle(key, name, actual, now + ttl, now))

    async def refund(self, reservation: Reservation) -> None:
        """Give a reservation back unused.  Twice is the same as once."""
        key, name = _names(reservation)
        await self._do(lambda file, now: file.refund(key, name, now))

    async def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        """Take or renew one of *places* for *holder*; False when all are taken by others."""
        name, who, ttl = _bytes("key", key), _bytes("holder", holder), _seconds(ttl)
        return await self._do(lambda file, now: file.lease(name, who, places, now + ttl, now))

    async def release(self, key: str, holder: str) -> None:
        """Give the place back; nothing happens if *holder* has none."""
        name, who = _bytes("key", key), _bytes("holder", holder)
        await self._do(lambda file, now: file.release(name, who, now))

    # --- its file -----------------------------------------------------------------------------------------------------

    def start(self, clock: Clock) -> None:
        """A host opened, whose time counts from now on."""
        with self._lock:
            self.clock = clock
            self._lives += 1

    def stop(self) -> None:
        """A host closed; after the last one the file is closed, until somebody needs it again."""
        with self._lock:
            self._lives = max(0, self._lives - 1)
            if not self._lives:
                self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._file is not None:
                self._forget(self._file)

    async def _do(self, work: Callable[[StateFile, float], T], reads: bool = False) -> T:
        """What *work* gives with the file and the time, once nobody else has the file."""
        waited = 0.0
        while True:
            try:
                return self._try(work, reads)
            except _Locked as error:
                if waited >= self.patience or self.clock.now() < self._locked_until:
                    self._locked_until = self.clock.now() + HOPELESS_SECONDS
                    message = f"the state file {self.path} was locked by another process for {waited:.3g} seconds"
                    raise TimeoutError(message) from error.__cause__
            # Random, so that those who wait do not all come back at the same moment.
            seconds = random.uniform(*_PAUSE)  # noqa: S311
            await pause(seconds)
            waited += BUSY_SECONDS + seconds

    def _try(self, work: Callable[[StateFile, float], T], reads: bool) -> T:
        for _ in range(_TRIES):
            file = self._opened(reads)
            if file is None:
                return None  # type: ignore[return-value]  # only a get may find no file
            try:
                return work(file, self.clock.time())
            except (*FAILURES, DamagedFile) as error:
                if error_code(error) in _LOCKED:
                    raise _Locked from error
                if not self._is_gone(file, error) and not self._made_room(file, error):
                    self._refuse(error)
        raise OSError(f"the state file {self.path} was closed, replaced or full {_TRIES} times in a row")

    def _opened(self, reads: bool) -> StateFile | None:
        """The file, opened if it is not; None if there is none and nothing to write."""
        file = self._file
        if file is not None and not file.moved():
            return file
        with self._lock:
            if self._file is not None and self._file.moved():
                self._forget(self._file)
            if self._file is None:
                self._file = self._open(reads)
            return self._file

    def _open(self, reads: bool) -> StateFile | None:
        now = self.clock.now()
        if self._failed is not None and 0 <= now - self._failed[0] < HOPELESS_SECONDS:
            raise OSError(self._failed[1])
        try:
            if reads and not self.path.exists():
                return None
            file = StateFile.open(self.path, self.max_bytes)
        except (*FAILURES, OSError, StrangeFile) as error:
            if error_code(error) in _LOCKED:
                raise _Locked from error
            self._failed = (now, f"the state file {self.path} cannot be used: {reason_of(error)}")
            raise OSError(self._failed[1]) from error
        self._failed = None
        return file

    def _is_gone(self, file: StateFile, error: Exception) -> bool:
        """After a failure: whether the file is closed, was moved away, or is damaged and moved away now."""
        with self._lock:
            if self._file is not file:
                return True
            if file.moved():
                self._forget(file)
                return True
            if not is_damage(error):
                return False
            self._file = None
            try:
                file.set_aside(error)
            except (*FAILURES, OSError) as failure:
                if error_code(failure) in _LOCKED:
                    raise _Locked from failure
                self._refuse(failure)
            return True

    def _made_room(self, file: StateFile, error: Exception) -> bool:
        """After a failure: whether the file was full and is not any more, because much of it had ended."""
        if error_code(error) != sqlite3.SQLITE_FULL:
            return False
        try:
            return file.sweep(self.clock.time())
        except FAILURES as failure:
            self._refuse(failure)

    def _refuse(self, error: Exception) -> NoReturn:
        raise OSError(f"the state file {self.path}: {reason_of(error)}") from error

    def _forget(self, file: StateFile) -> None:
        self._file = None
        file.close()

    # --- forks --------------------------------------------------------------------------------------------------------

    def _rest(self) -> None:
        self._lock.acquire()
        if (file := self._file) is not None:
            # Waits for a running read or write; a thread that comes later finds the file closed and opens it again.
            self._forget(file)
            file.wait_for_readers(self.patience)

    def _resume(self) -> None:
        self._lock.release()

    def _begin_anew(self) -> None:
        if self._file is not None:
            self._inherited.append(self._file)
        self._file, self._lives, self._lock = None, 0, threading.RLock()


def _bytes(what: str, text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    if len(content) > LONGEST:
        raise ValueError(f"a {what} of {len(content)} bytes; the state file takes at most {LONGEST}")
    return content


def _names(reservation: Reservation) -> tuple[bytes, bytes]:
    return _bytes("key", reservation.key), _bytes("reservation's id", reservation.id)


def _seconds(ttl: float) -> float:
    if not ttl > 0:
        raise ValueError(f"ttl is {ttl}; everything in a StateStore expires, so give seconds above 0")
    return float(ttl)


def _number(amount: float) -> float:
    if not math.isfinite(amount):
        raise ValueError(f"an amount is {amount}; give a finite number")
    return float(amount)
