"""Where the tapes of the newest calls are kept, as many as there is room for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from attrs import define, field

from .tape import Tape


@define(eq=False)
class Shelf:
    """At most ``keep`` tapes, and ``room`` bytes of those whose calls are over; twice as many where none of them is."""

    keep: int
    room: int
    size: int = 0
    """Bytes of the tapes whose calls are over."""
    _tapes: OrderedDict[str, Tape] = field(init=False, factory=OrderedDict, repr=False)
    _lock: Any = field(init=False, factory=threading.Lock, repr=False)

    def add(self, tape: Tape) -> None:
        """A call begins."""
        with self._lock:
            self._tapes[tape.id] = tape
            if len(self._tapes) > 2 * self.keep:
                self._make_room()

    def over(self, tape: Tape) -> None:
        """A call has ended; one that is not here any more is not taken in again."""
        with self._lock:
            if tape.id in self._tapes:
                tape.weight = tape.size
                self.size += tape.size
            if len(self._tapes) > self.keep or self.size > self.room:
                self._make_room()

    def find(self, request_id: str) -> Tape | None:
        """The tape of the call of this id, if it is here."""
        with self._lock:
            return self._tapes.get(request_id)

    def tapes(self) -> list[Tape]:
        """All of them, the newest last."""
        with self._lock:
            return [*self._tapes.values()]

    def _make_room(self) -> None:
        """Let the oldest calls go: those that are over first, since somebody may want to stop one that runs."""
        tapes = self._tapes
        while len(tapes) > self.keep or self.size > self.room:
            over = oldest = next(iter(tapes.values()))
            if oldest.weight is None:
                over = next((tape for tape in tapes.values() if tape.weight is not None), oldest)
                if over.weight is None and len(tapes) <= 2 * self.keep:
                    return
            del tapes[over.id]
            self.size -= over.weight or 0
