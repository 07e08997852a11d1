"""What a request says to the provider's prompt cache: breakpoints for Anthropic, a key for OpenAI.

Both are pure functions of the request, so that every attempt of it is the same bytes.  Rules of the breakpoints are
those of Anthropic's documentation (docs/build-with-claude/prompt-caching): at most four in all, none on thinking or
empty text, an entry of one hour before every entry of five minutes, and a look back over twenty blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen
from clippy_hookspecs import (
    Block,
    Image,
    Json,
    Message,
    Opaque,
    Reasoning,
    Request,
    Scope,
    Text,
    TokenCounter,
    Tool,
    ToolCall,
    ToolResult,
)

from .parts import dumps

MOST: Final = 4
"""Breakpoints that a request may have."""

_MARK: Final = "cache_control"
_OPAQUE: Final = frozenset({"document", "search_result"})
"""Kinds of blocks that we do not model and that may be marked (anthropic 2.12, types with ``cache_control``)."""

_LONG: Final = 8
"""Characters of a token in a text whose tokens are long: English has four, and whoever errs here marks in vain."""

_KNOWN: Final = 1024

_ASKS: Final = ("user", "tool", "function")


@frozen
class Place:
    """Where a breakpoint can stand: behind tool *item*, or behind *block* of message *item*."""

    of: str
    item: int
    block: int = 0

    @property
    def order(self) -> tuple[int, int, int]:
        """The place in the order in which the provider reads: tools, system, messages."""
        return ("tools", "system", "messages").index(self.of), self.item, self.block


def with_breakpoints(request: Request, minimum: int, ttl: str, tokens: Tokens) -> Request:
    """*request* with breakpoints where its prefix is stable and has at least *minimum* tokens.

    The caller's own count and stay.  The newest turn and the one before it are marked once the model has answered:
    what is asked once and never again would only be written.  The turn before is where the last request's entry ends;
    its own breakpoint finds that entry also behind a turn of more than twenty blocks.
    """
    marked = dict(_marked(request))
    automatic = request.params.get(_MARK)
    free = MOST - len(marked) - _nested(request) - (1 if automatic else 0)
    places = [place for place in _wanted(request, bool(automatic)) if place not in marked]
    chosen: list[Place] = []
    for place in places:
        if len(chosen) >= free:
            break
        if _tokens_reach(request, place, minimum, tokens):
            chosen.append(place)
    lives = {place.order: _ttl(mark) for place, mark in marked.items()}
    if automatic:
        lives[3, 0, 0] = _ttl(automatic)
    marks = {place: mark for place in chosen if (mark := _mark(place, ttl, lives)) is not None}
    return _put(request, marks) if marks else request


def with_key(request: Request, scope: Scope, minimum: int, retention: str | None, tokens: Tokens) -> Request:
    """*request* with a ``prompt_cache_key``, if it is long enough to be cached and the caller has not set one.

    The key stands for who asks and what the prompt begins with.  It is a digest: no name leaves the process.
    """
    params = request.params
    added: dict[str, Json] = {}
    if "prompt_cache_key" not in params:
        added["prompt_cache_key"] = _key(request, scope)
    if retention is not None and "prompt_cache_retention" not in params and "prompt_cache_options" not in params:
        added["prompt_cache_retention"] = retention
    last = Place("messages", len(request.messages) - 1)
    if not added or not _tokens_reach(request, last, minimum, tokens):
        return request
    return evolve(request, params={**params, **added})


def sorted_tools(request: Request) -> Request:
    """*request* with its tools by name."""
    tools = tuple(sorted(request.tools, key=lambda tool: tool.name))
    if all(one is other for one, other in zip(tools, request.tools, strict=True)):
        return request
    return evolve(request, tools=tools)


# --- where ------------------------------------------------------------------------------------------------------------


def _wanted(request: Request, automatic: bool) -> Iterator[Place]:
    """The places worth a breakpoint, the most useful first."""
    asked = [at for at, message in enumerate(request.messages) if message.role in _ASKS]
    goes_on = any(message.role == "assistant" for message in request.messages)
    turns = [_last_block(request.messages, at) for at in asked[-2:]] if goes_on and not automatic else []
    heads = [at for at, message in enumerate(request.messages) if is_system(message)]
    system = _last_block(request.messages, heads[-1], "system") if heads else None
    tools = [at for at, tool in enumerate(request.tools) if not tool.extra.get("defer_loading")]
    tool = Place("tools", tools[-1]) if tools else None
    newest, before = (turns[-1:] or [None])[0], turns[0] if len(turns) == 2 else None
    return (place for place in (newest, system, before, tool) if place is not None)


def is_system(message: Message) -> bool:
    """Whether it stands in the ``system`` field."""
    return message.role in ("system", "developer") and message.extra.get("role") != "messages"


def _last_block(messages: Sequence[Message], at: int, of: str = "messages") -> Place | None:
    """Behind the last block of a message that may be marked."""
    blocks = messages[at].blocks
    found = next((place for place in range(len(blocks) - 1, -1, -1) if _may_carry(blocks[place])), None)
    return None if found is None else Place(of, at, found)


def _may_carry(block: Block) -> bool:
    if isinstance(block, Opaque):
        return block.kind in _OPAQUE and isinstance(block.data, Mapping)
    if isinstance(block, Text):
        return bool(block.text.strip())
    return isinstance(block, Image | ToolCall | ToolResult)


def _tokens_reach(request: Request, place: Place, minimum: int, tokens: Tokens) -> bool:
    """Whether the prompt has *minimum* tokens up to the end of what *place* is in.

    What is surely long enough is not counted, and nothing is counted further than needed.
    """
    read = _read_until(request, place)
    size = 0
    for part in read:
        size += _characters(part)
        if size >= minimum * _LONG:
            return True
    total = 0
    for part in read:
        total += tokens.of(part, request.model)
        if total >= minimum:
            return True
    return False


class Tokens:
    """How many tokens parts of prompts are, by the host's *counter*.

    The same tools and instructions come with every request, and counting them is most of what planning costs: the
    newest counts are *known*, by digests of the texts.
    """

    def __init__(self, counter: TokenCounter, known: dict[tuple[str, bytes], int]) -> None:
        self._counter, self._known = counter, known

    def of(self, part: Tool | Message, model: str) -> int:
        """Tokens of one part."""
        if isinstance(part, Message) and not is_system(part):
            return self._counter.count_message(part, model)
        text = _schema(part) if isinstance(part, Tool) else part.text
        key = model, hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        count = self._known.get(key)
        if count is None:
            if len(self._known) >= _KNOWN:
                self._known.clear()
            count = self._known[key] = self._counter.count(text, model)
        return count


def _read_until(request: Request, place: Place) -> list[Tool | Message]:
    """What the provider reads of a prompt until it comes to the end of what *place* is in."""
    tools, messages = request.tools, request.messages
    if place.of == "tools":
        return [*tools]
    heads = [message for message in messages if is_system(message)]
    if place.of == "system":
        return [*tools, *heads]
    return [*tools, *heads, *(message for message in messages[: place.item + 1] if not is_system(message))]


def _characters(part: Tool | Message) -> int:
    """Characters of a tool or a message, without what is not text."""
    if isinstance(part, Tool):
        return len(_schema(part))
    return sum(_letters(block) for block in part.blocks)


def _letters(block: Block) -> int:
    if isinstance(block, Text | Reasoning):
        return len(block.text)
    if isinstance(block, ToolCall):
        return len(block.arguments)
    return sum(map(_letters, block.content)) if isinstance(block, ToolResult) else 0


def _schema(tool: Tool) -> str:
    return dumps(_tool_fields(tool))


def _tool_fields(tool: Tool) -> Json:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}


# --- marks ------------------------------------------------------------------------------------------------------------


def _marked(request: Request) -> Iterator[tuple[Place, Json]]:
    """The caller's own breakpoints."""
    for at, tool in enumerate(request.tools):
        if tool.extra.get(_MARK):
            yield Place("tools", at), tool.extra[_MARK]
    for at, message in enumerate(request.messages):
        for number, block in enumerate(message.blocks):
            mark = _mark_of(block)
            if mark:
                yield Place("system" if is_system(message) else "messages", at, number), mark


def _mark_of(block: Block) -> Json:
    fields = block.data if isinstance(block, Opaque) else block.extra
    return fields.get(_MARK) if isinstance(fields, Mapping) else None


def _nested(request: Request) -> int:
    """Breakpoints within the content of tool results, which count as well."""
    blocks = (block for message in request.messages for block in message.blocks if isinstance(block, ToolResult))
    return sum(bool(_mark_of(one)) for block in blocks for one in block.content)


def _ttl(mark: Json) -> str:
    return str(mark.get("ttl", "5m")) if isinstance(mark, Mapping) else "5m"


def _mark(place: Place, ttl: str, lives: Mapping[tuple[int, int, int], str]) -> dict[str, str] | None:
    """The mark for *place* that keeps the order of lifetimes with the caller's own; None if there is none."""
    if ttl == "1h" and any(life != "1h" for order, life in lives.items() if order < place.order):
        ttl = "5m"
    if ttl == "5m" and any(life == "1h" for order, life in lives.items() if order > place.order):
        return None
    return {"type": "ephemeral", "ttl": ttl} if ttl != "5m" else {"type": "ephemeral"}


def _put(request: Request, marks: Mapping[Place, Json]) -> Request:
    tools, messages = list(request.tools), list(request.messages)
    for place, mark in marks.items():
        if place.of == "tools":
            tool = tools[place.item]
            tools[place.item] = evolve(tool, extra={**tool.extra, _MARK: mark})
            continue
        message = messages[place.item]
        blocks = list(message.blocks)
        blocks[place.block] = _with_mark(blocks[place.block], mark)
        messages[place.item] = evolve(message, blocks=tuple(blocks))
    changed: dict[str, Any] = {"messages": tuple(messages)}
    if any(place.of == "tools" for place in marks):
        changed["tools"] = tuple(tools)
    return evolve(request, **changed)


def _with_mark(block: Block, mark: Json) -> Block:
    if isinstance(block, Opaque):
        return evolve(block, data={**block.data, _MARK: mark})
    return evolve(block, extra={**block.extra, _MARK: mark})


# --- the key ----------------------------------------------------------------------------------------------------------


def _key(request: Request, scope: Scope) -> str:
    """A digest of who asks, the tools and the leading instructions: what a conversation keeps."""
    begins = []
    for message in request.messages:
        if message.role not in ("system", "developer"):
            break
        begins.append(message.text)
    tools = [_tool_fields(tool) for tool in request.tools]
    told = dumps([scope.tenant, scope.user, scope.session, tools, begins])
    return f"clippy-{hashlib.blake2b(told.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
