"""OpenAI Responses, as the provider writes it.

Written from the provider's documentation and apart from ``clippy_core.wire``, so that the two check each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clippy_hookspecs import Json

from .frames import CREATED, EventKind, Telling, WireEvent, dumps, named_event, pieces

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_Told = tuple[dict[str, Json], EventKind]


def plain(told: Telling) -> bytes:
    """The body of an answer that is not streamed."""
    return dumps(_response(told, _items(told), done=True))


def stream(told: Telling) -> list[WireEvent]:
    """The events of a streamed answer, numbered as the wire numbers them."""
    items = _items(told)
    opened = _response(told, [], done=False)
    events: list[_Told] = [
        ({"type": "response.created", "response": opened}, "start"),
        ({"type": "response.in_progress", "response": opened}, "start"),
    ]
    for index, item in enumerate(items):
        empty = {**item, **({"status": "in_progress"} if "status" in item else {}), **_EMPTY[item["type"]]}
        opens: EventKind = "delta" if item["type"] == "function_call" else "start"  # a tool's name is content
        events.append(({"type": "response.output_item.added", "output_index": index, "item": empty}, opens))
        for event, kind in _UNFOLD[item["type"]](told, item):
            events.append(({**event, "item_id": item["id"], "output_index": index}, kind))
        events.append(({"type": "response.output_item.done", "output_index": index, "item": item}, "other"))
    whole = _response(told, items, done=True)
    events.append(({"type": f"response.{whole['status']}", "response": whole}, "done"))
    return [
        named_event({"type": event["type"], "sequence_number": number, **event}, kind)
        for number, (event, kind) in enumerate(events)
    ]


def _items(told: Telling) -> list[dict[str, Any]]:
    reply, ids = told.reply, told.ids
    items: list[dict[str, Any]] = []
    if reply.reasoning is not None:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        items.append({"id": f"rs_{ids.hex('reasoning', 48)}", "type": "reasoning", "summary": summary})
    content: list[dict[str, Json]] = []
    if told.text:
        content.append({"type": "output_text", "text": told.text, "annotations": [], "logprobs": []})
    if reply.refusal is not None:
        content.append({"type": "refusal", "refusal": reply.refusal})
    if content:
        message = {"id": f"msg_{ids.hex('message', 48)}", "type": "message", "role": "assistant"}
        items.append({**message, "status": _item_status(told), "content": content})
    for index, tool in enumerate(reply.tool_calls):
        items.append(
            {
                "id": f"fc_{ids.hex(f'item{index}', 48)}",
                "type": "function_call",
                "status": "completed",
                "call_id": tool.id or f"call_{ids.word(f'tool{index}', 24)}",
                "name": tool.name,
                "arguments": tool.arguments,
            }
        )
    return items


_EMPTY: dict[str, dict[str, Json]] = {
    "reasoning": {"summary": []},
    "message": {"content": []},
    "function_call": {"arguments": ""},
}


def _unfold_reasoning(_: Telling, item: dict[str, Any]) -> Iterator[_Told]:
    text = item["summary"][0]["text"]
    name = "response.reasoning_summary_"
    at = {"summary_index": 0}
    yield {"type": f"{name}part.added", **at, "part": {"type": "summary_text", "text": ""}}, "start"
    for piece in pieces(text):
        yield {"type": f"{name}text.delta", **at, "delta": piece}, "delta"
    yield {"type": f"{name}text.done", **at, "text": text}, "other"
    yield {"type": f"{name}part.done", **at, "part": item["summary"][0]}, "other"


def _unfold_message(told: Telling, item: dict[str, Any]) -> Iterator[_Told]:
    for index, part in enumerate(item["content"]):
        at = {"content_index": index}
        key = "text" if part["type"] == "output_text" else "refusal"
        name = "output_text" if key == "text" else "refusal"
        extra: dict[str, Json] = {"logprobs": []} if key == "text" else {}
        yield {"type": "response.content_part.added", **at, "part": {**part, key: ""}}, "start"
        for piece in told.text_pieces if key == "text" else pieces(part[key]):
            yield {"type": f"response.{name}.delta", **at, "delta": piece, **extra}, "delta"
        yield {"type": f"response.{name}.done", **at, key: part[key], **extra}, "other"
        yield {"type": "response.content_part.done", **at, "part": part}, "other"


def _unfold_call(_: Telling, item: dict[str, Any]) -> Iterator[_Told]:
    arguments = item["arguments"]
    name = "response.function_call_arguments"
    for piece in pieces(arguments, -(-len(arguments) // 6)):
        yield {"type": f"{name}.delta", "delta": piece}, "delta"
    yield {"type": f"{name}.done", "name": item["name"], "arguments": arguments}, "other"


_UNFOLD = {"reasoning": _unfold_reasoning, "message": _unfold_message, "function_call": _unfold_call}


def _item_status(told: Telling) -> str:
    return "incomplete" if told.reply.finish in _INCOMPLETE else "completed"


def _response(told: Telling, output: list[dict[str, Any]], *, done: bool) -> dict[str, Any]:
    asked = told.seen.fields
    reason = _INCOMPLETE.get(told.reply.finish or "")
    status = ("incomplete" if reason else "completed") if done else "in_progress"
    return {
        "id": f"resp_{told.ids.hex('response', 48)}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if done and reason else None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "model": told.model,
        "output": output,
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "previous_response_id": asked.get("previous_response_id"),
        "reasoning": asked.get("reasoning", {"effort": None, "summary": None}),
        "service_tier": "default",
        "store": asked.get("store", True),
        "temperature": asked.get("temperature", 1.0),
        "text": asked.get("text", {"format": {"type": "text"}}),
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "top_p": asked.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": _usage(told) if done else None,
        "user": None,
        "metadata": asked.get("metadata", {}),
        **told.reply.extra,
    }


def _usage(told: Telling) -> dict[str, Json]:
    usage = told.usage
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }
