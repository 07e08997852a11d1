"""The items of the Responses API: what stands in ``input`` and in ``output``.

In a request each item is a message.  In an answer all items together are one message; the blocks of a message or
reasoning item then carry its other fields in ``extra["item"]``, so that the items can be made again and an answer can
be put into the next request as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clippy_hookspecs import Block, Json, Message, Opaque, Reasoning, Text, ToolCall, ToolResult, evolve
from clippy_hookspecs.types import with_raw

from .responses_parts import (
    ITEM,
    PART,
    decode_content,
    decode_part,
    encode_content,
    encode_part,
    is_part,
    named,
    needs_list,
)
from .shapes import without
from .values import message_of, text_of

_SUMMARY, _THOUGHT = "summary_text", "reasoning_text"
CALL_FIELDS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Type of a call to a tool of the caller's: the field with what the model wrote."""
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


# --- reading ------------------------------------------------------------------------------------------------------


def decode_input_item(item: Json) -> Message:
    """One item of a request's ``input`` as a message."""
    kind = item_type(item)
    if kind == "message":
        message = _input_message(item)
        if message is not None:
            return message
    blocks = _item_blocks(item, kind)
    role = "tool" if kind.endswith(("_output", "_response")) else "assistant"
    if isinstance(blocks[0], Opaque) and isinstance(item, dict) and isinstance(item.get("role"), str):
        role = item["role"]
    return message_of(role, blocks, {}, item)


def decode_output(items: list[Json]) -> Message:
    """The items of an answer's ``output`` as one message."""
    blocks: list[Block] = []
    for item in items:
        kind = item_type(item)
        blocks += (kind == "message" and _message_blocks(item)) or _item_blocks(item, kind)
    return message_of("assistant", tuple(blocks), {})


def item_type(item: Json) -> str:
    """The type of an item; one without is a message if it has a role."""
    if not isinstance(item, dict):
        return ""
    kind = item.get("type", "message" if isinstance(item.get("role"), str) else "")
    return kind if isinstance(kind, str) else ""


def _input_message(item: dict[str, Json]) -> Message | None:
    role = item.get("role")
    blocks = decode_content(item.get("content"), role) if isinstance(role, str) and role else None
    # A part whose type does not tell that it is one could not be told from an item when it is written again.
    if blocks is None or not isinstance(role, str) or not all(map(is_part, blocks)):
        return None
    extra = without(item, "role", "content")
    if needs_list(item["content"], blocks):
        extra["content"] = []
    return message_of(role, blocks, extra, item)


def _message_blocks(item: dict[str, Json]) -> tuple[Block, ...]:
    """The parts of an answer's message.  Parts that we do not model stay in their places in the item's fields."""
    content = item.get("content")
    if not isinstance(content, list):
        return ()
    blocks = [decode_part(part, "assistant") for part in content]
    fields = without(item, "content")
    known = [(place, block) for place, block in enumerate(blocks) if not isinstance(block, Opaque)]
    if len(known) < len(blocks):
        fields["content"] = [block.data if isinstance(block, Opaque) else None for block in blocks]
    return tuple([_in_item(block, fields, place) for place, block in known])


def _item_blocks(item: Json, kind: str) -> tuple[Block, ...]:
    read = _READ.get(kind)
    blocks = read(item) if read is not None else None
    if blocks:
        return blocks
    return (with_raw(Opaque(kind, item), item),)


def _call(item: dict[str, Json]) -> tuple[Block, ...] | None:
    field = CALL_FIELDS[item["type"]]
    call_id, name, arguments = item.get("call_id"), item.get("name"), item.get(field)
    if not isinstance(call_id, str) or not isinstance(name, str) or not isinstance(arguments, str):
        return None
    return (with_raw(ToolCall(call_id, name, arguments, call_extra(item)), item),)


def call_extra(item: Mapping[str, Json]) -> dict[str, Json]:
    """What a call item has beside the fields of ToolCall; its type unless it is the usual one."""
    known = ("type",) if item.get("type") == "function_call" else ()
    return without(item, *known, "call_id", "name", CALL_FIELDS.get(item.get("type", ""), "arguments"))


def _result(item: dict[str, Json]) -> tuple[Block, ...] | None:
    call_id, output = item.get("call_id"), item.get("output")
    blocks = decode_content(output, "tool")
    if not isinstance(call_id, str) or blocks is None:
        return None
    known = ("type",) if item["type"] == "function_call_output" else ()
    extra = without(item, *known, "call_id", "output")
    if needs_list(output, blocks):
        extra["output"] = []
    return (with_raw(ToolResult(call_id, blocks, extra=extra), item),)


def _reasoning(item: dict[str, Json]) -> tuple[Block, ...] | None:
    fields = reasoning_fields(item)
    parts = [part for name in ("summary", "content") if name not in fields for part in item.get(name, [])]
    sections = [_SUMMARY] * (len(item["summary"]) if "summary" in item and "summary" not in fields else 0)
    sections += [_THOUGHT] * (len(parts) - len(sections))
    if not all(_is_thought(part, kind) for part, kind in zip(parts, sections, strict=True)):
        return None
    signature = item.get("encrypted_content")
    signature = signature if isinstance(signature, str) else None
    if not parts:
        return (Reasoning("", signature, {ITEM: fields}),)
    blocks = [with_raw(Reasoning(part["text"], None, without(part, "text")), part) for part in parts]
    blocks[0] = with_raw(evolve(blocks[0], signature=signature), blocks[0].raw)
    return tuple(_in_item(block, fields, place) for place, block in enumerate(blocks))


def reasoning_fields(item: Mapping[str, Json]) -> dict[str, Json]:
    """The fields of a reasoning item that are not in its blocks: also ``summary`` and ``content`` without parts."""
    parts = [name for name in ("summary", "content") if isinstance(item.get(name), list) and item[name]]
    signed = ["encrypted_content"] if isinstance(item.get("encrypted_content"), str) else []
    return without(item, *parts, *signed)


def _is_thought(part: Json, kind: str) -> bool:
    return isinstance(part, dict) and part.get("type") == kind and isinstance(part.get("text"), str)


def _in_item(block: Block, fields: Mapping[str, Json], place: int) -> Block:
    if isinstance(block, Opaque):
        return block
    marks: dict[str, Json] = {ITEM: fields, PART: place} if place else {ITEM: fields}
    if isinstance(block, Text):
        return text_of(block.text, {**block.extra, **marks}, block.raw)
    return with_raw(evolve(block, extra={**block.extra, **marks}), block.raw)


_READ: dict[str, Callable[[dict[str, Json]], tuple[Block, ...] | None]] = {
    "function_call": _call,
    "custom_tool_call": _call,
    "function_call_output": _result,
    "custom_tool_call_output": _result,
    "reasoning": _reasoning,
}


# --- writing ------------------------------------------------------------------------------------------------------


def encode_items(message: Message, *, answer: bool) -> list[Json]:
    """The items that *message* is; *answer* says that they are for ``output``."""
    if message.raw is not None:
        return [message.raw]
    items: list[Json] = []
    group: list[Block] = []
    for block in (*message.blocks, None):
        if group and (block is None or not _joins(group, block)):
            items.append(_group_json(tuple(group), message, answer, len(items)))
            group = []
        if isinstance(block, Reasoning) or (block is not None and is_part(block)):
            group.append(block)
        elif block is not None:
            items.append(_item_json(block))
    if not message.blocks and not answer:
        items.append({**_own(message), "content": []})
    return items


def _joins(group: list[Block], block: Block) -> bool:
    """Whether *block* belongs to the item of the blocks before it.  What a plugin made joins what stands before it."""
    if isinstance(block, Reasoning) != isinstance(group[0], Reasoning) or not (
        is_part(block) or isinstance(block, Reasoning)
    ):
        return False
    ours, other = _fields(group), _fields([block])
    if ours is None or other is None:
        return True
    same = ours["id"] == other["id"] if "id" in ours and "id" in other else ours == other
    return same and _place(block) > max(_place(known) for known in group)


def _fields(blocks: list[Block] | tuple[Block, ...]) -> Mapping[str, Json] | None:
    for block in blocks:
        if not isinstance(block, Opaque) and isinstance(block.extra.get(ITEM), Mapping):
            return block.extra[ITEM]  # type: ignore[no-any-return]  # checked above
    return None


def _place(block: Block) -> int:
    return 0 if isinstance(block, Opaque) else int(block.extra.get(PART, 0))


def _group_json(group: tuple[Block, ...], message: Message, answer: bool, number: int) -> Json:
    fields = _fields(group)
    if isinstance(group[0], Reasoning):
        return _reasoning_json(group, fields if fields is not None else {"id": f"rs_{number}", "summary": []})
    if fields is not None:
        return {**fields, "content": _filled(fields.get("content"), group)}
    if answer:
        parts = [encode_part(block, "assistant") for block in group]
        content = [{"annotations": [], **part} if part.get("type") == "output_text" else part for part in parts]
        known = {"type": "message", "role": "assistant", "status": "completed"}
        return {"id": f"msg_{number}", **known, "content": content}
    own = _own(message)
    return {**own, "content": encode_content(group, own["role"], "content" in message.extra)}


def _own(message: Message) -> dict[str, Json]:
    """The fields of a request's message that are not its content."""
    role = "user" if message.role in ("tool", "function") else message.role
    return {**without(message.extra, "role", "content"), "role": role}


def _filled(skeleton: Json, group: tuple[Block, ...]) -> list[Json]:
    parts = {_place(block): encode_part(block, "assistant") for block in group}
    if not isinstance(skeleton, list):
        return [encode_part(block, "assistant") for block in group]
    kept = [part if part is not None else parts.pop(place, None) for place, part in enumerate(skeleton)]
    return [part for part in kept if part is not None] + list(parts.values())


def _reasoning_json(group: tuple[Block, ...], fields: Mapping[str, Json]) -> Json:
    item: dict[str, Json] = {**fields, "type": "reasoning"}
    thoughts = [block for block in group if isinstance(block, Reasoning)]
    for name, kind in (("summary", _SUMMARY), ("content", _THOUGHT)):
        parts = [_thought_json(block, kind) for block in thoughts if _section(block) == kind]
        if parts:
            item[name] = parts
    signatures = [block.signature for block in thoughts if block.signature is not None]
    if signatures:
        item["encrypted_content"] = signatures[0]
    return item


def _section(block: Reasoning) -> str | None:
    """Where a thought goes; one without words that never was a part stands for an item without parts."""
    kind = block.extra.get("type")
    return _THOUGHT if kind == _THOUGHT else _SUMMARY if kind == _SUMMARY or block.text else None


def _thought_json(block: Reasoning, kind: str) -> Json:
    if block.raw is not None:
        return block.raw
    return {**without(block.extra, ITEM, PART), "type": kind, "text": block.text}


def _item_json(block: Block) -> Json:
    """The JSON of a block that is an item."""
    if block.raw is not None:
        return block.raw
    match block:
        case ToolCall():
            kind = block.extra.get("type", "function_call")
            known = {"type": kind, "call_id": block.id, "name": block.name}
            return {**block.extra, **known, CALL_FIELDS.get(kind, "arguments"): block.arguments}
        case ToolResult():
            kind = block.extra.get("type")
            known = {"type": kind if kind in _OUTPUTS else "function_call_output", "call_id": block.call_id}
            return {**block.extra, **known, "output": encode_content(block.content, "tool", "output" in block.extra)}
        case Opaque():
            return named(block)
        case _:
            raise ValueError(f"a {type(block).__name__} is a part of an item, it cannot be one")
