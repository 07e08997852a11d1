"""Requests and answers from one wire API to another, for a route that speaks another API than the caller.

Text, images, tools, tool results and usage cross.  What is bound to its provider does not: reasoning, tools that it
runs itself, blocks we do not model, fields we do not know (features.md P17); what keeps a request from crossing says
:func:`~clippy_core.wire.translate_params.untranslatable`.  The caller's own values are never changed by this.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from attrs import define, field
from clippy_hookspecs import Chunk, Headers, Json, RefusalText, Request, Response, ToolCall, Usage, evolve

from ..jsonio import loads
from .base import StreamEvent
from .errors import status_of, told_in
from .translate_params import translate_params
from .translate_tools import crossing
from .translate_turns import bare_message, translate_turns

_FINISH = {
    "openai.chat": {
        "end_turn": "stop",
        "stop_sequence": "stop",
        "completed": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "max_output_tokens": "length",
        "incomplete": "length",
        "model_context_window_exceeded": "length",
        "pause_turn": "stop",
        "refusal": "content_filter",
    },
    "anthropic.messages": {
        "stop": "end_turn",
        "completed": "end_turn",
        "tool_calls": "tool_use",
        "function_call": "tool_use",
        "length": "max_tokens",
        "max_output_tokens": "max_tokens",
        "incomplete": "max_tokens",
        "content_filter": "refusal",
    },
    "openai.responses": {
        "stop": "completed",
        "end_turn": "completed",
        "stop_sequence": "completed",
        "tool_calls": "completed",
        "tool_use": "completed",
        "function_call": "completed",
        "pause_turn": "completed",
        "length": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "model_context_window_exceeded": "max_output_tokens",
        "refusal": "content_filter",
    },
}

_PLAIN = {"openai.chat": "stop", "anthropic.messages": "end_turn", "openai.responses": "completed"}
_CALLS = {"openai.chat": "tool_calls", "anthropic.messages": "tool_use", "openai.responses": "completed"}

_CREATED = {"openai.chat": "created", "openai.responses": "created_at"}

_KINDS: dict[type, str] = {ToolCall: "tool_call", RefusalText: "refusal"}
_UNFINISHED = ("failed", "cancelled", "queued", "in_progress")
_SAYING = ("content", "tool_calls", "function_call", "audio")
"""The fields in which a message speaks; they are in its ``extra`` where they could not be read."""


def translate_request(request: Request, api: str, host: str = "") -> Request:
    """*request* in the words of *api* as *host* speaks it; its address and headers are the route's affair."""
    tools = crossing(request, api)
    return evolve(
        request,
        api=api,
        messages=translate_turns(request.messages, api),
        tools=tools,
        params=translate_params(request, api, host, tools),
    )


def made_at(headers: Headers, now: float) -> float:
    """When an answer was made, in unix seconds: as its head says, which is kept with a stored one, else *now*.

    Some APIs say it in the body as well, and some only there.
    """
    from email.utils import parsedate_to_datetime  # whoever serves HTTP has loaded it

    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return now


def is_answer(response: Response) -> bool:
    """Whether *response* is an answer of which all can be read.

    A gateway's page, an answer that failed and one with calls of an unknown shape would become an empty one.
    """
    message = response.message
    if response.finish_reason in _UNFINISHED or any(message.extra.get(name) for name in _SAYING):
        return False
    return bool(message.blocks or response.finish_reason)


def translate_response(response: Response, api: str, now: float) -> Response:
    """*response* in the words of *api*, for a caller of that.  *now*: unix seconds, for one that does not tell when."""
    message = bare_message(response.message, refusals=api != "anthropic.messages")
    said = {_KINDS.get(type(block), "") for block in response.message.blocks}
    return Response(
        api=api,
        status=response.status,
        headers=response.headers,
        message=message,
        finish_reason=_finish(response.finish_reason, api, said),
        usage=None if response.usage is None else evolve(response.usage, extra={}),
        id=response.id,
        model=response.model,
        params=_created(response.params, api, made_at(response.headers, now)),
        provenance=response.provenance,
        extensions=response.extensions,
    )


@define(eq=False)
class TranslatedSource:
    """The events of another API's stream; the caller's own writer writes them anew."""

    source: Any
    api: str
    now: float
    """Unix seconds, for an answer that does not say when it was made."""
    tells_usage: bool = False
    _usage: Usage | None = field(default=None, init=False)
    _reason: str | None = field(default=None, init=False)
    _said: set[str] = field(factory=set, init=False)
    _calls: dict[int, list[str]] = field(factory=dict, init=False)
    """The arguments of the calls that have begun, by their blocks."""
    _nameless: dict[int, Chunk] = field(factory=dict, init=False)
    """What came of calls whose names have not come yet."""
    _started: bool = field(default=False, init=False)
    _told: bool = field(default=False, init=False)
    _empty: bool = field(default=False, init=False)
    """Whether it ended without having begun, which is no answer."""
    queue: deque[StreamEvent] = field(factory=deque, init=False)

    @property
    def complete(self) -> bool:
        return bool(self.source.complete) and not self._empty

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
            chunks = tuple(out for chunk in event.chunks for out in self._translated(chunk))
            if len(chunks) > 1 and chunks[-1].kind == "error":  # an event of its own, as providers send it
                self.queue.append(StreamEvent(b"", chunks[-1:]))
                chunks = chunks[:-1]
            return StreamEvent(b"", chunks)
        if self._told or not self.source.complete:
            return None
        return StreamEvent(b"", tuple(self._end()))  # it ended well without a terminal event, as chat streams may

    def _translated(self, chunk: Chunk) -> list[Chunk]:
        """What *chunk* is in the other API; what comes at the end there waits for the end."""
        self._usage = chunk.usage or self._usage
        self._reason = chunk.finish_reason or self._reason
        if chunk.kind == "done":
            return self._end(chunk)
        if chunk.kind == "error":
            opening = self._opening(None) if self.api == "openai.responses" else []  # its SDK reads no error before it
            return [*opening, Chunk("error", extra=ErrorTold(chunk.extra, self.api))]
        if chunk.kind == "start":
            return self._opening(chunk)
        if chunk.kind == "ping":  # what is between may take long to pass a model's thoughts, which are left out
            return [Chunk("ping")] if self._started else []
        if chunk.kind in ("reasoning", "finish", "usage", "other"):
            return []
        if chunk.kind == "stop":
            return self._stopped(chunk)
        if chunk.kind != "tool_call":
            return [*self._opening(chunk), self._bare(chunk)]
        return self._call(chunk)

    def _bare(self, chunk: Chunk) -> Chunk:
        self._said.add(chunk.kind)
        return evolve(chunk, extra={}, usage=None, finish_reason=None)

    def _call(self, chunk: Chunk, *, last: bool = False) -> list[Chunk]:
        """A piece of a call, which begins with its name and an id: some servers tell these late, or no id at all."""
        if chunk.block not in self._calls:
            before = self._nameless.pop(chunk.block, None)
            if before is not None:
                chunk = evolve(chunk, delta=before.delta + chunk.delta, id=before.id or chunk.id)
            if not (chunk.name or last):
                self._nameless[chunk.block] = chunk
                return []
            self._calls[chunk.block] = []
            chunk = evolve(chunk, id=chunk.id or f"call_{chunk.block}", name=chunk.name or "")
        elif chunk.id or chunk.name:
            chunk = evolve(chunk, id=None, name=None)
        self._calls[chunk.block].append(chunk.delta)
        return [*self._opening(chunk), self._bare(chunk)]

    def _stopped(self, chunk: Chunk) -> list[Chunk]:
        """The end of a block.  Calls may take turns, so that of one that is not whole yet waits for the answer's."""
        arguments = self._calls.get(chunk.block)
        if arguments is not None and self.api == "anthropic.messages" and not _is_whole("".join(arguments)):
            return []
        return [*self._unargued([chunk.block]), evolve(chunk, extra={})]

    def _unargued(self, blocks: Iterable[int]) -> list[Chunk]:
        """The arguments of calls that have none, as OpenAI's own models write them; Anthropic's programs need none."""
        empty = [one for one in blocks if self.api == "openai.chat" and not "".join(self._calls.get(one, "x"))]
        for block in empty:
            self._calls[block].append("{}")
        return [Chunk("tool_call", "{}", block) for block in empty]

    def _opening(self, chunk: Chunk | None) -> list[Chunk]:
        """The beginning of a message, also of one that came without, as some servers of OpenAI's kind leave it out."""
        if self._started:
            return []
        self._started = True
        told = chunk.extra.get("response") if chunk is not None else None
        told = told if isinstance(told, Mapping) else {}
        known = {name: told[name] for name in ("id", "model") if isinstance(told.get(name), str)}
        if self.api == "openai.chat":
            known["object"] = "chat.completion.chunk"
        known |= _created(told, self.api, self.now)
        identity = known.get("id")
        return [Chunk("start", id=identity, extra={"response": known, "message": {"role": "assistant"}})]

    def _end(self, chunk: Chunk | None = None) -> list[Chunk]:
        """Finish reason, usage and terminal event, each where this API's callers look for it."""
        self._told = True
        self._empty = not (self._started or self._nameless or self._reason or self._usage)
        if self._empty:
            return []
        late = [one for block in [*self._nameless] for one in self._call(Chunk("tool_call", "", block), last=True)]
        opening = [*self._opening(chunk), *late, *self._unargued(self._calls)]
        reason = _finish(self._reason, self.api, self._said)
        usage = None if self._usage is None else evolve(self._usage, extra={})
        if self.api == "openai.responses":
            return [*opening, Chunk("done", finish_reason=reason, usage=usage)]
        if self.api == "anthropic.messages":
            return [*opening, Chunk("finish", finish_reason=reason, usage=usage), Chunk("done")]
        finish = Chunk("finish", finish_reason=reason)
        if usage is None or self.tells_usage:
            told = [] if usage is None else [Chunk("usage", usage=usage)]
            return [*opening, finish, *told, Chunk("done")]
        return [*opening, finish, Chunk("done", usage=usage)]  # not for its caller: [DONE] says nothing; for the books

    def cut(self) -> None:
        """Break the connection under a read that blocks in another thread."""
        self.source.cut()

    async def drain(self) -> None:
        await self.source.drain()

    async def aclose(self) -> None:
        await self.source.aclose()


class ErrorTold(dict[str, Json]):
    """An error event in the words of *api*, which remembers the provider's ``own``: only that can be judged."""

    __slots__ = ("own",)

    def __init__(self, own: Mapping[str, Json], api: str) -> None:
        from . import APIS

        code, message = told_in(own)
        super().__init__(APIS[api].error_body(status_of(code), code or "error", message or "an error"))
        self.own = own


def _created(told: Mapping[str, Json], api: str, now: float) -> dict[str, Json]:
    """When an answer was made, as *api* says it, from what its provider *told*; Anthropic's says nothing of it."""
    known = (told.get(name) for name in _CREATED.values())
    times = (one for one in known if isinstance(one, int | float) and not isinstance(one, bool))
    made = next((int(one) for one in times if 0 < one < math.inf), int(now))
    return {_CREATED[api]: made} if api in _CREATED else {}


def _is_whole(arguments: str) -> bool:
    try:
        return isinstance(loads(arguments), dict)
    except ValueError:
        return False


def _finish(reason: str | None, api: str, said: Collection[str]) -> str | None:
    """A finish reason in the words of *api*; some APIs say nothing special when the model asks for tools or refuses.

    *said* are the kinds of what was said.  Where something was, an answer has ended for some reason.
    """
    told = _FINISH[api].get(reason, reason) if reason else _PLAIN[api] if said else None
    if told not in ("stop", "end_turn"):
        return told
    if "refusal" in said and api == "anthropic.messages":
        return "refusal"
    return _CALLS[api] if "tool_call" in said else told
