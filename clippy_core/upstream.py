"""Sending bytes: the host's own upstream, and another that a plugin offers in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clippy_hookspecs import (
    ByteStream,
    Headers,
    PluginError,
    RawReply,
    RawRequest,
    Refusal,
    Request,
    Response,
    Upstream,
)

from .asking import whole_answer
from .calls import AsyncPieces, Pieces, phase
from .entrance import error_answer
from .judging import answer as error_reply
from .loops import running_library
from .opaque import OpaqueStream
from .pipeline import AttemptsFailed, Pipeline, Sender
from .runtime import AsyncRuntime, SyncRuntime
from .sources import Phase
from .streaming import LiveStream
from .wire import decode_request, encode_request, encode_response

if TYPE_CHECKING:
    from .host import Host


class UpstreamSender:
    """Sends the attempts of a pipeline through an :class:`~clippy_hookspecs.Upstream` that a plugin offers.

    A body that is passed on piece by piece never is in our hands, so it goes the way the caller meant it to go.
    """

    def __init__(self, upstream: Upstream, otherwise: Sender) -> None:
        self._upstream, self._otherwise = upstream, otherwise

    async def send(self, request: Request, timeouts: Mapping[str, float]) -> RawReply:
        """As :meth:`clippy_core.pipeline.Sender.send`."""
        if request.endpoint.body == "stream":
            return await self._otherwise.send(request, timeouts)
        return await self._upstream.send(raw_request(request), timeouts)

    def phase(self, error: BaseException) -> Phase:
        """As :meth:`clippy_core.pipeline.Sender.phase`."""
        return self._otherwise.phase(error)


class HttpUpstream:
    """Sends over httpx, with connections of the host's own: one pool for threads, one for each event loop."""

    inline = True

    def __init__(self, host: Host) -> None:
        self._host = host
        self._pools: dict[SyncRuntime | AsyncRuntime, Any] = {}

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        """As :meth:`clippy_hookspecs.Upstream.send`.  Raises httpx's own exceptions."""
        import httpx

        headers = request.headers.without("content-length", "host", "transfer-encoding").raw
        limits = {"connect": None, "read": None, "write": None, "pool": None, **timeout}
        outgoing = httpx.Request(
            request.method, request.url, headers=headers, content=request.body, extensions={"timeout": limits}
        )
        body: ByteStream
        if running_library() is not None:
            response = await self._pool(self._host.async_runtime(), httpx.AsyncHTTPTransport).handle_async_request(
                outgoing
            )
            body = AsyncPieces(response.stream)
        else:
            pool = self._pool(self._host.sync_runtime(), httpx.HTTPTransport)
            response = pool.handle_request(outgoing)
            body = Pieces(response.stream)
        return RawReply(response.status_code, Headers.undecoded(response.headers.raw), body, response.extensions)

    def _pool(self, runtime: SyncRuntime | AsyncRuntime, make: Any) -> Any:
        pool = self._pools.get(runtime)
        if pool is None:
            import httpx

            pool = self._pools[runtime] = make(verify=self._host.ssl_context(httpx), trust_env=True)
        return pool

    def forget(self) -> None:
        """After a fork: the connections are the parent's."""
        self._pools = {}

    def drop(self, runtime: AsyncRuntime) -> None:
        """Let go of the connections of an event loop that is gone: nobody can close them in good order."""
        self._pools.pop(runtime, None)

    def close(self, runtime: SyncRuntime) -> None:
        """Close the connections of threads."""
        pool = self._pools.pop(runtime, None)
        if pool is not None:
            pool.close()

    async def aclose(self, runtime: AsyncRuntime) -> None:
        """Close the connections of one event loop."""
        pool = self._pools.pop(runtime, None)
        if pool is not None:
            await pool.aclose()


class RawSender:
    """Sends the attempts of a raw request that came from an HTTP server through an upstream."""

    def __init__(self, upstream: Upstream, original: RawRequest) -> None:
        self._upstream, self._original = upstream, original

    async def send(self, request: Request, timeouts: Mapping[str, float]) -> RawReply:
        """As :meth:`clippy_core.pipeline.Sender.send`."""
        body = self._original.body if request.endpoint.body == "stream" else None
        return await self._upstream.send(raw_request(request, body), timeouts)

    phase = staticmethod(phase)


class StreamBody:
    """A stream of ours as a :class:`~clippy_hookspecs.ByteStream`."""

    def __init__(self, stream: LiveStream | OpaqueStream) -> None:
        self._stream = stream

    async def next(self) -> bytes | None:
        """The next piece, None at the end."""
        piece = await self._stream.next()
        return None if piece is None else piece.data

    async def aclose(self) -> None:
        """Close the upstream connection and settle."""
        await self._stream.aclose()


def raw_request(request: Request, body: bytes | None = None) -> RawRequest:
    """*request* as bytes."""
    url = f"{request.url}?{request.query}" if request.query else request.url
    return RawRequest(request.method, url, request.headers, encode_request(request) if body is None else body)


# --- entrances ----------------------------------------------------------------------------------------------------


async def answer(host: Host, request: RawRequest) -> RawReply:
    """Run a raw HTTP request through the pipeline of *host*, for those who bring their own HTTP server.

    Failures are answers in the request's own wire API; 502 says that the provider could not be reached.
    """
    url, _, query = request.url.partition("?")
    parsed = decode_request(request.method, url, query, request.headers, request.body)
    pipeline = await _begin(host, parsed, request, wants_values=False)
    try:
        result = await pipeline.answer()
    except (Refusal, PluginError, AttemptsFailed) as error:
        judged = error_answer(parsed, error)
        if isinstance(judged, AttemptsFailed):
            info = judged.info
            judged = error_reply(parsed, 502, info.kind, info.message or "the provider could not be reached", None)
        result = judged
    if isinstance(result, Response):
        return RawReply(result.status, result.headers, encode_response(result), result.extensions)
    return RawReply(result.status, result.headers, StreamBody(result), result.extensions)


async def ask(host: Host, request: Request) -> Response:
    """Run a request of ours and return the whole answer.  Raises ProviderError, Refusal, PluginError."""
    return await whole_answer(await _begin(host, request, raw_request(request), wants_values=True))


async def _begin(host: Host, request: Request, raw: RawRequest, *, wants_values: bool) -> Pipeline:
    runtime: SyncRuntime | AsyncRuntime
    if running_library() is not None:
        await host.aopen()
        runtime = host.async_runtime()
    else:
        host.open()
        runtime = host.sync_runtime()
    return host.begin(request, runtime, RawSender(host.upstream(runtime), raw), wants_values=wants_values)
