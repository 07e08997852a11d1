"""The dashboard's numbers as lines of text: for a terminal, which obeys what it is sent."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from . import numbers
from .text import visible

GROUPS: Final = {"model": "by_model", "route": "by_route", "tenant": "by_tenant"}
WIDEST: Final = 40
"""Columns of a terminal that one cell may take: names are chosen by callers."""
MOST_ROWS: Final = 50

COLUMNS: Final = (
    "Requests", "Failed", "Cached", "Answers p50", "p95", "p99", "Failed p95", "First token",
    "Tokens in", "Tokens out", "Cost",
)  # fmt: skip


@frozen
class Sheet:
    """One table: all its cells are single lines that may be printed as they are.  ``left``: the columns of words."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1

    def lines(self) -> Iterator[str]:
        """The table in columns, words to the left and numbers to the right."""
        widths = [max(map(width, column)) for column in zip(self.columns, *self.rows, strict=True)]
        for row in (self.columns, *self.rows):
            cells = []
            for place, (cell, wide) in enumerate(zip(row, widths, strict=True)):
                room = " " * (wide - width(cell))
                cells.append(cell + room if place < self.left else room + cell)
            yield "  ".join(cells).rstrip()


def told(document: Mapping[str, Any]) -> str:
    """The line above the table: how many, how fast, what went wrong."""
    rates = _mapping(document.get("rates"))
    parts = [
        f"{_count(_mapping(document.get('total')).get('requests'))} over, {_count(document.get('running'))} running",
        "per second " + ", ".join(f"{_rate(value)} ({line(name)})" for name, value in list(rates.items())[:5]),
        f"retried {_count(document.get('retried'))}, recovered {_count(document.get('recovered'))}",
        f"refused {_count(document.get('refused'))}",
    ]
    failures = list(_mapping(document.get("failures")).items())[:5]
    if failures:
        parts.append("failures: " + ", ".join(f"{line(kind)} {_count(number)}" for kind, number in failures))
    parts += [line(sentence, 200).rstrip(".") for sentence in _sequence(document.get("missing"))[:MOST_ROWS]]
    return "; ".join(parts)


def main_table(document: Mapping[str, Any], by: str = "model") -> Sheet:
    """What requests come to, by model, route or tenant; *document* is that of ``/api/dashboard``, whoever sent it."""
    groups = [one for one in _sequence(document.get(GROUPS[by])) if isinstance(one, Mapping)]
    shown = [_mapping(document.get("total")), *groups[:MOST_ROWS]]
    return Sheet(f"By {by}", (by.capitalize(), *COLUMNS), tuple(map(_row, shown)))


def plugin_tables(document: Mapping[str, Any]) -> Iterator[Sheet]:
    """How each plugin is doing, as it says itself."""
    for one in _sequence(document.get("plugins"))[:MOST_ROWS]:
        one = _mapping(one)
        columns = tuple(line(column) for column in _sequence(one.get("columns")))
        rows = [tuple(_cell(cell) for cell in _sequence(row)) for row in _sequence(one.get("rows"))[:MOST_ROWS]]
        title = f"{line(one.get('plugin'))}: {line(one.get('name') or one.get('error'))}"
        if rows and columns:
            yield Sheet(title, columns, tuple(row for row in rows if len(row) == len(columns)), len(columns))


def line(value: object, most: int = WIDEST) -> str:
    """*value* as one line that a terminal shows and does not obey, cut to *most* columns."""
    text = visible(str(value)[: 4 * most].replace("\r\n", "\n").replace("\n", "\u240a").replace("\t", "\u2409"))
    if width(text) <= most:
        return text
    used, end = 0, 0
    while (used := used + width(text[end])) < most:
        end += 1
    return text[:end] + "\u2026"


def width(text: str) -> int:
    """Columns of a terminal that *text* takes: wide characters two, marks upon others none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _row(group: Mapping[str, Any]) -> tuple[str, ...]:
    latency, failed, first = (_mapping(group.get(name)) for name in ("latency", "failed_after", "first_token"))
    return (
        line(group.get("name", numbers.UNKNOWN)),
        *(_count(group.get(name)) for name in ("requests", "failed", "cached")),
        *(_known(numbers.duration, latency.get(name)) for name in ("p50", "p95", "p99")),
        *(_known(numbers.duration, one) for one in (failed.get("p95"), first.get("p50"))),
        *(_count(group.get(name), group.get("estimated") is True) for name in ("tokens_in", "tokens_out")),
        _cost(group),
    )


def _cost(group: Mapping[str, Any]) -> str:
    """What it cost, or at least: not every price is known."""
    known, least = (_known(numbers.dollars, group.get(name)) for name in ("cost", "priced"))
    return f">= {least}" if group.get("cost") is None and group.get("priced") and least != numbers.UNKNOWN else known


def _known(shown: Callable[[float], str], value: object) -> str:
    """A number as *shown*; what is none is not known."""
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18
    return shown(value) if usable else numbers.UNKNOWN  # type: ignore[arg-type]


def _count(value: object, about: bool = False) -> str:
    return _known(lambda number: numbers.count(int(number), about), value)


def _rate(value: object) -> str:
    return _known("{:.2f}".format, value)


def _cell(value: object) -> str:
    return numbers.UNKNOWN if value is None else line(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()
