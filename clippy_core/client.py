"""Clients of our own, for programs without an SDK: ``chat`` and ``stream`` on the routes of the configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from attrs import evolve
from clippy_hookspecs import (
    UNKNOWN,
    Chunk,
    ConfigError,
    ErrorInfo,
    Headers,
    Message,
    PluginError,
    ProviderError,
    Refusal,
    Request,
    Response,
    StreamInterrupted,
    Text,
    Tool,
)

from . import routes
from .entrance import error_answer
from .pipeline import AttemptsFailed, Pipeline, Result
from .runtime import FlowCancelled, drive
from .streaming import LiveStream, Piece
from .transports import AsyncSender, Call, SyncSender, httpx_module
from .wire import APIS

if TYPE_CHECKING:
    from .host import Host

TIMEOUTS = {"connect": 5.0, "read": 600.0, "write": 600.0, "pool": 600.0}
"""Seconds; what the official SDKs allow."""

Conversation = str | Sequence[Message | Mapping[str, Any]]


def build_request(
    host: Host,
    messages: Conversation,
    model: str | None,
    route: str | None,
    tools: Sequence[Tool | Mapping[str, Any]],
    params: Mapping[str, Any],
    stream: bool,
) -> tuple[Request, str]:
    """The request for a call of our own client, and the name of its route.

    Raises ConfigError if there is no such route, ValueError if neither the call nor the route names a model.
    """
    name = route or _default_route(host)
    known = host.settings.routes
    if name not in known:
        raise ConfigError([f"there is no route {name!r}; the configuration has {', '.join(sorted(known)) or 'none'}"])
    chosen = known[name]
    wanted = chosen.models.get(model or "") or model or chosen.model
    if not wanted:
        raise ValueError(f"which model? give model=..., or set routes.{name}.model")
    api = APIS[chosen.api]
    url = routes.address(chosen.api, chosen.base_url)
    endpoint = api.endpoint("POST", url)
    assert endpoint is not None
    if chosen.api == "anthropic.messages":
        params = {"max_tokens": 4096, **params}  # the one parameter that this API requires
    headers = Headers([("content-type", "application/json"), *routes.route_headers(chosen, chosen.api)])
    conversation, offered = _messages(messages), _tools(tools)
    request = Request(chosen.api, endpoint, "POST", url, "", headers, wanted, conversation, offered, params, stream)
    return request, name


def _default_route(host: Host) -> str:
    known = host.settings.routes
    default = next((name for name, route in host.config.host.routes.items() if route.default), None)
    if default is None and len(known) == 1:
        default = next(iter(known))
    if default is None:
        raise ConfigError(
            ["no route to call: give route=..., or set default = true on one of "
             f"{', '.join(sorted(known)) or 'the [routes.NAME] tables, of which there are none'}"]
        )  # fmt: skip
    return default


def _messages(messages: Conversation) -> tuple[Message, ...]:
    if isinstance(messages, str):
        return (Message("user", (Text(messages),)),)
    return tuple(message if isinstance(message, Message) else _message(message) for message in messages)


def _message(message: Mapping[str, Any]) -> Message:
    """A message in OpenAI's form, which is the one that people know."""
    decoded: Message = APIS["openai.chat"].request_fields({"messages": [dict(message)]})["messages"][0]
    return evolve(decoded)  # without the wire form: it may go to any API


def _tools(tools: Sequence[Tool | Mapping[str, Any]]) -> tuple[Tool, ...]:
    def one(tool: Tool | Mapping[str, Any]) -> Tool:
        if isinstance(tool, Tool):
            return tool
        decoded: Tool = APIS["openai.chat"].request_fields({"tools": [dict(tool)]})["tools"][0]
        return evolve(decoded)

    return tuple(one(tool) for tool in tools)


def _call(module: ModuleType, request: Request) -> Call:
    return Call(module, module.Request("POST", request.url, extensions={"timeout": dict(TIMEOUTS)}))


def _whole(request: Request, pipeline: Pipeline, result: Result | BaseException) -> Response:
    """The answer, or its failure raised."""
    if isinstance(result, Response):
        if result.status >= 400:
            raise ProviderError(pipeline.failure or evolve(UNKNOWN, status=result.status), result.raw or b"")
        return result
    if isinstance(result, AttemptsFailed):
        judged = error_answer(request, result)
        body = judged.raw or b"" if isinstance(judged, Response) else b""
        raise ProviderError(result.info, body) from result.cause
    if isinstance(result, FlowCancelled):
        raise ProviderError(ErrorInfo("cancelled", "cancelled", message=str(result))) from result
    raise TypeError(f"expected a whole answer, got {type(result).__name__}")


def _chunks(piece: Piece, stream: LiveStream) -> list[Chunk]:
    """What a reader gets of a piece: what the provider or a plugin said, without the host's own marks."""
    out = [chunk for chunk in piece.chunks if chunk.kind not in ("stop", "end")]
    if stream.failure is not None and any(chunk.kind == "error" for chunk in out):
        raise _interrupted(stream, None)
    return out


def _interrupted(stream: LiveStream, cause: BaseException | None) -> BaseException:
    info = stream.failure
    if info is None:
        return ProviderError(ErrorInfo("cancelled", "cancelled", message=str(cause)))
    return StreamInterrupted(info, info.partial) if stream.ctx.committed else ProviderError(info)


def _as_stream(pipeline: Pipeline, result: Any) -> LiveStream:
    """A streamed answer, also if the provider answered a streaming request in one piece."""
    if isinstance(result, LiveStream):
        return result
    return pipeline.whole_as_stream(_whole(pipeline.request, pipeline, result))


class ChatStream:
    """A streamed answer: iterate for its chunks, or take its ``text()``.  Close it, or use ``with``."""

    def __init__(self, stream: LiveStream) -> None:
        self._stream = stream
        self._pending: list[Chunk] = []

    @property
    def context(self) -> Any:
        """The request's context: its id, its flow (pause, resume, cancel), its trace."""
        return self._stream.ctx

    def __iter__(self) -> Iterator[Chunk]:
        return self

    def __next__(self) -> Chunk:
        while not self._pending:
            try:
                piece = drive(self._stream.next())
            except (Refusal, PluginError):
                raise
            except Exception as error:
                raise _interrupted(self._stream, error) from error
            if piece is None:
                raise StopIteration
            self._pending = _chunks(piece, self._stream)
        return self._pending.pop(0)

    def text(self) -> Iterator[str]:
        """The pieces of the answer's text."""
        return (chunk.delta for chunk in self if chunk.kind == "text" and chunk.delta)

    def close(self) -> None:
        """Stop reading: the upstream connection is closed and the request settled."""
        drive(self._stream.aclose())

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncChatStream:
    """As :class:`ChatStream`, for asyncio and trio."""

    def __init__(self, stream: LiveStream) -> None:
        self._stream = stream
        self._pending: list[Chunk] = []

    @property
    def context(self) -> Any:
        """The request's context: its id, its flow (pause, resume, cancel), its trace."""
        return self._stream.ctx

    def __aiter__(self) -> AsyncIterator[Chunk]:
        return self

    async def __anext__(self) -> Chunk:
        while not self._pending:
            try:
                piece = await self._stream.next()
            except (Refusal, PluginError):
                raise
            except Exception as error:
                raise _interrupted(self._stream, error) from error
            if piece is None:
                raise StopAsyncIteration
            self._pending = _chunks(piece, self._stream)
        return self._pending.pop(0)

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
            if chunk.kind == "text" and chunk.delta:
                return chunk.delta


class Client:
    """A client on a host's routes.  It shares the host: closing it closes its connections and not the host.

    ``http`` is an ``httpx.Client`` or ``httpx2.Client`` to send with, for proxies, certificates and the like.
    """

    def __init__(self, host: Host, http: Any = None) -> None:
        self._host = host
        self._module = httpx_module(http)
        self._http = http if http is not None else self._module.Client(verify=host.ssl_context(self._module))

    def chat(
        self,
        messages: Conversation,
        *,
        model: str | None = None,
        route: str | None = None,
        tools: Sequence[Tool | Mapping[str, Any]] = (),
        **params: Any,
    ) -> Response:
        """Ask, and wait for the whole answer.

        *messages* is a text, or messages as :class:`~clippy_hookspecs.Message` or in OpenAI's form.  *params* go into
        the body as they are.  Raises ProviderError, Refusal, PluginError.
        """
        pipeline, result = self._run(messages, model, route, tools, params, stream=False)
        return _whole(pipeline.request, pipeline, result)

    def stream(
        self,
        messages: Conversation,
        *,
        model: str | None = None,
        route: str | None = None,
        tools: Sequence[Tool | Mapping[str, Any]] = (),
        **params: Any,
    ) -> ChatStream:
        """Ask, and read the answer as it comes; one that breaks raises StreamInterrupted with what was delivered."""
        pipeline, result = self._run(messages, model, route, tools, params, stream=True)
        return ChatStream(_as_stream(pipeline, result))

    def _run(
        self, messages: Conversation, model: Any, route: Any, tools: Any, params: Mapping[str, Any], *, stream: bool
    ) -> tuple[Pipeline, Any]:
        host = self._host
        request, name = build_request(host, messages, model, route, tools, params, stream)
        host.open()
        inner = self._http._transport_for_url(self._module.URL(request.url))  # noqa: SLF001
        pipeline = host.begin(
            request, host.sync_runtime(), SyncSender(inner, _call(self._module, request)), route=name, wants_values=True
        )
        try:
            return pipeline, drive(pipeline.answer())
        except (AttemptsFailed, FlowCancelled) as error:
            return pipeline, error

    def close(self) -> None:
        """Close this client's connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncClient:
    """As :class:`Client`, for asyncio and trio."""

    def __init__(self, host: Host, http: Any = None) -> None:
        self._host = host
        self._module = httpx_module(http)
        self._http = http if http is not None else self._module.AsyncClient(verify=host.ssl_context(self._module))

    async def chat(
        self,
        messages: Conversation,
        *,
        model: str | None = None,
        route: str | None = None,
        tools: Sequence[Tool | Mapping[str, Any]] = (),
        **params: Any,
    ) -> Response:
        """Ask, and wait for the whole answer; see :meth:`Client.chat`."""
        pipeline, result = await self._run(messages, model, route, tools, params, stream=False)
        return _whole(pipeline.request, pipeline, result)

    async def stream(
        self,
        messages: Conversation,
        *,
        model: str | None = None,
        route: str | None = None,
        tools: Sequence[Tool | Mapping[str, Any]] = (),
        **params: Any,
    ) -> AsyncChatStream:
        """Ask, and read the answer as it comes; see :meth:`Client.stream`."""
        pipeline, result = await self._run(messages, model, route, tools, params, stream=True)
        return AsyncChatStream(_as_stream(pipeline, result))

    async def _run(
        self, messages: Conversation, model: Any, route: Any, tools: Any, params: Mapping[str, Any], *, stream: bool
    ) -> tuple[Pipeline, Any]:
        host = self._host
        request, name = build_request(host, messages, model, route, tools, params, stream)
        await host.aopen()
        inner = self._http._transport_for_url(self._module.URL(request.url))  # noqa: SLF001
        sender = AsyncSender(inner, _call(self._module, request))
        pipeline = host.begin(request, host.async_runtime(), sender, route=name, wants_values=True)
        try:
            return pipeline, await pipeline.answer()
        except (AttemptsFailed, FlowCancelled) as error:
            return pipeline, error

    async def aclose(self) -> None:
        """Close this client's connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
