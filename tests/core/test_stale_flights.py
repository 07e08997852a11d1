"""A stored answer that comes by way of a flight is held to what each request says of stored answers."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, evolve, field
from calling import COLOURS
from clippy_hookspecs import CacheEntry, ErrorInfo, Request, RequestContext, Stale, hookimpl
from flight_lab import Lab

from clippy_core.testing import VirtualClock

OLD = 100.0


@define(eq=False)
class LateCache:
    """Keeps what it gets, and gives it only late; a request that sends x-max says what else it wants of its answer."""

    wants: dict[str, Any]
    entries: dict[str, CacheEntry] = field(factory=dict)

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        if "x-max" in request.headers:
            ctx.cache_control = evolve(ctx.cache_control, **self.wants)

    @hookimpl
    def cache_lookup(self, key: str, ctx: RequestContext) -> CacheEntry | None:
        return self.entries.get(key) if ctx.stale_within else None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry) -> None:
        self.entries[key] = entry

    @hookimpl
    def on_error(self, error: ErrorInfo) -> Stale:
        return Stale(3600.0)


@pytest.mark.parametrize(
    ("wants", "sent"),
    [({}, 2), ({"max_age": OLD + 1}, 2), ({"max_age": OLD - 1}, 3), ({"max_stale": 0.0}, 3)],
    ids=["anything", "old enough", "too old", "nothing late"],
)
@pytest.mark.parametrize("colour", COLOURS)
def test_who_may_not_have_the_leaders_late_answer_asks_for_itself(
    colour: str, wants: dict[str, Any], sent: int
) -> None:
    clock = VirtualClock()

    async def scenario(lab: Lab) -> None:
        lab.valve.free = True
        first = lab.call()
        await lab.finished(first)
        clock.advance(OLD)
        lab.valve.free, lab.valve.status = False, 503
        leader = lab.call()
        await lab.asked(2)
        other = lab.call()
        await lab.until(lambda: lab.waiting == 1)
        lab.valve.status = 200
        lab.valve.flow()
        await lab.finished(leader, other)

    lab = Lab(colour, {"a-cache": LateCache(wants)}, headers={"2": {"x-max": "yes"}}, clock=clock).run(scenario)

    assert len(lab.valve.exchanges) == sent
    leader, other = (call.record.provenance for call in lab.calls[1:])
    assert leader is not None
    assert other is not None
    assert (leader.source, leader.stale) == ("cache", True)
    assert (other.source, other.stale) == (("cache", True) if sent == 2 else ("provider", False))
