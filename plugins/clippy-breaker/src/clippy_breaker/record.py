"""The breakers of one route as the short text that is kept in a StateStore."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from .rule import CLOSED, Machine, Mark, Rule

SCHEMA = 1
FORGET = 600.0
"""Seconds after which nothing of a breaker matters any more: its last failure, or its last change of state."""
MOST_MODELS = 16
"""Breakers for single models that are kept beside that of their route; the ones that changed last."""

MOST_LETTERS = 100
"""Letters of a model's name by which it is told from others: what a caller writes there may be of any length."""

ROUTE = ""
"""The name of the breaker that is about the route itself; the others have the names of models."""


def model_name(model: str) -> str:
    """The name of the breaker of a model."""
    return model[:MOST_LETTERS]


@frozen
class Record:
    """The breakers of one route that have something to remember, by name."""

    machines: Mapping[str, Machine] = field(factory=dict)

    def machine(self, name: str) -> Machine:
        """The breaker of that name."""
        return self.machines.get(name, CLOSED)

    def seeing(self, name: str, machine: Machine) -> Record:
        """This record with one breaker as it was seen later."""
        return Record({**self.machines, name: machine})

    def having(self, name: str, machine: Machine, now: float) -> Record:
        """This record with one breaker changed, and without those that have nothing to remember at *now*."""
        kept = {**self.machines, name: machine}
        kept = {key: one for key, one in kept.items() if key == name or _matters(one, now)}
        models = sorted((key for key in kept if key not in (ROUTE, name)), key=lambda key: _newest(kept[key]))
        for key in models[: max(0, len(models) - MOST_MODELS + (name != ROUTE))]:
            del kept[key]
        return Record(kept)

    def lifetime(self, now: float, rule: Rule) -> float:
        """Seconds for which a store has to keep it."""
        return max((_remembered(machine, now, rule) for machine in self.machines.values()), default=1.0)


HEALTHY = Record()


def dump(record: Record) -> str:
    """*record* as JSON; times of marks are tenths of a second before the newest."""
    return json.dumps([SCHEMA, {name: _flat(one) for name, one in record.machines.items()}], separators=(",", ":"))


def load(text: str | None) -> Record:
    """The record that *text* is; what is none of ours is a healthy route's."""
    if not text:
        return HEALTHY
    try:
        schema, machines = json.loads(text)
        if schema != SCHEMA:
            return HEALTHY
        return Record({str(name): _machine(flat) for name, flat in machines.items()})
    # Whatever else has been written under our key: other types, other lengths, nested too deep.
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        return HEALTHY


def _flat(machine: Machine) -> list[Any]:
    newest = machine.marks[-1][0] if machine.marks else 0.0
    ages = [round((newest - at) * 10) for at, _ in machine.marks]
    ends = "".join(mark for _, mark in machine.marks)
    return [
        machine.epoch, round(machine.changed, 3), machine.run, round(newest, 1), ages, ends,
        machine.until, machine.length, machine.turn, machine.probed, machine.why,
    ]  # fmt: skip


def _machine(flat: Any) -> Machine:
    epoch, changed, run, newest, ages, ends, until, length, turn, probed, why = flat
    if len(ages) != len(ends) or set(ends) - {".", "f", "s"} or not isinstance(why, str):
        raise ValueError("not a breaker")
    counts = [int(count) for count in (epoch, run, turn, probed)]
    times = [float(time) for time in (changed, newest, length, *ages, *([] if until is None else [until]))]
    if min(counts) < 0 or not all(map(math.isfinite, times)):
        raise ValueError("not a breaker")
    marks: tuple[tuple[float, Mark], ...] = tuple((newest - age / 10, end) for age, end in zip(ages, ends, strict=True))
    return Machine(
        counts[0], float(changed), counts[1], marks,
        None if until is None else float(until), float(length), counts[2], counts[3], why,
    )  # fmt: skip


def _newest(machine: Machine) -> float:
    return max(machine.changed, machine.marks[-1][0] if machine.marks else 0.0, machine.until or 0.0)


def _matters(machine: Machine, now: float) -> bool:
    return machine != CLOSED and (machine.state(now) == "open" or abs(now - _newest(machine)) < FORGET)


def _remembered(machine: Machine, now: float, rule: Rule) -> float:
    if machine.until is not None or machine.run:
        return machine.left(now) + FORGET
    return max(rule.max_age, min(FORGET, machine.changed + FORGET - now) if machine.epoch else 0.0)
