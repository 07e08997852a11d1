"""Numbers as people read them; what is not known is a dash, never a zero."""

from __future__ import annotations

import datetime

from clippy_hookspecs import StatusTable
from markupsafe import Markup

__all__ = ["at", "clock", "count", "dollars", "duration", "many", "numeric", "percent", "plain", "size", "worded"]

UNKNOWN = "–"


def duration(microseconds: float | None) -> str:
    """``0.42 µs``, ``850 µs``, ``12.3 ms``, ``4.21 s``, ``3 min 05 s``."""
    if microseconds is None or microseconds < 0:  # clocks of two places do not always agree
        return UNKNOWN
    if microseconds < 9.95:  # a hook that is called for each chunk takes about one
        return f"{microseconds:.2g} µs" if microseconds >= 0.001 else f"{microseconds:.0f} µs"
    if microseconds < 999.5:
        return f"{microseconds:.0f} µs"
    if microseconds < 999_500:
        return f"{microseconds / 1000:.{1 if microseconds < 99_950 else 0}f} ms"
    if microseconds < 60_000_000:
        return f"{microseconds / 1_000_000:.2f} s"
    minutes, seconds = divmod(round(microseconds / 1_000_000), 60)
    return f"{minutes} min {seconds:02d} s"


def count(value: int | None, about: bool = False) -> str:
    """``12 345``: thousands apart by a thin space; ``about 12 345`` where some of it is a guess."""
    return UNKNOWN if value is None else ("about " if about else "") + f"{value:,}".replace(",", "\u2009")


def many(value: int, what: str) -> str:
    """``1 request``, ``12 345 requests``."""
    return f"{count(value)} {what}{'' if value == 1 else 's'}"


def plain(value: str | int | float | bool | None) -> str:
    """A cell of a plugin's table, whose column says the unit."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}".replace(",", "\u2009") if isinstance(value, int | float) else worded(value)


_WORDS = {"attemptrefused": "refused this attempt", "refusal": "refused", "half_open": "half open"}


def worded(text: str) -> str:
    """What a hook did, or a state, with the names that code has for them written as words."""
    first, space, rest = text.partition(" ")
    return f"{_WORDS.get(first, first)}{space}{rest}"


def numeric(table: StatusTable) -> frozenset[int]:
    """The columns of a table that hold numbers, by their places."""
    cells = [(place, cell) for row in table.rows for place, cell in enumerate(row) if cell is not None]
    words = {place for place, cell in cells if isinstance(cell, str | bool)}
    return frozenset(place for place, _ in cells) - words


def dollars(value: float | None) -> str:
    """``$ 12.50``, ``$ 0.0041``, ``$ 3.20e-06``."""
    if value is None:
        return UNKNOWN
    return f"$ {value:.2f}" if value >= 100 or value == 0 else f"$ {value:.4f}" if value >= 0.0001 else f"$ {value:.2e}"


def percent(share: float | None) -> str:
    """Of a *share* between 0 and 1; what is little is not nothing."""
    if share is None:
        return UNKNOWN
    return "< 0.1 %" if 0 < share < 0.0005 else f"{share * 100:.1f} %"


def size(octets: int | None) -> str:
    """``850 B``, ``12.3 kB``, ``4.2 MB``."""
    if octets is None:
        return UNKNOWN
    if octets < 1000:
        return f"{octets} B"
    return f"{octets / 1000:.1f} kB" if octets < 1_000_000 else f"{octets / 1_000_000:.1f} MB"


def clock(seconds: float) -> str:
    """Time of day of Unix *seconds* in UTC, with milliseconds; of another day with its date."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    if moment.date() != datetime.datetime.now(datetime.UTC).date():
        return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return moment.strftime("%H:%M:%S.%f")[:-3] + " UTC"


def at(seconds: float) -> Markup:
    """The same as an element that the pages' script writes in the time zone of the browser."""
    told = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
    return Markup('<time datetime="{}">{}</time>').format(told, clock(seconds))
