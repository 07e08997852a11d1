"""Writing what is recorded, on a thread of its own: a call never waits for a disk.

The thread works in the program's interpreter.  Where that costs the program more than it should, the thread has a
process of its own do it (:mod:`clippy_recorder.apart`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from clippy_hookspecs import StatusTable

from .apart import Ended, Writer
from .batches import Loss, write
from .exchange import Exchange
from .files import Appender
from .framing import Frame
from .handing import packed, unpacked
from .tape import Tape

logger = logging.getLogger("clippy.recorder")

MOST_WAITING = 1000
"""Calls that wait to be written; a disk that is slower than the calls loses the newest, and says so."""
SOON = 0.1
"""Seconds that a call may wait for others, to be written with them: what a program that is killed loses at most,
beside what is being written."""
BUSY = 0.02
"""The part of the time that the thread may work before it has a process of its own do it."""
NOT_WRITTEN = ("file", "why", "for, s", "calls lost")
_AT_ONCE = 64
"""Calls that are written together; the lines of one batch are in memory at once."""
_LOOKED_AT = 1.0
"""Seconds over which it is seen how busy the thread is."""
_HEARD = 0.5
"""Seconds after which the process is asked what it did of what it was handed, where no call comes."""
_CLOSING = 5.0


class Keeper:
    """Develops tapes and appends them to a file, of *max_bytes* with *keep* older ones (see Appender).

    That it cannot be written is told once, and tried again; that it can be again is told with how many were lost.
    *apart* starts a process that does it where the thread is busy; without one the thread does it.
    """

    def __init__(
        self,
        path: Path,
        developed: Callable[[Tape], Exchange],
        max_bytes: int | None = None,
        keep: int = 5,
        apart: Callable[[], Writer] | None = None,
    ) -> None:
        self._developed, self._file, self._apart = developed, Appender(path, max_bytes, keep), apart
        self._writer: Writer | None = None
        self._waiting: deque[Tape] = deque()
        self._some, self._ended = threading.Event(), threading.Event()
        self.lost = 0
        self._trouble: tuple[str, float] | None = None
        self._lost_before = 0
        self._since = time.monotonic(), 0.0
        self._thread = threading.Thread(target=self._run, name="clippy-recorder", daemon=True)
        self._thread.start()

    @property
    def hands_over(self) -> bool:
        """Whether a process of its own writes by now."""
        return self._writer is not None and self._writer.ready

    def keep(self, tape: Tape) -> None:
        """Have *tape* written soon."""
        if len(self._waiting) >= MOST_WAITING:
            self._lose(Loss(1, "the disk is slower than the calls", passing=True))
            return
        self._waiting.append(tape)
        if not self._some.is_set():
            self._some.set()

    def close(self) -> None:
        """Write what waits, within five seconds; a file system that hangs longer keeps the thread until the end."""
        self._ended.set()
        self._some.set()
        self._thread.join(_CLOSING)
        if self._thread.is_alive():
            logger.warning(
                "the last calls are not in %s yet, and are lost if the program ends now: nothing can be written there,"
                " or the process that writes is stopped",
                self._file.path,
            )

    def abandon(self) -> None:
        """In a forked child: thread, file and process are the parent's."""
        if self._writer is not None:
            self._writer.abandon()

    def _run(self) -> None:
        while not self._ended.is_set():
            if not self._some.wait(_HEARD if self._writer is not None and self._writer.owes else None):
                self._listen()
                continue
            self._ended.wait(SOON)  # for more of them: waking up for each call would take it out of the program's hands
            self._some.clear()
            self._write()
            if self._apart is not None and not self._ended.is_set() and self._busy():
                self._begin(self._apart)
        self._write()
        self._let_go()
        self._file.close()

    def _write(self) -> None:
        while batch := self._next():
            try:
                if self._writer is not None and self._heard(self._writer):
                    self._hand(self._writer, batch)
                else:
                    self._here(batch)
            except Exception as error:  # of ours: the calls after these are recorded all the same
                self._lose(Loss(len(batch), f"{len(batch)} calls were not recorded", error=error))
                if self._writer is not None:
                    self._without_it(self._writer.end())

    def _next(self) -> list[Tape]:
        """Some of the calls that wait."""
        batch: list[Tape] = []
        while self._waiting and len(batch) < _AT_ONCE:
            batch.append(self._waiting.popleft())
        return batch

    def _here(self, batch: Sequence[Tape]) -> None:
        self._wrote(write(self._file, self._developed, [(tape.id, tape) for tape in batch]))

    # --- the process --------------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        """Whether the thread worked more than its part of the last second."""
        (then, spent), now, by_now = self._since, time.monotonic(), time.thread_time()
        if now - then < _LOOKED_AT:
            return False
        self._since = now, by_now
        return by_now - spent > BUSY * (now - then)

    def _begin(self, apart: Callable[[], Writer]) -> None:
        self._apart = None
        try:
            self._writer = apart()
        except (OSError, Ended) as error:
            logger.info("this process goes on writing recordings: %s", error)

    def _heard(self, writer: Writer) -> bool:
        """Whether the process may be handed calls; what it lost is told."""
        try:
            for losses in writer.hear():
                self._wrote(losses)
        except Ended as ended:
            self._without_it(ended)
            return False
        return writer.ready

    def _listen(self) -> None:
        """Hear what the process says, or that it is gone, where no call comes."""
        try:
            if self._writer is not None:
                self._heard(self._writer)
        except Exception as error:  # of ours, as where it is handed calls
            self._lose(Loss(0, "the process that writes recordings was not understood", error=error))
            if self._writer is not None:
                self._without_it(self._writer.end())

    def _hand(self, writer: Writer, batch: Sequence[Tape]) -> None:
        calls: list[Frame] = []
        here: list[Tape] = []
        for tape in batch:
            try:
                call = packed(tape)
            except Exception:  # a value of a plugin's own, which only this process can read
                here.append(tape)
                continue
            if tape.developed is None:
                calls.append(call)
            else:  # somebody looked at it
                here.append(tape)
        if here:
            self._here(here)
        try:
            if calls:
                writer.hand(calls)
        except Ended as ended:
            self._without_it(ended)

    def _without_it(self, ended: Ended) -> None:
        """Go on as before, with what the process left unwritten."""
        self._writer = None
        logger.warning("%s; this one writes them from now on", ended)
        if ended.unwritten:  # or nothing is tried, and nothing shows whether the disk takes it
            self._here([unpacked(call) for call in ended.unwritten])

    def _let_go(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                for losses in writer.close():
                    self._wrote(losses)
            except Ended as ended:
                self._without_it(ended)

    # --- what was lost ------------------------------------------------------------------------------------------------

    def _wrote(self, losses: Sequence[Loss]) -> None:
        """A batch was written, but for *losses*."""
        for loss in losses:
            self._lose(loss)
        # A disk that is too slow would be told of with each batch, were it well again before all is written.
        if self._trouble is not None and not self._waiting and not any(loss.passing for loss in losses):
            self._recover()

    def _lose(self, loss: Loss) -> None:
        self.lost += loss.count
        if not loss.passing:
            logger.error(loss.why, exc_info=loss.error)
        elif self._trouble is None:
            self._trouble, self._lost_before = (loss.why, time.monotonic()), self.lost - loss.count
            logger.warning("calls are not recorded, and go on: %s (said once, until it works again)", loss.why)

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
