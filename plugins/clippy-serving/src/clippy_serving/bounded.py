"""httptools' reader with what it lacks: bounds, the end of a queue, older and newer versions of HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .joining import Answer
from .older import UntilTheEnd
from .patience import Patient
from .upgrading import Upgrading

_HttpTools: Any = HttpToolsProtocol


class Bounded(Patient, _HttpTools):  # type: ignore[misc]
    """h11 bounds what it buffers; httptools does not: a head, a trailer or the name of a chunk may never end."""

    _silent = -1  # bytes since a message began or gave a piece of its body; -1 between messages

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        from httptools import HttpParserUpgrade  # it comes with uvicorn's reader, and is no dependency of ours

        super().connection_made(transport)
        self.parser: Any = Upgrading(self, self.parser, HttpParserUpgrade)

    def connection_lost(self, error: Exception | None) -> None:
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True  # uvicorn tells only the last one, which may wait behind this one
            self._running.message_event.set()
        super().connection_lost(error)

    def has_begun(self) -> bool:
        """Whether some of a head has come, and not the whole of it."""
        return self._silent >= 0

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
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError("another HTTP")  # a line without a version among them, which httptools calls 0.9
        self._silent = 0
        super().on_headers_complete()
        self.cycle.__class__ = UntilTheEnd if self.scope["http_version"] == "1.0" else Answer
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
        most = 2 * (self.limits.head + self.limits.target)
        if self._silent > most and not self.transport.is_closing():
            self.refuse(431, "head_too_long")


class _Ignored(list[tuple[bytes, bytes]]):
    """Keeps nothing."""

    def append(self, field: tuple[bytes, bytes]) -> None:
        pass
