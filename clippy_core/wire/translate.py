"""Requests and answers from one wire API to another, for a route that speaks another API than the caller.

Text, images, tools, tool results and usage cross.  What is bound to its provider does not: reasoning, tools that it
runs itself, blocks we do not model, fields we do not know (features.md P17); what keeps a request from crossing says
:func:`~clippy_core.wire.translate_params.untranslatable`.  The caller's own values are never changed by this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from clippy_hookspecs import Chunk, Json, Request, Response, Tool, Usage, evolve

from .base import StreamEvent
from .translate_params import is_function, translate_params
from .translate_turns import bare_message, translate_turns

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


def translate_request(request: Request, api: str, host: str = "") -> Request:
    """*request* in the words of *api* as *host* speaks it; its address and headers are the route's affair."""
    tools = tuple([_tool(tool) for tool in request.tools if is_function(tool, request.api)])
    return evolve(
        request,
        api=api,
        messages=translate_turns(request.messages, api),
        tools=tools,
        params=translate_params(request, api, host, tools),
    )


def translate_response(response: Response, api: str) -> Response:
    """*response* in the words of *api*, for a caller who speaks that."""
    return Response(
        api=api,
        status=response.status,
        headers=response.headers,
        message=bare_message(response.message),
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
        if chunk.kind in ("reasoning", "finish", "usage", "ping", "other") or (chunk.kind == "start" and self._started):
            return []
        opening = [] if chunk.kind == "start" else self._opening()
        self._started = True
        return [*opening, evolve(chunk, extra={}, usage=None, finish_reason=None)]

    def _opening(self) -> list[Chunk]:
        """The beginning of a message that came without one, as some servers of OpenAI's kind leave out the role."""
        return [] if self._started else [Chunk("start")]

    def _end(self) -> list[Chunk]:
        """Finish reason, usage and terminal event, each where this API's callers look for it."""
        self._told, opening = True, self._opening()
        reason = _finish(self._reason, self.api, calls=self._calls)
        usage = None if self._usage is None else evolve(self._usage, extra={})
        if self.api == "openai.responses":
            return [*opening, Chunk("done", finish_reason=reason, usage=usage)]
        if self.api == "anthropic.messages":
            return [*opening, Chunk("finish", finish_reason=reason, usage=usage), Chunk("done")]
        told = [Chunk("usage", usage=usage)] if usage is not None and self.tells_usage else []
        return [*opening, Chunk("finish", finish_reason=reason), *told, Chunk("done")]

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


def _tool(tool: Tool) -> Tool:
    return Tool(tool.name, tool.description, tool.parameters)
