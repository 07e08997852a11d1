"""The turns of a conversation as another wire API wants to have them.

Text, images, tool calls and their results cross; what is bound to its provider does not.  Beside their names the APIs
differ in where results stand: OpenAI's chat wants one message for each, directly after the one message with all their
calls, and no images in them; Anthropic wants all of a turn's results in the next user message, first.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from attrs import define, field
from clippy_hookspecs import Block, Image, Message, RefusalText, Text, ToolCall, ToolResult, evolve

from ..jsonio import dumps, loads

_ID = {
    "openai.chat": re.compile(r".{1,40}", re.DOTALL),
    "openai.responses": re.compile(r".{1,64}", re.DOTALL),
    "anthropic.messages": re.compile(r"[a-zA-Z0-9_-]+"),
}
"""The ids of calls that each API takes (as their own error messages say)."""


def translate_turns(messages: Sequence[Message], api: str) -> tuple[Message, ...]:
    """*messages* as turns of *api*."""
    ids = _Ids(api)
    bare = [evolve(one, blocks=tuple(map(ids.known, one.blocks))) for one in map(bare_message, messages)]
    if api == "anthropic.messages":
        return _anthropic(bare)
    told = [evolve(one, blocks=tuple(map(_failed_in_words, one.blocks))) for one in bare]
    split = [one for message in told for one in _apart(message)]
    return _chat(split) if api == "openai.chat" else tuple(split)


def bare_message(message: Message, *, refusals: bool = False) -> Message:
    """*message* with what every API has, and nothing of its own; *refusals*: they may stay what they are."""
    role = "system" if message.role == "developer" else message.role
    return Message(role, _bare(message.blocks, refusals))


def _bare(blocks: Sequence[Block], refusals: bool = False) -> tuple[Block, ...]:
    return tuple([bare for block in blocks if (bare := _bare_block(block, refusals)) is not None])


def _bare_block(block: Block, refusals: bool) -> Block | None:
    match block:
        case RefusalText() if refusals:
            return RefusalText(block.text)
        case Text() | RefusalText():
            return Text(block.text)
        case Image():
            return Image(block.url, block.data, block.media_type)
        case ToolCall():
            return ToolCall(block.id, block.name, _arguments(block))
        case ToolResult():
            return ToolResult(block.call_id, _bare(block.content), block.is_error)
    return None  # Reasoning and Opaque are bound to the provider that made them


def _arguments(call: ToolCall) -> str:
    """What a call was made with, as the JSON that a function's arguments are.

    Only OpenAI's APIs have tools that are called with any text: it becomes the one argument, of the name it has there.
    """
    if "custom" in call.extra or call.extra.get("type") in ("custom", "custom_tool_call"):
        return dumps({"input": call.arguments}).decode()
    return call.arguments if call.arguments.strip() else "{}"


# --- ids ------------------------------------------------------------------------------------------------------------


@define(eq=False)
class _Ids:
    """Gives calls ids that an API takes, each its own, and results those of their calls: the nearest that is open."""

    api: str
    _count: defaultdict[str, int] = field(factory=lambda: defaultdict(int))
    _open: defaultdict[str, list[str]] = field(factory=lambda: defaultdict(list))

    def known(self, block: Block) -> Block:
        if isinstance(block, ToolCall):
            name = self._fitting(block.id, self._count[block.id])
            self._count[block.id] += 1
            self._open[block.id].append(name)
            return evolve(block, id=name)
        if isinstance(block, ToolResult):
            waiting = self._open[block.call_id]
            return evolve(block, call_id=waiting.pop() if waiting else self._fitting(block.call_id, 0))
        return block

    def _fitting(self, given: str, number: int) -> str:
        """*given* itself for the first call of that id, if *api* takes it; else one that is always the same for it."""
        if not number and _ID[self.api].fullmatch(given):
            return given
        digest = hashlib.blake2b(f"{number} {given}".encode("utf-8", "surrogatepass"), digest_size=12)
        return f"call_{digest.hexdigest()}"


# --- OpenAI ---------------------------------------------------------------------------------------------------------


def _apart(message: Message) -> list[Message]:
    """One may become several: each tool result is a message, or an item, of its own."""
    results = message.tool_results
    if not results:
        return [message] if message.blocks else []
    rest = tuple(block for block in message.blocks if not isinstance(block, ToolResult))
    split = [Message("tool", (result,)) for result in results]
    return [*split, evolve(message, blocks=rest)] if rest else split


def _failed_in_words(block: Block) -> Block:
    """That a tool failed, for which only Anthropic has a field."""
    if not isinstance(block, ToolResult) or not block.is_error:
        return block
    said = next((part for part in block.content if isinstance(part, Text)), Text(""))
    if said.text.lower().startswith("error"):
        return block
    rest = tuple([part for part in block.content if part is not said])
    return evolve(block, content=(Text(f"Error: {said.text}" if said.text.strip() else "Error"), *rest))


def _chat(messages: Sequence[Message]) -> tuple[Message, ...]:
    turns: list[Message] = []
    images: list[Block] = []
    for message in messages:
        if message.role == "tool" and message.tool_results:
            result = message.tool_results[0]
            found = [part for part in result.content if isinstance(part, Image)]
            if found:
                images += [Text(f"What the tool call {result.call_id} showed:"), *found]
                words = tuple(part for part in result.content if not isinstance(part, Image))
                message = Message("tool", (evolve(result, content=words),))
        elif images:
            turns.append(Message("user", tuple(images)))
            images = []
        _join(turns, message)
    if images:
        turns.append(Message("user", tuple(images)))
    return tuple(turns)


def _join(turns: list[Message], message: Message) -> None:
    """Add *message*; calls that were made in one turn belong into one message, with the words before them."""
    before = turns[-1] if turns else None
    if before is not None and before.role == message.role == "assistant" and (before.tool_calls or message.tool_calls):
        turns[-1] = evolve(before, blocks=(*before.blocks, *message.blocks))
    else:
        turns.append(message)


# --- Anthropic ------------------------------------------------------------------------------------------------------


def _anthropic(messages: Sequence[Message]) -> tuple[Message, ...]:
    system: list[Message] = []
    turns: list[Message] = []
    for message in messages:
        blocks = tuple([_anthropic_block(block) for block in message.blocks if not _is_blank(block)])
        if not blocks:
            continue  # it takes neither blank texts nor empty messages
        if message.role == "system":
            system.append(evolve(message, blocks=blocks))
            continue
        role = "user" if message.tool_results else message.role
        before = turns[-1] if turns else None
        if before is not None and role == before.role == "user" and (before.tool_results or message.tool_results):
            turns[-1] = evolve(before, blocks=_results_first((*before.blocks, *blocks)))
        else:
            _join(turns, Message(role, _results_first(blocks)))
    return (*system, *turns)


def _results_first(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    return tuple(sorted(blocks, key=lambda block: not isinstance(block, ToolResult)))


def _is_blank(block: Block) -> bool:
    return isinstance(block, Text) and not block.text.strip()


def _anthropic_block(block: Block) -> Block:
    if isinstance(block, ToolResult):
        return evolve(block, content=tuple([part for part in block.content if not _is_blank(part)]))
    if isinstance(block, ToolCall):
        return evolve(block, arguments=_object(block.arguments))
    return block


def _object(arguments: str) -> str:
    """Arguments as an object, which a tool's input must be there; what is none is wrapped as its guide says."""
    if not arguments.strip():
        return "{}"
    try:
        value = loads(arguments)
    except ValueError:
        value = None
    return arguments if isinstance(value, Mapping) else dumps({"INVALID_JSON": arguments}).decode()
