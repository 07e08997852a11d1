"""Two runs of the same calls side by side."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from .rerunning import Rerun, Side

_SHOWN = 12
"""Lines of a difference that are shown of each call."""


def report(made: Sequence[Rerun], before: str = "recorded", notes: Sequence[str] = ()) -> dict[str, Any]:
    """All of it as JSON: each call, and the sums of both runs; *before* is what the first one is called."""
    return {
        "calls": [
            {
                "id": one.id,
                "model": one.model,
                "same": one.same,
                before: _told(one.recorded),
                "again": _told(one.again),
            }
            for one in made
        ],
        "same": sum(one.same for one in made),
        before: _sums([one.recorded for one in made]),
        "again": _sums([one.again for one in made]),
        "notes": [*notes],
    }


def _told(side: Side) -> dict[str, Any]:
    return {
        "status": side.status,
        "outcome": side.outcome,
        "input": side.input,
        "output": side.output,
        "cost": side.cost,
        "latency": side.latency,
        "attempts": side.attempts,
        "text": side.text,
    }


def _sums(sides: Sequence[Side]) -> dict[str, Any]:
    """Totals; a cost is None when one that was paid is not known, since a part of a sum is no sum."""
    paid = [side for side in sides if side.outcome == "answered"]
    costs = [side.cost for side in paid]
    return {
        "input": sum(side.input or 0 for side in paid),
        "output": sum(side.output or 0 for side in paid),
        "cost": None if any(cost is None for cost in costs) else sum(cost or 0.0 for cost in costs),
        "latency": sum(side.latency or 0.0 for side in sides),
        "attempts": sum(side.attempts for side in sides),
        "cached": sum(side.outcome == "cached" for side in sides),
        "failed": sum(side.outcome in ("failed", "refused") for side in sides),
    }


def lines(made: Sequence[Rerun], before: str = "recorded") -> Iterator[str]:
    """All of it for a person: what differs, and the sums."""
    for one in made:
        if one.same:
            continue
        yield f"{one.id} {one.model or '-'}: {_short(one.recorded)} then, {_short(one.again)} now"
        said, says = one.recorded.text.splitlines(), one.again.text.splitlines()
        difference = list(difflib.unified_diff(said, says, before, "again", lineterm="", n=1))[2:]
        yield from (f"  {line}" for line in difference[:_SHOWN])
        if len(difference) > _SHOWN:
            yield f"  ... and {len(difference) - _SHOWN} more lines"
    sums = report(made, before)
    yield f"{sums['same']} of {len(made)} calls have the same answer"
    yield f"{'':10}{before:>14}{'again':>14}"
    for name in ("input", "output", "cost", "latency", "attempts", "cached", "failed"):
        yield f"{_UNITS.get(name, name):10}{_cell(sums[before][name]):>14}{_cell(sums['again'][name]):>14}"


_UNITS = {"cost": "cost, US$", "latency": "latency, s"}


def _short(side: Side) -> str:
    return f"{side.outcome} {side.status or '-'}"


def _cell(value: Any) -> str:
    if value is None:
        return "not known"
    return f"{value:.6f}" if isinstance(value, float) else str(value)
