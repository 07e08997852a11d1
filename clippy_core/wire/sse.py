"""Server-sent events: bytes in, events out."""

from attrs import frozen


@frozen
class SseEvent:
    """One dispatched event: its type, data and last event id as the standard defines them, and its bytes."""

    event: str
    data: str
    id: str = ""
    raw: bytes = b""
