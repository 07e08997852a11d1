"""The parts of the Responses API's items: texts, refusals, images; and tools and usage.

A part is what stands in the ``content`` of a message, in the ``output`` of a tool, or in the ``summary`` or ``content``
of a reasoning item.  What a part has and we do not model stays in ``extra`` under the wire's own names; a text's
``type`` does so where it is not the one its role implies (``output_text`` for the assistant, else ``input_text``).
"""

from __future__ import annotations

from clippy_hookspecs import Block, Image, Json, Opaque, Reasoning, RefusalText, Text, Tool, ToolCall, ToolResult, Usage
from clippy_hookspecs.types import with_raw

from .shapes import without
from .values import text_of, usage_of

VERBATIM = ""
"""Key in a tool's ``extra``: the whole JSON of something that is not the shape the API promises."""

ITEM, PART = "item", "part"
"""Keys in a block's ``extra``: the fields of the item it is a part of; its place among the parts if not the first."""

_TEXTS = ("input_text", "output_text", "text")


def decode_part(value: Json, role: str) -> Block:
    """One part of a message or of a tool's output; what we do not model is Opaque."""
    block = _part(value, role)
    if block is None:
        kind = value.get("type") if isinstance(value, dict) else None
        block = Opaque(kind if isinstance(kind, str) else "", value)
    return with_raw(block, value)


def _part(value: Json, role: str) -> Block | None:
    if not isinstance(value, dict):
        return None
    kind, text = value.get("type"), value.get("text")
    if isinstance(text, str) and kind in _TEXTS:
        extra = without(value, "text") if kind != _text_type(role) else without(value, "type", "text")
        return text_of(text, extra)
    match value:
        case {"type": "refusal", "refusal": str(text)}:
            return RefusalText(text, without(value, "type", "refusal"))
        case {"type": "input_image", "image_url": str(url)}:
            extra = without(value, "type", "image_url")
            media_type, data = _data_url(url)
            return Image(url, extra=extra) if data is None else Image(None, data, media_type, extra)
        case {"type": "input_image"}:
            return Image(extra=without(value, "type"))
        case _:
            return None


def is_part(block: Block) -> bool:
    """Whether a block can stand in the content of a message, by what it is or by the name of its type."""
    if isinstance(block, Opaque):
        return block.kind.startswith(("input_", "output_"))
    return isinstance(block, Text | RefusalText | Image)


def encode_part(block: Block, role: str) -> Json:
    """The JSON of one part: as it came, or from its fields."""
    if block.raw is not None:
        return block.raw
    if isinstance(block, Opaque):
        return named(block)
    extra = without(block.extra, ITEM, PART)
    match block:
        case Text() | Reasoning():
            kind = extra.get("type")
            if extra.get("logprobs") and not spells(extra["logprobs"], block.text):
                extra["logprobs"] = []  # They would tell what a plugin has taken out of the text.
            return {**extra, "type": kind if kind in _TEXTS else _text_type(role), "text": block.text}
        case RefusalText():
            return {**extra, "type": "refusal", "refusal": block.text}
        case Image():
            if block.data is not None:
                extra["image_url"] = f"data:{block.media_type or 'image/png'};base64,{block.data}"
            elif block.url is not None:
                extra["image_url"] = block.url
            return {**extra, "type": "input_image"}
        case ToolCall() | ToolResult():
            raise ValueError(f"a {type(block).__name__} is an item of its own, it cannot be a part of another")


def spells(logprobs: Json, text: str) -> bool:
    """Whether the tokens say *text*.  A token may be a part of a character, and then only its bytes are exact."""
    spelt = bytearray()
    for token in logprobs if isinstance(logprobs, list) else ():
        octets = token.get("bytes") if isinstance(token, dict) else None
        if isinstance(octets, list) and all(type(octet) is int and 0 <= octet < 256 for octet in octets):
            spelt += bytes(octets)
        elif isinstance(token, dict):
            spelt += str(token.get("token", "")).encode("utf-8", "surrogatepass")
    return bytes(spelt) == text.encode("utf-8", "surrogatepass")


def named(block: Opaque) -> Json:
    """The data of an opaque block, with its kind as type where a plugin left that out."""
    if isinstance(block.data, dict) and "type" not in block.data and block.kind:
        return {"type": block.kind, **block.data}
    return block.data


def decode_content(value: Json, role: str) -> tuple[Block, ...] | None:
    """The blocks of a string or a list of parts; None for anything else."""
    if isinstance(value, str):
        return (text_of(value, {}),)
    return tuple([decode_part(part, role) for part in value]) if isinstance(value, list) else None


def encode_content(blocks: tuple[Block, ...], role: str, as_list: bool) -> Json:
    """A string for one plain text unless *as_list*, else the list of parts."""
    if not as_list and len(blocks) == 1 and plain(blocks[0]):
        return blocks[0].text  # type: ignore[union-attr]  # plain says that it is a Text
    return [encode_part(block, role) for block in blocks]


def plain(block: Block) -> bool:
    """Whether a block is a text and nothing else, which a string can say as well."""
    return isinstance(block, Text) and not block.extra


def needs_list(value: Json, blocks: tuple[Block, ...]) -> bool:
    """Whether the blocks alone would be written as a string although they came in a list."""
    return isinstance(value, list) and len(blocks) == 1 and plain(blocks[0])


def _text_type(role: str) -> str:
    return "output_text" if role == "assistant" else "input_text"


def _data_url(url: str) -> tuple[str | None, str | None]:
    """Media type and base64 text of the plainest kind of data URL, which is written back the same."""
    head, mark, data = url.partition(";base64,")
    media_type = head.removeprefix("data:")
    if not mark or media_type == head or not media_type or ";" in media_type or "," in media_type:
        return None, None
    return media_type, data


# --- tools and usage ----------------------------------------------------------------------------------------------


def decode_tool(value: Json) -> Tool:
    """A function of the caller's, or one of the provider's tools, whose settings are its ``extra``."""
    name = value.get("name", "") if isinstance(value, dict) else None
    if not isinstance(name, str):
        return with_raw(Tool("", extra={VERBATIM: value}), value)
    schema, text = value.get("parameters"), value.get("description")
    known = [
        *(["type"] if value.get("type") == "function" else []),
        *(["name"] if name else []),
        *(["description"] if isinstance(text, str) else []),
        *(["parameters"] if isinstance(schema, dict) and schema else []),
    ]
    extra = without(value, *known)
    if "type" not in value:
        extra["type"] = None
    description = text if isinstance(text, str) else None
    return with_raw(Tool(name, description, schema if isinstance(schema, dict) else {}, extra), value)


def encode_tool(tool: Tool) -> Json:
    """The JSON of one tool."""
    if tool.raw is not None:
        return tool.raw
    if VERBATIM in tool.extra:
        return tool.extra[VERBATIM]
    value: dict[str, Json] = {"type": "function", **tool.extra}
    if tool.name:
        value["name"] = tool.name
    if tool.description is not None:
        value["description"] = tool.description
    if tool.parameters:
        value["parameters"] = tool.parameters
    if value["type"] is None:
        del value["type"]
    return value


def decode_usage(value: Json) -> Usage | None:
    """Tokens; ``extra`` is the wire's own object."""
    if not isinstance(value, dict):
        return None
    into, out = value.get("input_tokens_details"), value.get("output_tokens_details")
    return usage_of(
        _count(value, "input_tokens"),
        _count(value, "output_tokens"),
        _count(into, "cached_tokens"),
        _count(into, "cache_write_tokens"),
        _count(out, "reasoning_tokens"),
        value,
    )


def encode_usage(usage: Usage) -> dict[str, Json]:
    """The wire's object if the numbers are still its numbers, else that object with ours."""
    if decode_usage(usage.extra) == usage:
        return dict(usage.extra)
    details = {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write}
    return {
        **usage.extra,
        "input_tokens": usage.input,
        "input_tokens_details": {**(usage.extra.get("input_tokens_details") or {}), **details},
        "output_tokens": usage.output,
        "output_tokens_details": {
            **(usage.extra.get("output_tokens_details") or {}),
            "reasoning_tokens": usage.reasoning,
        },
        "total_tokens": usage.total,
    }


def _count(value: Json, name: str) -> int:
    found = value.get(name) if isinstance(value, dict) else None
    return found if type(found) is int and found > 0 else 0
