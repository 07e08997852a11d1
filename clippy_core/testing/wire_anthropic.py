"""Anthropic Messages, as the provider writes it.

Written from the provider's documentation and apart from ``clippy_core.wire``, so that the two check each other.
"""

from __future__ import annotations

import base64
import json

from clippy_hookspecs import Json

from .frames import EventKind, Telling, WireEvent, dumps, named_event, pieces

_FINISH = {"length": "max_tokens", "content_filter": "refusal", "stop": "end_turn", "tool_calls": "tool_use"}
_CONTENT = ("text", "thinking", "partial_json")


def plain(told: Telling) -> bytes:
    """The body of an answer that is not streamed.  Tool arguments that are no JSON object are told as an empty one."""
    message = _message(told, _blocks(told), _finish(told), _usage(told))
    return dumps({**message, **told.reply.extra})


def stream(told: Telling) -> list[WireEvent]:
    """The events of a streamed answer."""
    opening = _message(told, [], None, {**_usage(told), "output_tokens": 1})
    events = [named_event({"type": "message_start", "message": {**opening, **told.reply.extra}}, "start")]
    for index, block in enumerate(_blocks(told)):
        empty, deltas = _unfold(told, block)
        opens: EventKind = "delta" if block["type"] == "tool_use" else "start"  # a tool's name is content
        events.append(named_event({"type": "content_block_start", "index": index, "content_block": empty}, opens))
        if index == 0:
            events.append(named_event({"type": "ping"}, "other"))
        for delta in deltas:
            # The wire opens every tool call with an empty piece of arguments, which is no content; nor is a signature.
            kind: EventKind = "delta" if any(delta.get(key) for key in _CONTENT) else "other"
            events.append(named_event({"type": "content_block_delta", "index": index, "delta": delta}, kind))
        events.append(named_event({"type": "content_block_stop", "index": index}, "other"))
    ending = {"stop_reason": _finish(told), "stop_sequence": None}
    events.append(named_event({"type": "message_delta", "delta": ending, "usage": _usage(told)}, "finish"))
    return [*events, named_event({"type": "message_stop"}, "done")]


def _blocks(told: Telling) -> list[dict[str, Json]]:
    reply = told.reply
    blocks: list[dict[str, Json]] = []
    if reply.reasoning is not None:
        signature = base64.b64encode(told.ids.hex("signature", 96).encode()).decode()
        blocks.append({"type": "thinking", "thinking": reply.reasoning, "signature": signature})
    if told.text or reply.refusal:
        blocks.append({"type": "text", "text": told.text + (reply.refusal or "")})
    for index, tool in enumerate(reply.tool_calls):
        name = tool.id or f"toolu_01{told.ids.word(f'tool{index}', 22)}"
        blocks.append({"type": "tool_use", "id": name, "name": tool.name, "input": _object(tool.arguments)})
    return blocks


def _unfold(told: Telling, block: dict[str, Json]) -> tuple[dict[str, Json], list[dict[str, Json]]]:
    """How a stream tells *block*: the empty block it opens with, and the deltas."""
    if block["type"] == "thinking":
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
        signature = {"type": "signature_delta", "signature": block["signature"]}
        return {**block, "thinking": "", "signature": ""}, [*thoughts, signature]
    if block["type"] == "text":
        cut = [*told.text_pieces, *pieces(told.reply.refusal or "")]
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in cut]
    position = [call["id"] for call in _blocks(told) if call["type"] == "tool_use"].index(block["id"])
    arguments = told.reply.tool_calls[position].arguments
    cut = ["", *(pieces(arguments, -(-len(arguments) // 6)) if arguments != "{}" else [])]
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in cut]


def _object(arguments: str) -> dict[str, Json]:
    try:
        value = json.loads(arguments)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _message(told: Telling, content: Json, finish: str | None, usage: dict[str, Json]) -> dict[str, Json]:
    return {
        "id": f"msg_01{told.ids.word('message', 22)}",
        "type": "message",
        "role": "assistant",
        "model": told.model,
        "content": content,
        "stop_reason": finish,
        "stop_sequence": None,
        "usage": usage,
    }


def _finish(told: Telling) -> str:
    reply = told.reply
    if reply.finish is not None:
        return _FINISH.get(reply.finish, reply.finish)
    return "refusal" if reply.refusal is not None else "tool_use" if reply.tool_calls else "end_turn"


def _usage(told: Telling) -> dict[str, Json]:
    usage = told.usage
    return {
        "input_tokens": max(0, usage.input - usage.cache_read - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
        "service_tier": "standard",
    }
