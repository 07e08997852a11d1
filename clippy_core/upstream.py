"""Sending bytes through what a plugin offers for it, and the entrances for those who have bytes or values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clippy_hookspecs import (
    ConfigError,
    ErrorInfo,
    Headers,
    PluginError,
    RawReply,
    RawRequest,
    Refusal,
    Request,
    Response,
    Scope,
    Upstream,
    evolve,
)
from clippy_hookspecs.headers import beginning

from .asking import whole_answer
from .attempt import AttemptsFailed, Sender
from .calls import phase
from .config import Deadlines
from .entrance import error_answer
from .host import OWN_HEADERS
from .judging import NO_RETRY
from .judging import answer as error_reply
from .loops import running_library
from .opaque import OpaqueStream
from .pipeline import Pipeline
from .routes import through
from .runtime import AsyncRuntime, FlowCancelled, SyncRuntime
from .sources import Phase, close_quietly
from .straight import straight_request
from .streaming import LiveStream
from .untouched import retouch
from .wire import decode_request, encode_request, encode_response

if TYPE_CHECKING:
    from .host import Host


_NO_DEADLINES = Deadlines()
_NOTHING: Mapping[str, Any] = {}
FAILURE = "failure"
"""In the extensions of an answer of the host's own: what failed, in words that are for who runs it."""
REFUSAL = "refusal"
"""In the extensions of an answer of the host's own: the code of a refusal, whose words are for the caller."""


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

    Failures are answers in the request's own wire API; 502 says that the provider could not be reached, 504 that it
    took too long.  Raises ConfigError if there is no such route.
    """
    try:
        if request.route and host.chains.idle:
            straight = straight_request(host.settings, request)
            if straight is not None:
                return await _straight(host, straight)
    except (Refusal, AttemptsFailed) as error:
        return _failed(host, _asked(request), error)
    return await _looked_at(host, request, _asked(request))


def _asked(request: RawRequest) -> Request:
    url, _, query = request.url.partition("?")
    return decode_request(request.method, url, query, request.headers, request.body)


async def _looked_at(host: Host, request: RawRequest, asked: Request) -> RawReply:
    """The answer to a request that somebody has to look into."""
    extensions: Mapping[str, Any] = {}
    try:
        parsed, scope = _routed(host, asked, request) if request.route else (asked, request.scope)
        if host.chains.idle and not beginning(request.headers, OWN_HEADERS) and not _timed(host, request):
            sent = raw_request(parsed, request.body if parsed.endpoint.body == "stream" else None)
            return await _understood(host, await _straight(host, sent), parsed.api, asked)
        pipeline = await _begin(host, parsed, request, wants_values=False, scope=scope)
        pipeline.ledger.asked = asked if parsed.api != asked.api else None
        extensions = pipeline.own()
        result = await pipeline.answer()
    except (Refusal, PluginError, AttemptsFailed, FlowCancelled) as error:
        return _failed(host, asked, error, extensions)
    made = pipeline.entry.stored_at if pipeline.entry is not None else None  # of one answer always the same second
    if isinstance(result, Response):
        return await _understood(host, _whole(host, result, extensions), parsed.api, asked, made)
    given = {**result.extensions, **extensions}
    reply = RawReply(result.status, result.headers, StreamBody(result), given)
    return await _understood(host, reply, parsed.api, asked, made)


def _failed(host: Host, asked: Request, error: Any, extensions: Mapping[str, Any] = _NOTHING) -> RawReply:
    """The answer for what went wrong on the way, in the words of *asked*."""
    judged = error_answer(asked, error)
    if isinstance(judged, AttemptsFailed):
        judged = _out_of_reach(asked, judged)
    if isinstance(error, AttemptsFailed):
        extensions = {**extensions, FAILURE: error.info}
    elif isinstance(error, PluginError):
        extensions = {**extensions, FAILURE: ErrorInfo("plugin", "plugin_error", message=str(error))}
    elif isinstance(error, Refusal):
        extensions = {**extensions, REFUSAL: error.code}
    return _whole(host, judged, extensions)


def _whole(host: Host, response: Response, extensions: Mapping[str, Any]) -> RawReply:
    headers = response.headers
    if response.status >= 400 and host.owns_retries:  # whoever called has an SDK that would try it all again
        headers = headers.replace(NO_RETRY, "false")
    return RawReply(response.status, headers, encode_response(response), {**response.extensions, **extensions})


async def retold(host: Host, reply: RawReply, api: str, request: RawRequest, made: float) -> RawReply:
    """*reply*, which speaks *api*, as the caller of *request* would have got it: see ``Host`` of the contract."""
    return await _understood(host, reply, api, _asked(request), made)


async def _understood(host: Host, reply: RawReply, spoken: str, asked: Request, made: float | None = None) -> RawReply:
    """*reply*, which speaks *spoken*, in the wire API of *asked*; what cannot be said in it is the provider's failure.

    *made* is unix seconds, for an answer that does not say when it was made; None: now.
    """
    if spoken == asked.api or not asked.endpoint.chat:
        return reply
    from .translated import translated

    try:
        again = await translated(reply, spoken, asked, host.clock.time() if made is None else made)
    except Exception as error:
        if not isinstance(reply.body, bytes):
            await close_quietly(reply.body)
        unreadable = error_reply(asked, 502, "unreadable", f"the answer cannot be read: {type(error).__name__}", None)
        given = {**reply.extensions, FAILURE: ErrorInfo("unknown", "unreadable", message=type(error).__name__)}
        return RawReply(unreadable.status, unreadable.headers, encode_response(unreadable), given)
    kept = reply.headers.get(NO_RETRY)
    if kept is None or not isinstance(again.body, bytes):
        return again
    return evolve(again, headers=again.headers.replace(NO_RETRY, kept))


async def _straight(host: Host, sent: RawRequest) -> RawReply:
    """The provider's own answer, where no plugin has anything to do with a request.  Raises AttemptsFailed."""
    upstream = host.upstream(await _opened(host))
    try:
        return await upstream.send(sent, {})
    except Exception as error:
        raise AttemptsFailed(ErrorInfo("transient", phase(error), message=_unreachable(error)), error) from error


def _timed(host: Host, request: RawRequest) -> bool:
    """Whether the configuration has deadlines for this request, which somebody must then keep."""
    return host.settings.deadlines(request.route) != _NO_DEADLINES


def _out_of_reach(request: Request, failed: AttemptsFailed) -> Response:
    """The answer for a provider that gave none: 504 where it took too long, else 502."""
    info, names = failed.info, [kind.__name__ for kind in type(failed.cause).__mro__]
    late = "timeout" in info.kind or any("Timeout" in name for name in names)
    message = info.message or "the provider could not be reached"
    return error_reply(request, 504 if late else 502, info.kind, message, None)


def _unreachable(error: Exception) -> str:
    return f"the provider could not be reached: {type(error).__name__}"


def _routed(host: Host, asked: Request, request: RawRequest) -> tuple[Request, Scope | None]:
    """*asked* as it goes to the route that was named, and on whose behalf: the caller's credential stays behind."""
    route = host.settings.routes.get(request.route)
    if route is None:
        known = ", ".join(sorted(host.settings.routes)) or "none"
        raise ConfigError([f"there is no route {request.route!r}; the configuration has {known}"])
    scope = request.scope
    if scope is None and (who := host.settings.identity(asked.headers, asked.query)):
        scope = Scope(user=f"key-{who[:16]}")
    sent, said = through(asked, route), beginning(asked.headers, OWN_HEADERS)
    if said:  # to plugins; it goes no further
        pairs = [*sent.headers.pairs, *[(name, asked.headers[name]) for name in said]]
        sent = retouch(sent, headers=Headers(pairs))
    return sent, scope


async def ask(host: Host, request: Request) -> Response:
    """Run a request of ours and return the whole answer.  Raises ProviderError, Refusal, PluginError."""
    return await whole_answer(await _begin(host, request, raw_request(request), wants_values=True))


async def _begin(
    host: Host, request: Request, raw: RawRequest, *, wants_values: bool, scope: Scope | None = None
) -> Pipeline:
    runtime = await _opened(host)
    sender = RawSender(host.upstream(runtime), raw)
    pipeline = host.begin(request, runtime, sender, route=raw.route, wants_values=wants_values, scope=scope)
    if raw.routes:
        pipeline.ctx.only = raw.routes
    return pipeline


async def _opened(host: Host) -> SyncRuntime | AsyncRuntime:
    """The runtime of whoever asks, with the plugins open for it."""
    if running_library() is not None:
        await host.aopen()
        return host.async_runtime()
    host.open()
    return host.sync_runtime()
