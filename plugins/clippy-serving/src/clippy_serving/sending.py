"""An answer on its way out: whole, or piece by piece until it ends or its reader leaves."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import anyio
from clippy_hookspecs.services import ByteStream, RawReply

Message = MutableMapping[str, Any]
_log = logging.getLogger("clippy.serving")

WHOLE = "clippy.whole"
"""A key of ASGI's ``http.response.start``: the body is there and sent next, in one piece.

Only the server of this package reads it; others pass over it.
"""

_OF_THE_CONNECTION = frozenset({"connection", "content-length", "keep-alive", "server", "transfer-encoding", "upgrade"})


class Gone(Exception):
    """The client left before its request was whole."""


async def send_reply(
    reply: RawReply,
    extra: Mapping[str, str],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
    *,
    head: bool = False,
    until: anyio.CancelScope,
) -> None:
    """Send *reply* with *extra* headers; a *head* gets no body.  A body that is a stream is closed in every case.

    Cancelling *until* ends the answer in good order: what was read is sent, then the end.  Of a stream that raises
    nothing more is sent, no end either: the server closes the connection, and its reader does not take it for whole.
    """
    body = reply.body
    try:
        start = {"type": "http.response.start", "status": reply.status, "headers": _fields(reply, extra)}
        if isinstance(body, bytes):
            start[WHOLE] = True
        await send(start)
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": b"" if head else body})
        elif head or await _pump(body, receive, send, until):
            await send({"type": "http.response.body", "body": b""})
    finally:
        if not isinstance(body, bytes):
            with anyio.CancelScope(shield=True):
                await body.aclose()


async def _pump(
    body: ByteStream,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
    until: anyio.CancelScope,
) -> bool:
    """Whether the reader stayed to the end, and there was one."""
    left = False
    failed: BaseException | None = None
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            nonlocal left
            while (await receive())["type"] != "http.disconnect":
                pass
            left = True
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            with until:
                while (piece := await body.next()) is not None:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Exception as error:
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None and not left:
        told = _log.warning if isinstance(failed, ConnectionError) else _log.error  # whose far end is gone, is no fault
        told("an answer broke off", exc_info=None if isinstance(failed, ConnectionError) else failed)
    return failed is None and not left


def _fields(reply: RawReply, extra: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    given = [(name.lower(), value) for name, value in reply.headers.pairs]
    fields = [(name, value) for name, value in given if name not in _OF_THE_CONNECTION]
    names = {name for name, _ in fields}
    fields += [(name.lower(), value) for name, value in extra.items() if name.lower() not in names]
    if ("connection", "close") in given:
        fields.append(("connection", "close"))
    if isinstance(reply.body, bytes) and reply.status not in {204, 304}:
        fields.append(("content-length", str(len(reply.body))))
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
