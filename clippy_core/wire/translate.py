"""Requests and answers from one wire API to another, for a route that speaks another API than the caller.

Text, images, tools, tool results and usage cross.  What is bound to its provider does not: signed reasoning, blocks we
do not model, fields we do not know (features.md P17).  The caller's own values are never changed by this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from clippy_hookspecs import (
    Block,
    Chunk,
    Image,
    Json,
    Message,
    RefusalText,
    Request,
    Response,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    evolve,
)

from .base import StreamEvent

_LIMIT = {
    "openai.chat": "max_completion_tokens",
    "openai.responses": "max_output_tokens",
    "anthropic.messages": "max_tokens",
}
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
ANTHROPIC_MAX_TOKENS = 4096
"""What a request gets that names no limit, where the API requires one."""

_SHARED = ("temperature", "top_p")
_FINISH = {
    "openai.chat": {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "completed": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "max_output_tokens": "length",
        "refusal": "content_filter",
    },
    "anthropic.messages": {
        "stop": "end_turn",
        "completed": "end_turn",
        "tool_calls": "tool_use",
        "length": "max_tokens",
        "max_output_tokens": "max_tokens",
        "content_filter": "refusal",
    },
    "openai.responses": {
        "stop": "completed",
        "end_turn": "completed",
        "stop_sequence": "completed",
        "tool_calls": "completed",
        "tool_use": "completed",
        "length": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "refusal": "content_filter",
    },
}

_CALLS = {"openai.chat": "tool_calls", "anthropic.messages": "tool_use", "openai.responses": "completed"}


def translate_request(request: Request, api: str) -> Request:
    """*request* in the words of *api*; its address and headers are the route's affair."""
    return evolve(
        request,
        api=api,
        messages=tuple(bare for message in request.messages for bare in _messages(message, api)),
        tools=tuple(_tool(tool) for tool in request.tools if tool.name),
        params=_params(request, api),
    )


def translate_response(response: Response, api: str) -> Response:
    """*response* in the words of *api*, for a caller who speaks that."""
    return Response(
        api=api,
        status=response.status,
        headers=response.headers,
        message=_message(response.message),
        finish_reason=_finish(response.finish_reason, api, calls=bool(response.message.tool_calls)),
        usage=None if response.usage is None else evolve(response.usage, extra={}),
        id=response.id,
        model=response.model,
        provenance=response.provenance,
        extensions=response.extensions,
    )


@define(eq=False)
class TranslatedSource:
    """The events of another API's stream; the caller's own writer writes them anew."""

    source: Any
    api: str
    tells_usage: bool = False
    _usage: Usage | None = field(default=None, init=False)
    _reason: str | None = field(default=None, init=False)
    _calls: bool = field(default=False, init=False)
    _started: bool = field(default=False, init=False)
    _told: bool = field(default=False, init=False)
    queue: deque[StreamEvent] = field(factory=deque, init=False)

    @property
    def complete(self) -> bool:
        return bool(self.source.complete)

    @property
    def deadlines(self) -> Any:
        return self.source.deadlines

    def give_back(self, events: list[StreamEvent]) -> None:
        """Put events that were looked at in front again."""
        self.queue.extendleft(reversed(events))

    async def next(self) -> StreamEvent | None:
        if self.queue:
            return self.queue.popleft()
        event = await self.source.next()
        if event is not None:
            return StreamEvent(b"", tuple(out for chunk in event.chunks for out in self._translated(chunk)))
        if self._told or not self.source.complete:
            return None
        return StreamEvent(b"", tuple(self._end()))  # it ended well without a terminal event, as chat streams may

    def _translated(self, chunk: Chunk) -> list[Chunk]:
        """What *chunk* is in the other API; what comes at the end there waits for the end."""
        self._usage = chunk.usage or self._usage
        self._reason = chunk.finish_reason or self._reason
        self._calls = self._calls or chunk.kind == "tool_call"
        if chunk.kind == "done":
            return self._end()
        if chunk.kind == "error":
            return [Chunk("error", extra=_error(chunk.extra, self.api))]
        if chunk.kind in ("finish", "usage", "ping", "other") or (chunk.kind == "start" and self._started):
            return []
        self._started = self._started or chunk.kind == "start"
        return [evolve(chunk, extra={}, usage=None, finish_reason=None)]

    def _end(self) -> list[Chunk]:
        """Finish reason, usage and terminal event, each where this API's callers look for it."""
        self._told = True
        reason = _finish(self._reason, self.api, calls=self._calls)
        usage = None if self._usage is None else evolve(self._usage, extra={})
        if self.api == "openai.responses":
            return [Chunk("done", finish_reason=reason, usage=usage)]
        if self.api == "anthropic.messages":
            return [Chunk("finish", finish_reason=reason, usage=usage), Chunk("done")]
        told = [Chunk("usage", usage=usage)] if usage is not None and self.tells_usage else []
        return [Chunk("finish", finish_reason=reason), *told, Chunk("done")]

    def cut(self) -> None:
        """Break the connection under a read that blocks in another thread."""
        self.source.cut()

    async def drain(self) -> None:
        await self.source.drain()

    async def aclose(self) -> None:
        await self.source.aclose()


def _error(extra: Mapping[str, Json], api: str) -> Mapping[str, Json]:
    """An error event in the words of *api*."""
    from . import APIS

    told = extra.get("error")
    told = told if isinstance(told, Mapping) else extra
    message = told.get("message")
    return APIS[api].error_body(500, str(told.get("code") or told.get("type") or "error"), str(message or "an error"))


def _finish(reason: str | None, api: str, *, calls: bool) -> str | None:
    """A finish reason in the words of *api*; some APIs say nothing special when the model asks for tools."""
    told = _FINISH.get(api, {}).get(reason or "", reason)
    return _CALLS[api] if calls and told in ("stop", "end_turn") else told


def _messages(message: Message, api: str) -> list[Message]:
    """One may become several: OpenAI wants each tool result in a message of its own, Anthropic in the user's."""
    bare = _message(message)
    results = bare.tool_results
    if not results:
        return [bare] if bare.blocks else []
    if api == "anthropic.messages":
        return [evolve(bare, role="user")]
    rest = tuple(block for block in bare.blocks if not isinstance(block, ToolResult))
    split = [Message("tool", (result,)) for result in results]
    return [*split, evolve(bare, blocks=rest)] if rest else split


def _message(message: Message) -> Message:
    blocks = (_block(block) for block in message.blocks)
    role = "system" if message.role == "developer" else message.role
    return Message(role, tuple(block for block in blocks if block is not None))


def _block(block: Block) -> Block | None:
    if isinstance(block, Text):
        return Text(block.text)
    if isinstance(block, RefusalText):
        return Text(block.text)
    if isinstance(block, Image):
        return Image(block.url, block.data, block.media_type)
    if isinstance(block, ToolCall):
        return ToolCall(block.id, block.name, block.arguments)
    if isinstance(block, ToolResult):
        inner = (_block(part) for part in block.content)
        return ToolResult(block.call_id, tuple(part for part in inner if part is not None), block.is_error)
    return None  # Reasoning and Opaque are bound to the provider that made them


def _tool(tool: Tool) -> Tool:
    return Tool(tool.name, tool.description, tool.parameters)


def _tool_choice(choice: Json, api: str) -> Json:
    """``tool_choice`` of any API in the words of *api*; None for one that has no counterpart."""
    kind = choice if isinstance(choice, str) else choice.get("type") if isinstance(choice, Mapping) else None
    if kind in ("function", "tool") and isinstance(choice, Mapping):
        function = choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else choice.get("name")
        named: dict[str, Json] = {
            "openai.chat": {"type": "function", "function": {"name": name}},
            "openai.responses": {"type": "function", "name": name},
            "anthropic.messages": {"type": "tool", "name": name},
        }
        return named[api]
    plain = {"any": "required"}.get(str(kind), kind)
    if plain not in ("none", "auto", "required"):
        return None
    return {"type": {"required": "any"}.get(plain, plain)} if api == "anthropic.messages" else plain


def _params(request: Request, api: str) -> dict[str, Json]:
    params = request.params
    out: dict[str, Json] = {name: params[name] for name in _SHARED if params.get(name) is not None}
    limit = next((params[name] for name in _LIMITS if params.get(name) is not None), None)
    if limit is None and api == "anthropic.messages":
        limit = ANTHROPIC_MAX_TOKENS
    if limit is not None:
        out[_LIMIT[api]] = limit
    choice = _tool_choice(params.get("tool_choice"), api)
    if choice is not None and request.tools:
        out["tool_choice"] = choice
    if request.stream and api == "openai.chat":
        out["stream_options"] = {"include_usage": True}  # the caller's API tells usage unasked
    stop = params.get("stop", params.get("stop_sequences"))
    if stop is not None and api == "openai.chat":
        out["stop"] = stop
    elif stop is not None and api == "anthropic.messages":
        out["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    return out
