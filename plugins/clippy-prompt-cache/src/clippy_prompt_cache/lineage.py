"""Which request goes on from which, and who changed what should have stayed.

A request is looked at three times on its way: as it came, behind ``pre_request``, and as it is sent.  If the prompt
that is sent no longer begins with the one sent before, the first of the three that broke, at that place or before it,
says when it happened, and the trace says which plugins changed the request meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from attrs import define, evolve, field, frozen
from clippy_hookspecs import Scope

from .breaks import Break, first_break, first_difference
from .parts import Part

Parts = tuple[Part, ...]


@frozen
class Finding:
    """A break of the prefix of what was sent, and whose doing it was.

    ``part`` is the part of the way on which it broke: *caller* (it was broken as it came), *pre_request*, or *sending*:
    ``compress_context`` and ``pre_attempt``.  ``by`` names the plugins that changed the request there, none for the
    caller.  More than one name: each of
    them changed both requests on that part of their way, and one of them did it.  ``kept`` is how many bytes of the
    prompt before could still be read, ``lost`` how many could not; ``id`` is the request's.
    """

    id: str
    route: str
    model: str
    at: Break
    part: Literal["caller", "pre_request", "sending"]
    by: tuple[str, ...]
    kept: int
    lost: int

    @property
    def culprit(self) -> str:
        """Who it was, as words."""
        names = " or ".join(f"plugin {name}" for name in self.by)
        return names or ("the caller" if self.part == "caller" else "nobody whom the trace of the request names")


@frozen
class Seen:
    """One request: its prompt at the three places, and which plugins changed it before and between them."""

    id: str
    scope: Scope
    route: str
    api: str
    model: str
    came: Parts = field(repr=False)
    entered: Parts = field(repr=False)
    sent: Parts = field(repr=False)
    before: tuple[str, ...] = ()
    entering: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes, about; texts that the three share count once."""
        texts = {id(part.text): len(part.text) for parts in (self.came, self.entered, self.sent) for part in parts}
        return sum(texts.values())


@define(eq=False)
class Lineage:
    """The newest request of each conversation, at most *keep* of them and *max_bytes* of their prompts."""

    keep: int
    max_bytes: int
    _seen: OrderedDict[int, tuple[Seen, int]] = field(init=False, factory=OrderedDict, repr=False)
    _bytes: int = field(init=False, default=0)
    _next: int = field(init=False, default=0)

    def add(self, new: Seen) -> Finding | None:
        """Take note of *new*, in the place of the request that it goes on from; the break, if its prefix broke."""
        at = self._predecessor(new)
        found = None
        if at is not None:
            old, size = self._seen.pop(at)
            self._bytes -= size
            found = judged(old, new)
        size = new.size
        if size <= self.max_bytes:
            self._seen[self._next] = new, size
            self._next += 1
            self._bytes += size
        while len(self._seen) > self.keep or self._bytes > self.max_bytes:
            _, (_, gone) = self._seen.popitem(last=False)
            self._bytes -= gone
        return found

    def _predecessor(self, new: Seen) -> int | None:
        """The request before *new* in its conversation: of the same caller, the one it shares most turns with."""
        best, most = None, 0
        turns = {part.text for part in new.came if part.turn}
        for at, (old, _) in self._seen.items():
            if (old.scope, old.route, old.api) != (new.scope, new.route, new.api):
                continue
            shared = sum(part.text in turns for part in old.came if part.turn)
            if new.scope.session is not None:
                shared += 1
            if shared and shared >= most and goes_on(old, new):
                best, most = at, shared
        return best


def goes_on(old: Seen, new: Seen) -> bool:
    """Whether *new* is a later request of the conversation of *old*, and not another branch of it.

    Its caller sent all of the old prompt again; or what he sent differs and later turns of the old one are there all
    the same; or he says himself that it is one session.
    """
    at = first_difference(old.came, new.came)
    if at is None:
        return len(new.came) >= len(old.came)
    if new.scope.session is not None:
        return True
    behind = {part.text for part in new.came[at:] if part.turn}
    return any(part.turn and part.text in behind for part in old.came[at:])


def judged(old: Seen, new: Seen) -> Finding | None:
    """What broke between two requests of one conversation, and who did it."""
    broke = first_break(old.sent, new.sent)
    if broke is None:
        return None
    part: Literal["caller", "pre_request", "sending"] = "sending"
    by = _suspects(old.leaving, new.leaving)
    if _broke_there(old.came, new.came, old.sent, new.sent):
        part, by = "caller", new.before
    elif _broke_there(old.entered, new.entered, old.sent, new.sent):
        part, by = "pre_request", _suspects(old.entering, new.entering)
    size = sum(len(one.text.encode()) for one in old.sent)
    return Finding(new.id, new.route, new.model, broke, part, by, broke.offset, size - broke.offset)


def _suspects(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """Who changed only one of two requests, or else everyone who changed both."""
    return tuple(name for name in (*new, *old) if (name in new) != (name in old)) or new


def _broke_there(old: Parts, new: Parts, old_sent: Parts, new_sent: Parts) -> bool:
    """Whether the prompt was broken already at an earlier look, and that is what arrives broken.

    A plugin may drop turns in front or add some, and so move the place at which a difference arrives; so first the
    parts that differ in the end are looked for behind the earlier break.  If plugins made them anew, the places decide.
    """
    at, last = first_difference(old, new), first_difference(old_sent, new_sent)
    if at is None or last is None:
        return False
    behind = [
        part.text in _texts(parts[at:])
        for parts, part in ((old, old_sent[last]), (new, new_sent[last]))
        if part.text in _texts(parts)
    ]
    if behind:
        return all(behind)
    place, arrived = old[at], old_sent[last]
    return (place.section, place.index) <= (arrived.section, arrived.index)


def _texts(parts: Parts) -> tuple[str, ...]:
    return tuple(part.text for part in parts)


def without_content(found: Finding) -> Finding:
    """*found* without the words that differ."""
    return evolve(found, at=evolve(found.at, before="", after=""))
