"""uvicorn's readers of HTTP with the limits that an application cannot hold: it sees a head only when it is whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from .limits import Limits
from .stalling import Stall, reset

_log = logging.getLogger("clippy.serving.http")

STALLED = "clippy.stalled"
"""In the scope of a request whose answer was cut off, because its reader took nothing of it for too long."""

Note = Callable[[int, str], None]
"""Hears of the status and the code with which something was refused that never became a request."""


def _is_news(record: logging.LogRecord) -> bool:
    """Not that an answer has no end: an application leaves it so where it must not look whole, and says why itself.

    Nor that bytes were no HTTP, of which ``Note`` hears.
    """
    return "without completing response" not in record.msg and "Invalid HTTP request" not in record.msg


_log.addFilter(_is_news)


def _log_it(status: int, code: str) -> None:
    _log.warning("refused with %d %s before it was a request", status, code)


def http_protocol(limits: Limits, note: Note | None = None) -> type[asyncio.Protocol]:
    """httptools' reader where that is installed, else h11's.  Without *note* refusals are logged."""
    tell: Note = note or _log_it
    try:
        from httptools import HttpParserUpgrade
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return _patient(_h11(), limits, tell, h11=True)
    from .older import UntilTheEnd
    from .upgrading import Upgrading

    base: Any = HttpToolsProtocol

    class Bounded(base):  # type: ignore[misc]
        """h11 bounds what it buffers; httptools does not: a head, a trailer or the name of a chunk may never end."""

        _silent = -1  # bytes since a message began or gave a piece of its body; -1 between messages

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.parser: Any = Upgrading(self, self.parser, HttpParserUpgrade)

        def connection_lost(self, error: Exception | None) -> None:
            if self._running is not None and not self._running.response_complete:
                self._running.disconnected = True  # uvicorn tells only the last one, which may wait behind this one
                self._running.message_event.set()
            super().connection_lost(error)

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            self._running = cycle
            super()._start_asgi_task(cycle, app)

        def on_message_begin(self) -> None:
            self._silent = 0
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            if not self.url and not url.startswith(b"/"):
                raise ValueError("a whole address")  # httptools would keep its path alone; the reader answers 400
            super().on_url(url)

        def on_headers_complete(self) -> None:
            self._silent = 0
            super().on_headers_complete()
            if self.scope["http_version"] == "1.0":
                self.cycle.__class__ = UntilTheEnd
            self.headers = _Ignored()  # a trailer is no header: whoever judged the head has not seen it

        def on_body(self, body: bytes) -> None:
            self._silent = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._silent = -1
            super().on_message_complete()

        def reads_on(self) -> None:
            """A body follows the head that was taken for one without."""
            self._silent, self.cycle.more_body = 0, True

        def data_received(self, data: bytes) -> None:
            if self._silent >= 0:
                self._silent += len(data)
            super().data_received(data)
            if self._silent > 2 * (limits.head + limits.target) and not self.transport.is_closing():
                self.refuse(431, "head_too_long")

    return _patient(Bounded, limits, tell)


class _Ignored(list[tuple[bytes, bytes]]):
    """Keeps nothing."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        pass


def _h11() -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    return H11Protocol


def _patient(base: Any, limits: Limits, note: Note, *, h11: bool = False) -> type[asyncio.Protocol]:
    class Patient(base):  # type: ignore[misc]
        """Closes a connection that brings no whole head in time: its first one, or another after an answer."""

        _answered = None  # the request that was under way when somebody last looked
        _running: Any = None  # the request that is answered; ``cycle`` is the last that came
        _refused = False

        def connection_made(self, transport: asyncio.Transport) -> None:
            self.logger = _log
            super().connection_made(transport)
            self._waiting = self.loop.call_later(limits.head_seconds, self._too_slow)
            self._stall = Stall(transport, limits.stall_seconds, self._cut_off)

        def connection_lost(self, error: Exception | None) -> None:
            self._waiting.cancel()
            self._stall.end()
            super().connection_lost(error)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stall.begin()

        def resume_writing(self) -> None:
            super().resume_writing()
            if not self.transport.is_closing():  # else the rest still waits, for as long as its reader likes
                self._stall.end()

        def _cut_off(self) -> None:
            answered = self._running or self.cycle
            if answered is not None and not answered.response_complete:
                answered.scope[STALLED] = True
            reset(self.transport)

        def has_begun(self) -> bool:
            """Whether some of a head has come, and not the whole of it."""
            return bool(self.conn.trailing_data[0]) if h11 else self._silent >= 0

        def send_400_response(self, msg: str) -> None:
            self.refuse(400, "no_http")

        def refuse(self, status: int, code: str) -> None:
            """Answer what is no request, and close the connection.

            What came whole before it is answered first, and nothing is written into an answer that is under way.
            """
            if self._refused:
                return
            self._refused, last = True, self.cycle
            note(status, code)
            under_way = last is not None and not last.response_complete
            if under_way and not last.more_body:
                last.keep_alive = False
                return
            queued = self._running is not None and self._running is not last
            if not under_way or not (last.response_started or queued):
                phrase = HTTPStatus(status).phrase
                head = (
                    f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain\r\ncontent-length: {len(phrase) + 1}\r\n"
                )
                self.transport.write(f"{head}connection: close\r\n\r\n{phrase}\n".encode())
            self.transport.close()

        def _too_slow(self) -> None:
            """Nothing was under way, and no request has begun since the last look: what came was no whole head."""
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self.cycle is self._answered:
                if self.has_begun():  # else it was opened in advance, or kept: nobody was refused anything
                    self.refuse(408, "head_too_slow")
                self.transport.close()
            if self.transport.is_closing():  # after what is left of an answer was sent, which nobody may take
                self._stall.begin()
                return
            self._answered = self.cycle if idle else None
            self._waiting = self.loop.call_later(limits.head_seconds, self._too_slow)

    return Patient
