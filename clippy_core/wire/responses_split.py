"""A whole OpenAI Responses answer as the events of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from clippy_hookspecs import Json

from .named_events import event_bytes
from .responses_items import CALL_FIELDS, item_type
from .responses_places import INDEX, part_words

Stage = Literal["open", "delta", "close"]
_STATUSES = ("completed", "failed", "cancelled", "queued", "in_progress")
_PART = {"content": "response.content_part", "summary": "response.reasoning_summary_part"}
_WORDS = {
    ("content", "text"): ("response.output_text", "text"),
    ("content", "refusal"): ("response.refusal", "refusal"),
    ("content", "reasoning"): ("response.reasoning_text", "text"),
    ("summary", "reasoning"): ("response.reasoning_summary_text", "text"),
}
_CALLS = {"function_call": "response.function_call_arguments", "custom_tool_call": "response.custom_tool_call_input"}


def status_fields(reason: str | None) -> dict[str, Json]:
    """``status`` and what belongs to it, for a finish reason."""
    if reason is None or reason in _STATUSES:
        return {"status": reason or "completed", "incomplete_details": None}
    return {"status": "incomplete", "incomplete_details": {"reason": reason}}


def envelope(response: Mapping[str, Json]) -> dict[str, Json]:
    """*response* as the first events of a stream tell it: in progress and empty."""
    known = {"object": "response", "created_at": 0, "error": None, "model": "", "parallel_tool_calls": True}
    opened = {"id": "resp_0", **known, "tool_choice": "auto", "tools": [], **response}
    opened |= {"status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    return {name: value for name, value in opened.items() if name not in ("output_text", "completed_at")}


def split_response(body: Mapping[str, Json]) -> tuple[bytes, ...]:
    """The answer *body* as events, the words of each part in one delta."""
    return tuple(event_bytes({**event, "sequence_number": number}) for number, event in enumerate(_events(body)))


def _events(body: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    opened = envelope(body)
    yield {"type": "response.created", "response": opened}
    yield {"type": "response.in_progress", "response": opened}
    for number, item in enumerate(body.get("output") or []):
        for _, event in unfold(item, number):
            yield event
    yield {"type": f"response.{body.get('status') or 'completed'}", "response": body}


def unfold(item: Json, number: int) -> Iterator[tuple[Stage, dict[str, Json]]]:
    """The events that tell one item, each with the stage it belongs to."""
    at = {"output_index": number}
    yield "open", {"type": "response.output_item.added", **at, "item": _emptied(item)}
    identity = item.get("id") if isinstance(item, dict) else None
    sort = item_type(item)
    if sort in CALL_FIELDS:
        yield from _words(_CALLS[sort], CALL_FIELDS[sort], item[CALL_FIELDS[sort]], {"item_id": identity, **at})
    for section in {"message": ("content",), "reasoning": ("summary", "content")}.get(sort, ()):
        for place, part in enumerate(item.get(section) or []):
            yield from _part(section, part, {"item_id": identity, **at, INDEX[section]: place})
    yield "close", {"type": "response.output_item.done", **at, "item": item}


def _part(section: str, part: Json, at: dict[str, Json]) -> Iterator[tuple[Stage, dict[str, Json]]]:
    kind, words = part_words(part)
    name, field = _WORDS.get((section, kind or ""), ("", "text"))
    if not name:
        yield "open", {"type": f"{_PART[section]}.added", **at, "part": part}
        yield "close", {"type": f"{_PART[section]}.done", **at, "part": part}
        return
    blank: dict[str, Any] = {**part, field: ""}
    for repeated in ("annotations", "logprobs"):
        if blank.get(repeated):
            blank[repeated] = []
    yield "open", {"type": f"{_PART[section]}.added", **at, "part": blank}
    yield from _words(name, field, words, at, {"logprobs": []} if kind == "text" else {})
    yield "close", {"type": f"{_PART[section]}.done", **at, "part": part}


def _words(
    name: str, field: str, words: str, at: dict[str, Json], more: Mapping[str, Json] | None = None
) -> Iterator[tuple[Stage, dict[str, Json]]]:
    if words:
        yield "delta", {"type": f"{name}.delta", **at, "delta": words, **(more or {})}
    yield "close", {"type": f"{name}.done", **at, field: words, **(more or {})}


def _emptied(item: Json) -> Json:
    sort = item_type(item)
    if sort in CALL_FIELDS:
        empty: dict[str, Json] = {CALL_FIELDS[sort]: ""}
    else:
        names = {"message": ("content",), "reasoning": ("summary", "content")}.get(sort, ())
        empty = {name: [] for name in names if item.get(name)}
    status = {"status": "in_progress"} if isinstance(item, dict) and "status" in item and empty else {}
    return {**item, **status, **empty} if empty else item
