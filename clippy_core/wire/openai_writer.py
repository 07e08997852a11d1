"""Chunks as the events of an OpenAI chat stream."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Chunk, Json

from ..jsonio import dumps
from .openai_blocks import true_copies, true_logprobs
from .openai_reader import ENVELOPE
from .openai_usage import usage_as_told

DONE = b"data: [DONE]\n\n"
_MADE = {"id": "chatcmpl-clippy", "object": "chat.completion.chunk", "created": 0, "model": ""}
"""The envelope of a stream from which nothing could be learned."""
_TELLING = ("reasoning", "tool_call")
"""The kinds of chunks from which more than the envelope is learned."""


def event(body: Json) -> bytes:
    """*body* as one event."""
    return b"data: " + dumps(body) + b"\n\n"


class ChatWriter:
    """Writes one stream; a chunk that a plugin made gets the envelope and the tool number of those before it."""

    def __init__(self) -> None:
        self._envelope: Mapping[str, Json] = _MADE
        self._field = "reasoning_content"
        self._calls: dict[tuple[int, int], dict[str, Json]] = {}
        """What the pieces of a tool call repeat, by choice and block."""
        self._numbers: dict[int, int] = {}
        """How many tool calls each choice has had."""

    def write(self, chunk: Chunk) -> bytes:
        """The bytes of *chunk*: its own if it is unchanged, none for the host's own kinds."""
        envelope = chunk.extra.get("response")
        if envelope is not self._envelope and envelope and envelope.get("id"):
            self._envelope = envelope
        if chunk.kind in _TELLING:
            self._learn(chunk)
        if chunk.raw is not None:
            return chunk.raw
        match chunk.kind:
            case "stop" | "end":
                return b""
            case "ping":
                return b": ping\n\n"
            case "done":
                return DONE
            case "error":
                return event(chunk.extra or {"error": {"message": chunk.delta, "type": "server_error"}})
        body = {name: value for name, value in self._envelope.items() if name in ENVELOPE}
        body.update(chunk.extra.get("response", {}))
        whole = chunk.kind == "usage" or (chunk.kind == "other" and "choice" not in chunk.extra)
        body["choices"] = [] if whole else [self._choice(chunk)]
        if chunk.usage is not None:
            body["usage"] = usage_as_told(chunk.usage, body.get("usage"))
        return event(body)

    def _learn(self, chunk: Chunk) -> None:
        if chunk.kind == "reasoning" and "choice" in chunk.extra:
            self._field = chunk.extra.get("field", "reasoning_content")
        if chunk.kind == "tool_call" and (chunk.choice, chunk.block) not in self._calls:
            number = self._numbers.get(chunk.choice, 0)
            index = chunk.extra.get("index", number)
            self._numbers[chunk.choice] = max(number, index) + 1
            shape = {"legacy": chunk.extra.get("legacy"), "custom": "custom" in chunk.extra.get("block", {})}
            self._calls[chunk.choice, chunk.block] = {"index": index, **shape}

    def _choice(self, chunk: Chunk) -> Json:
        choice: dict[str, Json] = {"index": chunk.choice, **chunk.extra.get("choice", {})}
        text = chunk.delta if chunk.kind == "text" else ""
        refusal = chunk.delta if chunk.kind == "refusal" else ""
        if text or refusal:
            true_logprobs(choice, text, refusal)
        if "text" in choice or self._envelope.get("object") == "text_completion":
            choice["text"] = text
        else:
            delta = self._delta(chunk)
            if delta or "delta" not in choice:
                choice["delta"] = delta
        choice.setdefault("finish_reason", None)
        if chunk.finish_reason is not None:
            choice["finish_reason"] = chunk.finish_reason
        return choice

    def _delta(self, chunk: Chunk) -> Json:
        delta: dict[str, Json] = dict(chunk.extra.get("message", {}))
        part = chunk.extra.get("part")
        match chunk.kind:
            case "text":
                said = chunk.delta if part is None else [{"type": "text", **part, "text": chunk.delta}]
                delta["content"] = [*delta["content"], *said] if isinstance(delta.get("content"), list) else said
            case "reasoning" if part is not None:
                thought = {"type": "thinking", **part, "thinking": [{"type": "text", "text": chunk.delta}]}
                delta["content"] = [thought]
            case "reasoning":
                delta[self._field] = chunk.delta
                true_copies(delta, chunk.delta, {self._field})
            case "refusal":
                delta["refusal"] = chunk.delta
            case "tool_call":
                self._put_call(delta, chunk)
        return delta

    def _put_call(self, delta: dict[str, Json], chunk: Chunk) -> None:
        shape = self._calls[chunk.choice, chunk.block]
        if shape["legacy"]:
            named = {"name": chunk.name} if chunk.name is not None else {}
            delta["function_call"] = {**named, "arguments": chunk.delta}
            return
        kind, text = ("custom", "input") if shape["custom"] else ("function", "arguments")
        call: dict[str, Json] = {"index": shape["index"], **chunk.extra.get("block", {})}
        if chunk.id is not None:
            call["id"] = chunk.id
        if chunk.id is not None and "block" not in chunk.extra:
            call["type"] = kind
        inner = {**call.get(kind, {}), text: chunk.delta}
        if chunk.name is not None:
            inner["name"] = chunk.name
        delta["tool_calls"] = [{**call, kind: inner}]
