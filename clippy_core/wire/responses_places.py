"""Where words stand in an OpenAI Responses answer, and which events say them.

Reader and writer share this: the API repeats every word, and what is one word's place must be the same in all events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clippy_hookspecs import Chunk, Json
from clippy_hookspecs.types import ChunkKind

from .responses_items import CALL_FIELDS, item_type

Place = tuple[int, str, int]
"""Where words stand: the index of their item, what of the item they are, and their index in it."""

DELTAS: dict[str, tuple[ChunkKind, str]] = {
    "response.output_text.delta": ("text", "content"),
    "response.refusal.delta": ("refusal", "content"),
    "response.reasoning_text.delta": ("reasoning", "content"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary"),
    "response.function_call_arguments.delta": ("tool_call", "arguments"),
    "response.custom_tool_call_input.delta": ("tool_call", "arguments"),
}
DONES: dict[str, tuple[ChunkKind, str, str]] = {
    "response.output_text.done": ("text", "content", "text"),
    "response.refusal.done": ("refusal", "content", "refusal"),
    "response.reasoning_text.done": ("reasoning", "content", "text"),
    "response.reasoning_summary_text.done": ("reasoning", "summary", "text"),
    "response.function_call_arguments.done": ("tool_call", "arguments", "arguments"),
    "response.custom_tool_call_input.done": ("tool_call", "arguments", "input"),
}
PARTS = {
    "response.content_part.added": "content",
    "response.content_part.done": "content",
    "response.reasoning_summary_part.added": "summary",
    "response.reasoning_summary_part.done": "summary",
    "response.output_text.annotation.added": "content",
}
INDEX = {"content": "content_index", "summary": "summary_index"}


def finish_reason(response: Mapping[str, Json]) -> str | None:
    """``completed``, else why not: the incomplete reason or the status."""
    details, status = response.get("incomplete_details"), response.get("status")
    if status == "incomplete" and isinstance(details, dict) and isinstance(details.get("reason"), str):
        return str(details["reason"])
    return status if isinstance(status, str) else None


def fingerprint(said: int, chunk: Chunk) -> int:
    """The fingerprint of the content so far with *chunk* after it; it holds within one process."""
    return hash((said, chunk.block, chunk.kind, chunk.delta, chunk.id, chunk.name))


def place_of(event: Mapping[str, Json]) -> Place | None:
    """The words that an event is about; None if it is about none or about more than one place."""
    kind = event.get("type")
    section = _section(kind) if isinstance(kind, str) else event.get("section")
    if section is not None:
        return index(event, "output_index"), section, index(event, INDEX.get(section, ""))
    if kind not in ("response.output_item.added", "response.output_item.done"):
        return None
    sort = item_type(event.get("item"))
    section = {"message": "content", "reasoning": "summary"}.get(sort, "arguments" if sort in CALL_FIELDS else "item")
    return index(event, "output_index"), section, 0


def _section(kind: str) -> str | None:
    known = DELTAS.get(kind) or DONES.get(kind)
    return known[1] if known is not None else PARTS.get(kind)


def index(event: Mapping[str, Json], name: str) -> int:
    """An index of an event; small servers leave out those that are always 0."""
    found = event.get(name, 0)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise ValueError(f"{name} is not an index")
    return found


def words_of(item: Mapping[str, Json], number: int) -> Iterator[tuple[ChunkKind, Place, str]]:
    """The words in an item, with their places."""
    sort = item_type(item)
    if sort in CALL_FIELDS:
        yield "tool_call", (number, "arguments", 0), text_or_nothing(item.get(CALL_FIELDS[sort]))
        return
    sections = {"message": ("content",), "reasoning": ("summary", "content")}.get(sort, ())
    for section in sections:
        parts = item.get(section)
        for place, part in enumerate(parts if isinstance(parts, list) else ()):
            kind, text = part_words(part)
            if kind is not None:
                yield "reasoning" if sort == "reasoning" else kind, (number, section, place), text


def part_words(part: Json) -> tuple[ChunkKind | None, str]:
    """The words of one part, and of which kind they are."""
    if not isinstance(part, dict):
        return None, ""
    if isinstance(part.get("refusal"), str):
        return "refusal", part["refusal"]
    kind: ChunkKind = "reasoning" if part.get("type") in ("reasoning_text", "summary_text") else "text"
    return (kind, part["text"]) if isinstance(part.get("text"), str) else (None, "")


def text_or_nothing(value: Json) -> str:
    """A text, also one that is null.  Raises TypeError for anything else."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value or ""


def where(place: Place, told: Mapping[str, Json]) -> dict[str, Json]:
    """Where words stand, in the fields of an event that never came; *told* is an event or item that names the item."""
    number, section, part = place
    item = told.get("item")
    identity = told.get("item_id", item.get("id") if isinstance(item, dict) else told.get("id"))
    at: dict[str, Json] = {"item_id": identity, "output_index": number, "section": section}
    return {**at, INDEX[section]: part} if section in INDEX else at


def call_id_of(item: Mapping[str, Json]) -> str:
    """The id by which a call's result names it."""
    return str(item.get("call_id") or item.get("id") or "")


def identity_of(response: Mapping[str, Json]) -> str | None:
    """The id of an answer."""
    found = response.get("id")
    return found if isinstance(found, str) else None


def error_code(data: Mapping[str, Json]) -> str | None:
    """The code of an error event, or its type, in whichever of the API's shapes it comes."""
    response = data.get("response")
    error = response.get("error") if isinstance(response, dict) else data.get("error", data)
    found = (error.get("code") or error.get("type")) if isinstance(error, dict) else None
    return found if isinstance(found, str) else None
