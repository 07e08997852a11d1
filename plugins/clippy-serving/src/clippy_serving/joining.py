"""Answers that are there as a whole leave in one write: a second would cost a system call, and wake who waits twice."""

from __future__ import annotations

from collections.abc import Awaitable
from operator import itemgetter
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from .sending import WHOLE

_SHORT = 64 * 1024
"""Bytes of a body up to which copying it costs less than a write of its own."""
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
"""What names of headers are made of (RFC 9110 section 5.6.2), in lower case."""
_PLAIN = bytes(byte for byte in range(256) if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))
_names, _values = itemgetter(0), itemgetter(1)


class Answer(RequestResponseCycle):
    """uvicorn's answer; the head of one that says it is whole waits for its body.

    What is as usual about such a one is seen at a glance; all else is left to uvicorn, which looks at each header.
    """

    _head: Any = None

    def send(self, message: Any) -> Awaitable[None]:  # type: ignore[override]  # what awaits it sees no difference
        """As uvicorn's own."""
        if self._head is not None and message["type"] != "http.response.start":
            return self._send_both(message)
        self._head = None  # of one that failed before its body: uvicorn's own answer takes the place
        if WHOLE in message:
            return self._keep(message)
        return super().send(message)

    async def _keep(self, head: Any) -> None:
        self._head = head

    async def _send_both(self, message: Any) -> None:
        head, self._head = self._head, None
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        fields, body = [*head.get("headers", ())], message.get("body", b"")
        if not self._is_usual(head["status"], fields, body, message):
            first: Any = {**head, "headers": fields}
            await super().send(first)
            await super().send(message)
            return
        self.waiting_for_100_continue = False
        lines = [b"%b: %b\r\n" % (name, value) for name, value in (*self.default_headers, *fields)]
        self.transport.write(b"".join([STATUS_LINE[head["status"]], *lines, b"\r\n", body]))
        self.response_started = self.response_complete = True
        self.message_event.set()
        self.on_response()

    def _is_usual(self, status: int, fields: list[Any], body: bytes, message: Any) -> bool:
        """Whether it is a short answer of the length that it tells, on a connection that stays."""
        names = [*map(_names, fields)]
        return (
            self.keep_alive
            and not self.response_started
            and message["type"] == "http.response.body"
            and not message.get("more_body")
            and self.scope["method"] != "HEAD"
            and status not in (204, 304)
            and len(body) <= _SHORT
            and names.count(b"content-length") == 1
            and (b"content-length", b"%d" % len(body)) in fields
            and b"connection" not in names
            and b"transfer-encoding" not in names
            and not b"".join(names).translate(None, _TOKEN)
            and not b"".join(map(_values, fields)).translate(None, _PLAIN)
        )
