"""The blocks and fields of a streamed answer while it grows."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field
from clippy_hookspecs import Block, Json, Opaque, Reasoning, RefusalText, Text, ToolCall

from ..jsonio import loads

_JOINED = frozenset({"text", "summary", "data", "signature", "arguments"})
"""Texts of a list item that a later item of the same index continues; its other fields are replaced."""


@define(eq=False)
class Part:
    """One content block as it grows."""

    kind: str = ""
    id: str | None = None
    name: str | None = None
    text: list[str] = field(factory=list)
    signature: list[str] = field(factory=list)
    input_json: list[str] = field(factory=list)
    extra: dict[str, Json] = field(factory=dict)
    opaque: dict[str, Json] = field(factory=dict)


@define(eq=False)
class Growth:
    """One choice as it grows; its parts are found by block number and kind."""

    parts: dict[tuple[int, str], Part] = field(factory=dict)
    latest: dict[int, Part] = field(factory=dict)
    message: dict[str, Json] = field(factory=dict)
    choice: dict[str, Json] = field(factory=dict)
    finish_reason: str | None = None


def part_of(answer: Growth, number: int, kind: str) -> Part:
    """The part of this number and kind; what has no kind of its own belongs to the latest part of its number."""
    latest = answer.latest.get(number)
    if latest is not None and (not kind or latest.kind == kind):
        return latest
    if latest is not None and not latest.kind:
        part = answer.parts.pop((number, ""))
    else:
        part = answer.parts.get((number, kind), Part())
    part.kind = kind
    answer.parts[number, kind] = answer.latest[number] = part
    return part


def block_of(part: Part, api: str) -> Block:
    """*part* as a block of an answer of *api*."""
    text = _joined(part.text)
    if part.kind == "text":
        return Text(text, part.extra)
    if part.kind == "reasoning":
        return Reasoning(text, "".join(part.signature) or None, part.extra)
    if part.kind == "refusal":
        return RefusalText(text, part.extra)
    if part.kind == "tool_call":
        # Anthropic sends no delta at all for a tool without arguments; the others send what the model wrote.
        arguments = text or ("{}" if api == "anthropic.messages" else "")
        return ToolCall(part.id or "", part.name or "", arguments, part.extra)
    data = dict(part.opaque)
    pieces = "".join(part.input_json)
    if pieces:
        data["input"] = _input(pieces)
    return Opaque(str(data.get("type", "")), data)


def _joined(pieces: list[str]) -> str:
    """The pieces as one text.  A provider that cuts UTF-16 may send the halves of a character in two pieces."""
    text = "".join(pieces)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text


def _input(text: str) -> Json:
    try:
        return loads(text)
    except ValueError:
        return text  # Cut off or invalid: the text itself is all that can be kept.


def absorb(target: dict[str, Json], source: Mapping[str, Json]) -> None:
    """Merge *source* into *target*, which is ours: in place, so that a list that grows at each chunk stays linear."""
    for name, value in source.items():
        old = target.get(name)
        if isinstance(value, Mapping):
            if not isinstance(old, dict):
                old = target[name] = {}
            absorb(old, value)
        elif isinstance(value, list):
            if not isinstance(old, list):
                old = target[name] = []
            _extend(old, value)
        elif value is not None or name not in target:
            target[name] = value


def _extend(target: list[Json], source: list[Json]) -> None:
    """Append, but an item that names the ``index`` of an earlier one continues it (OpenRouter's reasoning_details)."""
    for item in source:
        old = _of_same_index(target, item)
        if old is None:
            target.append(dict(item) if isinstance(item, Mapping) else item)
            continue
        for name, value in item.items():
            if name in _JOINED and isinstance(value, str) and isinstance(old.get(name), str):
                old[name] += value
            elif value is not None:
                old[name] = value


def _of_same_index(target: list[Json], item: Json) -> dict[str, Json] | None:
    index = item.get("index") if isinstance(item, Mapping) else None
    if index is None:
        return None
    return next((old for old in reversed(target) if isinstance(old, dict) and old.get("index") == index), None)
