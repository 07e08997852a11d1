"""A part of a large table in which every three values that can meet do meet.

The whole of a table takes minutes; what goes wrong in one cell of it almost always takes two or three values to go
wrong, and those meet here: each plugin in each event with and without a stored answer, and so on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any, TypeVar

T = TypeVar("T")
Meeting = tuple[tuple[int, Any], ...]


def meetings(values: Sequence[Any], strength: int = 3) -> frozenset[Meeting]:
    """Which values meet in a cell: each choice of *strength* of its values, with their places."""
    return frozenset(combinations(enumerate(values), strength))


def covering(cells: Iterable[T], values: Callable[[T], Sequence[Any]], strength: int = 3, seed: int = 0) -> list[T]:
    """Some of *cells*, in their order, in which all *strength* values meet that meet in any cell of the table.

    *values* are the cell's places on the axes of the table. The choice is the same in each run with the same *seed*;
    the next cell is always the one of a few at random that brings most of what is missing.
    """
    table = {cell: meetings(values(cell), strength) for cell in cells}
    missing: set[Meeting] = set().union(*table.values())
    chosen: set[T] = set()
    rest, chance = list(table), random.Random(seed)
    while missing:
        rest = [cell for cell in rest if not missing.isdisjoint(table[cell])]
        best = max(chance.sample(rest, min(40, len(rest))), key=lambda cell: len(missing & table[cell]))
        chosen.add(best)
        missing -= table[best]
    return [cell for cell in table if cell in chosen]
