"""Clients of our own, for programs without an SDK: ``chat`` and ``stream`` on the routes of the configuration."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import evolve
from clippy_hookspecs import (
    UNKNOWN_ERROR,
    Chunk,
    ErrorInfo,
    PluginError,
    ProviderError,
    RawReply,
    Refusal,
    Request,
    RequestContext,
    Response,
    StreamInterrupted,
    Tool,
)

from .aboard import FLIGHT
from .attempt import AttemptsFailed
from .calls import AsyncSender, Call, SyncSender, phase
from .chat_request import Conversation, build_request
from .driven import drive
from .forks import follow_forks
from .http_modules import module_of
from .opaque import Piece, abandon_when_collected
from .pipeline import Pipeline
from .runtime import AsyncRuntime, FlowCancelled, SyncRuntime
from .streaming import LiveStream
from .transports import httpx_module

if TYPE_CHECKING:
    from .host import Host

TIMEOUTS = {"connect": 5.0, "read": 600.0, "write": 600.0, "pool": 600.0}
"""Seconds; what the official SDKs allow."""

T = TypeVar("T")
Tools = Sequence[Tool | Mapping[str, Any]]


def _whole(pipeline: Pipeline, result: object) -> Response:
    """The answer, or its failure raised."""
    if not isinstance(result, Response):
        raise TypeError(f"expected a whole answer, got {type(result).__name__}")
    if result.status >= 400:
        raise ProviderError(_failure(pipeline, result), result.raw or b"")
    return result


def _failure(pipeline: Pipeline, result: Response) -> ErrorInfo:
    """Why there is no answer; a stored failure says that it is one: the provider may be well again."""
    info = pipeline.failure or evolve(UNKNOWN_ERROR, status=result.status)
    given = pipeline.ctx.provenance
    if given is None or given.source != "cache" or given.reason == FLIGHT:
        return info
    stored = f"a stored failure, {given.age or 0:.0f} s old, from {given.by}; no provider was asked now"
    return evolve(info, message=f"{info.message or info.kind} [{stored}]")


def _raised(error: AttemptsFailed | FlowCancelled) -> ProviderError:
    """What the caller gets for a request without an answer; its cause is the HTTP module's own exception."""
    if isinstance(error, AttemptsFailed):
        return ProviderError(error.info)
    return ProviderError(ErrorInfo("cancelled", "cancelled", message=str(error)))


class _Reading:
    """What a stream's reader gets of its pieces; sync and async readers differ only in how they wait."""

    def __init__(self, pipeline: Pipeline, result: object) -> None:
        if not isinstance(result, LiveStream):  # also if the provider answered a streaming request in one piece
            result = pipeline.whole_as_stream(_whole(pipeline, result))
        self._stream = result
        self._pending: deque[Chunk] = deque()
        abandon_when_collected(self, result)

    @property
    def context(self) -> RequestContext:
        """The request's context: its id, its flow (pause, resume, cancel), its trace."""
        return self._stream.ctx

    async def _next(self) -> Chunk | None:
        """The next chunk when the flow lets it through, None at the end.  A sync reader's wait is in its runtime."""
        stream, pending = self._stream, self._pending
        while True:
            waits = bool(pending)
            try:
                piece = await (stream.turn() if waits else stream.next())
            except (Refusal, PluginError):
                raise
            except Exception as error:
                raise self._interrupted(error) from error
            if piece is not None:
                self._take(piece)
            elif not waits:
                return None
            if pending:
                return pending.popleft()

    def _take(self, piece: Piece) -> None:
        """What the provider or a plugin said, without the host's own marks.  Raises what an error event tells of."""
        if self._stream.failure is not None and any(chunk.kind == "error" for chunk in piece.chunks):
            raise self._interrupted(None)
        for chunk in piece.chunks:
            if chunk.kind != "stop" and chunk.kind != "end":
                self._pending.append(chunk)

    @staticmethod
    def _says(chunk: Chunk) -> bool:
        """Whether a reader of the text alone is to get something of *chunk*."""
        if chunk.kind == "restart":
            what = "the answer begins anew, and what was read of it is void; iterate over the chunks to go on"
            raise StreamInterrupted(ErrorInfo("transient", "restarted", message=what, committed=True))
        return chunk.kind == "text" and bool(chunk.delta)

    def _interrupted(self, cause: BaseException | None) -> ProviderError:
        info = self._stream.failure
        if info is None:
            return ProviderError(ErrorInfo("cancelled", "cancelled", message=str(cause)))
        return StreamInterrupted(info, info.partial) if self._stream.ctx.committed else ProviderError(info)


class ChatStream(_Reading):
    """A streamed answer: iterate for its chunks, or take its ``text()``.  Close it, or use ``with``."""

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        if self._pending and not self._stream.flow.held:
            return self._pending.popleft()
        chunk = drive(self._next())
        if chunk is None:
            raise StopIteration
        return chunk

    def text(self) -> Iterator[str]:
        """The pieces of the answer's text.  Raises StreamInterrupted if it begins anew, which words cannot say."""
        return (chunk.delta for chunk in self if self._says(chunk))

    def close(self) -> None:
        """Stop reading: the upstream connection is closed and the request settled."""
        drive(self._stream.aclose())

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncChatStream(_Reading):
    """As :class:`ChatStream`, for asyncio and trio."""

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        if self._pending and not self._stream.flow.held:
            return self._pending.popleft()
        chunk = await self._next()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def text(self) -> AsyncTexts:
        """The pieces of the answer's text."""
        return AsyncTexts(self)

    async def aclose(self) -> None:
        """Stop reading: the upstream connection is closed and the request settled."""
        await self._stream.aclose()

    async def __aenter__(self) -> AsyncChatStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


class AsyncTexts:
    """The text of an :class:`AsyncChatStream`, piece by piece; a class, because async generators leak when dropped."""

    def __init__(self, stream: AsyncChatStream) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncTexts:
        return self

    async def __anext__(self) -> str:
        while True:
            chunk = await self._stream.__anext__()
            if self._stream._says(chunk):  # noqa: SLF001 (of this module's own class)
                return chunk.delta


class _Calls:
    """What both clients are: a host, and an HTTP client of either module to send with."""

    _senders: type[SyncSender] | type[AsyncSender]
    _client: str

    def __init__(self, host: Host, http: Any = None) -> None:
        self._host = host
        self._module = module_of(http) or httpx_module()
        self._http = http
        if http is None:
            self._connect()
            follow_forks(self._connect)

    def _connect(self) -> None:
        """Make our own HTTP client; in a forked child another, since the connections of the first are the parent's."""
        self._http = getattr(self._module, self._client)(verify=self._host.ssl_context(self._module))

    def _begin(
        self,
        runtime: SyncRuntime | AsyncRuntime,
        what: tuple[Any, ...],
        stream: bool,
    ) -> Pipeline:
        request, line = build_request(self._host, stream, *what)
        sender = _Later(self, line.url)
        return self._host.begin(request, runtime, sender, route=line.name, wants_values=True, caller=line.caller)

    def sender(self, url: str) -> SyncSender | AsyncSender:
        """What sends a request to *url*."""
        inner = self._http._transport_for_url(self._module.URL(url))  # noqa: SLF001
        inner = getattr(inner, "_clippy_inner", inner)  # under clippy run: one host is enough
        call = Call(self._module, self._module.Request("POST", url, extensions={"timeout": dict(TIMEOUTS)}))
        return self._senders(inner, call)


class _Later:
    """A sender that is made when something is to be sent: what it takes costs more than an answer from a cache."""

    phase = staticmethod(phase)

    def __init__(self, calls: _Calls, url: str) -> None:
        self._calls, self._url = calls, url
        self._made: SyncSender | AsyncSender | None = None

    async def send(self, request: Request, timeouts: Mapping[str, float]) -> RawReply:
        made = self._made = self._made or self._calls.sender(self._url)
        return await made.send(request, timeouts)


class Client(_Calls):
    """A client on a host's routes.  It shares the host: closing it closes its connections and not the host.

    ``http`` is an ``httpx.Client`` or ``httpx2.Client`` to send with, for proxies, certificates and the like.
    """

    _senders = SyncSender
    _client = "Client"

    def chat(
        self,
        messages: Conversation,
        *,
        model: str | None = None,
        route: str | None = None,
        tools: Tools = (),
        directives: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Response:
        """Ask, and wait for the whole answer.

        *messages* is a text, or messages as :class:`~clippy_hookspecs.Message` or in OpenAI's form.  *params* go into
        the body as they are, also those that only this provider knows, *directives* to the plugins: ``{"cache":
        "no-store"}`` is the header ``X-Clippy-Cache``.  A parameter that looks misspelt is sent and told of in the log.
        Raises ProviderError, Refusal, PluginError, and TypeError for what no request can be made of.
        """
        return _whole(*self._answer(messages, model, route, tools, directives, params, stream=False))

    def stream(
        self,
        messages: Conversation,
        *,
        model: str | None = None,
        route: str | None = None,
        tools: Tools = (),
        directives: Mapping[str, str] | None = None,
        **params: Any,
    ) -> ChatStream:
        """Ask, and read the answer as it comes; one that breaks raises StreamInterrupted with what was delivered."""
        return ChatStream(*self._answer(messages, model, route, tools, directives, params, stream=True))

    def _answer(self, *what: Any, stream: bool) -> tuple[Pipeline, object]:
        self._host.open()
        pipeline = self._begin(self._host.sync_runtime(), what, stream)
        try:
            return pipeline, drive(pipeline.answer())
        except (AttemptsFailed, FlowCancelled) as error:
            raise _raised(error) from (error.cause if isinstance(error, AttemptsFailed) else error)

    def close(self) -> None:
        """Close this client's connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncClient(_Calls):
    """As :class:`Client`, for asyncio and trio."""

    _senders = AsyncSender
    _client = "AsyncClient"

    async def chat(
        self,
        messages: Conversation,
        *,
        model: str | None = None,
        route: str | None = None,
        tools: Tools = (),
        directives: Mapping[str, str] | None = None,
        **params: Any,
    ) -> Response:
        """Ask, and wait for the whole answer; see :meth:`Client.chat`."""
        return _whole(*await self._answer(messages, model, route, tools, directives, params, stream=False))

    async def stream(
        self,
        messages: Conversation,
        *,
        model: str | None = None,
        route: str | None = None,
        tools: Tools = (),
        directives: Mapping[str, str] | None = None,
        **params: Any,
    ) -> AsyncChatStream:
        """Ask, and read the answer as it comes; see :meth:`Client.stream`."""
        return AsyncChatStream(*await self._answer(messages, model, route, tools, directives, params, stream=True))

    async def _answer(self, *what: Any, stream: bool) -> tuple[Pipeline, object]:
        await self._host.aopen()
        pipeline = self._begin(self._host.async_runtime(), what, stream)
        try:
            return pipeline, await pipeline.answer()
        except (AttemptsFailed, FlowCancelled) as error:
            raise _raised(error) from (error.cause if isinstance(error, AttemptsFailed) else error)

    async def aclose(self) -> None:
        """Close this client's connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
