"""Writing what is recorded, on a thread of its own: a call never waits for a disk."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from .exchange import Exchange
from .files import Appender
from .tape import Tape

logger = logging.getLogger("clippy.recorder")

MOST_WAITING = 1000
"""Calls that wait to be written; a disk that is slower than the calls loses the newest, and says so."""


class Keeper:
    """Develops tapes and appends them to a file.  A file that cannot be written is told once, and tried again."""

    def __init__(self, path: Path, developed: Callable[[Tape], Exchange]) -> None:
        self._developed, self._file = developed, Appender(path)
        self._waiting: queue.Queue[Tape | None] = queue.Queue(MOST_WAITING)
        self.lost = 0
        self._said = False
        self._thread = threading.Thread(target=self._write, name="clippy-recorder", daemon=True)
        self._thread.start()

    def keep(self, tape: Tape) -> None:
        """Have *tape* written soon."""
        try:
            self._waiting.put_nowait(tape)
        except queue.Full:
            self._lose("the disk is slower than the calls")

    def close(self) -> None:
        """Write what waits, within five seconds."""
        try:
            self._waiting.put(None, timeout=5.0)
        except queue.Full:
            return  # it hangs in the file system; the thread ends with the program
        self._thread.join(5.0)

    def _write(self) -> None:
        while (tape := self._waiting.get()) is not None:
            try:
                self._file.append(self._developed(tape))
            except OSError as error:
                self._lose(f"{self._file.path}: {error.strerror or error}")
            except Exception:
                logger.exception("call %s was not recorded", tape.id)
        self._file.close()

    def _lose(self, why: str) -> None:
        self.lost += 1
        if not self._said:
            self._said = True
            logger.warning("calls are not recorded, and go on: %s (said once)", why)
