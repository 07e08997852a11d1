"""Transports for httpx and httpx2: the entrance that works under an SDK.

The two modules have the same interface and incompatible classes, so the classes here are made for a given module.  An
answer to a request that no plugin touches is the inner transport's own.
"""

from __future__ import annotations

import functools
import weakref
import zlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from clippy_hookspecs import (
    ClippyError,
    DeadlineExceeded,
    Headers,
    PluginError,
    RawReply,
    Refusal,
    Request,
    Response,
    StreamInterrupted,
)

from .entrance import GaveUp, error_answer
from .pipeline import AttemptsFailed, Pipeline, Result
from .runtime import FlowCancelled, drive
from .sources import EndedEarly, Phase
from .streaming import LiveStream, OpaqueStream, Piece
from .wire import decode_request, encode_request, encode_response, find
from .wire.base import CorruptEvent
from .wire.sse import SseLimitError

if TYPE_CHECKING:
    from .host import Host

_BEFORE_SENDING = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError"}
)
"""Exceptions of both modules that mean that no byte of the request has left."""

_OURS = (ClippyError, EndedEarly, FlowCancelled, CorruptEvent, SseLimitError, zlib.error)
"""Exceptions that the core makes of what it sees; a caller under httpx or httpx2 must get them as that module's own."""

Stream = LiveStream | OpaqueStream


def transport(host: Host, module: ModuleType | None = None, inner: Any = None) -> Any:
    """A sync transport of *module* (httpx, the default, or httpx2) that runs *host* in front of *inner*.

    ``httpx2.Client(transport=clippy_core.transport(host, httpx2))``.  *inner* defaults to the module's own transport.
    """
    module = module or httpx_module()
    return _classes(module)[0](
        host, inner if inner is not None else module.HTTPTransport(verify=host.ssl_context(module))
    )


def async_transport(host: Host, module: ModuleType | None = None, inner: Any = None) -> Any:
    """As :func:`transport`, for the module's async clients; works on asyncio and trio."""
    module = module or httpx_module()
    if inner is None:
        inner = module.AsyncHTTPTransport(verify=host.ssl_context(module))
    return _classes(module)[1](host, inner)


def httpx_module(client: object = None) -> ModuleType:
    """The module of *client*; httpx without one."""
    if client is not None and type(client).__module__.split(".")[0] == "httpx2":
        import httpx2

        return httpx2
    import httpx

    return httpx


# --- between a module's objects and ours --------------------------------------------------------------------------


def _pairs(raw: list[tuple[bytes, bytes]]) -> Headers:
    return Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.pairs]


class Call:
    """One request of a module, seen from both sides: the module's own object, and ours."""

    def __init__(self, module: ModuleType, original: Any) -> None:
        self.module = module
        self.original = original
        path, _, query = original.url.raw_path.decode("ascii").partition("?")
        self.path = path
        self.query = query
        self.url = f"{original.url.scheme}://{original.url.netloc.decode('ascii')}{path}"
        _, self.endpoint = find(original.method, path)
        self.request: Request | None = None

    def decode(self, body: bytes) -> Request:
        """Our request; b"" for a body that is not read."""
        original = self.original
        self.request = decode_request(original.method, self.url, self.query, _pairs(original.headers.raw), body)
        return self.request

    def outgoing(self, request: Request, timeouts: Mapping[str, float]) -> Any:
        """The module's request for one attempt: the caller's own object while nothing in it was changed."""
        original = self.original
        if request is self.request and not timeouts:
            return original
        extensions = dict(original.extensions)
        if timeouts:
            extensions["timeout"] = _shorter(extensions.get("timeout") or {}, timeouts)
        if request is self.request:
            same = original.headers.raw
            return self.module.Request(
                original.method, original.url, headers=same, stream=original.stream, extensions=extensions
            )
        url = original.url
        if (request.url, request.query) != (self.url, self.query):
            url = f"{request.url}?{request.query}" if request.query else request.url
        if request.endpoint.body == "stream":
            headers = _raw(request.headers)
            return self.module.Request(
                request.method, url, headers=headers, stream=original.stream, extensions=extensions
            )
        # Content-length and host are computed from what is really sent, never taken from the caller.
        headers = _raw(request.headers.without("content-length", "host", "transfer-encoding"))
        return self.module.Request(
            request.method, url, headers=headers, content=encode_request(request), extensions=extensions
        )

    def reply(self, response: Any, body: Any) -> RawReply:
        """Our reply for the module's response."""
        return RawReply(response.status_code, _pairs(response.headers.raw), body, response.extensions)

    def response(self, response: Response) -> Any:
        """The module's response for a whole answer of ours: a stream of one piece, as a transport gives it."""
        body = encode_response(response)
        headers = response.headers.without("content-length")
        if body or response.status not in (204, 304):
            headers = headers.replace("content-length", str(len(body)))
        return self.module.Response(
            response.status,
            headers=_raw(headers),
            stream=self.module.ByteStream(body),
            extensions=dict(response.extensions),
        )

    def streamed(self, stream: Stream, body: Any) -> Any:
        """The module's response for a stream of ours."""
        return self.module.Response(
            stream.status, headers=_raw(stream.headers), stream=body, extensions=dict(stream.extensions)
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
    """When an exception of either module happened."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return "connect" if names & _BEFORE_SENDING else "request"


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


def _abandoned(stream: Stream, pipeline: Pipeline) -> None:
    """A body was collected unread.  Called by the garbage collector, from whatever thread."""
    if not stream.settled:
        pipeline.runtime.soon(stream.abandon)


def interruption(stream: Stream) -> StreamInterrupted | None:
    """What was delivered of a stream that broke."""
    info = getattr(stream, "failure", None)
    return StreamInterrupted(info, info.partial) if info is not None and info.committed else None


def _broken(call: Call, stream: Stream, error: Exception) -> BaseException:
    """The exception for a stream that broke; its cause says what was delivered, and that one's cause why."""
    raised, partial = call.exception(error, str(error)), interruption(stream)
    if partial is not None:
        partial.__cause__, raised.__cause__ = raised.__cause__, partial
    return raised


def _data(piece: Piece | None) -> bytes | None:
    return None if piece is None else piece.data


# --- the classes, made for a module -------------------------------------------------------------------------------


@functools.cache
def _classes(module: ModuleType) -> tuple[type[Any], type[Any]]:
    """The sync and the async transport class of *module*."""

    class Body(module.SyncByteStream):  # type: ignore[misc, name-defined]
        """A stream of ours as a body of the module's.  Read once: an SDK may ask for its iterator again to drain it."""

        def __init__(self, stream: Stream, pipeline: Pipeline, call: Call) -> None:
            self._stream, self._call = stream, call
            weakref.finalize(self, _abandoned, stream, pipeline).atexit = False

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> bytes:
            while True:
                try:
                    data = _data(drive(self._stream.next()))
                except (Refusal, PluginError):
                    raise
                except Exception as error:
                    raise _broken(self._call, self._stream, error)  # noqa: B904 - its cause is set
                if data is None:
                    raise StopIteration
                if data:
                    return data

        def close(self) -> None:
            drive(self._stream.aclose())

    class AsyncBody(module.AsyncByteStream):  # type: ignore[misc, name-defined]
        """The same for async clients."""

        def __init__(self, stream: Stream, pipeline: Pipeline, call: Call) -> None:
            self._stream, self._call = stream, call
            weakref.finalize(self, _abandoned, stream, pipeline).atexit = False

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> bytes:
            while True:
                try:
                    data = _data(await self._stream.next())
                except (Refusal, PluginError):
                    raise
                except Exception as error:
                    raise _broken(self._call, self._stream, error)  # noqa: B904 - its cause is set
                if data is None:
                    raise StopAsyncIteration
                if data:
                    return data

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Transport(module.BaseTransport):  # type: ignore[misc, name-defined]
        """Runs a host in front of an inner transport."""

        def __init__(self, host: Host, inner: Any) -> None:
            self._host, self._inner = host, inner
            self._gave_up = GaveUp()

        def handle_request(self, request: Any) -> Any:
            if self._host.passes_by(request.url.scheme, request.headers):
                return self._inner.handle_request(request)
            call = Call(module, request)
            decoded = call.decode(request.read() if call.endpoint.body == "json" else b"")
            repeat = self._gave_up.find(decoded)
            if repeat is not None:
                return _outcome(call, repeat)
            self._host.open()
            pipeline = self._host.begin(decoded, self._host.sync_runtime(), SyncSender(self._inner, call))
            try:
                result: Result | BaseException = drive(pipeline.answer())
            except (Refusal, PluginError, AttemptsFailed, FlowCancelled) as error:
                result = error
            result = _judged(self._gave_up, decoded, pipeline, result)
            if isinstance(result, LiveStream | OpaqueStream):
                return call.streamed(result, Body(result, pipeline, call))
            return _outcome(call, result)

        def close(self) -> None:
            self._inner.close()

        def __enter__(self) -> Any:
            self._inner.__enter__()
            return self

        def __exit__(self, *exc: Any) -> None:
            self._inner.__exit__(*exc)

    class AsyncTransport(module.AsyncBaseTransport):  # type: ignore[misc, name-defined]
        """The same for async clients."""

        def __init__(self, host: Host, inner: Any) -> None:
            self._host, self._inner = host, inner
            self._gave_up = GaveUp()

        async def handle_async_request(self, request: Any) -> Any:
            if self._host.passes_by(request.url.scheme, request.headers):
                return await self._inner.handle_async_request(request)
            call = Call(module, request)
            decoded = call.decode(await request.aread() if call.endpoint.body == "json" else b"")
            repeat = self._gave_up.find(decoded)
            if repeat is not None:
                return _outcome(call, repeat)
            await self._host.aopen()
            pipeline = self._host.begin(decoded, self._host.async_runtime(), AsyncSender(self._inner, call))
            try:
                result: Result | BaseException = await pipeline.answer()
            except (Refusal, PluginError, AttemptsFailed, FlowCancelled) as error:
                result = error
            result = _judged(self._gave_up, decoded, pipeline, result)
            if isinstance(result, LiveStream | OpaqueStream):
                return call.streamed(result, AsyncBody(result, pipeline, call))
            return _outcome(call, result)

        async def aclose(self) -> None:
            await self._inner.aclose()

        async def __aenter__(self) -> Any:
            await self._inner.__aenter__()
            return self

        async def __aexit__(self, *exc: Any) -> None:
            await self._inner.__aexit__(*exc)

    for made, name in ((Transport, "Transport"), (AsyncTransport, "AsyncTransport")):
        made.__name__ = made.__qualname__ = f"Clippy{name}"
    return Transport, AsyncTransport


def _judged(gave_up: GaveUp, request: Request, pipeline: Pipeline, result: Any) -> Any:
    """The result as the caller's SDK must see it: what we gave up on says that it is not to be tried again."""
    if isinstance(result, Refusal | PluginError | AttemptsFailed):
        result = error_answer(request, result)
    if pipeline.chains.on_error and not isinstance(result, LiveStream | OpaqueStream):
        result = gave_up.note(request, result)
    return result


def _outcome(call: Call, result: Response | BaseException) -> Any:
    """The module's response, or its exception raised."""
    if isinstance(result, Response):
        return call.response(result)
    if isinstance(result, AttemptsFailed):
        raise call.exception(result.cause, str(result.info.message or result.info.kind))
    raise call.exception(result, "the request was cancelled")
