"""The content blocks of Anthropic Messages: JSON in, blocks out, and back.

What a block has and we do not model stays in ``extra`` under the wire's own names.  Two shapes of one meaning are told
apart there as well: ``extra["content"]`` of a message or tool result is the empty value of its content where the
blocks alone would be written otherwise (``[]``: a list although one plain text is there).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clippy_hookspecs import (
    Block,
    Image,
    Json,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
)
from clippy_hookspecs.types import with_raw

from ..jsonio import dumps, loads
from .shapes import without
from .values import message_of, text_of, usage_of

VERBATIM = ""
"""Key in a tool's ``extra``: the whole JSON of something that is not the shape the API promises."""


# --- blocks -------------------------------------------------------------------------------------------------------


def decode_block(value: Json) -> Block:
    """One content block; anything we do not model, or that is not what its type promises, is Opaque."""
    kind = value.get("type") if isinstance(value, dict) else None
    read = _READ.get(kind) if isinstance(kind, str) else None
    block = read(value) if read is not None else None
    return with_raw(Opaque(kind if isinstance(kind, str) else "", value) if block is None else block, value)


def _text(value: dict[str, Json]) -> Block | None:
    text = value.get("text")
    if not isinstance(text, str):
        return None
    return text_of(text, {} if len(value) == 2 else without(value, "type", "text"))


def _image(value: dict[str, Json]) -> Block | None:
    source = value.get("source")
    if not isinstance(source, dict):
        return None
    extra = without(value, "type", "source")
    match source:
        case {"type": "base64", "data": str(data), "media_type": str(media_type), **more}:
            return Image(None, data, media_type, {**extra, "source": more} if more else extra)
        case {"type": "url", "url": str(url), **more}:
            return Image(url, extra={**extra, "source": more} if more else extra)
        case _:
            return Image(extra={**extra, "source": source})


def _tool_use(value: dict[str, Json]) -> Block | None:
    name, call_id = value.get("name"), value.get("id")
    if not isinstance(name, str) or not isinstance(call_id, str) or "input" not in value:
        return None
    return ToolCall(call_id, name, arguments_text(value["input"]), without(value, "type", "id", "name", "input"))


def _tool_result(value: dict[str, Json]) -> Block | None:
    call_id, content = value.get("tool_use_id"), value.get("content")
    if not isinstance(call_id, str):
        return None
    extra = without(value, "type", "tool_use_id", "content")
    blocks = decode_content(content)
    if blocks is None and content is not None:
        return None
    if "content" in value and (not blocks or _needs_list(content, blocks)):
        extra["content"] = None if content is None else []
    if extra.get("is_error") is True:
        del extra["is_error"]
        return ToolResult(call_id, blocks or (), True, extra)
    return ToolResult(call_id, blocks or (), False, extra)


def _thinking(value: dict[str, Json]) -> Block | None:
    text, signature = value.get("thinking"), value.get("signature")
    if not isinstance(text, str):
        return None
    if isinstance(signature, str):
        return Reasoning(text, signature, without(value, "type", "thinking", "signature"))
    return Reasoning(text, None, without(value, "type", "thinking"))


_READ: dict[str, Callable[[dict[str, Json]], Block | None]] = {
    "text": _text,
    "image": _image,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
}


def encode_block(block: Block) -> Json:
    """The JSON of one block: as it came, or from its fields."""
    if block.raw is not None:
        return block.raw
    match block:
        case Text() | RefusalText():
            return {**block.extra, "type": "text", "text": block.text}
        case Image():
            return _image_json(block)
        case ToolCall():
            known = {"type": "tool_use", "id": block.id, "name": block.name}
            return {**block.extra, **known, "input": arguments_value(block.arguments)}
        case ToolResult():
            return _tool_result_json(block)
        case Reasoning():
            signature = {} if block.signature is None else {"signature": block.signature}
            return {**block.extra, "type": "thinking", "thinking": block.text, **signature}
        case Opaque():
            return named(block)


def named(block: Opaque) -> Json:
    """The data of an opaque block, with its kind as type where a plugin left that out."""
    if isinstance(block.data, dict) and "type" not in block.data and block.kind:
        return {"type": block.kind, **block.data}
    return block.data


def _image_json(block: Image) -> Json:
    source = block.extra.get("source")
    source = dict(source) if isinstance(source, Mapping) else {}
    if block.data is not None:
        source |= {"type": "base64", "media_type": block.media_type or "image/png", "data": block.data}
    elif block.url is not None:
        source |= {"type": "url", "url": block.url}
    return {**block.extra, "type": "image", "source": source}


def _tool_result_json(block: ToolResult) -> Json:
    value = {**without(block.extra, "content"), "type": "tool_result", "tool_use_id": block.call_id}
    if block.content or "content" in block.extra:
        value["content"] = encode_content(block.content, block.extra)
    if block.is_error:
        value["is_error"] = True
    return value


# --- content and messages -----------------------------------------------------------------------------------------


def decode_content(value: Json) -> tuple[Block, ...] | None:
    """The blocks of a string or a list; None for anything else."""
    if isinstance(value, str):
        return (text_of(value, {}),)
    return tuple([decode_block(item) for item in value]) if isinstance(value, list) else None


def encode_content(blocks: tuple[Block, ...], extra: Mapping[str, Json]) -> Json:
    """A string for one plain text, a list otherwise; ``extra["content"]`` as the module says."""
    if not blocks:
        return extra.get("content", [])
    first = blocks[0]
    if len(blocks) == 1 and isinstance(first, Text) and not first.extra and "content" not in extra:
        return first.text
    return [encode_block(block) for block in blocks]


def _needs_list(content: Json, blocks: tuple[Block, ...]) -> bool:
    return isinstance(content, list) and len(blocks) == 1 and isinstance(blocks[0], Text) and not blocks[0].extra


def decode_message(value: Json) -> Message:
    """One message; what is not of the promised shape is an opaque block of a message without a role."""
    role, content = (value.get("role"), value.get("content")) if isinstance(value, dict) else (None, None)
    blocks = decode_content(content)
    if not isinstance(role, str) or not role or blocks is None:
        return with_raw(Message("", (with_raw(Opaque("message", value), value),)), value)
    extra = {} if len(value) == 2 else without(value, "role", "content")
    if _needs_list(content, blocks):
        extra["content"] = []
    return message_of(role, blocks, extra, value)


def decode_system(value: Json) -> Message | None:
    """The top-level ``system`` field as a message; None if it is neither text nor blocks."""
    blocks = decode_content(value)
    if blocks is None:
        return None
    return message_of("system", blocks, {"content": []} if _needs_list(value, blocks) else {}, value)


def encode_message(message: Message) -> Json:
    """The JSON of one message of the list.  ``tool`` turns are the user's in this API."""
    if message.raw is not None:
        return message.raw
    blocks = message.blocks
    if not message.role and len(blocks) == 1 and isinstance(blocks[0], Opaque):
        return encode_block(blocks[0])
    role = "user" if message.role in ("tool", "function") else message.role
    return {**without(message.extra, "role", "content"), "role": role, "content": encode_content(blocks, message.extra)}


# --- tools, arguments, usage --------------------------------------------------------------------------------------


def decode_tool(value: Json) -> Tool:
    """A tool of the caller's, or one of the server's own, whose settings are its ``extra``."""
    tool: Tool | None = None
    if isinstance(value, dict):
        name, schema, text = value.get("name", ""), value.get("input_schema"), value.get("description")
        server = value.get("type") not in (None, "custom")
        if isinstance(name, str) and (isinstance(schema, dict) or (server and "input_schema" not in value)):
            known = ["input_schema", *(["name"] if name else []), *(["description"] if isinstance(text, str) else [])]
            extra = without(value, *known)
            if schema == {}:
                extra["input_schema"] = {}
            tool = Tool(name, text if isinstance(text, str) else None, schema or {}, extra)
    return with_raw(Tool("", extra={VERBATIM: value}) if tool is None else tool, value)


def encode_tool(tool: Tool) -> Json:
    """The JSON of one tool."""
    if tool.raw is not None:
        return tool.raw
    if VERBATIM in tool.extra:
        return tool.extra[VERBATIM]
    value: dict[str, Json] = dict(tool.extra)
    if tool.name:
        value["name"] = tool.name
    if tool.description is not None:
        value["description"] = tool.description
    if tool.parameters:
        value["input_schema"] = tool.parameters
    elif value.get("type") in (None, "custom"):
        value.setdefault("input_schema", {"type": "object", "properties": {}})
    return value


def arguments_text(value: Json) -> str:
    """A tool's input as JSON text."""
    return dumps(value).decode()


def arguments_value(text: str) -> Json:
    """JSON text as a tool's input.  Text that is no JSON is wrapped as the API's own guide says to send it back."""
    if not text.strip():
        return {}
    try:
        return loads(text)
    except ValueError:
        return {"INVALID_JSON": text}


def decode_usage(value: Json) -> Usage | None:
    """Tokens; ``extra`` is the wire's own object.  The API counts cached input apart, the contract counts all."""
    if not isinstance(value, dict):
        return None
    details = value.get("output_tokens_details")
    read, write = _count(value, "cache_read_input_tokens"), _count(value, "cache_creation_input_tokens")
    reasoning = _count(details, "thinking_tokens") if isinstance(details, dict) else 0
    given = _count(value, "output_tokens")
    return usage_of(_count(value, "input_tokens") + read + write, given, read, write, reasoning, value)


def encode_usage(usage: Usage) -> dict[str, Json]:
    """The wire's object if the numbers are still its numbers, else that object with ours."""
    if decode_usage(usage.extra) == usage:
        return dict(usage.extra)
    value = {
        **usage.extra,
        "input_tokens": max(0, usage.input - usage.cache_read - usage.cache_write),
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation_input_tokens": usage.cache_write,
    }
    if usage.reasoning:
        value["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return value


def _count(value: Mapping[str, Json], name: str) -> int:
    found = value.get(name)
    return found if type(found) is int and found > 0 else 0
