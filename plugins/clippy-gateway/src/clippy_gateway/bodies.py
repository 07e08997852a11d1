"""A body on its way in: bounded in bytes and time while it comes, and in depth before anybody parses it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from .forms import Refused
from .heads import too_large
from .settings import RequestLimits

Receive = Callable[[], Awaitable[Any]]

_SPACE = b" \t\r\n"
_STRUCTURE = bytes(byte for byte in range(256) if byte not in b"[]{}")
_BEGINNING = re.compile(rb"[ \t\r\n]*+[\[{]")
_LONG = 256 * 1024
"""Bytes from which on looking at a body takes milliseconds, in which nobody else is answered.

Another thread would not help: whoever reads JSON holds the interpreter until it is read.
"""


class Gone(Exception):
    """The caller left."""


async def read_body(receive: Receive, limits: RequestLimits) -> bytes:
    """The whole body.  Raises Refused for one that is too long, and Gone."""
    message = await receive()
    if message["type"] != "http.request" or message.get("more_body", False):
        return await _rest(message, receive, limits)
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


def too_slow(limits: RequestLimits) -> Refused:
    """The refusal of a body that was waited for long enough."""
    return Refused(408, "body_too_slow", f"the body took more than {limits.seconds:g} s", close=True)


async def judge_json(body: bytes, content_type: bytes, limits: RequestLimits) -> None:
    """Raises Refused for what takes too long to read as JSON.  Others have their turn before and after a long look.

    Plugins may read a body as JSON whatever its *content_type* says that it is.
    """
    text = in_utf_8(body)
    if content_type.lower().find(b"json") < 0 and _BEGINNING.match(text) is None:
        return
    if len(text) < _LONG:
        judge_shape(text, limits)
        return
    await asyncio.sleep(0)
    judge_shape(text, limits)
    await asyncio.sleep(0)


def in_utf_8(body: bytes) -> bytes:
    """*body* as whoever reads it as JSON does: Python's reader takes UTF-16 and UTF-32 as well, and drops a mark."""
    begins = body[:4]
    if begins.isascii() and 0 not in begins:
        return body
    try:
        return body.decode(json.detect_encoding(body), "surrogatepass").encode("utf-8", "surrogatepass")
    except UnicodeError:
        return body


def judge_shape(body: bytes, limits: RequestLimits) -> None:
    """Raises Refused for JSON of more values, or nested deeper, than is allowed.

    Counted on the bytes, strings left out, so that nothing has to be parsed for it; what is no JSON is left to those
    who parse, who stop at its first fault, up to which this counts the same.  Before each value but
    the first stands a comma or what opens an array or an object, and nothing stands in an empty one.
    """
    opened = body.count(b"[") + body.count(b"{")
    if opened <= limits.depth and (len(body) <= limits.values or opened + body.count(b",") <= limits.values):
        return
    # To leave strings out takes long where there are many; each is a value or the name of one.
    if (body.count(b'"') - body.count(b'\\"')) // 4 > limits.values:
        raise _too_complex(limits)
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # what is left of quotes begins or ends a string
    outside = b'"'.join(plain.split(b'"')[::2]).translate(None, _SPACE)
    empty = outside.count(b"[]") + outside.count(b"{}")
    if sum(map(outside.count, (b"[", b"{", b","))) - empty > limits.values:
        raise _too_complex(limits)
    structure = outside.translate(None, _STRUCTURE)
    depth = 0
    for byte in structure:
        if byte in b"[{":
            depth += 1
            if depth > limits.depth:
                raise Refused(400, "body_too_deep", f"the body is nested deeper than {limits.depth} levels")
        else:
            depth -= 1


def _too_complex(limits: RequestLimits) -> Refused:
    return Refused(413, "body_too_complex", f"the body holds more than {limits.values} values")


def read_json(body: bytes) -> object:
    """The value of *body*.  Raises ValueError for what no provider could read.

    Half a surrogate pair, as JavaScript cuts them, is for the provider to judge, and no way around a list of models;
    another encoding than UTF-8 is not JSON.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        pass
    try:
        return json.loads(body.decode())
    except RecursionError:
        raise ValueError("nested too deep") from None
