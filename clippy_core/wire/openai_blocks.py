"""OpenAI chat messages and their parts: JSON to the contract's values and back.

What is not modelled, or not in the shape that is documented, stays in ``extra`` (of a message, block or tool), so that
the JSON can be made again.  Two marks in ``extra`` say where a block stood: a ``type`` says that a text, refusal or
reasoning was a part in a list (without it, it was the message's own string), ``function_call`` that a tool call was the
legacy field of that name.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from clippy_hookspecs import (
    Block,
    Image,
    Json,
    Message,
    Opaque,
    Reasoning,
    RefusalText,
    Text,
    ToolCall,
    ToolResult,
)
from clippy_hookspecs.types import with_raw

from .openai_tools import call_json, take_calls
from .shapes import objects, without
from .values import message_of, text_of

REASONING_FIELDS = ("reasoning_content", "reasoning")
"""DeepSeek, vLLM and most others; OpenRouter, Groq and newer vLLM.  Some send both with the same text."""


# --- messages ---------------------------------------------------------------------------------------------------------


def message(value: Mapping[str, Json]) -> Message:
    """The message in *value*; any object gives one."""
    role, content = value.get("role"), value.get("content")
    if len(value) == 2 and role and isinstance(role, str) and isinstance(content, str):
        return message_of(role, (text_of(content, {}),), {}, value)  # Most are only this; it saves asking for the rest.
    rest = dict(value)
    role = rest.pop("role") if isinstance(role, str) and role else ""
    blocks: list[Block]
    if role == "tool" and isinstance(rest.get("tool_call_id"), str):
        blocks = [ToolResult(rest.pop("tool_call_id"), tuple(_take_content(rest)))]
    elif role == "function" and isinstance(rest.get("name"), str):
        blocks = [ToolResult(rest.pop("name"), tuple(_take_content(rest)))]
    else:
        blocks = _take_reasoning(rest) if "reasoning_content" in rest or "reasoning" in rest else []
        blocks += _take_content(rest)
        if rest.get("refusal"):
            blocks += _take_refusal(rest)
        if "tool_calls" in rest or "function_call" in rest:
            blocks += take_calls(rest)
    return message_of(role, tuple(blocks), rest, value)


def messages_json(message: Message) -> list[Json]:
    """*message* as JSON: one object, or one for each tool result if it brings several."""
    if message.raw is not None:
        return [message.raw]
    results = message.tool_results
    others = [block for block in message.blocks if not isinstance(block, ToolResult)]
    if message.role in ("tool", "function") and results:
        return [_result_json(message.role, result, message.extra) for result in results]
    tool_messages = [_result_json("tool", result, {}) for result in results]
    if results and not others:
        return tool_messages
    return [*tool_messages, _message_json(message.role, others, message.extra)]


def _message_json(role: str, blocks: Sequence[Block], extra: Mapping[str, Json]) -> dict[str, Json]:
    body: dict[str, Json] = {"role": role, **extra} if role else dict(extra)
    content = [block for block in blocks if _in_content(block)]
    if content:
        body["content"] = content_json(content, joined=role == "assistant")
    refusal = [block.text for block in blocks if isinstance(block, RefusalText) and not _in_content(block)]
    if refusal:
        body["refusal"] = "".join(refusal)
    _put_reasoning(body, [block for block in blocks if isinstance(block, Reasoning) and not _in_content(block)])
    calls = [block for block in blocks if isinstance(block, ToolCall)]
    if any("function_call" not in call.extra for call in calls):
        body["tool_calls"] = [call_json(call) for call in calls if "function_call" not in call.extra]
    for call in calls:
        if "function_call" in call.extra:
            body["function_call"] = {**call.extra["function_call"], "name": call.name, "arguments": call.arguments}
    return body


def _result_json(role: str, result: ToolResult, extra: Mapping[str, Json]) -> dict[str, Json]:
    body = {"role": role, ("tool_call_id" if role == "tool" else "name"): result.call_id, **extra}
    if result.content or "content" not in extra:
        body["content"] = content_json(result.content, joined=False)
    return body


def _take_reasoning(rest: dict[str, Json]) -> list[Block]:
    """Reasoning under either name; a copy under the other name stays, and is kept equal when it is written."""
    first, second = (rest.get(name) if isinstance(rest.get(name), str) else "" for name in REASONING_FIELDS)
    blocks: list[Block] = []
    if first:
        blocks.append(Reasoning(rest.pop("reasoning_content")))
    if second and second != first:
        blocks.append(Reasoning(rest.pop("reasoning"), extra={"field": "reasoning"}))
    return blocks


def _put_reasoning(body: dict[str, Json], blocks: Sequence[Reasoning]) -> None:
    written = {}
    for field in REASONING_FIELDS:
        texts = [block.text for block in blocks if block.extra.get("field", "reasoning_content") == field]
        if texts:
            written[field] = "".join(texts)
    body.update(written)
    true_copies(body, "".join(block.text for block in blocks), written)


def true_copies(body: dict[str, Json], reasoning: str, written: Container[str]) -> None:
    """Let no copy of the reasoning in *body* say what the reasoning itself, perhaps redacted, does not say any more."""
    for field in REASONING_FIELDS:
        if field not in written and isinstance(body.get(field), str) and body[field]:
            body[field] = reasoning
    details = body.get("reasoning_details")
    if reasoning and objects(details):
        told = "".join(str(item.get("text") or item.get("summary") or "") for item in details)
        if told and told != reasoning:
            del body["reasoning_details"]


def true_logprobs(choice: dict[str, Json], text: str, refusal: str) -> None:
    """Take the logprobs out of *choice* if their tokens spell something else: they would tell what was redacted."""
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, Mapping):
        return
    for name, spoken in (("content", text), ("refusal", refusal)):
        if objects(logprobs.get(name)) and _spelt(logprobs[name]) != spoken.encode("utf-8", "surrogatepass"):
            choice["logprobs"] = None
    if isinstance(logprobs.get("tokens"), list) and "".join(map(str, logprobs["tokens"])) != text:
        choice["logprobs"] = None  # The legacy completions' shape.


def _spelt(tokens: Iterable[Mapping[str, Json]]) -> bytes:
    """What the tokens say; a token may be a part of a character, and then only its bytes are exact."""
    spelt = bytearray()
    for token in tokens:
        octets = token.get("bytes")
        if isinstance(octets, list) and all(type(octet) is int and 0 <= octet < 256 for octet in octets):
            spelt += bytes(octets)
        else:
            spelt += str(token.get("token", "")).encode("utf-8", "surrogatepass")
    return bytes(spelt)


def _take_refusal(rest: dict[str, Json]) -> list[Block]:
    return [RefusalText(rest.pop("refusal"))] if isinstance(rest.get("refusal"), str) and rest["refusal"] else []


# --- content ----------------------------------------------------------------------------------------------------------


def _take_content(rest: dict[str, Json]) -> list[Block]:
    content = rest.get("content")
    if isinstance(content, str):
        del rest["content"]
        return [text_of(content, {})]
    if objects(content):
        del rest["content"]
        return [part(item) for item in content]
    return []


def part(value: Mapping[str, Json]) -> Block:
    """One part of a content list."""
    kind = value.get("type")
    if kind == "text" and isinstance(value.get("text"), str):
        return text_of(value["text"], without(value, "text"), value)
    if kind == "refusal" and isinstance(value.get("refusal"), str):
        return with_raw(RefusalText(value["refusal"], without(value, "refusal")), value)
    if kind == "image_url" and isinstance(value.get("image_url"), dict):
        image = value["image_url"]
        if isinstance(image.get("url"), str):
            return with_raw(_image(image["url"], {**value, "image_url": without(image, "url")}), value)
    if kind == "thinking" and (thought := _thought(value.get("thinking"))) is not None:
        return with_raw(Reasoning(thought, extra=without(value, "thinking")), value)
    return with_raw(Opaque(kind if isinstance(kind, str) else "", value), value)


def _thought(value: Json) -> str | None:
    """Mistral's thinking: a list of one text part."""
    if not objects(value) or len(value) != 1 or value[0].keys() != {"type", "text"} or value[0]["type"] != "text":
        return None
    return value[0]["text"] if isinstance(value[0]["text"], str) else None


def content_json(blocks: Iterable[Block], joined: bool) -> Json:
    """Content as a string when it is one string (or *joined* and all strings), else as a list of parts."""
    blocks = list(blocks)
    plain = [block.text for block in blocks if isinstance(block, Text) and not block.extra]
    if len(plain) == len(blocks) and (joined or len(plain) <= 1):
        return "".join(plain)
    return [part_json(block) for block in blocks]


def part_json(block: Block) -> Json:
    """One block as a part of a content list."""
    if block.raw is not None:
        return block.raw
    match block:
        case Text():
            return {"type": "text", **block.extra, "text": block.text}
        case RefusalText():
            return {"type": "refusal", **block.extra, "refusal": block.text}
        case Reasoning():
            return {"type": "thinking", **block.extra, "thinking": [{"type": "text", "text": block.text}]}
        case Image():
            url = block.url if block.data is None else f"data:{block.media_type};base64,{block.data}"
            return {"type": "image_url", **block.extra, "image_url": {**block.extra.get("image_url", {}), "url": url}}
        case Opaque():
            return block.data
    raise ValueError(f"a {type(block).__name__} block cannot stand in the content of an OpenAI chat message")


def _in_content(block: Block) -> bool:
    return isinstance(block, Text | Image | Opaque) or (
        isinstance(block, RefusalText | Reasoning) and "type" in block.extra
    )


def _image(url: str, extra: dict[str, Json]) -> Image:
    if not extra["image_url"]:
        del extra["image_url"]
    head, comma, data = url.partition(",")
    media_type = head.removeprefix("data:").removesuffix(";base64")
    if comma and head == f"data:{media_type};base64" and ";" not in media_type:
        return Image(data=data, media_type=media_type, extra=extra)
    return Image(url=url, extra=extra)
