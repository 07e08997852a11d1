"""uvicorn in a thread of its own or in this one, with the manners a debugger and a gateway need."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import signal
from types import FrameType
from typing import Any

import uvicorn
from attrs import define, field

from .ending import ending_signals
from .limits import Limits
from .listening import SocketFile, listen
from .protocols import http_protocol

Application = Callable[..., Any]

log = logging.getLogger("clippy.serving")

_FIRST_WORDS = 1.0
"""Seconds that connections which have said nothing yet are given when the server ends: they have nowhere else to go."""


@define(eq=False)
class Server:
    """An ASGI application on a port, a unix socket (*uds*) or open *sockets*.

    ``start`` serves in a daemon thread with an event loop of its own; ``run`` in this thread until SIGTERM, SIGINT or
    SIGHUP, after which answers under way have ``drain`` seconds to end.  Port 0 takes a free one; ``port`` says which.
    Its head limits hold before the application is asked: pass the same ``Limits`` to both.  An
    application with ``drain()`` is told when it shall end, one with ``refused_unread(status, code)`` of what was
    refused before it was a request; of that there is a line in the log otherwise.
    """

    app: Application
    host: str = "127.0.0.1"
    port: int = 0
    uds: str | Path | None = None
    sockets: Sequence[socket.socket] | None = None
    drain: float = 30.0
    limits: Limits = field(factory=Limits)
    _serving: _Serving | None = field(default=None, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)
    _file: SocketFile | None = field(default=None, init=False, repr=False)

    def start(self) -> None:
        """Serve from a thread; returns when connections are taken.

        Raises OSError for an address that cannot be had, and RuntimeError if the application does not start.
        """
        serving, sockets = self._made()
        thread = threading.Thread(target=serving.serve_here, args=(sockets,), name="clippy-serving", daemon=True)
        self._serving, self._thread = serving, thread
        thread.start()
        serving.listening.wait()
        if serving.failure is not None:
            thread.join()
            raise RuntimeError("the server did not start; what the application logged says why") from serving.failure

    def stop(self) -> None:
        """Take no more connections, let answers end within ``drain`` seconds, and wait for that.  Twice is once."""
        if self._serving is None or self._thread is None:
            return
        self._serving.end()
        self._thread.join()
        self._serving = self._thread = None
        self._remove_socket()

    def run(self) -> None:
        """Serve in this thread until SIGTERM, SIGINT or SIGHUP; a second signal does not wait.

        Returns when all is closed.  Raises like ``start``.
        """
        serving, sockets = self._made()
        self._serving = serving
        try:
            serving.serve_here(sockets)
        finally:
            self._serving = None
            self._remove_socket()
        if serving.failure is not None:
            raise RuntimeError("the server did not start; what the application logged says why") from serving.failure

    def _made(self) -> tuple[_Serving, list[socket.socket]]:
        if self._serving is not None:
            raise RuntimeError("this server runs already")
        sockets = list(self.sockets) if self.sockets else [listen(self.host, self.port, self.uds)]
        self._file = SocketFile.of(self.uds) if self.uds is not None and not self.sockets else None
        if sockets[0].family in {socket.AF_INET, socket.AF_INET6}:
            self.port = sockets[0].getsockname()[1]
        serving: list[_Serving] = []

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            try:
                await self.app(scope, receive, send)
            except asyncio.CancelledError:
                if not (serving[0].should_exit and scope["type"] == "http"):
                    raise
                log.warning("a request was broken off: it was not answered when the server had to end")

        config = uvicorn.Config(
            answer,
            http=http_protocol(self.limits, getattr(self.app, "refused_unread", None)),
            ws="none",  # an upgrade is an ordinary request to the application, which may refuse it in words
            lifespan="auto",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=2 * (self.limits.head + self.limits.target),
            timeout_graceful_shutdown=max(1, round(self.drain)),
        )
        serving.append(_Serving(config, getattr(self.app, "drain", None)))
        return serving[0], sockets

    def _remove_socket(self) -> None:
        if self._file is not None:
            self._file.remove()


class _Serving(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None] | None] | None) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self.failure: BaseException | None = None
        self._drain = drain
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    def serve_here(self, sockets: list[socket.socket]) -> None:
        try:
            self.run(sockets)
        except (Exception, SystemExit) as error:  # uvicorn leaves with SystemExit where the application does not start
            self.failure = error
            for each in sockets:
                each.close()
        finally:
            self.listening.set()

    def end(self) -> None:
        """Begin to stop; from any thread."""
        self.should_exit = True
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:
                pass  # it has stopped

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal lets answers end, a second one of whatever kind does not."""
        self.force_exit = self.force_exit or self.should_exit
        self.end()

    async def main_loop(self) -> None:
        """As uvicorn's own, which looks ten times a second whether it shall end: this one is told."""
        self._loop = asyncio.get_running_loop()
        counter = 0
        while not await self.on_tick(counter):
            counter += 10  # uvicorn writes the date anew at each tenth
            try:
                async with asyncio.timeout(1):
                    await self._ended.wait()
            except TimeoutError:
                pass

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        drained = None if self._drain is None else self._drain()
        if inspect.isawaitable(drained):
            waiting = asyncio.ensure_future(drained)
            while not (waiting.done() or self.force_exit):
                await asyncio.wait([waiting], timeout=0.05)
            waiting.cancel()
        await self._take_the_last(sockets or [])
        if await self._has_gone():
            await self._close(sockets or [])
        else:
            await super().shutdown(sockets)

    async def _has_gone(self) -> bool:
        """Whether there is nobody any more to wait for, once the connections are closed on which nothing is asked."""
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(3):  # a protocol hears a turn later that its connection is closed
            await asyncio.sleep(0)
        return not (self.server_state.connections or self.server_state.tasks)

    async def _close(self, sockets: list[socket.socket]) -> None:
        """As the end of uvicorn's own, which waits for a tenth of a second where there is nobody as well."""
        for each in sockets:
            each.close()
        for server in self.servers:
            server.close()
            await server.wait_closed()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _take_the_last(self, sockets: list[socket.socket]) -> None:
        """Serve those who have connected, for to them this server has already said that it is there.

        Some the system took while the loop was busy, and closing the socket would reset them; the request of others is
        still on its way, and uvicorn would close what has not asked for anything.
        """
        loop = asyncio.get_running_loop()
        for opened in sockets:
            with suppress(NotImplementedError):  # of Windows
                loop.remove_reader(opened)
        for _ in range(2):  # asyncio's tasks for what it has just accepted need an open server, and protocols a turn
            await asyncio.sleep(0)
        taken = [one for opened in sockets for one in _waiting(opened)]
        for server in self.servers:  # with nothing between, so that nobody can come in between
            server.close()
        for one in taken:
            await loop.connect_accepted_socket(self._protocol, one)
        until = loop.time() + _FIRST_WORDS
        while self._any_silent() and not self.force_exit and loop.time() < until:  # noqa: ASYNC110 - once
            await asyncio.sleep(0.01)

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        return made

    def _any_silent(self) -> bool:
        return any(getattr(one, "cycle", None) is None for one in self.server_state.connections)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's own, but the signal is not raised again afterwards: ``run`` returns, and its caller goes on."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal(number, self.handle_exit) for number in ending_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal(number, handler)


def _waiting(opened: socket.socket) -> Iterator[socket.socket]:
    """Every connection that the system has taken for *opened* and nobody has fetched."""
    opened.setblocking(False)
    while True:
        try:
            taken, _ = opened.accept()
        except ConnectionAbortedError:  # it has left already, and the next one may not have
            continue
        except OSError:  # there are no more, or no more files for them
            return
        taken.setblocking(False)
        yield taken
