"""Where the prefix of two prompts breaks: the first byte at which a cache stops reading, and what changed there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final

from attrs import field, frozen
from clippy_hookspecs import Json

from .parts import Part

_SHOWN: Final = 24
"""Characters of content on either side of the first one that differs."""

_LONGEST: Final = 64
"""Characters of a word on either side that are looked at: no time, number or id that people write is longer."""

_IN_WORD: Final = re.compile(r"[^\s\"'<>(),;\[\]{}]")
_WORD: Final = re.compile(f"{_IN_WORD.pattern}*")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}:\d\d|\d{1,2}/\d{1,2}/\d{2,4}")
_ID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-|(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{8,}")
_NUMBER: Final = re.compile(r"[-+]?[\d.,]*\d[\d.,]*")


@frozen
class Break:
    """The first difference between a prompt and the one before it.

    ``path`` is the field, ``offset`` counts the bytes of the prompt before it (compact JSON, in the provider's order)
    and ``character`` the characters of the field.  ``change`` is the kind: *added*, *removed*, *order*, *whitespace*,
    *time*, *id*, *number*, *text* or *value*.  ``before`` and ``after`` are what stands there: content.
    """

    path: str
    offset: int
    character: int
    change: str
    before: str = field(default="", repr=False)
    after: str = field(default="", repr=False)


def first_difference(old: Sequence[Part], new: Sequence[Part]) -> int | None:
    """The number of the first part that is not as before; None if *new* begins with all of *old*, or is its beginning.

    A prompt that is shorter than the one before it is read from the cache as far as it goes: nothing broke.
    """
    return next((at for at, (was, now) in enumerate(zip(old, new, strict=False)) if was.text != now.text), None)


def first_break(old: Sequence[Part], new: Sequence[Part]) -> Break | None:
    """Where *new* stops being what *old* was, None if the prefix holds."""
    at = first_difference(old, new)
    if at is None:
        return None
    was, now = old[at], new[at]
    before = sum(len(part.text.encode()) for part in old[:at])
    offset = before + _common(was.text.encode(), now.text.encode())
    if was.section != now.section:
        added = now.section < was.section
        return _whole(now if added else was, before, "added" if added else "removed")
    here, there = (tuple(part.text for part in parts if part.section == was.section) for parts in (old, new))
    place = was.index
    if sorted(here) == sorted(there):
        return Break(now.path, offset, 0, "order", *_windows(was.text, now.text))
    if now.text in here[place + 1 :]:
        return _whole(was, before, "removed")
    if was.text in there[place + 1 :]:
        return _whole(now, before, "added")
    path, character, change, told, tells = _difference(json.loads(was.text), json.loads(now.text), was.path)
    return Break(path, offset, character, change, told, tells)


def _whole(part: Part, offset: int, change: str) -> Break:
    shown = part.text[: 2 * _SHOWN]
    return Break(part.path, offset, 0, change, shown if change == "removed" else "", shown if change == "added" else "")


def _difference(was: Json, now: Json, path: str) -> tuple[str, int, str, str, str]:
    """Path, character and kind of the first difference between two values, and what stands there."""
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for old, new in zip_longest(was.items(), now.items()):
            if old is None or new is None or old[0] != new[0]:
                return _other_name(was, now, old, new, path)
            if not _same(old[1], new[1]):
                return _difference(old[1], new[1], f"{path}.{old[0]}")
    if isinstance(was, list) and isinstance(now, list):
        # A list of blocks is written as the place of its owner: system[0], messages[3].content[0].
        for index, (one, other) in enumerate(zip(was, now, strict=False)):
            if not _same(one, other):
                return _difference(one, other, f"{path}[{index}]")
        longer, change = (now, "added") if len(now) > len(was) else (was, "removed")
        place = min(len(was), len(now))
        shown = json.dumps(longer[place], ensure_ascii=False)[: 2 * _SHOWN]
        return f"{path}[{place}]", 0, change, shown if change == "removed" else "", shown if change == "added" else ""
    if isinstance(was, str) and isinstance(now, str):
        return path, _common(was, now), text_change(was, now), *_windows(was, now)
    return path, 0, "value", json.dumps(was)[: 2 * _SHOWN], json.dumps(now)[: 2 * _SHOWN]


def _windows(was: str, now: str) -> tuple[str, str]:
    """What stands around the first character in which two texts differ."""
    at = _common(was, now)
    start = max(0, at - _SHOWN)
    return was[start : at + _SHOWN], now[start : at + _SHOWN]


def _other_name(
    was: Mapping[str, Json],
    now: Mapping[str, Json],
    old: tuple[str, Json] | None,
    new: tuple[str, Json] | None,
    path: str,
) -> tuple[str, int, str, str, str]:
    if was.keys() == now.keys() and new is not None:
        return f"{path}.{new[0]}", 0, "order", old[0] if old else "", new[0]
    if old is None or (new is not None and new[0] not in was):
        name, value = new or ("", None)
        return f"{path}.{name}", 0, "added", "", json.dumps(value, ensure_ascii=False)[: 2 * _SHOWN]
    return f"{path}.{old[0]}", 0, "removed", json.dumps(old[1], ensure_ascii=False)[: 2 * _SHOWN], ""


def _same(one: Json, other: Json) -> bool:
    """Whether two values are the same JSON: 1 is not 1.0, nor True, and the order of names counts."""
    return json.dumps(one) == json.dumps(other)


def text_change(was: str, now: str) -> str:
    """What kind of change turned *was* into *now*: of the word in which they first differ, or of all of it."""
    if "".join(was.split()) == "".join(now.split()):
        return "whitespace"
    at = _common(was, now)
    words = [_word(text, at) for text in (was, now)]
    for name, pattern in (("time", _TIME), ("number", _NUMBER), ("id", _ID)):
        if all(pattern.search(word) if name == "time" else pattern.fullmatch(word) for word in words):
            return name
    return "text"


def _word(text: str, at: int) -> str:
    """The word around one character, as far as it matters."""
    start = at
    while start > max(0, at - _LONGEST) and _IN_WORD.match(text[start - 1]):
        start -= 1
    found = _WORD.match(text[start : at + _LONGEST])
    return found.group() if found else ""


def _common(one: str | bytes, other: str | bytes) -> int:
    """How long the common beginning is."""
    for at, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return at
    return min(len(one), len(other))
