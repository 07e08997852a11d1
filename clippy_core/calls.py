"""One HTTP request of httpx or httpx2, seen from both sides: the module's own objects, and ours."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from clippy_hookspecs import ClippyError, DeadlineExceeded, Headers, RawReply, Request, Response

from .opaque import OpaqueStream
from .records import new_reply
from .rewind import rewind_of
from .runtime import FlowCancelled
from .sources import EndedEarly, Phase, UnaskedStream, UnknownEncoding
from .streaming import LiveStream
from .wire import decode_request, encode_request, encode_response, find
from .wire.base import CorruptEvent
from .wire.sse import SseLimitError

_BEFORE_SENDING = frozenset(
    {
        "ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError",
        "ClientConnectorError", "ClientConnectorDNSError", "ConnectionTimeoutError", "InvalidURL",
    }
)  # fmt: skip
"""Exceptions of both modules, and of aiohttp, that mean that no byte of the request has left."""

_OURS = (
    ClippyError, EndedEarly, UnaskedStream, UnknownEncoding, FlowCancelled, CorruptEvent, SseLimitError, zlib.error,
)  # fmt: skip
"""Exceptions that the core makes of what it sees; a caller under httpx or httpx2 must get them as that module's own."""


class Call:
    """One request of a module, seen from both sides: the module's own object, and ours."""

    def __init__(self, module: ModuleType, original: Any, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self.module = module
        self.original = original
        url = original.url
        path, _, self.query = url.raw_path.decode("ascii").partition("?")
        self.url = f"{url.scheme}://{url.netloc.decode('ascii')}{path}"
        _, self.endpoint = find(original.method, path)
        self.headers = original.headers.raw if headers is None else headers
        self.request: Request | None = None
        self._answered: Any = None
        self._timeouts: dict[str, float | None] | None = None
        self._own_read: float | None = None

    def decode(self, body: bytes) -> Request:
        """Our request; b"" for a body that is not read."""
        headers = Headers.undecoded(self.headers)
        self.request = decode_request(self.original.method, self.url, self.query, headers, body)
        return self.request

    def again(self, allowed: int) -> Callable[[int], bool] | None:
        """Whether a call that could do harm twice may be sent once more, asked with the attempts made so far.

        *allowed* is how often the caller's SDK would have sent it again.  It may not where its body cannot be read
        again; a file is taken back to where it stood.  None where it never may.
        """
        streamed = self.endpoint.body == "stream"
        rewind = rewind_of(self.original.stream) if allowed and streamed else None
        if not allowed or (streamed and rewind is None):
            return None

        def may(attempts: int) -> bool:
            if attempts > allowed:
                return False
            try:
                if rewind is not None:
                    rewind()
            except (OSError, ValueError):  # closed meanwhile, say: the caller gets the provider's failure
                return False
            return True

        return may

    def outgoing(self, request: Request, timeouts: Mapping[str, float]) -> Any:
        """The module's request for one attempt: the caller's own object while nothing in it was changed."""
        original = self.original
        if request is self.request and not timeouts:
            return original
        extensions = dict(original.extensions)
        if timeouts:
            own = extensions.get("timeout") or {}
            self._timeouts = extensions["timeout"] = _shorter(own, timeouts)
            self._own_read = own.get("read")
        if request is self.request:
            return self.module.Request(
                original.method, original.url, headers=self.headers, stream=original.stream, extensions=extensions
            )
        url = original.url
        if (request.url, request.query) != (self.url, self.query):
            url = f"{request.url}?{request.query}" if request.query else request.url
        if request.endpoint.body == "stream":
            headers = request.headers.raw
            return self.module.Request(
                request.method, url, headers=headers, stream=original.stream, extensions=extensions
            )
        # Content-length and host are computed from what is really sent, never taken from the caller.
        headers = request.headers.without("content-length", "host", "transfer-encoding").raw
        return self.module.Request(
            request.method, url, headers=headers, content=encode_request(request), extensions=extensions
        )

    def reply(self, response: Any, body: Any) -> RawReply:
        """Our reply for the module's response.

        The body is read with the caller's own timeout again, which httpcore looks up at its first read: ours was for
        the head, and between two pieces more time may pass than until the first.
        """
        if self._timeouts is not None:
            self._timeouts["read"] = self._own_read
        headers = Headers.undecoded(response.headers.raw)
        if response.is_stream_consumed and not isinstance(response.stream, self.module.ByteStream):
            # The transport has read it, to log it, say: there is nothing left on its connection, which by now may be
            # another request's; and what it read it decoded.
            self._answered = None
            if "content-encoding" in headers:
                headers = headers.without("content-encoding", "content-length")
            return RawReply(response.status_code, headers, Whole(response.content), response.extensions)
        self._answered = response
        return new_reply(response.status_code, headers, body, response.extensions)

    def response(self, response: Response, *, as_sent: bool = False) -> Any:
        """The module's response for a whole answer of ours: a stream of one piece, as a transport gives it.

        *as_sent*: nothing of it was changed, so that it is the transport's own, if a transport and no plugin sent it.
        """
        body = encode_response(response)
        own = self._answered
        if as_sent and own is not None:
            own.stream, own.extensions = self.module.ByteStream(body), dict(response.extensions)
            return own
        headers = response.headers.without("content-length").raw
        if body or response.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(body)))
        return self.module.Response(
            response.status,
            headers=headers,
            stream=self.module.ByteStream(body),
            extensions=dict(response.extensions),
        )

    def streamed(self, stream: LiveStream | OpaqueStream, body: Any) -> Any:
        """The module's response for a stream of ours."""
        return self.module.Response(
            stream.status, headers=stream.headers.raw, stream=body, extensions=dict(stream.extensions)
        )

    def exception(self, cause: BaseException | None, message: str) -> BaseException:
        """An exception of this module for a failure of ours; what came from below is what it was."""
        if cause is not None and not isinstance(cause, _OURS):
            return cause
        kind = self.module.RemoteProtocolError
        if isinstance(cause, DeadlineExceeded):
            kind = self.module.ReadTimeout
        elif isinstance(cause, FlowCancelled):
            kind = self.module.ReadError
        elif isinstance(cause, zlib.error):
            kind = self.module.DecodingError
        error: BaseException = kind(message, request=self.original)
        error.__cause__ = cause
        return error


def _shorter(own: Mapping[str, float | None], ours: Mapping[str, float]) -> dict[str, float | None]:
    """The caller's timeouts, each cut to ours."""
    merged: dict[str, float | None] = {"connect": None, "read": None, "write": None, "pool": None, **own}
    for name, seconds in ours.items():
        before = merged[name]
        merged[name] = seconds if before is None else min(before, seconds)
    return merged


def phase(error: BaseException) -> Phase:
    """When an exception of either module, or of aiohttp, happened."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return "connect" if names & _BEFORE_SENDING else "request"


class Whole:
    """A body that is here already, as one piece."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body

    async def next(self) -> bytes | None:
        body, self._body = self._body, None
        return body

    async def aclose(self) -> None:
        """Nothing is open."""


class Pieces:
    """The body of a sync response, piece by piece."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._iterator: Iterator[bytes] | None = None

    async def next(self) -> bytes | None:
        if self._iterator is None:
            self._iterator = iter(self._stream)
        return next(self._iterator, None)

    async def aclose(self) -> None:
        self._stream.close()


class AsyncPieces:
    """The body of an async response, piece by piece."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._iterator: Any = None

    async def next(self) -> bytes | None:
        if self._iterator is None:
            self._iterator = self._stream.__aiter__()
        try:
            piece: bytes = await self._iterator.__anext__()
        except StopAsyncIteration:
            return None
        return piece

    async def aclose(self) -> None:
        await self._stream.aclose()


class SyncSender:
    """Sends through a sync inner transport."""

    phase = staticmethod(phase)

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner, self._call = inner, call

    async def send(self, request: Request, timeouts: Mapping[str, float]) -> RawReply:
        response = self._inner.handle_request(self._call.outgoing(request, timeouts))
        return self._call.reply(response, Pieces(response.stream))


class AsyncSender:
    """Sends through an async inner transport."""

    phase = staticmethod(phase)

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner, self._call = inner, call

    async def send(self, request: Request, timeouts: Mapping[str, float]) -> RawReply:
        response = await self._inner.handle_async_request(self._call.outgoing(request, timeouts))
        return self._call.reply(response, AsyncPieces(response.stream))
