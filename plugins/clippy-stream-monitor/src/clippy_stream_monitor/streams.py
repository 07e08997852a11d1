"""The streams of one host by the id of their request: those that live, and for a while those that have ended."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

from attrs import define, field

from .meter import ENDED, Meter

_SWEPT = 16
"""Streams that may have ended unnoticed before they are looked for."""


class UnknownStream(LookupError):
    """No stream of this id lives, or has lived lately."""


@define(eq=False)
class Streams:
    """Finds streams by their request's id; the newest *keep* that have ended are still found.

    Nobody tells it of an end: it looks at the flows.  What is added is dropped again without being asked for, so that
    it holds the living, *keep* of the dead, and never more than as many again that nobody has looked at.
    """

    keep: int = 64
    _living: dict[str, Meter] = field(init=False, factory=dict, repr=False)
    _ended: dict[str, Meter] = field(init=False, factory=dict, repr=False)
    _sweep_at: int = field(init=False, default=_SWEPT, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    def __attrs_post_init__(self) -> None:
        _ALL.add(self)

    def add(self, meter: Meter) -> None:
        """A stream is asked for."""
        with self._lock:
            self._living[meter.id] = meter
            if len(self._living) >= self._sweep_at:
                self._sweep()
                self._sweep_at = max(_SWEPT, 2 * len(self._living))

    def get(self, request_id: str) -> Meter:
        """The stream of this request.  Raises :class:`UnknownStream`."""
        with self._lock:
            self._sweep()
            meter = self._living.get(request_id) or self._ended.get(request_id)
        if meter is None:
            raise UnknownStream(
                f"no stream has the id {request_id!r}: it has ended a while ago, or was never one; "
                "the id is that of the request's context"
            )
        return meter

    def living(self) -> tuple[Meter, ...]:
        """The streams that have not ended, the oldest first."""
        with self._lock:
            self._sweep()
            return tuple(self._living.values())

    def ended(self) -> tuple[Meter, ...]:
        """Those that have ended lately, the newest last."""
        with self._lock:
            self._sweep()
            return tuple(self._ended.values())

    def _sweep(self) -> None:
        over = [meter for meter in self._living.values() if meter.flow.state in ENDED]
        for meter in over:
            self._ended[meter.id] = self._living.pop(meter.id)
        for request_id in list(self._ended)[: max(0, len(self._ended) - self.keep)]:
            del self._ended[request_id]

    def after_fork(self) -> None:
        """In a forked child: the streams are the parent's, and a thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._living.clear()
        self._ended.clear()


_ALL: WeakSet[Streams] = WeakSet()


def _in_child() -> None:
    for streams in list(_ALL):
        streams.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
