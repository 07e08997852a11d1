"""A recording as a source of the pages, also one that another process goes on writing."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from attrs import define, field
from clippy_hookspecs import Flow
from clippy_recorder import Exchange, read

MOST: Final = 5000
_PACE: Final = 1.0


@define(eq=False)
class Recording:
    """The newest calls of a file of the recorder.  ``follow`` looks once a second whether it has grown."""

    path: Path
    _calls: tuple[Exchange, ...] = field(default=(), init=False, repr=False)
    _seen: tuple[tuple[int, int], ...] = field(default=(), init=False)
    _listeners: dict[int, Callable[[str], None]] = field(factory=dict, init=False, repr=False)
    _numbers: itertools.count[int] = field(factory=itertools.count, init=False, repr=False)
    _ended: threading.Event = field(factory=threading.Event, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.look()

    def look(self) -> tuple[str, ...]:
        """Read the file again if it has changed; the ids that are new.  Raises what ``clippy_recorder.read`` does."""
        seen = tuple(self._sight())
        if seen == self._seen:
            return ()
        before = {call.id for call in self._calls}
        self._calls = tuple(deque(read(self.path), maxlen=MOST))
        self._seen = seen
        return tuple(call.id for call in self._calls if call.id not in before)

    def follow(self) -> None:
        """Look for more, in a thread, until ``stop``."""
        threading.Thread(target=self._follow, name="clippy-inspect-file", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def latest(self, limit: int = 200, before: str | None = None) -> tuple[Exchange, ...]:
        calls = self._calls
        if before is not None:
            calls = tuple(itertools.takewhile(lambda call: call.id != before, calls))
        return calls[-limit:] if limit > 0 else ()

    def find(self, wanted: str, /) -> Exchange | None:
        return next((call for call in reversed(self._calls) if call.id == wanted), None)

    def flow(self, wanted: str, /) -> Flow | None:
        return None  # what is in a file has ended, or runs in another process

    def subscribe(self, callback: Callable[[str], None], /) -> Callable[[], None]:
        number = next(self._numbers)
        self._listeners[number] = callback

        def end() -> None:
            self._listeners.pop(number, None)

        return end

    def _sight(self) -> Iterator[tuple[int, int]]:
        """What tells that the file has grown; a database grows in a second file at first."""
        known = self.path.stat()
        yield known.st_mtime_ns, known.st_size
        journal = self.path.with_name(self.path.name + "-wal")
        if journal.exists():
            known = journal.stat()
            yield known.st_mtime_ns, known.st_size

    def _follow(self) -> None:
        while not self._ended.wait(_PACE):
            try:
                new = self.look()
            except (OSError, ValueError):
                continue  # it is being written, or put in another's place: the next look will tell
            for call_id in new:
                for listener in tuple(self._listeners.values()):
                    listener(call_id)
