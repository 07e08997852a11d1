"""uvicorn's readers of HTTP with the limits that an application cannot hold: it sees a head only when it is whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from .limits import Limits

_log = logging.getLogger("clippy.serving.http")

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


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
        return _patient(_h11(), limits, tell)
    from .upgrading import Upgrading

    class Bounded(HttpToolsProtocol):  # type: ignore[misc,unused-ignore]
        """h11 bounds what it buffers; httptools does not: a head, a trailer or the name of a chunk may never end."""

        _silent = -1  # bytes since a message began or gave a piece of its body; -1 between messages

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.parser: Any = Upgrading(self, self.parser, HttpParserUpgrade)

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
                if self.cycle is None or self.cycle.response_complete:
                    tell(431, "head_too_long")
                    self.transport.write(_TOO_LONG)
                self.transport.close()

    return _patient(Bounded, limits, tell)


class _Ignored(list[tuple[bytes, bytes]]):
    """Keeps nothing."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        pass


def _h11() -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    return H11Protocol


def _patient(base: Any, limits: Limits, note: Note) -> type[asyncio.Protocol]:
    class Patient(base):  # type: ignore[misc]
        """Closes a connection that brings no whole head in time: its first one, or another after an answer."""

        _answered = None  # the request that was under way when somebody last looked

        def connection_made(self, transport: asyncio.Transport) -> None:
            self.logger, self._heard = _log, False
            super().connection_made(transport)
            self._waiting = self.loop.call_later(limits.head_seconds, self._too_slow)

        def connection_lost(self, error: Exception | None) -> None:
            self._waiting.cancel()
            super().connection_lost(error)

        def data_received(self, data: bytes) -> None:
            self._heard = True
            super().data_received(data)

        def send_400_response(self, msg: str) -> None:
            note(400, "no_http")
            super().send_400_response(msg)

        def _too_slow(self) -> None:
            """Nothing was under way, and no request has begun since the last look: what came was no whole head."""
            idle = self.cycle is None or self.cycle.response_complete
            if idle and self.cycle is self._answered:
                if self._heard:  # else it was opened in advance, or kept: nobody was refused anything
                    note(408, "head_too_slow")
                    self.transport.write(_TOO_SLOW)
                self.transport.close()
                return
            self._answered, self._heard = self.cycle if idle else None, False
            self._waiting = self.loop.call_later(limits.head_seconds, self._too_slow)

    return Patient
