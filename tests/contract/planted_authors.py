"""Plugins as authors wrote them from the pages: sound ones that a suite blamed, and broken ones that it passed."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from attrs import define, field
from clippy_hookspecs import AuditRecord, Event, hookimpl

# --- observers that keep no ids ---------------------------------------------------------------------------------------


@define(eq=False)
class Tokens:
    """Counts the tokens of each model, and keeps nothing of a single request."""

    observes_only: ClassVar[bool] = True
    tokens: Counter[str] = field(init=False, factory=Counter)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        if record.usage is not None and record.attempts:
            with self._lock:
                self.tokens[record.model or "unknown"] += record.usage.total


@define(eq=False)
class Events:
    """Counts what happens inside."""

    observes_only: ClassVar[bool] = True
    events: Counter[str] = field(init=False, factory=Counter)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @hookimpl
    def observe(self, event: Event) -> None:
        with self._lock:
            self.events[event.kind] += 1


@define(eq=False)
class Reporter:
    """Hands reports of failed requests to a thread, which has nowhere to send them until it is told."""

    observes_only: ClassVar[bool] = True
    url: str = field(default="", metadata={"doc": "where reports are posted; without it nothing is sent"})
    _waiting: queue.Queue[str | None] = field(init=False, factory=queue.Queue, repr=False)

    @hookimpl
    @contextmanager
    def lifespan(self) -> Iterator[None]:
        waiting: queue.Queue[str | None] = queue.Queue()
        self._waiting = waiting
        sender = threading.Thread(target=lambda: list(iter(waiting.get, None)), daemon=True)
        sender.start()
        yield
        waiting.put(None)
        sender.join()

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        if self.url and record.outcome == "failed":
            self._waiting.put(record.id)


PLANTED: dict[str, dict[str, Callable[..., object]]] = {}

SOUND: dict[str, Callable[..., object]] = {}

ALSO_SOUND: dict[str, dict[str, Callable[..., object]]] = {
    "ObserverContract": {"counts tokens": Tokens, "counts events": Events, "has nowhere to report to": Reporter},
}
