"""Whole OpenAI chat answers as streams, and stored streams with or without their usage chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clippy_hookspecs import Json

from ..jsonio import loads
from .openai_blocks import REASONING_FIELDS
from .openai_reader import ENVELOPE
from .openai_writer import DONE, event
from .shapes import objects, without
from .sse import SseDecoder

_PIECES = 64
"""About how many pieces a long text is cut into."""
_SHORTEST = 16
_SAID = (*REASONING_FIELDS, "role", "content", "refusal", "tool_calls", "function_call")


def split(body: Mapping[str, Json], with_usage: bool) -> tuple[bytes, ...]:
    """The whole answer *body* as the events of a stream: role, pieces of content, finish reason, usage, ``[DONE]``."""
    kind = body.get("object")
    chunk_kind = kind if kind == "text_completion" else "chat.completion.chunk"
    envelope = {name: body[name] for name in ENVELOPE if name in body} | {"object": chunk_kind}
    rest = without(body, *ENVELOPE, "choices", "usage")
    usage = {"usage": None} if with_usage else {}
    choices = body.get("choices")
    events: list[bytes] = []
    for choice in choices if objects(choices) else []:
        for piece in _legacy(choice) if kind == "text_completion" else _choice(choice):
            events.append(event({**envelope, **rest, "choices": [piece], **usage}))
            rest = {}
    if with_usage and isinstance(body.get("usage"), dict):
        events.append(event({**envelope, "choices": [], "usage": body["usage"]}))
    return (*events, DONE)


def with_usage_as_asked(events: Sequence[bytes], usage: Json, asked: bool) -> tuple[bytes, ...]:
    """Stored *events* with *usage* in a chunk of its own before the end, or without that chunk if nobody *asked*."""
    read = [_body(raw) for raw in events]
    alone = [body is not None and body.get("choices") == [] and isinstance(body.get("usage"), dict) for body in read]
    if not asked:
        return tuple(raw for raw, drop in zip(events, alone, strict=True) if not drop)
    told = any(body is not None and isinstance(body.get("usage"), dict) for body in read)
    if told or not isinstance(usage, dict):
        return tuple(events)
    known: Mapping[str, Json] = next((body for body in reversed(read) if body is not None and body.get("id")), {})
    made = event({**{name: known[name] for name in ENVELOPE if name in known}, "choices": [], "usage": usage})
    end = next((number for number, raw in enumerate(events) if _data(raw) == "[DONE]"), len(events))
    return (*events[:end], made, *events[end:])


def _choice(choice: Mapping[str, Json]) -> Iterator[Json]:
    """One choice as the choices of several events."""
    message = choice["message"] if isinstance(choice.get("message"), dict) else {}
    index = choice.get("index", 0)
    logprobs = choice.get("logprobs")
    rest = without(message, *_SAID)
    if "refusal" in message:
        rest["refusal"] = None
    start = "" if isinstance(message.get("content"), str) else None
    yield _piece(index, {"role": message.get("role") or "assistant", "content": start, **rest})
    for field in REASONING_FIELDS:
        for text in _cut(message.get(field)):
            yield _piece(index, {field: text})
    content = message.get("content")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if (
        isinstance(logprobs, dict)
        and objects(tokens)
        and "".join(str(token.get("token", "")) for token in tokens) == content
    ):
        for token in tokens:
            yield {**_piece(index, {"content": token["token"]}), "logprobs": {**logprobs, "content": [token]}}
        logprobs = None
    elif isinstance(content, list):
        yield from (_piece(index, {"content": [part]}) for part in content)
    else:
        yield from (_piece(index, {"content": text}) for text in _cut(content))
    yield from (_piece(index, {"refusal": text}) for text in _cut(message.get("refusal")))
    for number, call in enumerate(message["tool_calls"] if objects(message.get("tool_calls")) else []):
        yield from (_piece(index, {"tool_calls": [piece]}) for piece in _call(number, call))
    if isinstance(message.get("function_call"), dict):
        yield _piece(index, {"function_call": message["function_call"]})
    rest = without(choice, "index", "message", "finish_reason", "logprobs")
    yield {**_piece(index, {}, choice.get("finish_reason") or "stop"), **rest, "logprobs": logprobs}


def _legacy(choice: Mapping[str, Json]) -> Iterator[Json]:
    """One choice of a legacy completion; its logprobs speak of the whole text, so that stays in one piece."""
    index, logprobs = choice.get("index", 0), choice.get("logprobs")
    rest = without(choice, "index", "text", "finish_reason", "logprobs")
    for text in [choice.get("text")] if logprobs else _cut(choice.get("text")):
        yield {"index": index, "text": text, "logprobs": logprobs, "finish_reason": None}
    yield {**rest, "index": index, "text": "", "logprobs": None, "finish_reason": choice.get("finish_reason") or "stop"}


def _call(number: int, call: Mapping[str, Json]) -> Iterator[Json]:
    """A tool call: first its id and name, then its arguments."""
    kind, text = ("custom", "input") if isinstance(call.get("custom"), dict) else ("function", "arguments")
    inner = call[kind] if isinstance(call.get(kind), dict) else {}
    yield {**call, "index": number, kind: {**inner, text: ""}}
    for piece in _cut(inner.get(text)):
        yield {"index": number, kind: {text: piece}}


def _piece(index: Json, delta: Json, finish_reason: str | None = None) -> dict[str, Json]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _cut(text: Json) -> Iterator[str]:
    """*text* in pieces that joined are the text; nothing for what is not text."""
    if isinstance(text, str):
        size = max(_SHORTEST, len(text) // _PIECES + 1)
        yield from (text[start : start + size] for start in range(0, len(text), size))


def _data(raw: bytes) -> str:
    return "\n".join(event.data for event in SseDecoder(max_line=len(raw)).feed(raw)).strip()


def _body(raw: bytes) -> dict[str, Json] | None:
    if b'"usage"' not in raw and b'"id"' not in raw:
        return None
    try:
        body = loads(_data(raw))
    except ValueError:
        return None
    return body if isinstance(body, dict) else None
