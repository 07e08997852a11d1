"""Sending over aiohttp: for many requests at once it costs a ninth of what httpx costs."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import aiohttp
from attrs import define, field
from clippy_hookspecs import Headers, hookimpl
from clippy_hookspecs.services import Host, RawReply, RawRequest, ServiceRegistry, Upstream
from multidict import CIMultiDict
from yarl import URL

from .at_once import RequestAtOnce
from .connecting import Connector
from .echoes import Hiding, Pair, asked_for, can_unpack, key_in, packed, without_keys
from .headers import holds_key
from .resolving import JudgingResolver
from .settings import Connections
from .straight import LARGEST, WRITTEN_ANEW, Answer, Straight, written

_KEY = "key"
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_WHOLE = 1024 * 1024
"""Bytes that are read or written at once; longer bodies, and answers of unknown length, go piece by piece."""

_NOTHING: Mapping[str, Any] = {}

Opened = tuple[aiohttp.ClientSession, Straight]


@define(eq=False)
class AiohttpUpstream:
    """Offers connections over aiohttp to a host on asyncio: no cookies, no redirects, nothing unpacked on the way.

    A session for each event loop, closed when the host closes.
    """

    connections: Connections = field(factory=Connections)
    public_only: tuple[str, ...] = ()
    inline = True
    _usual: aiohttp.ClientTimeout = field(init=False, repr=False)
    _sessions: dict[asyncio.AbstractEventLoop, Opened] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._usual = _timeout(self.connections.connect, self.connections.read, None)

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(Upstream, self)

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        opened = self._sessions.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened[0].close()

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        """As :meth:`clippy_hookspecs.Upstream.send`.  Raises aiohttp's own exceptions, and TimeoutError."""
        session, straight = self._sessions.get(asyncio.get_running_loop()) or self._opened()
        method, url, body = request.method, _url(request.url), request.body
        limits = self._timeouts(timeout) if timeout else self._usual
        plain = method == "POST" and 0 < len(body) <= LARGEST
        place = straight.place(url) if plain else None
        lines = None if place is None else written(request.headers)
        response: Answer | aiohttp.ClientResponse
        if place is not None and lines is not None:
            response, keys = await straight.send(place, lines[0], body, limits), lines[1]
        else:
            headers, keys = _leaving(request.headers.pairs)
            response = await session.request(
                method, url, data=_payload(body), headers=headers, allow_redirects=False, timeout=limits
            )
        fields: Sequence[Pair] = response.raw_headers
        if keys:
            fields = without_keys(fields, keys)
        told = response.headers
        length = told.get("Content-Length", "")
        if not length.isdigit() or int(length) > _WHOLE or "Content-Encoding" in told or _is_stream(told):
            return _streamed(response, fields, keys)
        try:
            content = await response.read()
        except BaseException:
            response.close()
            raise
        for key in keys:
            if content.find(key) >= 0:
                content = content.replace(key, b"***")
        return RawReply(response.status, Headers.undecoded(fields), content, _NOTHING)

    def _opened(self) -> Opened:
        own = self.connections
        session = aiohttp.ClientSession(
            connector=Connector(
                limit=own.limit,
                keepalive_timeout=own.keep,
                ttl_dns_cache=10,
                resolver=JudgingResolver(self.public_only),
            ),
            request_class=aiohttp.ClientRequest if sys.version_info >= (3, 12) else RequestAtOnce,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOT_ADDED,
            timeout=self._usual,
            trust_env=_proxied(),
        )
        opened = self._sessions[asyncio.get_running_loop()] = session, Straight(session)
        return opened

    def _timeouts(self, asked: Mapping[str, float | None]) -> aiohttp.ClientTimeout:
        own = self.connections
        return _timeout(
            _shorter(own.connect, asked.get("connect")), _shorter(own.read, asked.get("read")), asked.get("pool")
        )


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """*body* as aiohttp likes to have it: one as large as a picture in pieces, between which others have their turn."""
    return (body or None) if len(body) <= _WHOLE else io.BytesIO(body)


def _leaving(pairs: Sequence[tuple[str, str]]) -> tuple[CIMultiDict[str], Sequence[bytes]]:
    """The headers of a request as they leave, and the keys in them."""
    kept, keys = [], []
    for pair in pairs:
        name, value = pair
        kind = _kind(name)
        if kind is WRITTEN_ANEW:
            continue
        if kind is _KEY and (key := key_in(value)):
            keys.append(key)
        kept.append(pair if value.isascii() else (name, _as_it_came(value)))
    sent = CIMultiDict(kept)
    if keys and (accepted := sent.get("accept-encoding")):
        sent["accept-encoding"] = _cut(accepted)
    return sent, keys


@lru_cache(maxsize=256)
def _kind(name: str) -> object:
    lower = name.lower()
    return WRITTEN_ANEW if lower in WRITTEN_ANEW else _KEY if holds_key(lower) else None


def _as_it_came(value: str) -> str:
    """What aiohttp, which writes UTF-8, makes the bytes of again that *value* was before it was read as Latin-1.

    Bytes that are no UTF-8 it cannot write.
    """
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


_cut = lru_cache(maxsize=256)(asked_for)


def _streamed(response: Answer | aiohttp.ClientResponse, fields: Sequence[Pair], keys: Sequence[bytes]) -> RawReply:
    """An answer whose body goes piece by piece.  A packed one is looked into if it is an error: those repeat keys."""
    hiding, coding = None, packed(fields) if keys else ""
    if keys and not coding:
        hiding = Hiding(keys)
    elif response.status >= 400 and can_unpack(coding):
        hiding = Hiding(keys, unpack=True)
        fields = [pair for pair in fields if pair[0].lower() not in (b"content-encoding", b"content-length")]
    return RawReply(response.status, Headers.undecoded(fields), AiohttpBody(response, hiding), _NOTHING)


class AiohttpBody:
    """The body of an answer, piece by piece: the socket is read when somebody asks for the next one."""

    __slots__ = ("_closed", "_content", "_hiding", "_response")

    def __init__(self, response: Answer | aiohttp.ClientResponse, hiding: Hiding | None = None) -> None:
        self._response, self._content, self._hiding = response, response.content, hiding
        protocol = None if response.connection is None else response.connection.protocol
        # aiohttp closes a connection whose chunks it cannot read and tells its reader nothing, who would wait for ever.
        self._closed: asyncio.Future[None] | None = None if protocol is None else protocol.closed
        if self._closed is not None:
            self._closed.remove_done_callback(_retrieve)  # that of the answer before
            self._closed.add_done_callback(_retrieve)
            self._closed.add_done_callback(self._break_off)

    async def next(self) -> bytes | None:
        """The next piece, None at the end.  Raises ClientPayloadError where the answer broke off."""
        while True:
            piece = await self._content.readany()
            if self._hiding is None:
                return piece or None
            shown = self._hiding.feed(piece) if piece else self._hiding.finish()
            if shown or not piece:
                return shown or None

    async def aclose(self) -> None:
        """Give the connection back if it was read to its end, and close it otherwise."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._break_off)
        if not self._content.at_eof():
            self._response.close()
        else:
            self._response.release()

    def _break_off(self, _: asyncio.Future[None]) -> None:
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(aiohttp.ClientPayloadError("the connection was closed within the answer"))


def _retrieve(closed: asyncio.Future[None]) -> None:
    """Nobody else asks why a connection was closed, and asyncio would log that nobody did."""
    if not closed.cancelled():
        closed.exception()


def _is_stream(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").lower().startswith("text/event-stream")


def _proxied() -> bool:
    """Whether the environment names a proxy: asking for it costs every request, also where there is none."""
    from urllib.request import getproxies

    return bool(set(getproxies()) - {"no"})


def _shorter(own: float | None, asked: float | None) -> float | None:
    return own if asked is None else asked if own is None else min(own, asked)


@lru_cache(maxsize=256)
def _timeout(connect: float | None, read: float | None, pool: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=pool, sock_connect=connect, sock_read=read)


@lru_cache(maxsize=1024)
def _url(url: str) -> URL:
    return URL(url, encoded=True)
