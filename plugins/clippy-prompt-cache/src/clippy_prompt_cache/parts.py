"""A prompt as the parts a provider's cache compares one after the other: tools, instructions, messages.

A part is one tool, one message, the instructions, or a parameter that becomes a part of the prompt.  Its text is
compact JSON in the order in which the caller wrote it.  Marks that steer the cache itself (``cache_control``,
``prompt_cache_breakpoint``) are left out: a provider does not compare them, and they move with every turn.  A content
that is one string is written as its one text, which is what it stands for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import frozen
from clippy_hookspecs import (
    Block,
    Image,
    Json,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)

MARKS: Final = ("cache_control", "prompt_cache_breakpoint")

_LEADING: Final[Mapping[str, tuple[str, ...]]] = {
    "openai.chat": ("functions", "response_format"),
    "openai.responses": ("text", "prompt"),
    "anthropic.messages": ("thinking", "output_config", "tool_choice"),
}
"""Parameters that stand before the messages.  OpenAI's guide: a schema for the answer is a prefix to the instructions.
Anthropic's table of invalidations: these keep the cache of tools and system and lose that of the messages."""

_UNSEEN: Final = ("previous_response_id", "conversation")
"""With one of these the beginning of the prompt is at the provider and not in the request."""

_MODEL, _TOOLS, _SYSTEM, _PARAMS, _TURNS = range(5)


@frozen
class Part:
    """One part: where it stands (*path*, and *section* and *index* to order it by) and its JSON *text*."""

    section: int
    index: int
    path: str
    text: str

    @property
    def turn(self) -> bool:
        """Whether it is a turn of the conversation and not what stands before it."""
        return self.section == _TURNS


def shows_its_prefix(request: Request) -> bool:
    """Whether the whole prompt is in the request."""
    return request.endpoint.chat and bool(request.messages) and not any(request.params.get(name) for name in _UNSEEN)


class PartsReader:
    """Reads the parts of requests; what several of them share is written once.  For one request on its way."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, str]] = {}

    def parts(self, request: Request) -> tuple[Part, ...]:
        """The parts of *request*, in the order in which its provider caches them."""
        return tuple(self._parts(request))

    def _parts(self, request: Request) -> Iterator[Part]:
        yield Part(_MODEL, 0, "model", dumps(request.model))
        for index, tool in enumerate(request.tools):
            yield Part(_TOOLS, index, f"tools[{index}]", self._text(tool))
        name = "input" if request.api == "openai.responses" else "messages"
        index = 0
        turns: list[Part] = []
        heads: list[Part] = []
        for message in request.messages:
            head = _head(request.api, message)
            if head is not None:
                heads.append(Part(_SYSTEM, len(heads), head, dumps([_block(block) for block in message.blocks])))
            else:
                turns.append(Part(_TURNS, index, f"{name}[{index}]", self._text(message)))
                index += 1
        yield from heads
        yield from _params(request.api, request.params)
        yield from turns

    def _text(self, value: Tool | Message) -> str:
        known = self._known.get(id(value))
        if known is None:
            # The value is kept with its text: another value may not get its id meanwhile.
            known = value, dumps(_tool(value) if isinstance(value, Tool) else _message(value))
            self._known[id(value)] = known
        return known[1]


def dumps(value: Json) -> str:
    """Compact JSON, in the order of *value*."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _head(api: str, message: Message) -> str | None:
    """The name of the field in which an API has this message apart from the others."""
    where = message.extra.get("role")
    if api == "openai.responses":
        return "instructions" if where == "instructions" else None
    if api == "anthropic.messages" and message.role in ("system", "developer") and where != "messages":
        return "system"
    return None


def _params(api: str, params: Mapping[str, Json]) -> Iterator[Part]:
    names = _LEADING.get(api, ())
    for index, name in enumerate(names):
        if params.get(name) is not None:
            yield Part(_PARAMS, index, name, dumps(params[name]))


def _bare(extra: Mapping[str, Json], *names: str) -> dict[str, Json]:
    return {name: value for name, value in extra.items() if name not in names and name not in MARKS}


def _tool(tool: Tool) -> Json:
    known = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {**known, **_bare(tool.extra)}


def _message(message: Message) -> Json:
    content = [_block(block) for block in message.blocks]
    return {"role": message.role, **_bare(message.extra, "role", "content"), "content": content}


def _block(block: Block) -> Json:
    match block:
        case Text():
            return {"type": "text", "text": block.text, **_bare(block.extra, "type")}
        case RefusalText():
            return {"type": "refusal", "text": block.text, **_bare(block.extra, "type")}
        case ToolCall():
            call = {"type": "tool_call", "id": block.id, "name": block.name, "arguments": block.arguments}
            return {**call, **_bare(block.extra)}
        case ToolResult():
            result = {"type": "tool_result", "id": block.call_id, "is_error": block.is_error}
            content = [_block(one) for one in block.content]
            return {**result, **_bare(block.extra, "content", "output", "type"), "content": content}
        case Reasoning():
            return {"type": "reasoning", "text": block.text, "signature": block.signature, **_bare(block.extra, "type")}
        case Image():
            return {"type": "image", "url": block.url, "data": block.data, "media_type": block.media_type} | _bare(
                block.extra, "type"
            )
        case Opaque():
            return _unmarked(block.data)


def _unmarked(value: Json) -> Json:
    return _bare(value) if isinstance(value, Mapping) else value


# --- from the JSON of a body ------------------------------------------------------------------------------------------


def api_of_body(body: Mapping[str, Json]) -> str:
    """The wire API whose request *body* seems to be."""
    if "input" in body or "instructions" in body:
        return "openai.responses"
    tools: Any = body.get("tools")
    schemas = isinstance(tools, list) and any(isinstance(tool, dict) and "input_schema" in tool for tool in tools)
    return "anthropic.messages" if "system" in body or schemas else "openai.chat"


def parts_of_body(body: Mapping[str, Json], api: str) -> tuple[Part, ...]:
    """The parts of the JSON body of a request, in the order in which its provider caches them."""
    parts = [Part(_MODEL, 0, "model", dumps(body.get("model", "")))]
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        parts.append(Part(_TOOLS, index, f"tools[{index}]", dumps(_unmarked(tool))))
    for name in ("system", "instructions"):
        if body.get(name):
            parts.append(Part(_SYSTEM, 0, name, dumps(_content(body[name]))))
    parts += _params(api, body)
    name = "input" if api == "openai.responses" else "messages"
    turns = body.get(name)
    for index, turn in enumerate(turns if isinstance(turns, list) else [turns] if turns else ()):
        parts.append(Part(_TURNS, index, f"{name}[{index}]", dumps(_turn(turn))))
    return tuple(parts)


def _turn(turn: Json) -> Json:
    if isinstance(turn, str):
        return {"role": "user", "content": _content(turn)}
    if isinstance(turn, Mapping) and "content" in turn:
        return {**_bare(turn), "content": _content(turn["content"])}
    return _unmarked(turn)


def _content(value: Json) -> Json:
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not isinstance(value, list):
        return value
    return [
        {**_bare(item), "content": _content(item["content"])}
        if isinstance(item, Mapping) and isinstance(item.get("content"), list)
        else _unmarked(item)
        for item in value
    ]
