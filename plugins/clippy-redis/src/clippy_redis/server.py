"""One server as a process uses it: from every thread, every asyncio loop and trio."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, field

from .address import Address
from .failures import ServerUnavailable, lost, reason
from .limits import Limits
from .operation import Operation
from .rest import Rest

if TYPE_CHECKING:
    import asyncio  # noqa: TC004 - what a Server does first

    from redis.exceptions import NoScriptError, ReadOnlyError  # noqa: TC004

    from .links import FAILURES, Loop, Threads, Words  # noqa: TC004

    Exchange = Callable[[Words], Awaitable[Any]]


@define(eq=False)
class Server:
    """One server as this process uses it: its connections, opened at first use, and the pause after a failure.

    ``pause``: seconds in which a server that failed is not asked again; ``log`` has a line when that begins and one
    when the server answers again.  ``failure`` is the error that callers get.
    """

    address: Address
    limits: Limits
    pause: float
    log: logging.Logger
    failure: type[ServerUnavailable] = ServerUnavailable
    now: Callable[[], float] = time.monotonic
    _threads: Threads | None = field(init=False, default=None)
    _loops: dict[asyncio.AbstractEventLoop, Loop] = field(init=False, factory=dict)
    _inherited: list[object] = field(init=False, repr=False, factory=list)
    _rest: Rest = field(init=False)
    _lock: threading.Lock = field(init=False, repr=False, factory=threading.Lock)

    def __attrs_post_init__(self) -> None:
        _import_what_exchanges_need()
        self._rest = Rest(self.pause, lambda: self.now())
        _servers.add(self)

    async def ask(self, operation: Operation, *, urgent: bool = False) -> Any:
        """The result of *operation*, in an async program; *urgent*: also in a pause.  Raises ``failure``."""
        return await self._ask(operation, self._exchange_here(), urgent)

    async def ask_in_place(self, operation: Operation) -> Any:
        """The same in a sync program: blocks the thread and never suspends."""
        return await self._ask(operation, self._exchange_in_place)

    def ask_now(self, operation: Operation) -> Any:
        """The same for a caller that is no coroutine, also in a pause."""
        asking = self._ask(operation, self._exchange_in_place, urgent=True)
        try:
            asking.send(None)
        except StopIteration as done:
            return done.value
        raise RuntimeError("an exchange in place suspended")

    def close(self) -> None:
        """Close the connections that nobody uses; the next use opens them again."""
        with self._lock:
            threads, loops = self._threads, [*self._loops.values()]
        for link in (threads, *loops):
            if link is not None:
                link.close()

    def begin_after_fork(self) -> None:
        """Open new connections from now on, and leave the parent's as they are.

        They may be neither used nor closed here: a loop's file of events is shared with the parent.
        """
        self._inherited += [self._threads, self._loops]
        self._threads, self._loops, self._lock = None, {}, threading.Lock()
        self._rest = Rest(self.pause, lambda: self.now())

    async def _ask(self, operation: Operation, exchange: Exchange, urgent: bool = False) -> Any:
        rest = self._rest
        refusal = None if urgent else rest.refusal()
        if refusal is not None:
            raise self.failure(refusal)
        failures = rest.failures
        try:
            try:
                answer = await exchange(operation.words())
            except NoScriptError:  # restarted, or its scripts were flushed; nothing was done
                answer = await exchange(operation.words(whole=True))
        except FAILURES as error:
            why = reason(self.address, error)
            if lost(error) and rest.begin(why):
                self.log.warning("%s; tried again about every %g s", why, self.pause)
            if isinstance(error, ReadOnlyError):  # the primary has another address by now
                self.close()
            raise self.failure(why) from error
        if rest.over(failures):
            self.log.warning("Redis at %s answers again", self.address)
        return operation.read(answer)

    def _exchange_here(self) -> Exchange:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # trio: redis-py knows asyncio only
            return self._exchange_in_thread
        link = self._loops.get(loop)
        if link is None:
            link = Loop(self.address, self.limits)
            with self._lock:
                self._loops = {one: kept for one, kept in self._loops.items() if not kept.gone()}
                self._loops[loop] = link
        return link.exchange

    def _of_threads(self) -> Threads:
        with self._lock:
            if self._threads is None:
                self._threads = Threads(self.address, self.limits)
            return self._threads

    async def _exchange_in_place(self, words: Words) -> Any:
        return (self._threads or self._of_threads()).exchange(words)

    async def _exchange_in_thread(self, words: Words) -> Any:
        import anyio.to_thread  # only trio needs it

        threads = self._threads or self._of_threads()
        # A caller that is cancelled leaves at once; the thread reads the answer to its end, at most for its timeout.
        return await anyio.to_thread.run_sync(partial(threads.exchange, words), abandon_on_cancel=True)


def _import_what_exchanges_need() -> None:
    # redis-py takes longer to import than a host with thirty plugins to make, and most programs have no server.
    global asyncio, NoScriptError, ReadOnlyError, FAILURES, Loop, Threads
    import asyncio

    from redis.exceptions import NoScriptError, ReadOnlyError

    from .links import FAILURES, Loop, Threads


_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _begin_after_fork() -> None:
    for server in tuple(_servers):
        server.begin_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_after_fork)
