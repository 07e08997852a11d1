"""The events of an OpenAI chat stream as chunks.

What an event says beside its chunks' own fields is in their ``extra``, under the keys of :mod:`.assemble` and:
``index`` the provider's number of a tool call, ``part`` the fields of a content part (Mistral sends lists), ``field``
the name under which reasoning came, ``legacy`` for the ``function_call`` of old.  An event that says several things
gives several chunks; only one of them carries what belongs to the event or choice as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import field, frozen
from clippy_hookspecs import Chunk, Json, Reasoning, Text, Usage
from clippy_hookspecs.types import ChunkKind

from ..jsonio import loads
from .base import CorruptEvent
from .errors import error_in
from .openai_blocks import REASONING_FIELDS, part
from .openai_tools import arguments_text
from .openai_tracking import CallState, ChoiceState
from .openai_usage import says_all
from .openai_usage import usage as read_usage
from .shapes import objects, without
from .sse import SseEvent
from .values import words_chunk

ENVELOPE = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
"""The fields that every event of a stream repeats."""
_RARE_IN_EVENT = frozenset({"error", "errors", "type", "x_groq"})
_RARE_IN_CHOICE = frozenset({"error", "message", "text", "usage"})
_FIELD_OF = {"text": "content", "reasoning": "reasoning_content", "tool_call": "tool_calls"}
"""Where the words of an open block of this kind come."""
_NO_FIELDS: dict[str, Json] = {}
_NOTHING: tuple[ChunkKind, None, int] = ("other", None, 0)


@frozen
class _Piece:
    """One thing that a delta says."""

    kind: ChunkKind
    delta: str
    extra: Mapping[str, Json] = field(factory=dict)
    call: CallState | None = None
    id: str | None = None
    name: str | None = None


class ChatReader:
    """Reads one stream of chat (or legacy) completions."""

    traceless = frozenset({"text", "reasoning"})

    def __init__(self) -> None:
        self._choices: dict[int, ChoiceState] = {}
        self._done = False
        self._failed = False

    @property
    def complete(self) -> bool:
        """``[DONE]`` came, or every choice that began has its finish reason (many servers send no ``[DONE]``)."""
        finished = bool(self._choices) and all(choice.finished for choice in self._choices.values())
        return not self._failed and (self._done or finished)

    def apart(self) -> ChatReader:
        """As :meth:`.base.StreamReader.apart`."""
        other = ChatReader()
        other._choices = {number: choice.apart() for number, choice in self._choices.items()}
        other._done, other._failed = self._done, self._failed
        return other

    def read(self, event: SseEvent, parse: Callable[[str], Json] = loads) -> tuple[Chunk, ...]:
        """What one event says; raises CorruptEvent if it is not a JSON object."""
        data = event.data.strip()
        if not data or event.event == "ping":
            return (Chunk("ping"),)
        if self._done:
            return (Chunk("other"),)  # Nobody reads on after the terminal event; what follows changes nothing.
        if data == "[DONE]":
            self._done = True
            return (*(stop for choice in self._choices.values() for stop in choice.close()), Chunk("done"))
        try:
            body = parse(data)
        except ValueError as error:
            if event.event == "error":
                return self._error({"error": {"message": data}})
            raise CorruptEvent(f"an event of the stream is {error}") from None
        if event.event == "error":
            return self._error(body if isinstance(body, dict) else {"error": {"message": data}})
        if not isinstance(body, dict):
            raise CorruptEvent("an event of the stream is JSON, but not an object")
        words = self._more_words(body, event.raw)
        if words is not None:
            return (words,)
        if error_in(body) or _failed_choice(body):
            return self._error(body)
        return tuple(self._body(body))

    def _more_words(self, body: dict[str, Json], raw: bytes) -> Chunk | None:
        """By far the commonest event, one more piece of what is open: read without asking what else it could be.

        Its JSON is nobody else's, so what is said is taken out of it and the rest is the chunk's ``extra``: copying
        without what is said would cost as much as parsing.
        """
        try:
            (value,) = body["choices"]
            delta, choice = value["delta"], self._choices[value["index"]]
            kind, call, block = choice.open or _NOTHING
            field = _FIELD_OF[kind]
            words, own = (delta[field], _NO_FIELDS) if call is None else _arguments(choice, call, delta[field])
        except (KeyError, TypeError, ValueError):
            return None
        if type(words) is not str or not words or not (len(delta) == 1 or _says_only(field, delta)):
            return None
        if value.get("finish_reason") or body.get("usage") is not None or body.get("object") == "error":
            return None
        if not (_RARE_IN_CHOICE.isdisjoint(value) and _RARE_IN_EVENT.isdisjoint(body)):
            return None
        del body["choices"], value["delta"], value["index"], delta[field]
        if call is not None:
            call.arguments.append(words)
        extra = {"choice": value, "message": delta or {}, **own, "response": body}  # An emptied dict keeps its size.
        return words_chunk(kind, words, block, choice.number, extra, raw)

    def _error(self, body: dict[str, Json]) -> tuple[Chunk, ...]:
        self._failed = True
        finish = next((c["finish_reason"] for c in _choices_of(body) if isinstance(c.get("finish_reason"), str)), None)
        return (Chunk("error", finish_reason=finish or None, usage=_usage(body), extra=body),)

    def _body(self, body: dict[str, Json]) -> Iterator[Chunk]:
        usage = _usage(body)
        rest = without(body, "choices")
        if usage is not None and isinstance(rest.get("usage"), dict) and says_all(usage, rest["usage"]):
            del rest["usage"]
        choices = _choices_of(body)
        if not choices:
            yield Chunk("usage" if usage is not None else "other", usage=usage, extra={"response": rest})
            return
        chunks = [chunk for choice in choices for chunk in self._choice(choice)]
        said = [number for number, chunk in enumerate(chunks) if chunk.kind != "stop"]
        repeated = rest if len(said) == 1 else {name: rest[name] for name in ENVELOPE if name in rest}
        for number, chunk in enumerate(chunks):
            if chunk.kind == "stop":
                yield chunk
                continue
            extra = {**chunk.extra, "response": rest if number == said[0] else repeated}
            yield _with(chunk, extra, usage if number == said[-1] else None)

    def _choice(self, value: dict[str, Json]) -> Iterator[Chunk]:
        number = value.get("index")
        index = number if isinstance(number, int) else 0
        choice = self._choices.setdefault(index, ChoiceState(index))
        finish_reason = value.get("finish_reason") or None
        said = ["index", *(["finish_reason"] if isinstance(finish_reason, str) else [])]
        delta = value.get("delta")
        if not isinstance(delta, dict) and isinstance(value.get("message"), dict) and not choice.blocks:
            delta = value["message"]  # A whole answer in one event; after deltas it would repeat them.
        if isinstance(delta, dict):
            said += ["delta", "message"]
        delta = dict(delta) if isinstance(delta, dict) else {}
        if isinstance(value.get("text"), str) and not delta:
            pieces = [_Piece("text", value["text"])] if value["text"] else []
            rest = {**without(value, *said), "text": ""}
        else:
            pieces = list(_pieces(choice, delta))
            rest = without(value, *said)
        yield from self._chunks(choice, pieces, {"choice": rest, "message": delta}, finish_reason)

    def _chunks(
        self, choice: ChoiceState, pieces: list[_Piece], extra: dict[str, Json], finish_reason: Json
    ) -> Iterator[Chunk]:
        # Logprobs and filter results speak of the text, wherever it stands among the pieces.
        bearer = next((piece for piece in pieces if piece.kind in ("text", "refusal")), pieces[0] if pieces else None)
        marker = {"choice": {"text": ""} if "text" in extra["choice"] else {}}
        for piece in pieces:
            yield from choice.enter(piece.kind, piece.call)
            own = {**(extra if piece is bearer else marker), **piece.extra}
            yield Chunk(piece.kind, piece.delta, choice.block, choice.number, piece.id, piece.name, extra=own)
        own = marker if pieces else extra
        if isinstance(finish_reason, str):
            choice.finished = True
            yield from choice.close()
            yield Chunk("finish", block=choice.block, choice=choice.number, finish_reason=finish_reason, extra=own)
        elif not pieces:
            yield Chunk("start" if "role" in extra["message"] else "other", choice=choice.number, extra=own)


def _pieces(choice: ChoiceState, delta: dict[str, Json]) -> Iterator[_Piece]:
    """What a delta says, in the order in which an answer has it; takes it out of *delta*."""
    first, second = (delta.get(name) if isinstance(delta.get(name), str) else "" for name in REASONING_FIELDS)
    if first:
        yield _Piece("reasoning", delta.pop("reasoning_content"))
    if second and second != first:
        yield _Piece("reasoning", delta.pop("reasoning"), {"field": "reasoning", "block": {"field": "reasoning"}})
    content = delta.get("content")
    if isinstance(content, str) and content:
        yield _Piece("text", delta.pop("content"))
    elif objects(content):
        delta["content"] = [item for item in content if _spoken(item) is None]
        yield from (piece for item in content if (piece := _spoken(item)) is not None)
        if not delta["content"]:
            del delta["content"]
    if isinstance(delta.get("refusal"), str) and delta["refusal"]:
        yield _Piece("refusal", delta.pop("refusal"))
    if objects(delta.get("tool_calls")):
        for item in delta.pop("tool_calls"):
            yield _call_piece(choice, item)
    if isinstance(delta.get("function_call"), dict):
        yield _legacy_piece(choice, delta.pop("function_call"))


def _spoken(item: Mapping[str, Json]) -> _Piece | None:
    block = part(item)
    if isinstance(block, Text):
        return _Piece("text", block.text, {"part": block.extra, "block": {"type": "text"}})
    if isinstance(block, Reasoning):
        return _Piece("reasoning", block.text, {"part": block.extra, "block": {"type": "thinking"}})
    return None


def _call_piece(choice: ChoiceState, item: dict[str, Json]) -> _Piece:
    kind, text = ("custom", "input") if isinstance(item.get("custom"), dict) else ("function", "arguments")
    inner = item[kind] if isinstance(item.get(kind), dict) else {}
    call_id, name = (value if isinstance(value, str) else "" for value in (item.get("id"), inner.get("name")))
    delta = arguments_text(inner.get(text))
    call = choice.call(item.get("index"), call_id, name, delta)
    new_id, new_name = bool(call_id and not call.id), bool(name and not call.name)
    call.id, call.name = call.id or call_id, call.name or name
    call.arguments.append(delta)
    rest = without(item, "index", kind, *(["id"] if new_id else []))
    inner_rest = without(inner, text, *(["name"] if new_name else []))
    if inner_rest or kind == "custom":
        rest[kind] = inner_rest
    extra: dict[str, Json] = {"block": rest}
    if type(item.get("index")) is int:
        extra["index"] = item["index"]
    return _Piece("tool_call", delta, extra, call, call_id if new_id else None, name if new_name else None)


def _legacy_piece(choice: ChoiceState, item: dict[str, Json]) -> _Piece:
    name = item["name"] if isinstance(item.get("name"), str) else ""
    call = choice.calls.setdefault("function_call", CallState())
    new_name = bool(name and not call.name)
    call.name = call.name or name
    delta = arguments_text(item.get("arguments"))
    extra = {"legacy": True, "block": {"function_call": {}}}
    # As in whole answers: a legacy call has no id, its name stands for it.
    return _Piece("tool_call", delta, extra, call, name if new_name else None, name if new_name else None)


def _arguments(choice: ChoiceState, call: CallState, items: list[dict[str, Json]]) -> tuple[Json, dict[str, Json]]:
    """What *items* bring to the open *call*, and the chunk's own fields; nothing if they have more to say.

    Raises KeyError, TypeError or ValueError for items that are not one usual piece.
    """
    (item,) = items
    index, inner = item["index"], item["function"]
    if type(index) is not int or choice.calls[index] is not call or len(item) != 2 or len(inner) != 1:
        return None, _NO_FIELDS
    return inner["arguments"], {"block": {}, "index": index}


def _says_only(field: str, delta: dict[str, Json]) -> bool:
    """Whether *delta* has nothing to say beside *field*: many providers repeat the role and name what is empty."""
    for name, value in delta.items():
        if value is not None and value != "" and name != field and name != "role":
            return False
    return True


def _choices_of(body: Mapping[str, Json]) -> list[dict[str, Json]]:
    choices = body.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _failed_choice(body: Mapping[str, Json]) -> bool:
    return any(choice.get("finish_reason") == "error" for choice in _choices_of(body))


def _usage(body: Mapping[str, Json]) -> Usage | None:
    """The event's usage, wherever it is: Groq has it in ``x_groq``, Moonshot in the choice."""
    groq = body.get("x_groq")
    places = [body, *([groq] if isinstance(groq, dict) else []), *_choices_of(body)]
    found: Any = next((place["usage"] for place in places if isinstance(place.get("usage"), dict)), None)
    return None if found is None else read_usage(found)


def _with(chunk: Chunk, extra: Mapping[str, Json], usage: Usage | None) -> Chunk:
    return Chunk(
        chunk.kind,
        chunk.delta,
        chunk.block,
        chunk.choice,
        chunk.id,
        chunk.name,
        chunk.finish_reason,
        usage,
        extra=extra,
    )
