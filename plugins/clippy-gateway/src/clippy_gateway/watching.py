"""Whether the caller, and the gateway, are still there while an answer is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from clippy_hookspecs.services import ByteStream, RawReply

from .forms import Refused

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_PATIENCE = 0.25
"""Seconds after which somebody looks whether the caller is still there.

What comes from a cache, or over a busy loop from a quick provider, has gone out by then, without a task for it.
"""


class Cancelled(Exception):
    """Somebody cancelled the answer while it went out: its pages, a command or a plugin."""


class Watch:
    """Cancels the task that answers when the body has not come within *seconds*, or when the caller leaves.

    One timer is for both, and nearly every request ends before it.  To look whether the caller leaves costs a task; it
    is begun only for answers that take their time.
    """

    __slots__ = ("_answering", "_ending", "_loop", "_receive", "_task", "_timer", "_until", "gone", "late", "told")

    def __init__(self, receive: Receive, seconds: float, ending: Callable[[], bool]) -> None:
        self._receive, self._ending = receive, ending
        self.gone = self.late = False
        self.told = ""  # the request's id, once its caller was told
        self._loop = loop = asyncio.get_running_loop()
        self._answering = asyncio.current_task(loop)
        self._task: asyncio.Task[None] | None = None
        self._until: float | None = loop.time() + seconds
        self._timer = loop.call_later(min(seconds, _PATIENCE), self._wait_on)

    def has_body(self) -> None:
        """The whole body is here."""
        self._until = None

    def cut_by(self) -> str:
        """Who ended the answer before its end: a server that drains cuts off those who still read."""
        return "shutdown" if self._ending() and not self.gone else "caller"

    def _wait_on(self) -> None:
        if self._until is None:
            self._task = self._loop.create_task(self._look())
        elif (left := self._until - self._loop.time()) > 0:
            self._timer = self._loop.call_later(min(left, _PATIENCE), self._wait_on)
        elif self._answering is not None:
            self.late = True
            self._answering.cancel()

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._answering is not None:
            self._answering.cancel()

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


def ended() -> Refused:
    """Why there is no answer to a request whose task was cancelled, and now goes on to say so."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
    return Refused(503, "gateway_ending", "the gateway ended before there was an answer", close=True)


async def pump(body: ByteStream, send: Send, watch: Watch) -> None:
    """Each piece at once; the next one is read when the caller has room for it.

    With the end the caller has everything: whether it then leaves is nobody's concern, and nothing is cancelled for it.
    """
    while (piece := await body.next()) is not None:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    watch.stop()
    await send({"type": "http.response.body", "body": b""})


def was_cancelled(reply: RawReply) -> bool:
    """Whether a streamed answer ended because somebody cancelled it through its flow."""
    ctx = reply.extensions.get("clippy")
    return ctx is not None and ctx.flow.state == "cancelled"
