"""Answers that are there as a whole leave in one write: a second would cost a system call, and wake who waits twice."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from .sending import WHOLE

_SHORT = 64 * 1024
"""Bytes of a body up to which copying it costs less than a write of its own."""


class Answer(RequestResponseCycle):
    """uvicorn's answer; the head of one that says it is whole waits for its body."""

    def send(self, message: Any) -> Awaitable[None]:  # type: ignore[override]  # what awaits it sees no difference
        """As uvicorn's own."""
        if WHOLE in message and self.scope["method"] != "HEAD" and not self.response_started:
            self.transport: Any = _Joining(self)
        return super().send(message)


class _Joining:
    """Stands in the place of an answer's transport from its head to its body, which is written next."""

    __slots__ = ("_answer", "_head", "_transport")

    def __init__(self, answer: Answer) -> None:
        self._answer, self._transport, self._head = answer, answer.transport, b""

    def write(self, data: bytes) -> None:
        if not self._head:
            self._head = data
            return
        if len(data) <= _SHORT:
            self._head, data = b"", self._head + data
        self._end()
        self._transport.write(data)

    def close(self) -> None:
        """There is no body, because whoever makes it failed."""
        self._end()
        self._transport.close()

    def is_closing(self) -> bool:
        closing: bool = self._transport.is_closing()
        return closing

    def _end(self) -> None:
        self._answer.transport = self._transport
        if self._head:
            self._transport.write(self._head)
