"""Bodies of embeddings answers, taken apart and joined without touching a digit: every piece is a slice of the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from attrs import frozen

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_NO_USAGE = '{"prompt_tokens":0,"total_tokens":0}'


@frozen
class Item:
    """One element of ``data`` but for its index, which stands between the two pieces."""

    before: str
    after: str

    def at(self, index: int) -> str:
        """The element at that place of a list."""
        return f"{self.before}{index}{self.after}"


@frozen
class Around:
    """What stands around ``data``; ``model`` is the text of the answer's model, whose vectors alone can be compared."""

    before: str
    after: str
    model: str

    def body(self, items: Sequence[Item]) -> bytes:
        """A body with these items."""
        listed = ",".join([item.at(index) for index, item in enumerate(items)])
        return f"{self.before}[{listed}]{self.after}".encode()


@frozen
class Parts:
    """An answer taken apart.  ``around`` tells what the provider counted, ``unasked`` that it counted nothing."""

    items: tuple[Item, ...]
    around: Around
    unasked: Around


def take_apart(body: bytes, count: int) -> Parts | None:
    """The *count* items of an answer in the order of their indexes; None for any other body."""
    try:
        text = body.decode()
        found = {name: (begin, end) for name, begin, end in _members(text, _skip(text, 0))}
        begin, end = found["data"]
        numbered = [_item(text, first, last) for first, last in _elements(text, begin)]
    except (ValueError, KeyError, IndexError, RecursionError):
        return None
    numbered.sort(key=lambda one: one[0])
    if [index for index, _ in numbered] != list(range(count)):
        return None
    model = text[slice(*found["model"])] if "model" in found else ""
    before, after = text[:begin], text[end:]
    return Parts(
        tuple([item for _, item in numbered]),
        Around(before, after, model),
        Around(*_without_usage(text, (begin, end), found.get("usage")), model),
    )


def _without_usage(text: str, data: tuple[int, int], usage: tuple[int, int] | None) -> tuple[str, str]:
    begin, end = data
    if usage is None:
        return text[:begin], text[end:]
    first, last = usage
    if last <= begin:
        return text[:first] + _NO_USAGE + text[last:begin], text[end:]
    return text[:begin], text[end:first] + _NO_USAGE + text[last:]


def _item(text: str, begin: int, end: int) -> tuple[int, Item]:
    members = {name: place for name, *place in _members(text, begin)}
    first, last = members["index"]
    if not text[first:last].isdecimal() or "embedding" not in members:
        raise ValueError("not an embedding")
    return int(text[first:last]), Item(text[begin:first], text[last:end])


def _members(text: str, at: int) -> Iterator[tuple[str, int, int]]:
    """Name, begin and end of the value of each member of the object that begins at *at*."""
    for first, last in _listed(text, at, "{", "}", named=True):
        name, colon = _DECODER.raw_decode(text, first)
        yield name, _skip(text, _skip(text, colon) + 1), last


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each element of the array that begins at *at*."""
    return _listed(text, at, "[", "]", named=False)


def _listed(text: str, at: int, opens: str, closes: str, *, named: bool) -> Iterator[tuple[int, int]]:
    if text[at] != opens:
        raise ValueError(f"expected {opens}")
    at = _skip(text, at + 1)
    while text[at] != closes:
        begin = at
        if named:
            name, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at)
            if type(name) is not str or text[at] != ":":
                raise ValueError("expected a name")
            at = _skip(text, at + 1)
        _, end = _DECODER.raw_decode(text, at)
        yield begin, end
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
        elif text[at] != closes:
            raise ValueError(f"expected {closes}")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
