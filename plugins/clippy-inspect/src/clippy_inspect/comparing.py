"""Two sets of requests side by side: which plugin takes longer than it did."""

from __future__ import annotations

from attrs import frozen

from .profiler import Cost, Profile

Key = tuple[str, str]
_PARTS = {
    "until_answer": "until the answer began",
    "between_chunks": "between chunks",
    "waits": "waits and retries",
    "caller": "the caller, and pauses",
    "host": "the host itself",
    "wall": "all",
}


@frozen
class Change:
    """One hook of one plugin in both sets: nanoseconds that it takes of one request; None where it was not called.

    The sets may be of different size, so that nothing but what one request costs can be compared.
    """

    plugin: str
    hook: str
    before: float | None
    now: float | None

    @property
    def difference(self) -> float:
        """Nanoseconds more of one request; what is not called takes none."""
        return (self.now or 0.0) - (self.before or 0.0)

    @property
    def times(self) -> float | None:
        """How many times as long it takes; None where it was not called before, or is not now."""
        return self.now / self.before if self.before and self.now is not None else None


def compared(before: Profile, now: Profile) -> tuple[Change, ...]:
    """All hooks of both, those that changed most first, with the parts that are no plugin's at the end."""
    was, is_ = _each(before), _each(now)
    changes = [Change(*key, was.get(key), is_.get(key)) for key in dict.fromkeys((*was, *is_))]
    changes.sort(key=lambda one: (-abs(one.difference), one.plugin, one.hook))
    parts = [
        Change("", said, _of_one(getattr(before.parts, name), before), _of_one(getattr(now.parts, name), now))
        for name, said in _PARTS.items()
    ]
    return (*changes, *parts)


def _each(made: Profile) -> dict[Key, float]:
    return {_key(cost): cost.total / made.requests for cost in made.costs if made.requests}


def _of_one(total: int, made: Profile) -> float | None:
    return total / made.requests if made.requests else None


def _key(cost: Cost) -> Key:
    return cost.plugin, cost.hook
