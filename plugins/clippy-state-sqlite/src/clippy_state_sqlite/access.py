"""The state file as one process uses it: opened when needed, replaced when damaged, closed during a fork."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn, TypeVar

from attrs import define, field
from clippy_hookspecs import Clock
from clippy_sqlite import FAILURES, DamagedFile, StrangeFile, error_code, follow_forks, is_damage, reason_of

from .file import StateFile

T = TypeVar("T")

HOPELESS_SECONDS = 1.0
"""After a file could not be opened or waited for in vain: how long nobody tries or waits again."""
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
LOOK_SECONDS = 1.0
"""How long lookups go on without looking whether somebody has taken the file away, which takes as long as they do."""
_READ_SECONDS = 1.0
"""How long a fork waits for lookups that are under way: far longer than one takes."""
_TRIES = 3
"""With a file that another thread closes meanwhile, or that has to be replaced; in the last one nobody can close it."""


class Locked(Exception):
    """Somebody else has the file at this moment."""


class _System:
    """The machine's time, for use without a host."""

    now = staticmethod(time.monotonic)
    time = staticmethod(time.time)


@define(eq=False)
class Access:
    """Access to the file at ``path``, which has at most ``max_bytes``, for all threads and event loops of a process."""

    path: Path
    max_bytes: int
    clock: Clock = field(factory=_System)
    _hopeless_until: float = field(init=False, default=-math.inf)
    _file: StateFile | None = field(init=False, default=None)
    _looked_at: float = field(init=False, default=-math.inf)
    _lives: int = field(init=False, default=0)
    _failed: tuple[float, str] | None = field(init=False, default=None)
    _inherited: list[StateFile] = field(init=False, repr=False, factory=list)
    _lock: threading.RLock = field(init=False, repr=False, factory=threading.RLock)

    def __attrs_post_init__(self) -> None:
        follow_forks(self, Access._rest, Access._resume, Access._begin_anew)

    @property
    def hopeless(self) -> bool:
        """Whether somebody waited in vain just now."""
        return self.clock.now() < self._hopeless_until

    def gave_up(self) -> None:
        """Somebody waited in vain."""
        self._hopeless_until = self.clock.now() + HOPELESS_SECONDS

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

    def attempt(self, work: Callable[[StateFile, float], T], reads: bool = False) -> T:
        """What *work* gives with the file and the time; of one that only *reads* None if there is no file.

        Raises :class:`Locked` at once if somebody else has the file, OSError with its name for all else.
        """
        for number in range(1, _TRIES + 1):
            # Forks and closing hosts can take the file from one thread again and again; they wait for the lock.
            with self._lock if number == _TRIES else nullcontext():
                now, file = self.clock.time(), self._file
                if file is None or not (reads and 0 <= now - self._looked_at < LOOK_SECONDS):
                    self._looked_at = now
                    file = self._opened(reads)
                if file is None:
                    return None  # type: ignore[return-value]  # only a get may find no file
                try:
                    return work(file, now)
                except (*FAILURES, DamagedFile) as error:
                    if error_code(error) in _LOCKED:
                        raise Locked from error
                    if not self._is_gone(file, error) and not self._made_room(file, error):
                        self._refuse(error)
        raise OSError(f"the state file {self.path} was moved away, damaged or full {_TRIES} times in a row")

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
                raise Locked from error
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
            except (*FAILURES, OSError, StrangeFile) as failure:
                if error_code(failure) in _LOCKED:
                    raise Locked from failure
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
            file.wait_for_readers(_READ_SECONDS)

    def _resume(self) -> None:
        self._lock.release()

    def _begin_anew(self) -> None:
        if self._file is not None:
            self._inherited.append(self._file)
        self._file, self._lives, self._lock = None, 0, threading.RLock()
