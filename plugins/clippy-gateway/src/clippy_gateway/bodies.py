"""A body on its way in: bounded in bytes and time while it comes, and in depth before anybody parses it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .forms import Refused
from .heads import too_large
from .settings import RequestLimits

Receive = Callable[[], Awaitable[Any]]

_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"[]{}")
_MANY = 1_000_000
"""Brackets in one body: beyond this reading them costs all others more than the answer is worth."""


class Gone(Exception):
    """The caller left."""


async def read_body(receive: Receive, limits: RequestLimits) -> bytes:
    """The whole body.  Raises Refused for one that is too long or too slow, and Gone."""
    try:
        async with asyncio.timeout(limits.seconds):  # also the first piece may never come
            message = await receive()
            if message["type"] != "http.request" or message.get("more_body", False):
                return await _rest(message, receive, limits)
    except TimeoutError:
        raise Refused(408, "body_too_slow", f"the body took more than {limits.seconds:g} s", close=True) from None
    body: bytes = message.get("body", b"")
    if len(body) > limits.body:
        raise too_large(limits)
    return body


async def _rest(message: Any, receive: Receive, limits: RequestLimits) -> bytes:
    pieces, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise Gone
        piece = message.get("body", b"")
        size += len(piece)
        if size > limits.body:
            raise too_large(limits)
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await receive()


def judge_depth(body: bytes, limits: RequestLimits) -> None:
    """Raises Refused for JSON that is nested deeper than is allowed.

    Counted on the bytes, strings left out, so that nothing has to be parsed for it; what is no JSON is left to those
    who parse, who stop at its first fault, up to which this counts the same.
    """
    if body.count(b"[") + body.count(b"{") <= limits.depth:
        return
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # what is left of quotes begins or ends a string
    structure = b"".join(plain.split(b'"')[::2]).translate(None, _STRUCTURE)
    if len(structure) > _MANY:
        raise Refused(413, "body_too_complex", f"the body has more than {_MANY // 2} objects and arrays")
    depth = 0
    for byte in structure:
        if byte in b"[{":
            depth += 1
            if depth > limits.depth:
                raise Refused(400, "body_too_deep", f"the body is nested deeper than {limits.depth} levels")
        else:
            depth -= 1
