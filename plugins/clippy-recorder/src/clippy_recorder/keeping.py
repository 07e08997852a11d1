"""Writing what is recorded, on a thread of its own: a call never waits for a disk."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from clippy_hookspecs import StatusTable

from .exchange import Exchange
from .files import Appender
from .tape import Tape

logger = logging.getLogger("clippy.recorder")

MOST_WAITING = 1000
"""Calls that wait to be written; a disk that is slower than the calls loses the newest, and says so."""
SOON = 0.1
"""Seconds that a call may wait for others, to be written with them: what a program that is killed loses at most,
beside what is being written."""
NOT_WRITTEN = ("file", "why", "for, s", "calls lost")
_AT_ONCE = 64
"""Calls that are written together; the lines of one batch are in memory at once."""


class Keeper:
    """Develops tapes and appends them to a file, of *max_bytes* with *keep* older ones (see Appender).

    That it cannot be written is told once, and tried again; that it can be again is told with how many were lost.
    """

    def __init__(
        self, path: Path, developed: Callable[[Tape], Exchange], max_bytes: int | None = None, keep: int = 5
    ) -> None:
        self._developed, self._file = developed, Appender(path, max_bytes, keep)
        self._waiting: deque[Tape] = deque()
        self._some, self._ended = threading.Event(), threading.Event()
        self.lost = 0
        self._trouble: tuple[str, float] | None = None
        self._lost_before = 0
        self._thread = threading.Thread(target=self._run, name="clippy-recorder", daemon=True)
        self._thread.start()

    def keep(self, tape: Tape) -> None:
        """Have *tape* written soon."""
        if len(self._waiting) >= MOST_WAITING:
            self._lose("the disk is slower than the calls")
            return
        self._waiting.append(tape)
        if not self._some.is_set():
            self._some.set()

    def close(self) -> None:
        """Write what waits, within five seconds; a file system that hangs longer keeps the thread until the end."""
        self._ended.set()
        self._some.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._some.wait()
            self._ended.wait(SOON)  # for more of them: waking up for each call would take it out of the program's hands
            self._some.clear()
            self._write()
        self._write()
        self._file.close()

    def _write(self) -> None:
        while batch := self._next():
            try:
                self._file.append(*batch)
            except OSError as error:
                self._lose(f"{self._file.path}: {error.strerror or error}", len(batch))
            except Exception:
                self.lost += len(batch)
                logger.exception("%d calls were not recorded", len(batch))
            else:
                if self._trouble is not None and not self._waiting:  # a slow disk would be told of with each batch
                    self._recover()

    def _next(self) -> list[Exchange]:
        """Some of the calls that wait, made clean; one that cannot be is told and left out."""
        batch: list[Exchange] = []
        while self._waiting and len(batch) < _AT_ONCE:
            tape = self._waiting.popleft()
            try:
                batch.append(self._developed(tape))
            except Exception:
                self.lost += 1
                logger.exception("call %s was not recorded", tape.id)
        return batch

    def _lose(self, why: str, count: int = 1) -> None:
        self.lost += count
        if self._trouble is None:
            self._trouble, self._lost_before = (why, time.monotonic()), self.lost - count
            logger.warning("calls are not recorded, and go on: %s (said once, until it works again)", why)

    def _recover(self) -> None:
        self._trouble = None
        lost = self.lost - self._lost_before
        logger.warning("calls are recorded again in %s; %d were lost", self._file.path, lost)

    def status(self) -> StatusTable | None:
        """That calls are, or were, not written; None if all have been."""
        trouble = self._trouble
        if trouble is None and not self.lost:
            return None
        state, since = ("written again", None) if trouble is None else (trouble[0], int(time.monotonic() - trouble[1]))
        return StatusTable("not written", NOT_WRITTEN, ((str(self._file.path), state, since, self.lost),))
