"""OpenAI Responses streams, written chunk by chunk.

The API repeats every word of the deltas in later events.  As long as no plugin has changed or dropped a piece of the
answer, all events go out as the bytes they came as.  From then on whatever a repeating event says is replaced by what
was really written: a redactor that changed a delta leaks nothing through ``output_text.done``, ``content_part.done``,
``output_item.done``, ``response.completed`` or ``response.failed``.

``sequence_number`` never goes back: what is written anew gets the next number, what goes out as it came keeps its own
unless that is used up.  ``output_index`` is shifted where a plugin added an item before or dropped a call.
"""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import CONTENT_KINDS, Chunk, Json, Usage

from .named_events import event_bytes
from .responses_items import CALL_FIELDS, item_type
from .responses_parts import encode_usage
from .responses_places import DELTAS, INDEX, Place, fingerprint, finish_reason, place_of
from .responses_said import Said
from .responses_split import Stage, envelope, status_fields, unfold

_TYPES = {place: name for name, place in reversed(DELTAS.items())}
_FAMILIES = {"text": "text", "refusal": "text", "reasoning": "reasoning", "tool_call": "tool_call"}


class ResponsesWriter:
    """Writes one stream."""

    def __init__(self) -> None:
        self._said = Said()
        self._fingerprint = 0
        self._changed = False
        self._places: dict[tuple[int, str], Place] = {}
        self._made: dict[int, Chunk] = {}
        self._dropped: set[int] = set()
        self._indices: dict[int, int] = {}
        self._opened: dict[str, Json] = {}
        self._items: dict[int, Mapping[str, Json]] = {}
        """The provider's items by their index, as they were told last."""
        self._unclosed: set[int] = set()
        self._number = -1
        self._reason: str | None = None
        self._usage: Usage | None = None
        self._foreign = False
        self._waiting: list[Chunk] = []

    def write(self, chunk: Chunk) -> bytes:
        """The bytes of *chunk*, after what has to come before them."""
        if chunk.kind == "start" and chunk.raw is None and "event" not in chunk.extra:
            self._foreign = True
        if chunk.kind in CONTENT_KINDS:
            if not self._foreign and chunk.raw is None and self._place(chunk) is None:
                # Given up by a plugin that held all of a block: the stop that follows says where the block stands.
                self._waiting.append(chunk)
                return b""
            return self._waited() + self._content(chunk)
        if chunk.kind == "stop":
            self._learn(chunk, chunk.extra.get("event", {}))
        return self._waited() + self._without_content(chunk)

    def _waited(self) -> bytes:
        waiting, self._waiting = self._waiting, []
        return b"".join([self._content(chunk) for chunk in waiting])

    def _without_content(self, chunk: Chunk) -> bytes:
        match chunk.kind:
            case "stop" | "end":
                return b""
            case "usage" | "finish":
                # This API says both in its terminal event: what another one says earlier is kept until then.
                self._reason, self._usage = chunk.finish_reason or self._reason, chunk.usage or self._usage
                return chunk.raw or b""
            case "ping":
                return chunk.raw if chunk.raw is not None else b": ping\n\n"
            case "done":
                return self._done(chunk)
            case "error":
                return self._error(chunk)
            case _:
                return self._other(chunk)

    # --- events that repeat ---------------------------------------------------------------------------------------

    def _other(self, chunk: Chunk) -> bytes:
        event = chunk.extra.get("event")
        if event is None:
            if chunk.kind == "other" or chunk.raw is not None:
                return chunk.raw or b""
            known = {**chunk.extra.get("response", {}), **({} if chunk.id is None else {"id": chunk.id})}
            event = {"type": "response.created", "response": envelope(known)}
        if chunk.kind == "start" and isinstance(event.get("response"), dict):
            self._opened = event["response"]
        self._learn(chunk, event)
        return self._repeated(chunk, event)

    def _repeated(self, chunk: Chunk, event: Mapping[str, Json]) -> bytes:
        """An event that may say again what was said before: as it came if it still says what was written."""
        if self._changed or chunk.extra.get("said", self._fingerprint) != self._fingerprint:
            self._changed = True
            corrected = self._said.corrected(event)
            if corrected is None:
                if "item" in event:
                    self._dropped.add(event.get("output_index", 0))
                return b""
            if corrected != event:
                return self._event(corrected)
        return self._event(event, chunk.raw)

    def _done(self, chunk: Chunk) -> bytes:
        event = chunk.extra.get("event")
        made = {number: self._item(number) for number in self._made}
        before = b"".join(self._told("close", number, item) for number, item in made.items())
        if chunk.raw is not None and not made:
            return chunk.raw if event is None else self._repeated(chunk, event)
        if event is None:
            items = {number: item for number in sorted(self._items) if (item := self._finished(number)) is not None}
            open_yet = [(number, item) for number, item in items.items() if number in self._unclosed]
            before = b"".join(self._told("close", number, item) for number, item in open_yet) + before
            return before + self._event(self._ending(chunk, {**self._opened, "output": [*items.values()]}, made))
        response = self._said.response(event["response"])
        return before + self._event({**event, **self._ending(chunk, response, made)})

    def _finished(self, number: int) -> Mapping[str, Json] | None:
        """An item of the provider's by now, where the provider does not tell any more; None for a dropped call."""
        item = self._items[number]
        if number not in self._unclosed or item_type(item) != "message":
            return self._said.item(item, number)
        told = [{"type": "output_text", "text": text, "annotations": []} for text in self._said.texts(number)]
        return {**item, "status": "completed", "content": told}

    def _ending(self, chunk: Chunk, response: Mapping[str, Json], made: Mapping[int, Json]) -> dict[str, Json]:
        """A terminal event.  Another API may have told usage and finish reason before."""
        response, reason, usage = dict(response), chunk.finish_reason or self._reason, chunk.usage or self._usage
        if finish_reason(response) != reason or reason is None:
            response |= status_fields(reason)
        if usage is not None:
            response["usage"] = encode_usage(usage)
        if isinstance(response.get("output"), list):
            response["output"] = [*response["output"], *made.values()]
        return {"type": f"response.{response['status']}", "response": response}

    def _error(self, chunk: Chunk) -> bytes:
        event = chunk.extra
        if event.get("type") == "response.failed" and self._changed:
            corrected = self._said.corrected(event)
            if corrected is not None and corrected != event:
                return self._event(corrected)
        if chunk.raw is not None or event.get("type") in ("error", "response.failed"):
            return self._event(event, chunk.raw)
        told = event["error"] if isinstance(event.get("error"), Mapping) else {}
        code = told.get("code") or told.get("type") or chunk.reason
        message = told.get("message") or chunk.delta
        return self._event({"type": "error", "code": code, "message": message, "param": told.get("param")})

    # --- words ----------------------------------------------------------------------------------------------------

    def _content(self, chunk: Chunk) -> bytes:
        event: Mapping[str, Json] = chunk.extra.get("event", {})
        self._learn(chunk, event)
        if chunk.raw is not None:
            self._fingerprint = fingerprint(self._fingerprint, chunk)
        else:
            self._changed = True
        before = b""
        place = self._place(chunk)
        if place is None:
            place, before = self._make(chunk)
        elif chunk.id or chunk.name:
            before = self._announce(chunk, place)
        self._said.say(place, chunk.delta)
        if chunk.raw is not None:
            whole = event if "item" in event else {**event, "delta": chunk.delta}
            return before + (self._event(whole, chunk.raw) if chunk.raw else b"")
        return before + (self._event(self._delta(chunk, place, event)) if chunk.delta else b"")

    def _place(self, chunk: Chunk) -> Place | None:
        place = self._places.get((chunk.block, _FAMILIES[chunk.kind])) or place_of(chunk.extra.get("event", {}))
        return place if place is not None and (chunk.kind, place[1]) in _TYPES else None

    def _announce(self, chunk: Chunk, place: Place) -> bytes:
        """A call gets its id and name; the event that says so unless the chunk's own bytes do."""
        if self._said.named(place[0]):
            return b""
        self._said.name(place[0], chunk.id or "", chunk.name or "")
        if chunk.raw is not None:
            return b""
        item = _call(chunk, self._said.ids.get(place[0], f"fc_{place[0]}"))
        return self._event({"type": "response.output_item.added", "output_index": place[0], "item": item})

    def _delta(self, chunk: Chunk, place: Place, event: Mapping[str, Json]) -> dict[str, Json]:
        kind = event.get("type")
        if kind not in DELTAS:
            custom = self._said.sorts.get(place[0]) == "custom_tool_call"
            kind = "response.custom_tool_call_input.delta" if custom else _TYPES[chunk.kind, place[1]]
        at: dict[str, Json] = {"item_id": self._said.ids.get(place[0], f"item_{place[0]}"), "output_index": place[0]}
        if place[1] in INDEX:
            at[INDEX[place[1]]] = place[2]
        if chunk.kind == "text":
            at["logprobs"] = []
        return {"type": kind, **at, "delta": chunk.delta}

    def _learn(self, chunk: Chunk, event: Mapping[str, Json]) -> None:
        place = place_of(event)
        if place is not None:
            self._said.learn(place, event)
            if isinstance(event.get("item"), dict):
                self._items[place[0]] = event["item"]
                ended = event.get("type") == "response.output_item.done"
                (self._unclosed.discard if ended else self._unclosed.add)(place[0])
            self._indices.setdefault(place[0], place[0] + len(self._made) - len(self._dropped))
            for family in ("text", "reasoning", "tool_call"):
                self._places.setdefault((chunk.block, family), place)

    # --- items that a plugin made -----------------------------------------------------------------------------------

    def _make(self, chunk: Chunk) -> tuple[Place, bytes]:
        """A new item for words of a block that the provider does not have."""
        number = -1 - len(self._made)  # No provider's index; what is written is in _indices.
        section = {"tool_call": "arguments", "reasoning": "summary"}.get(chunk.kind, "content")
        place = self._places[chunk.block, _FAMILIES[chunk.kind]] = (number, section, 0)
        self._indices[number] = 1 + max(self._indices.values(), default=-1)
        self._made[number] = chunk
        item = self._item(number)
        self._said.ids[number] = item["id"]
        return place, self._told("open", number, item)

    def _item(self, number: int) -> dict[str, Json]:
        """A made item as it is by now."""
        chunk, at = self._made[number], self._indices[number]
        if chunk.kind == "tool_call":
            words = self._said.words((number, "arguments", 0))
            return {**_call(chunk, f"fc_added_{at}"), "status": "completed", "arguments": words or "{}"}
        if chunk.kind == "reasoning":
            words = self._said.words((number, "summary", 0))
            return {"id": f"rs_added_{at}", "type": "reasoning", "summary": [{"type": "summary_text", "text": words}]}
        words = self._said.words((number, "content", 0))
        part: dict[str, Json] = {"type": "refusal", "refusal": words}
        if chunk.kind == "text":
            part = {"type": "output_text", "text": words, "annotations": [], "logprobs": []}
        known = {"type": "message", "status": "completed", "role": "assistant"}
        return {"id": f"msg_added_{at}", **known, "content": [part]}

    def _told(self, stage: Stage, number: int, item: Mapping[str, Json]) -> bytes:
        return b"".join(self._event(event) for known, event in unfold(item, number) if known == stage)

    # --- bytes ------------------------------------------------------------------------------------------------------

    def _event(self, event: Mapping[str, Json], raw: bytes | None = None) -> bytes:
        """One event, numbered; *raw* are its bytes if nothing but a number can have changed."""
        told, number = event.get("sequence_number"), self._number + 1
        index = event.get("output_index")
        written = self._indices.get(index, index) if isinstance(index, int) else index
        if raw is not None and isinstance(told, int):
            number = max(told, number)
        if raw is not None and written == index and (number == told or told is None):
            self._number = self._number if told is None else number
            return raw
        self._number = number
        return event_bytes({**event, **({} if index is None else {"output_index": written}), "sequence_number": number})


def _call(chunk: Chunk, identity: str) -> dict[str, Json]:
    """A call of a plugin's making, or one that a plugin changed, before its arguments."""
    block = chunk.extra.get("block", {})
    field = CALL_FIELDS.get(block.get("type", "function_call"), "arguments")
    known = {"type": "function_call", "status": "in_progress", "id": identity}
    return {**known, **block, "call_id": chunk.id or "", "name": chunk.name or "", field: ""}
