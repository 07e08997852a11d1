"""The fake provider: a script, and the record of what was asked of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

import httpx
from attrs import define, field
from clippy_hookspecs import Headers

from . import inprocess
from .clock import VirtualClock
from .faults import Fault
from .play import Play, compose
from .script import Act, Mix, Raw, Reply, Script
from .seen import SeenRequest

Ending = Literal["completed", "broken", "closed_early"]
"""All was handed over; the script broke it off; the client left before the end."""


def _script(given: Script | Act | None) -> Script:
    if given is None:
        return Script()
    if isinstance(given, Script):
        return given
    if isinstance(given, (Reply, Raw, Fault, Mix)) or callable(given):
        return Script(then=given)
    return Script(*given)


@define(eq=False)
class FakeProvider:
    """Answers the three wire APIs as its script says, in process or behind a loopback server, and remembers all of it.

    ``script`` is a :class:`Script`; or a sequence of acts, one for each request; or one act for every request: a
    :class:`Reply`, a :class:`Raw` answer, a :class:`Fault`, a :class:`Mix`, or a function of the
    :class:`SeenRequest`.  Without one it echoes the newest user turn.  Every request takes one act, whatever its
    address; addresses that are not chat give their own answer where the script says :class:`Reply`.

    With a :class:`VirtualClock` delays and stalls advance it and take no time; without one they wait in earnest.
    ``seed`` decides about ids and lorem ipsum: the same seed and requests give the same bytes.

    ``requests`` is what was asked, in order; ``closed_early`` the numbers of the requests whose answer the client
    closed before all of it was handed over; ``pieces`` how many pieces of its body each request was given so far;
    ``counters`` counts requests, connections, streams, answers by how they ended (completed, broken, closed_early), and
    ``fault.<kind>``.  In process a request whose connection was refused counts too: it took its act of the script.
    """

    script: Script = field(factory=Script, converter=_script)
    clock: VirtualClock | None = None
    seed: int = 0
    requests: list[SeenRequest] = field(init=False, factory=list, repr=False)
    closed_early: list[int] = field(init=False, factory=list)
    pieces: Counter[int] = field(init=False, factory=Counter, repr=False)
    counters: Counter[str] = field(init=False, factory=Counter)
    _idle: list[tuple[str, int]] = field(init=False, factory=list, repr=False)
    _connections: int = field(init=False, default=0, repr=False)
    _lock: threading.RLock = field(init=False, factory=threading.RLock, repr=False)

    @property
    def calls(self) -> int:
        """How many requests arrived."""
        return len(self.requests)

    # --- in process -------------------------------------------------------------------------------------------------

    def transport(self, module: ModuleType = httpx) -> Any:
        """A transport for *module*'s ``Client``; the module is httpx or httpx2."""
        return inprocess.sync_transport(module, self)

    def async_transport(self, module: ModuleType = httpx) -> Any:
        """A transport for *module*'s ``AsyncClient``, for asyncio and trio."""
        return inprocess.async_transport(module, self)

    def client(self, module: ModuleType = httpx, **settings: Any) -> Any:
        """A ``module.Client`` on :meth:`transport`; *settings* are its own."""
        return module.Client(transport=self.transport(module), **settings)

    def async_client(self, module: ModuleType = httpx, **settings: Any) -> Any:
        """A ``module.AsyncClient`` on :meth:`async_transport`; *settings* are its own."""
        return module.AsyncClient(transport=self.async_transport(module), **settings)

    # --- for whoever carries the bytes ------------------------------------------------------------------------------

    def receive(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes, connection: int,
        head: bytes, raw: bytes,
    ) -> tuple[SeenRequest, Play]:  # fmt: skip
        """Record a request and say what is to happen to it."""
        with self._lock:
            number = len(self.requests) + 1
            seen = SeenRequest(number, method, url, Headers(headers), body, connection, head, raw)
            self.requests.append(seen)
            self.counters["requests"] += 1
        play = compose(seen, self.script.step(seen), self.seed)
        with self._lock:
            self.counters["streams"] += play.chunked
            self.counters.update(f"fault.{kind}" for kind in play.faults)
        return seen, play

    def connect(self, origin: str = "") -> int:
        """The number of the connection for a request to *origin*: an idle one, else a new one."""
        with self._lock:
            for place, (known, number) in enumerate(self._idle):
                if known == origin:
                    del self._idle[place]
                    return number
            self._connections += 1
            self.counters["connections"] += 1
            return self._connections

    def disconnect(self, seen: SeenRequest, how: Ending, origin: str | None = None) -> None:
        """Record how an exchange ended; a connection with an *origin* may serve the next request to it."""
        with self._lock:
            self.counters[how] += 1
            if how == "closed_early":
                self.closed_early.append(seen.number)
            if origin is not None:
                self._idle.append((origin, seen.connection))

    def hand_over(self, seen: SeenRequest) -> None:
        """Record that one more piece of the body was given."""
        with self._lock:
            self.pieces[seen.number] += 1
