"""The events of an Anthropic Messages stream, read into chunks.

Read as docs.claude.com/en/docs/build-with-claude/streaming says: usage is cumulative, unknown events and deltas are
passed on.  A stream may end after ``message_stop``, and also after a ``message_delta`` with a stop reason: the answer
is whole then, and some gateways drop what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clippy_hookspecs import Chunk, Json
from clippy_hookspecs.types import ChunkKind, with_raw

from ..jsonio import loads
from .anthropic_blocks import arguments_text, decode_usage
from .base import CorruptEvent
from .errors import error_in
from .named_events import event_json
from .shapes import without
from .sse import SseEvent
from .values import words_chunk

_CONTENT: dict[str, tuple[ChunkKind, str]] = {"text": ("text", "text"), "thinking": ("reasoning", "thinking")}
"""Block type: (chunk kind, field that holds the words)."""

_CLIENT_TOOL = "tool_use"
_DELTAS: dict[str, tuple[ChunkKind, str, str]] = {
    "text_delta": ("text", "text", "text"),
    "thinking_delta": ("reasoning", "thinking", "thinking"),
    "input_json_delta": ("tool_call", "partial_json", _CLIENT_TOOL),
}
"""Delta type: (chunk kind, field, type of a block that begins with it although no event has opened it)."""


class MessagesReader:
    """Reads one stream."""

    traceless = frozenset({"text", "reasoning", "tool_call"})

    def __init__(self) -> None:
        self._open: dict[int, str] = {}
        self._usage: dict[str, Json] = {}
        self._finished = False
        self._done = False

    @property
    def complete(self) -> bool:
        """Whether a stop reason or the terminal event has come."""
        return self._finished or self._done

    def apart(self) -> MessagesReader:
        """As :meth:`.base.StreamReader.apart`."""
        other = MessagesReader()
        other._open, other._usage = dict(self._open), dict(self._usage)
        other._finished, other._done = self._finished, self._done
        return other

    def read(self, event: SseEvent, parse: Callable[[str], Json] = loads) -> tuple[Chunk, ...]:
        """The chunks of one event; its bytes are the ``raw`` of the last, and of it alone."""
        data = event_json(event, parse)
        if data is None:
            chunks = self._sentinel(event)
        elif (more := self._more_words(data, event.raw)) is not None:
            return (more,)
        else:
            kind = data.get("type", event.event)
            try:
                chunks = self._event(kind, data)
            except (KeyError, TypeError, ValueError) as error:
                raise CorruptEvent(f"a {kind} event without what the API promises ({type(error).__name__})") from error
        for chunk in chunks[:-1]:
            if chunk.kind != "stop":
                with_raw(chunk, b"")
        with_raw(chunks[-1], event.raw)
        return chunks

    def _more_words(self, data: dict[str, Json], raw: bytes) -> Chunk | None:
        """By far the commonest event, more words in an open block: read without asking what else it could be."""
        try:
            delta, number = data["delta"], data["index"]
            kind, field, opens = _DELTAS[delta["type"]]
            words = delta[field]
        except (KeyError, TypeError):
            return None
        if data.get("type") != "content_block_delta" or type(words) is not str:
            return None
        if type(number) is not int or self._open.get(number) != opens:
            return None
        return words_chunk(kind, words, number, 0, {}, raw)

    def _event(self, kind: Json, data: dict[str, Json]) -> tuple[Chunk, ...]:
        match kind:
            case "content_block_delta":
                return self._content_block_delta(data)
            case "content_block_start":
                return self._content_block_start(data)
            case "content_block_stop":
                return self._content_block_stop(data)
            case "message_start":
                return self._message_start(data)
            case "message_delta":
                return self._message_delta(data)
            case "message_stop":
                return self._message_stop(data)
            case "ping":
                return (Chunk("ping"),)
            case "error":
                return _error(data)
            case _:
                return _error(data) if error_in(data) else (Chunk("other", extra={"event": data}),)

    def _sentinel(self, event: SseEvent) -> tuple[Chunk, ...]:
        """No JSON: nothing at all, or the ``[DONE]`` that gateways of another API add."""
        if event.data.strip() != "[DONE]" or self._done:
            return (Chunk("other"),)
        return self._message_stop({"type": "message_stop"})

    # --- the message ----------------------------------------------------------------------------------------------

    def _message_start(self, data: Mapping[str, Json]) -> tuple[Chunk, ...]:
        message = _mapping(data["message"])
        self._count(message.get("usage"))
        extra: dict[str, Json] = {"response": without(message, "role", "content", "usage", "stop_reason")}
        if "role" in message:
            extra["message"] = {"role": message["role"]}
        identity = message.get("id")
        return (
            Chunk(
                "start",
                id=identity if isinstance(identity, str) else None,
                usage=decode_usage(self._usage) if self._usage else None,
                extra=extra,
            ),
        )

    def _message_delta(self, data: Mapping[str, Json]) -> tuple[Chunk, ...]:
        delta = _mapping(data.get("delta") or {})
        self._count(data.get("usage"))
        usage = decode_usage(self._usage) if self._usage else None
        extra = {
            "response": {**without(data, "type", "delta", "usage"), **without(delta, "stop_reason")},
            "event": data,
        }
        reason = delta.get("stop_reason")
        if not isinstance(reason, str):
            return (Chunk("usage", usage=usage, extra=extra),)
        self._finished = True
        return (*self._close_all(), Chunk("finish", finish_reason=reason, usage=usage, extra=extra))

    def _message_stop(self, data: Mapping[str, Json]) -> tuple[Chunk, ...]:
        self._done = True
        return (*self._close_all(), Chunk("done", extra={"event": data}))

    def _count(self, usage: Json) -> None:
        if isinstance(usage, dict):
            known = self._usage
            known |= {name: value for name, value in usage.items() if value is not None or name not in known}

    # --- blocks ---------------------------------------------------------------------------------------------------

    def _content_block_start(self, data: Mapping[str, Json]) -> tuple[Chunk, ...]:
        number, block = _index(data), _mapping(data["content_block"])
        kind = block.get("type")
        self._open[number] = kind if isinstance(kind, str) else ""
        if kind in _CONTENT:
            return _words_start(number, block, *_CONTENT[kind])
        if kind == _CLIENT_TOOL:
            # Most send an empty input here and the arguments in deltas; what is here is an argument too.
            given = arguments_text(block["input"]) if block.get("input") else ""
            extra = {"block": without(block, "type", "id", "name", "input")}
            return (Chunk("tool_call", given, number, id=str(block["id"]), name=str(block["name"]), extra=extra),)
        return (Chunk("start", block=number, extra={"opaque": block}),)

    def _content_block_delta(self, data: Mapping[str, Json]) -> tuple[Chunk, ...]:
        number, delta = _index(data), _mapping(data["delta"])
        match delta.get("type"):
            case "input_json_delta" if self._open.get(number, _CLIENT_TOOL) != _CLIENT_TOOL:
                extra = {"input_json": _words(delta, "partial_json"), "event": data}
            case "text_delta" | "thinking_delta" | "input_json_delta" as name:
                kind, field, opens = _DELTAS[name]
                self._open.setdefault(number, opens)
                return (Chunk(kind, _words(delta, field), number),)
            case "signature_delta":
                extra = {"signature": _words(delta, "signature"), "event": data}
            case "citations_delta":
                extra = {"block": {"citations": [delta.get("citation")]}, "event": data}
            case "compaction_delta":
                extra = {"opaque": without(delta, "type"), "event": data}
            case _:
                extra = {"event": data}
        return (Chunk("other", block=number, extra=extra),)

    def _content_block_stop(self, data: Mapping[str, Json]) -> tuple[Chunk, ...]:
        number = _index(data)
        said = Chunk("other", block=number, extra={"event": data})
        return (said,) if self._open.pop(number, None) is None else (Chunk("stop", block=number), said)

    def _close_all(self) -> tuple[Chunk, ...]:
        """Blocks that no event has closed end here, so that what a plugin holds back still comes in time."""
        chunks = tuple(Chunk("stop", block=number) for number in sorted(self._open))
        self._open.clear()
        return chunks


def _error(data: Mapping[str, Json]) -> tuple[Chunk, ...]:
    error = data.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    return (Chunk("error", reason=kind if isinstance(kind, str) else None, extra=data),)


def _words_start(number: int, block: Mapping[str, Json], kind: ChunkKind, field: str) -> tuple[Chunk, ...]:
    """A block of words opens, with its first words already in it if a provider likes it so."""
    given, signature = _words(block, field), block.get("signature")
    extra: dict[str, Json] = {"opens": kind, "block": without(block, "type", field, "signature")}
    if isinstance(signature, str) and signature:
        extra["signature"] = signature
    start = Chunk("start", block=number, extra=extra)
    return (start, Chunk(kind, given, number, extra={"opening": True})) if given else (start,)


def _mapping(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError(type(value).__name__)
    return value


def _index(data: Mapping[str, Json]) -> int:
    index = data["index"]
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise ValueError(index)
    return index


def _words(value: Mapping[str, Json], name: str) -> str:
    words = value.get(name)
    if words is not None and not isinstance(words, str):
        raise TypeError(type(words).__name__)
    return words or ""
