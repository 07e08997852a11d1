"""Writes the counts of this process to the file, behind the requests, and never fails one of them."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from attrs import define, field
from clippy_sqlite import FAILURES, StrangeFile, reason_of

from .ledger_file import MOST_STORED, SECONDS_A_DAY, StoredKey, logger, opened, write

GATHER_SECONDS = 1.0
"""How long what was counted waits for more: a commit costs a thousand times what a count does."""
_CLOSE_SECONDS = 10.0
_END_OF_TIME = 1e11


@define(eq=False)
class Ledger:
    """Adds what ``counts`` says is new to the file at ``path``, in batches, while a host is open.

    The file is opened for each batch and closed again: a program that counts for a second holds nothing for hours.
    """

    path: Path
    counts: Callable[[], dict[str, float]]
    gather: float = GATHER_SECONDS
    _stored: deque[StoredKey] = field(init=False, repr=False, factory=lambda: deque(maxlen=MOST_STORED))
    _written: dict[str, float] = field(init=False, repr=False, factory=dict)
    _lives: int = field(init=False, default=0)
    _day: int = field(init=False, default=0)
    _told: bool = field(init=False, default=False)
    _due: threading.Event = field(init=False, repr=False, factory=threading.Event)
    _closing: threading.Event = field(init=False, repr=False, factory=threading.Event)
    _writing: threading.Lock = field(init=False, repr=False, factory=threading.Lock)
    _thread: threading.Thread | None = field(init=False, repr=False, default=None)

    def store(self, key: StoredKey) -> None:
        """Note what was stored; of too many the oldest are forgotten."""
        self._stored.append(key)

    def changed(self, now: float) -> None:
        """Something was counted at *now*, unix seconds."""
        if not self._due.is_set():
            self._day = int(now // SECONDS_A_DAY) if 0 <= now < _END_OF_TIME else 0
            self._due.set()

    def start(self) -> None:
        """A host opened: write from now on."""
        with self._writing:
            self._lives += 1
            if self._thread is None:
                self._closing = threading.Event()
                # A daemon: a host that nobody closes must not keep the process alive for the sake of its counts.
                self._thread = threading.Thread(target=self._run, args=(self._closing,), daemon=True)
                self._thread.name = "clippy-cache"
                self._thread.start()

    def stop(self) -> None:
        """A host closed; after the last one everything is written."""
        with self._writing:
            self._lives = max(0, self._lives - 1)
            if self._lives or self._thread is None:
                return
            thread, self._thread = self._thread, None
            self._closing.set()
            self._due.set()
        thread.join(_CLOSE_SECONDS)

    def rest(self) -> None:
        """Keep every thread out of the file until :meth:`resume`: the process is about to be forked."""
        self._writing.acquire()

    def resume(self) -> None:
        """The process was forked."""
        self._writing.release()

    def flush(self) -> None:
        """Write what is not written yet."""
        with self._writing:
            self._due.clear()
            counts, stored = self.counts(), tuple(self._stored)
            new = {name: value - self._written.get(name, 0) for name, value in counts.items()}
            new = {name: value for name, value in new.items() if value}
            if not new and not stored:
                return
            try:
                with opened(self.path) as connection:
                    write(connection, self._day, new, stored)
            except (*FAILURES, OSError, StrangeFile) as error:
                self._tell(error)
                return
            self._written = counts
            for _ in stored:
                self._stored.popleft()

    def _run(self, closing_down: threading.Event) -> None:
        while not closing_down.is_set():
            self._due.wait()
            closing_down.wait(self.gather)
            self.flush()

    def _tell(self, error: BaseException) -> None:
        if not self._told:
            self._told = True
            what = "cache statistics are counted in this process only: the file %s cannot be written: %s"
            logger.warning(what, self.path, reason_of(error) if isinstance(error, sqlite3.Error) else error)
