"""What plugins show of themselves: tables, and what those count that turned requests away before they were any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from clippy_hookspecs import Host, Status, StatusTable

Tables = list[tuple[str, StatusTable | str]]
_REFUSALS: Final = "refusals"
_COUNTED: Final = ("status", "code", "requests")
_UNWRITTEN: Final = "not written"


async def tables_of(host: Host | None) -> Tables:
    """How each plugin is doing, by its name: a table, or why there is none."""
    found: Tables = []
    for name, plugin in (host.plugins if host is not None else {}).items():
        if not isinstance(plugin, Status):
            continue
        try:
            found += [(name, table) for table in await plugin.status_tables()]
        except Exception as error:  # a plugin that cannot say how it is doing says that, and the page goes on
            found.append((name, f"could not tell: {type(error).__name__}"))
    return found


def table_as_json(plugin: str, table: StatusTable | str) -> dict[str, Any]:
    """What a plugin shows of itself as plain values."""
    if isinstance(table, str):
        return {"plugin": plugin, "error": table}
    rows = [list(row) for row in table.rows]
    return {"plugin": plugin, "name": table.name, "columns": list(table.columns), "rows": rows}


def refusals(tables: Iterable[tuple[str, StatusTable | str]]) -> Counter[str]:
    """Requests that no plugin saw, by the status and the reason for which they were turned away.

    They are in tables that are called refusals, with a status, a code and a number of requests; where there is no
    status nothing was refused, such as an answer that was cut off.
    """
    found: Counter[str] = Counter()
    for _, table in tables:
        if isinstance(table, str) or not table.name.startswith(_REFUSALS) or not {*_COUNTED} <= {*table.columns}:
            continue
        places = [table.columns.index(name) for name in _COUNTED]
        for row in table.rows:
            status, code, count = (row[place] for place in places)
            if status is not None and isinstance(count, int):
                found[f"{status} {code}"] += count
    return found


def unwritten(tables: Iterable[tuple[str, StatusTable | str]]) -> Iterator[str]:
    """Sentences about the files that cannot be written at this moment.

    They are in tables called "not written": the file, why, for how many seconds (None: no longer), how many were lost.
    """
    for plugin, table in tables:
        if isinstance(table, str) or table.name != _UNWRITTEN or len(table.columns) != 4:
            continue
        for file, why, seconds, lost in table.rows:
            if seconds is not None:
                yield f"{plugin} cannot write {file}: {why}, for {seconds} s now; {table.columns[3]}: {lost}"
