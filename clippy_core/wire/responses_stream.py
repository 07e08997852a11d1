"""The events of an OpenAI Responses stream, read into chunks.

The API says everything more than once: words come in deltas and again, whole, in ``*.done`` events and in the terminal
event.  Deltas are the content; what repeats it is *other* (or *done*), with the event's JSON in ``extra["event"]`` and
in ``extra["said"]`` a fingerprint of the content so far, by which the writer knows whether a plugin changed any of it.
Words that come for the first time in a repeating event (some servers send no deltas) are content too: their chunks have
no bytes of their own (``raw`` is empty) and stand before the event's own chunk.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

from clippy_hookspecs import Chunk, Json, Usage
from clippy_hookspecs.types import ChunkKind, with_raw

from ..jsonio import loads
from .base import CorruptEvent
from .errors import error_in
from .named_events import event_json
from .responses_items import CALL_FIELDS, call_extra, item_type, reasoning_fields
from .responses_parts import decode_usage
from .responses_places import (
    DELTAS,
    DONES,
    INDEX,
    PARTS,
    Place,
    call_id_of,
    error_code,
    fingerprint,
    finish_reason,
    identity_of,
    part_words,
    place_of,
    text_or_nothing,
    where,
    words_of,
)
from .shapes import without
from .sse import SseEvent
from .values import words_chunk

_STARTS = frozenset({"response.created", "response.in_progress", "response.queued"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.cancelled"})


class ResponsesReader:
    """Reads one stream."""

    traceless: frozenset[str] = frozenset()  # It remembers all that is said, and numbers each event.

    def __init__(self) -> None:
        self._numbers: dict[Place, int] = {}
        self._open: dict[Place, Mapping[str, Json]] = {}
        self._spoken: dict[Place, tuple[ChunkKind, list[str]]] = {}
        self._named: set[int] = set()
        self._items: dict[int, dict[str, Json]] = {}
        self._identities: dict[str, int] = {}
        self._said = 0
        self._done = False

    @property
    def complete(self) -> bool:
        """Whether the terminal event has come."""
        return self._done

    def apart(self) -> ResponsesReader:
        """As :meth:`.base.StreamReader.apart`."""
        return copy.deepcopy(self)

    def read(self, event: SseEvent, parse: Callable[[str], Json] = loads) -> tuple[Chunk, ...]:
        """The chunks of one event; its bytes are the ``raw`` of the last, and of it alone."""
        data = event_json(event, parse)
        if data is None:
            chunks = self._sentinel(event)
        else:
            data.setdefault("type", event.event)
            more = self._more_words(data, event.raw)
            if more is not None:
                return (more,)
            kind = data["type"]
            try:
                chunks = tuple(self._event(kind if isinstance(kind, str) else "", data))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise CorruptEvent(f"a {kind} event without what the API promises ({type(error).__name__})") from error
        for chunk in chunks[:-1]:
            if chunk.kind != "stop":
                with_raw(chunk, b"")
        with_raw(chunks[-1], event.raw)
        return chunks

    def _more_words(self, data: dict[str, Json], raw: bytes) -> Chunk | None:
        """By far the commonest event, more words where there are some: read without asking what else it could be.

        Its JSON is nobody else's, so it loses what is said and becomes the chunk's ``extra["event"]``.
        """
        try:
            kind, section = DELTAS[data["type"]]
            item = data["output_index"]
            part = data[INDEX[section]] if section in INDEX else 0
            place = (item, section, part)
            spoken, words = self._spoken[place][1], data["delta"]
        except (KeyError, TypeError):
            return None
        if type(words) is not str or not words or type(item) is not int or type(part) is not int:
            return None
        if place not in self._open:
            return None
        del data["delta"]
        data.pop("logprobs", None)
        data.pop("obfuscation", None)
        chunk = words_chunk(kind, words, self._numbers[place], 0, {"event": data}, raw)
        spoken.append(words)
        self._said = fingerprint(self._said, chunk)
        return chunk

    def _sentinel(self, event: SseEvent) -> tuple[Chunk, ...]:
        """No JSON: nothing at all, or the ``[DONE]`` that servers of both APIs add."""
        if event.data.strip() != "[DONE]" or self._done:
            return (Chunk("other"),)
        self._done = True
        return (*self._stops(list(self._open)), Chunk("done"))

    def _event(self, kind: str, data: dict[str, Json]) -> Iterable[Chunk]:
        if kind in DELTAS:
            return self._delta(kind, data)
        if kind in DONES or kind in PARTS:
            return self._part(kind, data)
        if kind == "response.output_item.added":
            return self._item_added(data)
        if kind == "response.output_item.done":
            return self._item_done(data)
        if kind in _STARTS:
            response = data["response"]
            known = {"response": without(response, "output", "usage"), "event": data}
            return (Chunk("start", id=identity_of(response), extra=known),)
        if kind in _ENDS:
            return self._end(kind, data)
        if kind in ("response.failed", "error") or (not kind.startswith("response.") and error_in(data)):
            return (Chunk("error", reason=error_code(data), extra=data),)
        return (Chunk("ping" if kind == "keepalive" else "other", extra={"event": data}),)

    # --- words ----------------------------------------------------------------------------------------------------

    def _delta(self, kind: str, data: dict[str, Json]) -> Iterable[Chunk]:
        place = place_of(data)
        assert place is not None
        at = without(data, "delta", "logprobs", "obfuscation")
        return (self._speak(DELTAS[kind][0], place, text_or_nothing(data["delta"]), at),)

    def _speak(
        self,
        kind: ChunkKind,
        place: Place,
        words: str,
        event: Mapping[str, Json],
        call: Mapping[str, Json] | None = None,
    ) -> Chunk:
        """A content chunk, remembered as said; *call* names the tool."""
        extra: dict[str, Json] = {"event": event}
        if place not in self._spoken:
            extra["block"] = self._block(kind, place)
        number = self._number(place)
        if call is None:
            chunk = Chunk(kind, words, number, extra=extra)
        else:
            self._named.add(place[0])
            extra["block"] = call_extra(call)
            chunk = Chunk(kind, words, number, id=call_id_of(call), name=str(call.get("name") or ""), extra=extra)
        self._begin(place, event)
        if words:
            self._spoken.setdefault(place, (kind, []))[1].append(words)
        self._said = fingerprint(self._said, chunk)
        return chunk

    def _block(self, kind: ChunkKind, place: Place) -> dict[str, Json]:
        """What the block is to keep of its item (see responses_items)."""
        number, section, part = place
        block: dict[str, Json] = {}
        if section != "arguments" and number in self._items:
            block = {"item": self._items[number], **({"part": part} if part else {})}
        if kind == "reasoning":
            block["type"] = "summary_text" if section == "summary" else "reasoning_text"
        return block

    def _unsaid(self, item: Mapping[str, Json], number: int, anywhere: bool = False) -> list[Chunk]:
        """The words of a whole item that did not come before; and the name of its tool."""
        chunks: list[Chunk] = []
        call = item if item_type(item) in CALL_FIELDS and number not in self._named else None
        for kind, place, words in words_of(item, number):
            missing = self._missing(place, words)
            if call is None and missing == words and self._elsewhere(kind, place, words, anywhere):
                missing = ""
            if missing or call is not None:
                chunks.append(self._speak(kind, place, missing, where(place, item), call))
        return chunks

    def _missing(self, place: Place, words: str) -> str:
        """What of *words* no delta said."""
        said = "".join(self._spoken[place][1]) if place in self._spoken else ""
        return words[len(said) :] if words.startswith(said) else ""

    def _elsewhere(self, kind: ChunkKind, place: Place, words: str, anywhere: bool) -> bool:
        """Whether *words* came already: some servers count the parts of an item in two ways."""
        for at, (known, said) in self._spoken.items():
            if known == kind and at[1] == place[1] and (anywhere or at[0] == place[0]) and "".join(said) == words:
                return True
        return False

    def _part(self, kind: str, data: dict[str, Json]) -> Iterable[Chunk]:
        """Words repeated, or a part around them that opens or closes."""
        place = place_of(data)
        assert place is not None
        extra: dict[str, Json] = {"event": data, "said": self._said}
        chunks: list[Chunk] = []
        if kind in DONES:
            sort, _, field = DONES[kind]
            chunks = self._late(sort, place, text_or_nothing(data.get(field)), data)
        elif kind.endswith("part.done"):
            part = data["part"]
            spoken, words = part_words(part)
            if spoken is not None:
                chunks = self._late(spoken, place, words, data)
            extra["block"] = without(part, "type", "text", "refusal", "logprobs")
        elif kind.endswith("part.added"):
            self._begin(place, data)
        extra["said"] = self._said
        closes = kind in DONES or kind.endswith("part.done")
        stops = self._stops([place] if closes and place in self._open else [])
        return (*chunks, *stops, Chunk("other", block=self._number(place), extra=extra))

    def _late(self, kind: ChunkKind, place: Place, words: str, data: Mapping[str, Json]) -> list[Chunk]:
        missing = self._missing(place, words)
        return [self._speak(kind, place, missing, where(place, data))] if missing else []

    # --- items ----------------------------------------------------------------------------------------------------

    def _item_added(self, data: dict[str, Json]) -> Iterable[Chunk]:
        item = data.get("item")
        place = place_of(data)
        assert place is not None
        if not isinstance(item, dict):
            return (Chunk("other", extra={"event": data}),)
        sort = item_type(item)
        if sort in CALL_FIELDS:
            return (self._speak("tool_call", place, text_or_nothing(item.get(CALL_FIELDS[sort])), data, item),)
        block = self._number(place)
        self._know(item.get("id"), place)
        extra: dict[str, Json] = {"event": data, "said": self._said}
        if sort == "message":
            self._items[place[0]] = without(item, "content")
            extra["block"] = {"item": self._items[place[0]]}
        elif sort == "reasoning":
            self._items[place[0]] = reasoning_fields({**item, "summary": item.get("summary") or [{}]})
            extra |= {"opens": "reasoning", "block": {"item": self._items[place[0]]}}
        else:
            extra["opaque"] = {name: value for name, value in item.items() if not isinstance(value, list | dict)}
        return (Chunk("start", block=block, extra=extra),)

    def _item_done(self, data: dict[str, Json]) -> Iterable[Chunk]:
        item = data["item"]
        if not isinstance(item, dict):
            raise TypeError(type(item).__name__)
        place = place_of(data)
        assert place is not None
        chunks = self._unsaid(item, place[0])
        extra: dict[str, Json] = {"event": data, "said": self._said}
        sort = item_type(item)
        if sort in CALL_FIELDS:
            extra["block"] = call_extra(item)
        elif sort == "message":
            extra["block"] = {"item": without(item, "content")}
        elif sort == "reasoning":
            extra["block"] = {"item": reasoning_fields({**item, "summary": item.get("summary") or [{}]})}
            if isinstance(item.get("encrypted_content"), str):
                extra["signature"] = item["encrypted_content"]
        else:
            extra["opaque"] = item
        stops = self._stops([known for known in self._open if known[0] == place[0]])
        return (*chunks, *stops, Chunk("other", block=self._number(place), extra=extra))

    def _end(self, kind: str, data: dict[str, Json]) -> Iterable[Chunk]:
        response = data["response"]
        output = response.get("output")
        chunks: list[Chunk] = []
        for number, item in enumerate(output if isinstance(output, list) else ()):
            chunks += self._known_item(item, number) if isinstance(item, dict) else []
        self._done = True
        usage: Usage | None = decode_usage(response.get("usage"))
        extra: dict[str, Json] = {"response": without(response, "output", "usage"), "event": data, "said": self._said}
        if isinstance(output, list):
            extra["body"] = response
        reason = finish_reason(response) or kind.removeprefix("response.")
        end = Chunk("done", id=identity_of(response), finish_reason=reason, usage=usage, extra=extra)
        return (*chunks, *self._stops(list(self._open)), end)

    def _begin(self, place: Place, told: Mapping[str, Json]) -> None:
        """Words may come at *place*; *told* names the item."""
        if place not in self._open:
            at = self._open[place] = where(place, told)
            self._know(at["item_id"], place)

    def _know(self, identity: Json, place: Place) -> None:
        if isinstance(identity, str):
            self._identities.setdefault(identity, place[0])

    def _known_item(self, item: Mapping[str, Json], position: int) -> list[Chunk]:
        """What the whole answer says first of an item; its index is the one that the events before used."""
        identity = item.get("id")
        known = isinstance(identity, str) and identity in self._identities
        return self._unsaid(item, self._identities[str(identity)] if known else position, anywhere=not known)

    def _stops(self, places: list[Place]) -> tuple[Chunk, ...]:
        return tuple(
            Chunk("stop", block=self._number(place), extra={"event": self._open.pop(place)}) for place in places
        )

    def _number(self, place: Place) -> int:
        return self._numbers.setdefault(place, len(self._numbers))
