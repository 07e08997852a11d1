"""The line before each stored answer, which says whose it is.  An invalidation and a listing read no more than that.

Words between tabs, each a letter and a JSON text: t(enant), u(ser), s(ession), m(odel), when it was stored (a), its end
(e) and how many seconds later it may be given (l), and # for each tag.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attrs import frozen
from clippy_hookspecs import CorruptEntry, Scope, Selector, StoredEntry

TAGS = "#"


@frozen
class Line:
    """What stands in it.  Times are unix seconds, ``late`` is seconds."""

    scope: Scope
    model: str
    stored_at: float
    expires_at: float
    late: float
    tags: tuple[str, ...]

    def written(self) -> bytes:
        """The line with its end."""
        scope = self.scope
        words = (
            ("t", scope.tenant), ("u", scope.user), ("s", scope.session), ("m", self.model), ("a", self.stored_at),
            ("e", self.expires_at), ("l", self.late), *((TAGS, tag) for tag in self.tags),
        )  # fmt: skip
        return ("\t" + "".join(f"{letter}{json.dumps(value)}\t" for letter, value in words) + "\n").encode("ascii")

    def told(self, key: str, size: int) -> StoredEntry:
        """As people are told of it."""
        return StoredEntry(key, size, self.stored_at, self.expires_at, self.model or None, self.tags, self.scope)


def read(line: bytes) -> Line:
    """What *line* says.  Raises CorruptEntry for what is none of ours."""
    try:
        words = [(word[0], json.loads(word[1:])) for word in line.decode("ascii").strip("\t\n").split("\t")]
    except (ValueError, IndexError, RecursionError) as error:
        raise CorruptEntry(f"its line is not ours: {type(error).__name__}") from error
    one: dict[str, Any] = {letter: value for letter, value in words if letter != TAGS}
    tags = tuple(value for letter, value in words if letter == TAGS)
    times = [one.get(letter) for letter in "ael"]
    if not all(type(name) is str for name in (one.get("m"), *tags)) or not all(type(time) is float for time in times):
        raise CorruptEntry("its line is not ours: words are missing or of another kind")
    if not all(one.get(letter) is None or type(one[letter]) is str for letter in "tus"):
        raise CorruptEntry("its line is not ours: its scope is none")
    return Line(Scope(one.get("t"), one.get("u"), one.get("s")), one["m"], one["a"], one["e"], one["l"], tags)


def named(selector: Selector) -> Iterator[str]:
    """What must be in the line of an answer that *selector* names; its key is not in the line."""
    if selector.tag is not None:
        yield f"\t{TAGS}{json.dumps(selector.tag)}\t"
    if selector.tag_prefix is not None:
        yield f"\t{TAGS}{json.dumps(selector.tag_prefix)[:-1]}"
    if selector.model is not None:
        yield f"\tm{json.dumps(selector.model)}\t"
    scope = selector.scope
    if scope is not None:
        # A tenant's users and sessions belong to the tenant; a scope that says nothing is that of calls without a
        # scope and does not stand for everybody.
        for letter, part in (("t", scope.tenant), ("u", scope.user), ("s", scope.session)):
            if part is not None or scope == Scope():
                yield f"\t{letter}{json.dumps(part)}\t"
