"""What was really written of an OpenAI Responses answer, and the events that say it again, corrected."""

from __future__ import annotations

from collections.abc import Mapping

from clippy_hookspecs import Json

from .responses_items import CALL_FIELDS, item_type
from .responses_places import DONES, Place, part_words, place_of, words_of


class Said:
    """The words written so far, by place, and the names of the tools called."""

    def __init__(self) -> None:
        self._words: dict[Place, list[str]] = {}
        self._names: dict[int, tuple[str, str]] = {}
        self._numbers: dict[str, int] = {}
        self.sorts: dict[int, str] = {}
        self.ids: dict[int, str] = {}

    def learn(self, place: Place, event: Mapping[str, Json]) -> None:
        """Remember which item stands where."""
        item = event.get("item")
        identity = event.get("item_id", item.get("id") if isinstance(item, dict) else None)
        if isinstance(identity, str):
            self._numbers.setdefault(identity, place[0])
            self.ids.setdefault(place[0], identity)
        if isinstance(item, dict):
            self.sorts.setdefault(place[0], item_type(item))

    def say(self, place: Place, words: str) -> None:
        """*words* were written at *place*."""
        self._words.setdefault(place, []).append(words)

    def name(self, number: int, call_id: str, name: str) -> None:
        """The call at *number* was written with this id and name."""
        self._names[number] = (call_id, name)

    def named(self, number: int) -> bool:
        """Whether the call at *number* was announced."""
        return number in self._names

    def words(self, place: Place) -> str:
        """What was written at *place*."""
        return "".join(self._words.get(place, ()))

    def texts(self, number: int) -> list[str]:
        """What was written of the parts of a message."""
        return [self.words(place) for place in sorted(self._words) if place[:2] == (number, "content")]

    # --- what is said again ---------------------------------------------------------------------------------------

    def corrected(self, event: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """*event* with the words that were written; None if what it is about was never written."""
        kind, place = event.get("type"), place_of(event)
        if kind in DONES and place is not None:
            if place[1] == "arguments" and place not in self._words:
                return None
            return self._line(event, DONES[kind][2], place)
        if place is not None and isinstance(event.get("item"), dict):
            item = self.item(event["item"], place[0])
            return None if item is None else {**event, "item": item}
        if place is not None and isinstance(event.get("part"), dict):
            return {**event, "part": self._part(event["part"], place)}
        if isinstance(event.get("response"), dict):
            return {**event, "response": self.response(event["response"])}
        return event

    def response(self, response: Mapping[str, Json]) -> Mapping[str, Json]:
        """A whole answer with the words that were written, without the calls that were not."""
        output = response.get("output")
        if not isinstance(output, list):
            return response
        items = [self._known(item, position) for position, item in enumerate(output)]
        corrected = {**response, "output": [item for item in items if item is not None]}
        if isinstance(response.get("output_text"), str):  # Some servers repeat the text here.
            corrected["output_text"] = "".join(_texts(corrected["output"]))
        return corrected

    def item(self, item: Mapping[str, Json], number: int) -> Mapping[str, Json] | None:
        """One item; None for a call that a plugin dropped."""
        sort = item_type(item)
        if sort in CALL_FIELDS:
            place = (number, "arguments", 0)
            if place not in self._words:
                return None
            call_id, name = self._names.get(number, (item.get("call_id"), item.get("name")))
            return self._line({**item, "call_id": call_id, "name": name}, CALL_FIELDS[sort], place)
        sections = {"message": ("content",), "reasoning": ("summary", "content")}.get(sort, ())
        corrected = dict(item)
        for section in sections:
            parts = item.get(section)
            if isinstance(parts, list):
                numbered = enumerate(parts)
                corrected[section] = [self._part(part, (number, section, place)) for place, part in numbered]
        return corrected

    def _known(self, item: Json, position: int) -> Mapping[str, Json] | None:
        if not isinstance(item, dict):
            return None
        identity = item.get("id")
        return self.item(item, self._numbers.get(identity, position) if isinstance(identity, str) else position)

    def _part(self, part: Json, place: Place) -> Json:
        kind, _ = part_words(part)
        return part if kind is None else self._line(part, "refusal" if kind == "refusal" else "text", place)

    def _line(self, value: Mapping[str, Json], field: str, place: Place) -> Mapping[str, Json]:
        words = self.words(place)
        if value.get(field) == words:
            return value
        # The log probabilities spell the words that were there before.
        return {**value, field: words, **({"logprobs": []} if value.get("logprobs") else {})}


def _texts(output: list[Json]) -> list[str]:
    said = (words for number, item in enumerate(output) for words in words_of(item, number))
    return [text for kind, _, text in said if kind == "text"]
