"""Handing things on by a thread of its own, so that whoever has them need not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from attrs import define, field

T = TypeVar("T")


@define(eq=False)
class Delivery(Generic[T]):
    """A bounded queue and the thread, called ``name``, that hands what is in it to ``deliver``; that must not raise.

    With ``pause`` the thread waits so many seconds for more before it hands on what there is, at most ``together`` at
    once: to wake up for each would take the interpreter from whoever has the next one.

    It is what ``QueueHandler`` and ``QueueListener`` of the standard library do, but for three things that matter to a
    request: the queue has a bound, for what a full one has no room the caller is told, and closing does not wait for a
    ``deliver`` that hangs.  The bound may be passed by one for each thread that puts at that very moment.
    """

    deliver: Callable[[Sequence[T]], None]
    size: int
    name: str = "clippy-delivery"
    pause: float = 0.0
    together: int = 1
    _closed: threading.Event = field(init=False, factory=threading.Event, repr=False)
    _given_up: bool = field(init=False, default=False)
    _queue: SimpleQueue[tuple[T] | None] = field(init=False, factory=SimpleQueue, repr=False)
    _thread: threading.Thread = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # A daemon: a handler that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def put(self, one: T) -> bool:
        """Queue *one*; False if the queue is full or closed.  Never waits."""
        if self._closed.is_set() or self._queue.qsize() >= self.size:
            return False
        self._queue.put((one,))
        return True

    def close(self, patience: float) -> int:
        """Deliver what is queued, for *patience* seconds at most; how many were then still waiting.

        Those are given up: delivered later, they would turn up among those of another life of the host.
        """
        self._closed.set()
        self._queue.put(None)
        self._thread.join(patience)
        if not self._thread.is_alive():
            return 0
        self._given_up = True
        return max(0, self._queue.qsize() - 1)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None and not self._given_up:
            if self.pause:
                self._closed.wait(self.pause)
            some, ended = self._more([first[0]])
            self.deliver(some)
            if ended:
                return

    def _more(self, some: list[T]) -> tuple[list[T], bool]:
        """*some* with what else waits, and whether that was all there will be."""
        while len(some) < self.together:
            try:
                one = self._queue.get_nowait()
            except Empty:
                break
            if one is None:
                return some, True
            some.append(one[0])
        return some, False
