"""uvicorn's readers of HTTP with the limits that an application cannot hold: it sees a head only when it is whole."""

from __future__ import annotations

import asyncio
from typing import Any

from .limits import Limits

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def http_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """httptools' reader where that is installed, else h11's."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return _patient(_h11(), limits)

    class Bounded(HttpToolsProtocol):  # type: ignore[misc,unused-ignore]
        """h11 bounds what it buffers; httptools does not, and a head without an end would be kept until memory ends."""

        _head = -1  # bytes of the head that is being read; -1 between heads

        def on_message_begin(self) -> None:
            self._head = 0
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            if not self.url and not url.startswith(b"/"):
                raise ValueError("a whole address")  # httptools would keep its path alone; the reader answers 400
            super().on_url(url)

        def on_headers_complete(self) -> None:
            self._head = -1
            super().on_headers_complete()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._head >= 0 and not self.transport.is_closing():
                self._head += len(data)
                if self._head > 2 * (limits.head + limits.target):
                    self.transport.write(_TOO_LONG)
                    self.transport.close()

    return _patient(Bounded, limits)


def _h11() -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    return H11Protocol


def _patient(base: Any, limits: Limits) -> type[asyncio.Protocol]:
    class Patient(base):  # type: ignore[misc]
        """Closes a connection that brings no whole head in time."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._waiting = self.loop.call_later(limits.head_seconds, self._too_slow)

        def connection_lost(self, error: Exception | None) -> None:
            self._waiting.cancel()
            super().connection_lost(error)

        def _too_slow(self) -> None:
            if self.cycle is None:
                self.transport.close()

    return Patient
