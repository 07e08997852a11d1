"""What plugins show of their present state, as families: breakers, and what the gateway refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from clippy_hookspecs import Host, Status, StatusTable
from prometheus_client import Metric as Family

from .collecting import family_of, sample
from .metrics import BREAKERS, TURNED_AWAY, Metric
from .names import Names
from .numbers import Values

_STATES = ("closed", "half_open", "open")

log = logging.getLogger("clippy.telemetry.prometheus")


async def families_of(host: Host, names: Names) -> list[Family]:
    """Of the tables of this name's beginning that have these columns, from whatever plugin they are."""
    found: dict[tuple[Metric, Values], float] = {}
    for plugin, one in host.plugins.items():
        if not isinstance(one, Status):
            continue
        try:
            told = [pair for table in await one.status_tables() for pair in _told(table, names)]
        except Exception as error:  # a plugin that cannot say how it is doing takes nobody else's numbers away
            log.warning("the plugin %s could not tell its state: %s", plugin, type(error).__name__)
            continue
        for key, value in told:
            found[key] = found.get(key, 0) + value
    families = {metric: family_of(metric) for metric, _ in found}
    for (metric, values), value in found.items():
        families[metric].samples.append(sample(metric, values, value))
    return list(families.values())


def _told(table: StatusTable, names: Names) -> Iterator[tuple[tuple[Metric, Values], float]]:
    rows = [dict(zip(table.columns, row, strict=False)) for row in table.rows]
    if table.name.startswith("refusals") and {"status", "code", "requests"} <= {*table.columns}:
        for row in rows:
            status = "" if row["status"] is None else str(row["status"])
            yield (TURNED_AWAY, (status, names.shown(str(row["code"])))), float(row["requests"] or 0)
    elif table.name == "breakers" and "state" in table.columns:
        for state in _STATES:
            # "open (forced_open)" where a setting has it so
            yield (BREAKERS, (state,)), float(sum(str(row["state"]).partition(" ")[0] == state for row in rows))
