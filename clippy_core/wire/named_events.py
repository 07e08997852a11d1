"""Server-sent events of the APIs that name them: the event's name is also the ``type`` in its JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clippy_hookspecs import Json

from ..jsonio import dumps
from .base import CorruptEvent
from .sse import SseEvent


def event_json(event: SseEvent, parse: Callable[[str], Json]) -> dict[str, Json] | None:
    """The object that an event brings, read by *parse*; None for no data and for the ``[DONE]`` of another API.

    Raises :class:`CorruptEvent` for anything else.
    """
    text = event.data.strip()
    if not text or text == "[DONE]":
        return None
    try:
        data = parse(text)
    except ValueError as error:
        raise CorruptEvent(f"event data of {len(text)} characters is not JSON") from error
    if not isinstance(data, dict):
        raise CorruptEvent(f"event data is a JSON {type(data).__name__}, expected an object")
    return data


def event_bytes(data: Mapping[str, Json]) -> bytes:
    """One event as these APIs write it."""
    return b"event: " + str(data.get("type", "message")).encode() + b"\ndata: " + dumps(data) + b"\n\n"
