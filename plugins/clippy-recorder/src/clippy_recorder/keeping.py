"""Writing what is recorded, on a thread of its own: a call never waits for a disk."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from .exchange import Exchange
from .files import Appender
from .tape import Tape

logger = logging.getLogger("clippy.recorder")

MOST_WAITING = 1000
"""Calls that wait to be written; a disk that is slower than the calls loses the newest, and says so."""
SOON = 0.1
"""Seconds that a call may wait for others, to be written with them: what a program that is killed loses at most,
beside what is being written."""
_AT_ONCE = 64
"""Calls that are written together; the lines of one batch are in memory at once."""


class Keeper:
    """Develops tapes and appends them to a file.  A file that cannot be written is told once, and tried again."""

    def __init__(self, path: Path, developed: Callable[[Tape], Exchange]) -> None:
        self._developed, self._file = developed, Appender(path)
        self._waiting: deque[Tape] = deque()
        self._some, self._ended = threading.Event(), threading.Event()
        self.lost = 0
        self._said = False
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
        if not self._said:
            self._said = True
            logger.warning("calls are not recorded, and go on: %s (said once)", why)
