"""What somebody who is called at night should look at first: each a sentence, and where to read on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen
from clippy_hookspecs import StatusTable
from clippy_recorder import Exchange

from .numbers import many, plain
from .over_time import FAILED
from .tables import unwritten

RECENT: Final = 300.0
"""Seconds: what failed before that may be over."""
_SHARE: Final = 0.05
_BREAKERS: Final = "breakers"
_WELL: Final = ("closed", "disabled")
_MOST: Final = 8


@frozen
class Alarm:
    """A sentence, and the path of the page that says more; "" where this one does."""

    said: str
    path: str = ""


def alarms(
    exchanges: Sequence[Exchange], tables: Sequence[tuple[str, StatusTable | str]], now: float
) -> tuple[Alarm, ...]:
    """Files that cannot be written, breakers that are not closed, plugins that cannot tell how they are, and failures
    of the last minutes."""
    found = [*map(Alarm, unwritten(tables)), *_breakers(tables), *_failures(exchanges, now)]
    left = len(found) - _MOST
    return (*found[:_MOST], Alarm(f"and {left} more")) if left > 0 else tuple(found)


def _failures(exchanges: Sequence[Exchange], now: float) -> Iterator[Alarm]:
    recent = [one for one in exchanges if now - RECENT < one.began and one.state != "running"]
    failed = [one for one in recent if one.state in FAILED]
    if len(failed) > _SHARE * len(recent):
        share = f"{len(failed) / len(recent):.0%}"
        yield Alarm(f"{many(len(failed), 'request')} of the last 5 minutes failed, {share} of them all", "/?q=failed")


def _breakers(tables: Iterable[tuple[str, StatusTable | str]]) -> Iterator[Alarm]:
    for plugin, table in tables:
        if isinstance(table, str):
            yield Alarm(f"{plugin} {table}")
            continue
        if table.name != _BREAKERS or "state" not in table.columns:
            continue
        for line in table.rows:
            row = dict(zip(table.columns, line, strict=False))
            if row["state"] in _WELL:
                continue
            of = ", ".join(plain(row[name]) for name in ("route", "model") if row.get(name) is not None)
            why = f": {plain(row['why'])}" if row.get("why") is not None else ""
            yield Alarm(f"the breaker of {of} is {plain(row['state']).replace('_', ' ')}{why}")
