"""In what order the live list stands: by one of its columns, what is not known last whichever way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from attrs import frozen
from clippy_recorder import Exchange
from clippy_recorder.filter import tokens


@frozen
class Column:
    """One that the list can be sorted by; ``falling`` and ``rising`` say which request stands first then."""

    of: Callable[[Exchange], float | None]
    falling: str
    rising: str


COLUMNS: Final = {
    "began": Column(lambda exchange: exchange.began, "the newest", "the oldest"),
    "duration": Column(lambda exchange: exchange.duration, "the longest", "the shortest"),
    "first_token": Column(lambda exchange: exchange.first_token, "the slowest to begin", "the quickest to begin"),
    "tokens_in": Column(lambda exchange: tokens(exchange)[0], "the most tokens in", "the fewest tokens in"),
    "tokens_out": Column(lambda exchange: tokens(exchange)[1], "the most tokens out", "the fewest tokens out"),
    "cost": Column(lambda exchange: cost(exchange), "the dearest", "the cheapest"),
}
"""By the names that they have in ``/api/requests``."""


def cost(exchange: Exchange) -> float | None:
    """Dollars that *exchange* cost, None where its price is not known: a cache's answer costs nothing."""
    return 0.0 if exchange.state == "cached" else exchange.cost


@frozen
class Order:
    """By ``column``, the highest first or (``rising``) the lowest; of the same value, the newest first."""

    column: str = "began"
    rising: bool = False

    @classmethod
    def parse(cls, text: str) -> Order:
        """What ``sort=`` says: a column, behind a ``-`` with the highest first; "" is the newest first.

        Raises ValueError, with a sentence, for what is no column.
        """
        column = text.removeprefix("-")
        if not text:
            return cls()
        if column not in COLUMNS:
            raise ValueError(
                f"sort: {text[:40]!r} is no column; there are {', '.join(COLUMNS)}, each with - or without"
            )
        return cls(column, not text.startswith("-"))

    def __str__(self) -> str:
        """As ``sort=`` says it."""
        return "" if self == Order() else f"{'' if self.rising else '-'}{self.column}"

    @property
    def first(self) -> str:
        """Which request stands first."""
        found = COLUMNS[self.column]
        return found.rising if self.rising else found.falling

    def turned(self, column: str) -> Order:
        """What the head of *column* leads to: by it, the highest first; if it is that already, the other way."""
        return Order(column, self.column == column and not self.rising)

    def said_of(self, column: str) -> str | None:
        """The ``aria-sort`` of *column*'s head; None for the others than the one that the list is sorted by."""
        if column != self.column:
            return None
        return "ascending" if self.rising else "descending"

    def sorted(self, newest_first: Iterable[Exchange]) -> list[Exchange]:
        """These exchanges in this order."""
        found = list(newest_first)
        if self == Order():
            return found
        of = COLUMNS[self.column].of
        valued = [(value, one) for one in found if (value := of(one)) is not None]
        valued.sort(key=lambda pair: pair[0] if self.rising else -pair[0])
        return [*(one for _, one in valued), *(one for one in found if of(one) is None)]
