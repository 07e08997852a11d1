"""How long a connection is waited for: until a whole head has come, and until its reader takes what is sent to it.

An application cannot hold these limits: it sees a head only when it is whole.
"""

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


class Patient(asyncio.Protocol):
    """Closes a connection that brings no whole head in time: its first one, or another after an answer.

    The rest of one of uvicorn's readers of HTTP stands behind it; ``limits`` and ``note`` are set by a subclass.
    """

    limits: Limits
    note: Note
    cycle: Any
    """uvicorn's: the request that came last."""
    loop: asyncio.AbstractEventLoop
    transport: Any

    _answered: Any = None  # the request that was under way when somebody last looked
    _running: Any = None  # the request that is answered; ``cycle`` is the last that came
    _refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.logger = _log
        super().connection_made(transport)
        self._waiting = self.loop.call_later(self.limits.head_seconds, self._too_slow)
        self._stall = Stall(transport, self.limits.stall_seconds, self._cut_off)

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

    def has_begun(self) -> bool:
        """Whether some of a head has come, and not the whole of it."""
        raise NotImplementedError

    def send_400_response(self, msg: str) -> None:
        self.refuse(400, "no_http")

    def refuse(self, status: int, code: str) -> None:
        """Answer what is no request, and close the connection.

        What came whole before it is answered first, and nothing is written into an answer that is under way.
        """
        if self._refused:
            return
        self._refused, last = True, self.cycle
        self.note(status, code)
        under_way = last is not None and not last.response_complete
        if under_way and not last.more_body:
            last.keep_alive = False
            return
        queued = self._running is not None and self._running is not last
        if not under_way or not (last.response_started or queued):
            phrase = HTTPStatus(status).phrase
            head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain\r\ncontent-length: {len(phrase) + 1}\r\n"
            self.transport.write(f"{head}connection: close\r\n\r\n{phrase}\n".encode())
        self.transport.close()

    def _cut_off(self) -> None:
        answered = self._running or self.cycle
        if answered is not None and not answered.response_complete:
            answered.scope[STALLED] = True
        reset(self.transport)

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
        self._waiting = self.loop.call_later(self.limits.head_seconds, self._too_slow)
