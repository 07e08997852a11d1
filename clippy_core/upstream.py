"""Sending bytes through what a plugin offers for it, and the entrances for those who have bytes or values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clippy_hookspecs import (
    PluginError,
    RawReply,
    RawRequest,
    Refusal,
    Request,
    Response,
    Upstream,
)

from .asking import whole_answer
from .attempt import AttemptsFailed, Sender
from .calls import phase
from .entrance import error_answer
from .judging import answer as error_reply
from .loops import running_library
from .opaque import OpaqueStream
from .pipeline import Pipeline
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
