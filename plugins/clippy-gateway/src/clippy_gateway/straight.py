"""Small requests straight over aiohttp's connections, without its session's request and response around them.

Those are more than half of what a small request costs.  Where a connection comes from, how it is kept, what is read of
it and how long is waited are aiohttp's own; what is no plain call (another method, a proxy, a large body) goes through
its session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from functools import cache, lru_cache
from inspect import signature
from typing import Any

import aiohttp
from clippy_hookspecs import Headers
from yarl import URL

from .connecting import Protocol
from .echoes import Pair, asked_for, key_in
from .headers import holds_key

log = logging.getLogger("clippy.gateway")

LARGEST = 64 * 1024
"""Bytes of a body that is written with its head, in one piece: of a larger one the provider may have enough before."""
_MOST = 1024
"""Addresses that are remembered; then it begins anew."""
WRITTEN_ANEW = frozenset({"host", "content-length", "transfer-encoding", "connection", "keep-alive", "expect"})
"""Headers that belong to one connection."""
_KEY, _ENCODINGS = "key", "encodings"
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})
"""What aiohttp writes in no head: with line breaks of its own, a value would be a header or a request more."""


class Answer:
    """What has come of an answer: as much of aiohttp's own as the gateway looks at."""

    __slots__ = ("connection", "content", "headers", "raw_headers", "status")

    def __init__(self, connection: Any, head: Any, content: aiohttp.StreamReader) -> None:
        self.connection, self.content = connection, content
        self.status: int = head.code
        self.headers: Mapping[str, str] = head.headers
        self.raw_headers: Sequence[Pair] = head.raw_headers
        content.on_eof(self.release)

    def __del__(self) -> None:
        """Nobody is warned of a connection whose answer was let go of, as aiohttp's own does it."""
        self.connection.release()

    async def read(self) -> bytes:
        """The whole body.  Raises ClientPayloadError where it broke off."""
        return await self.content.read()

    def release(self) -> None:
        """Give the connection back."""
        self.connection.release()

    def close(self) -> None:
        """Close the connection; whoever still reads of it is told."""
        if not self.content.is_eof() and self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientConnectionError("Connection closed"))
        self.connection.close()


class Place:
    """An address, as far as it is the same with every request to it: for the pool of connections, and on the wire."""

    __slots__ = ("begins", "pooled")

    def __init__(self, url: URL, session: aiohttp.ClientSession) -> None:
        self.pooled = aiohttp.ClientRequest("POST", url, loop=asyncio.get_running_loop(), session=session)
        self.begins = f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {self.pooled.headers['Host']}\r\n".encode()


class Straight:
    """Sends what is a plain call over the connections of *session*."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._connector: Any = session.connector
        self._garbled: Any = rehearsed()
        self._places: dict[URL, Place | None] = {}

    def place(self, url: URL) -> Place | None:
        """What is known of *url*; None where aiohttp's session has more to do: a proxy, a name and a password."""
        place = self._places.get(url)
        if place is None and url not in self._places:
            if len(self._places) >= _MOST:
                self._places.clear()
            place = self._places[url] = self._place(url)
        return place

    def _place(self, url: URL) -> Place | None:
        plain = url.scheme in ("http", "https") and url.raw_host and url.raw_user is None and url.raw_password is None
        if not plain or self._session.trust_env or self._garbled is None:
            return None
        try:
            place = Place(url, self._session)
        except ValueError:  # no URL, or half a surrogate pair in it
            return None
        return place if len(place.begins.translate(None, _CONTROLS)) == len(place.begins) - 4 else None

    async def send(self, place: Place, lines: bytes, body: bytes, timeout: aiohttp.ClientTimeout) -> Answer:
        """POST *body* under the header *lines*.  Raises what aiohttp's session raises."""
        try:
            connection = await self._connector.connect(place.pooled, traces=[], timeout=timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {place.pooled.url}") from error
        except aiohttp.ClientError:
            raise
        except OSError as error:
            raise aiohttp.ClientOSError(*error.args) from error
        try:
            protocol = connection.protocol
            if protocol.transport is None or protocol.transport.is_closing():
                raise aiohttp.ServerDisconnectedError
            _listen(protocol, timeout.sock_read)
            protocol.transport.write(b"%b%bContent-Length: %d\r\n\r\n%b" % (place.begins, lines, len(body), body))
            protocol.start_timeout()
            head, content = await protocol.read()
            while 100 <= head.code < 200 and head.code != 101:  # not the answer yet (RFC 9110 section 15.2)
                head, content = await protocol.read()
        except self._garbled as error:
            connection.close()
            raise aiohttp.ClientResponseError(
                place.pooled.request_info, (), status=error.code, message=error.message, headers=error.headers
            ) from error
        except BaseException:
            connection.close()
            raise
        return Answer(connection, head, content)


def written(headers: Headers) -> tuple[bytes, Sequence[bytes]] | None:
    """The lines of a request's headers as they leave, and the keys in them; None for what aiohttp must judge."""
    lines: list[bytes] = []
    keys: list[bytes] = []
    encodings: int | None = None
    try:
        for pair in headers.raw:
            kind = _kind(pair[0])
            if kind is not None:
                if kind is WRITTEN_ANEW:
                    continue
                if kind is _KEY:
                    if (key := key_in(pair[1].decode("latin-1"))) is not None:
                        keys.append(key)
                elif encodings is None:
                    encodings = len(lines)
                else:
                    return None
            lines.append(b"%b: %b\r\n" % pair)
    except UnicodeEncodeError:
        return None
    if keys and encodings is not None:
        name, _, accepted = lines[encodings].partition(b": ")
        lines[encodings] = b"%b: %b\r\n" % (name, _cut(accepted[:-2]))
    together = b"".join(lines)
    if len(together.translate(None, _CONTROLS)) != len(together) - 2 * len(lines):
        return None
    return together, keys


@cache
def rehearsed() -> type[Exception] | None:
    """The exception for an answer that is no HTTP; None, and a line in the log, where aiohttp is another inside.

    It promises nobody what is used of it here, so an answer is read once, for the process, without a connection.
    """
    try:
        from aiohttp.http_exceptions import HttpProcessingError

        signature(aiohttp.TCPConnector.connect).bind(None, None, traces=[], timeout=None)
        protocol = Protocol(asyncio.get_running_loop())
        _listen(protocol, None)
        protocol.start_timeout()
        protocol.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        head, content = _at_once(protocol.read())
        given_back: list[None] = []
        content.on_eof(lambda: given_back.append(None))
        told = head.code, head.headers.get("content-length"), head.raw_headers
        found = *told, _at_once(content.read()), len(given_back)
        if found != (200, "2", ((b"content-length", b"2"),), b"{}", 1):
            raise TypeError(f"an answer is read as {found}")
    except Exception as error:
        log.warning(
            "small requests cost more than they could: aiohttp %s is another inside than this gateway knows (%s: %s);"
            " they go through its session",
            *(aiohttp.__version__, type(error).__name__, error),
        )
        return None
    return HttpProcessingError


def _listen(protocol: Any, timeout: float | None) -> None:
    protocol.set_response_params(skip_payload=False, read_until_eof=True, auto_decompress=False, read_timeout=timeout)


def _at_once(waiting: Coroutine[Any, Any, Any]) -> Any:
    try:
        waiting.send(None)
    except StopIteration as end:
        return end.value
    waiting.close()
    raise TypeError("an answer that is there is waited for")


@lru_cache(maxsize=256)
def _kind(name: bytes) -> object:
    lower = name.decode("latin-1").lower()
    if lower in WRITTEN_ANEW:
        return WRITTEN_ANEW
    return _KEY if holds_key(lower) else _ENCODINGS if lower == "accept-encoding" else None


@lru_cache(maxsize=256)
def _cut(accepted: bytes) -> bytes:
    return asked_for(accepted.decode("latin-1")).encode("latin-1")
