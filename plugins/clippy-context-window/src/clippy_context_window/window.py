"""Where to cut, so that what stays fits and the cut seldom moves.

A caller sends the whole conversation again with each turn, so a window that slides by one turn changes the prefix of
every request and the provider's prompt cache never hits (features.md P8).  The cut is therefore made deep, to a
fraction of the room, and then stays where it is until the room is full again.  No state is needed for that: the same
history is replayed unit by unit, and since it only grows, the replay ends where the turns before ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from attrs import define, field

from .units import Unit


@define
class Window:
    """The units of a conversation with their cost in tokens.

    ``fixed[i]`` is what is sent besides the units when unit *i* is the newest: tools, instructions.  ``pinned`` are
    units that are always kept, together with the user message of their turn.
    """

    units: Sequence[Unit]
    costs: Sequence[int]
    fixed: Sequence[int]
    pinned: frozenset[int]
    _heads: list[tuple[int, ...]] = field(init=False)
    _kept: frozenset[int] = field(init=False)
    _sum: list[int] = field(init=False)
    _kept_sum: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._heads = _heads(self.units)
        self._kept = self.pinned.union(*(self._heads[unit] for unit in self.pinned))
        self._sum = list(accumulate(self.costs, initial=0))
        kept = (cost if unit in self._kept else 0 for unit, cost in enumerate(self.costs))
        self._kept_sum = list(accumulate(kept, initial=0))

    def cost(self, start: int, newest: int) -> int:
        """Tokens of the request in which *newest* is the newest unit and the window begins at *start*."""
        head = sum(self.costs[unit] for unit in self._heads[start] if unit < start and unit not in self._kept)
        return self.fixed[newest] + self._sum[newest + 1] - self._sum[start] + self._kept_sum[start] + head

    def start(self, limit: int, target: float) -> int:
        """The first unit of the window that the newest request gets."""
        start = 0
        # What stays after a cut begins with a user message: some providers refuse anything else.
        opening = next((place for place, unit in enumerate(self.units) if unit.opens), 0)
        for newest in range(len(self.units)):
            if self.cost(start, newest) > limit:
                needed = self.cost(newest, newest)
                goal = needed + target * (limit - needed)
                start = max(start, min(opening, newest))
                while start < newest and self.cost(start, newest) > goal:
                    start += 1
        return max(start, opening) if start else 0

    def kept(self, start: int) -> frozenset[int]:
        """The units that stay when the window begins at *start*."""
        return self._kept.union(self._heads[start], range(start, len(self.units)))


def _heads(units: Sequence[Unit]) -> list[tuple[int, ...]]:
    """For each unit what must stay with it: the last words of the user, and a user message to begin with."""
    heads: list[tuple[int, ...]] = []
    head: tuple[int, ...] = ()
    opened: int | None = None
    for place, unit in enumerate(units):
        opened = place if unit.opens else opened
        if unit.speaks:
            head = (place,) if opened is None or opened == place else (opened, place)
        heads.append(head)
    return heads
