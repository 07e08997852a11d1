"""How the breakers are doing, for people."""

from __future__ import annotations

from clippy_hookspecs import StatusTable

from .known import Place
from .record import ROUTE

MOST_ROWS = 200
_COLUMNS = ("route", "model", "state", "open for, s", "failures in a row", "why")
_FIRST = ("open", "half_open", "closed")


def table_of(place: Place | None, setting: str) -> StatusTable:
    """A line for each route and for each model that has a breaker of its own there.

    *setting* is the plugin's ``state``: where it is not "auto" it stands behind that of the breaker.
    """
    said = "" if setting == "auto" else f" ({setting})"
    rows: list[tuple[str, str | None, str, float | None, int, str | None]] = []
    order: list[int] = []
    for known in place.routes if place is not None else ():
        now = place.now() if place is not None else 0.0
        for name in dict.fromkeys((ROUTE, *known.record.machines)):
            machine = known.record.machine(name)
            state = machine.state(now)
            left = round(machine.left(now), 1) if state == "open" else None
            why = machine.why if state != "closed" else None
            shown = "open" if setting == "forced_open" else state
            rows.append((known.shown, name or None, shown + said, left, machine.run, why))
            order.append(_FIRST.index(state))
    sooner = sorted(range(len(rows)), key=lambda at: (order[at], rows[at][0], rows[at][1] or ""))
    return StatusTable("breakers", _COLUMNS, tuple(rows[at] for at in sooner[:MOST_ROWS]))
