"""Anthropic Messages streams, written: chunk by chunk, or from a whole answer.

Nothing in this API repeats a text that a delta brought, so a changed piece has to be written in one place only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clippy_hookspecs import Chunk, Json

from .anthropic_blocks import arguments_text, arguments_value, encode_usage
from .named_events import event_bytes
from .shapes import without

_DELTAS = {
    "text": ("text_delta", "text"),
    "refusal": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "tool_call": ("input_json_delta", "partial_json"),
}
_FAMILIES = {"text": "text", "refusal": "text", "reasoning": "thinking", "tool_call": "tool_use"}
_Key = tuple[int, str]
"""A block of this API: the number its chunks have, and what kind of block their words need."""
_OPENINGS: dict[str, dict[str, Json]] = {
    "text": {"type": "text", "text": ""},
    "refusal": {"type": "text", "text": ""},
    "reasoning": {"type": "thinking", "thinking": "", "signature": ""},
}


class MessagesWriter:
    """Writes one stream.

    Blocks are numbered without gaps, as the SDKs need them: a block that a plugin dropped is not there and the next one
    takes its number; a block that a plugin made is opened before its first words and closed before the end.  Another
    API may use one number for words of two kinds; here these are two blocks.
    """

    def __init__(self) -> None:
        self._numbers: dict[_Key, int] = {}
        self._latest: dict[int, _Key] = {}
        self._pending: dict[_Key, Mapping[str, Json]] = {}
        self._open: dict[_Key, None] = {}
        self._ended: list[_Key] = []
        """Blocks that get no more words; their provider's own event says so next, if the stream is of this API."""

    def write(self, chunk: Chunk) -> bytes:
        """The bytes of *chunk*, after what has to come before them."""
        match chunk.kind:
            case "stop":
                self._ended += [key for key in self._open if key[0] == chunk.block]
                return b""
            case "end":
                return b""
            case "text" | "reasoning" | "refusal" | "tool_call":
                return self._content(chunk)
            case "start" if "opens" in chunk.extra or "opaque" in chunk.extra:
                return self._block_start(chunk)
            case "finish" | "done":
                return self._close_all() + (event_bytes(_envelope(chunk)) if chunk.raw is None else chunk.raw)
            case "other":
                return self._other(chunk)
            case _:
                return event_bytes(_envelope(chunk)) if chunk.raw is None else chunk.raw

    def _block_start(self, chunk: Chunk) -> bytes:
        opening: Mapping[str, Json] | None = chunk.extra.get("opaque")
        key = self._latest[chunk.block] = (chunk.block, _FAMILIES.get(chunk.extra.get("opens", ""), "opaque"))
        if opening is None:
            signature = {"signature": chunk.extra["signature"]} if "signature" in chunk.extra else {}
            opening = {**_OPENINGS[chunk.extra["opens"]], **chunk.extra.get("block", {}), **signature}
        if chunk.raw == b"":
            # The same event brings the first words, and its bytes come with them unless a plugin takes those away.
            self._pending[key] = opening
            return b""
        return self._opened(key, opening, chunk.raw)

    def _content(self, chunk: Chunk) -> bytes:
        key = self._latest[chunk.block] = (chunk.block, _FAMILIES[chunk.kind])
        raw, before = chunk.raw, b""
        pending = self._pending.pop(key, None)
        name, field = _DELTAS[chunk.kind]
        if key not in self._numbers:
            opening = pending or _opening(chunk)
            if raw is not None and (chunk.id or chunk.name):
                return self._opened(key, {**opening, "input": arguments_value(chunk.delta)}, raw)
            if raw is not None and "opening" in chunk.extra:
                return self._opened(key, {**opening, field: chunk.delta}, raw)
            before = self._opened(key, opening, None)
        number = self._numbers[key]
        if raw is not None and number == chunk.block:
            return before + raw
        if not chunk.delta:
            return before
        delta = {"type": name, field: chunk.delta}
        return before + event_bytes({"type": "content_block_delta", "index": number, "delta": delta})

    def _other(self, chunk: Chunk) -> bytes:
        event = chunk.extra.get("event")
        if event is None:
            return chunk.raw or b""
        kind = event.get("type")
        if not isinstance(kind, str) or not kind.startswith("content_block_"):
            return event_bytes(event) if chunk.raw is None else chunk.raw
        key, before = self._latest.get(chunk.block, (chunk.block, "")), b""
        if key in self._pending:
            before = self._opened(key, self._pending.pop(key), None)
        if key not in self._numbers:
            return b""  # A plugin dropped the block.
        if kind == "content_block_stop":
            self._open.pop(key, None)
        if chunk.raw is not None and self._numbers[key] == chunk.block:
            return before + chunk.raw
        return before + event_bytes({**event, "index": self._numbers[key]})

    def _opened(self, key: _Key, opening: Mapping[str, Json], raw: bytes | None) -> bytes:
        before = self._closed([one for one in dict.fromkeys(self._ended) if one in self._open])
        self._ended.clear()
        number = self._numbers.setdefault(key, len(self._numbers))
        self._open[key] = None
        if raw is not None and number == key[0]:
            return before + raw
        return before + event_bytes({"type": "content_block_start", "index": number, "content_block": opening})

    def _closed(self, keys: Sequence[_Key]) -> bytes:
        for key in keys:
            del self._open[key]
        return b"".join([event_bytes({"type": "content_block_stop", "index": self._numbers[key]}) for key in keys])

    def _close_all(self) -> bytes:
        before = [self._opened(key, opening, None) for key, opening in self._pending.items()]
        self._pending.clear()
        return b"".join(before) + self._closed(list(self._open))


def _opening(chunk: Chunk) -> Mapping[str, Json]:
    """The empty block that a plugin's first piece of it needs."""
    if chunk.kind != "tool_call":
        return _OPENINGS[chunk.kind]
    known = {"type": "tool_use", "id": chunk.id or f"toolu_{chunk.block}", "name": chunk.name or "", "input": {}}
    return {**chunk.extra.get("block", {}), **known}


def _envelope(chunk: Chunk) -> Mapping[str, Json]:
    """An event that is not about one block, from its chunk's fields."""
    event: Mapping[str, Json] = chunk.extra.get("event", {})
    usage = {} if chunk.usage is None else {"usage": encode_usage(chunk.usage)}
    match chunk.kind:
        case "start":
            fields = {**chunk.extra.get("response", {}), **chunk.extra.get("message", {})}
            known = {"id": chunk.id} if chunk.id is not None else {}
            return {"type": "message_start", "message": {**message_opening(fields), **known, **usage}}
        case "usage" | "finish":
            delta = {"stop_sequence": None, **event.get("delta", {}), "stop_reason": chunk.finish_reason}
            return {"usage": {"output_tokens": 0}, **event, "type": "message_delta", "delta": delta, **usage}
        case "error":
            told = {"type": chunk.reason or "api_error", "message": chunk.delta}
            return chunk.extra if "error" in chunk.extra else {"type": "error", "error": told}
        case "done":
            return event or {"type": "message_stop"}
        case _:
            return {"type": "ping"}


def message_opening(fields: Mapping[str, Json]) -> dict[str, Json]:
    """A message before anything is said in it, with what the SDKs read of every one."""
    known: dict[str, Json] = {"content": [], "stop_reason": None, "stop_sequence": None}
    usage = {"input_tokens": 0, "output_tokens": 0}
    return {"id": "msg_0", "model": "", "role": "assistant", "usage": usage, **fields, "type": "message", **known}


# --- a whole answer -----------------------------------------------------------------------------------------------

_OF_THE_END = ("stop_reason", "stop_sequence", "stop_details", "container", "context_management")


def split_message(body: Mapping[str, Json]) -> tuple[bytes, ...]:
    """The answer *body* as the events of a stream, each block in one delta."""
    return tuple(event_bytes(event) for event in _events(body))


def _events(body: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    usage = body.get("usage") or {"input_tokens": 0, "output_tokens": 0}
    opening = message_opening(without(body, *_OF_THE_END, "content", "usage"))
    yield {"type": "message_start", "message": {**opening, "usage": {**usage, "output_tokens": 0}}}
    for index, block in enumerate(body.get("content") or []):
        empty, deltas = _unfold(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {"stop_reason": None, "stop_sequence": None}
    ending |= {name: body[name] for name in _OF_THE_END[:-1] if name in body}
    managed = {name: body[name] for name in _OF_THE_END[-1:] if name in body}
    yield {"type": "message_delta", "delta": ending, "usage": usage, **managed}
    yield {"type": "message_stop"}


def _unfold(block: Json) -> tuple[Json, list[dict[str, Json]]]:
    """The block that a stream opens with, and the deltas that fill it."""
    match block:
        case {"type": "text", "text": str(text), "citations": [*citations]}:
            cited = [{"type": "citations_delta", "citation": citation} for citation in citations]
            return {**block, "text": "", "citations": []}, [*cited, *_delta("text_delta", "text", text)]
        case {"type": "text", "text": str(text)}:
            return {**block, "text": ""}, _delta("text_delta", "text", text)
        case {"type": "thinking", "thinking": str(thinking)}:
            deltas = _delta("thinking_delta", "thinking", thinking)
            signature = block.get("signature")
            if not isinstance(signature, str):
                return {**block, "thinking": ""}, deltas
            signed = _delta("signature_delta", "signature", signature)
            return {**block, "thinking": "", "signature": ""}, [*deltas, *signed]
        case {"type": "tool_use", "input": dict(given)}:
            deltas = _delta("input_json_delta", "partial_json", arguments_text(given)) if given else []
            return {**block, "input": {}}, deltas
        case _:
            return block, []


def _delta(kind: str, field: str, words: str) -> list[dict[str, Json]]:
    return [{"type": kind, field: words}] if words else []
