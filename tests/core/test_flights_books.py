"""A flight that is told to other processes holds up no book: a store that waits, and a caller that leaves meanwhile."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from attrs import define, field
from clippy_hookspecs import Join, Request, StateStore, hookimpl
from flight_lab import Lab, Valve

from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import VirtualClock


@define(eq=False)
class Waits:
    """Shares every flight, through a store whose ``put`` takes its time."""

    clock: VirtualClock
    putting: bool = False
    go_on: bool = False
    put: list[str] = field(factory=list)
    store: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStateStore(self.clock)

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(StateStore, _Store(self))

    @hookimpl(trylast=True)
    def cache_lookup(self, key: str, request: Request) -> Join:
        return Join(key, shared=True)


class _Store:
    """The store of *owner*."""

    def __init__(self, owner: Waits) -> None:
        self._owner = owner

    async def put(self, key: str, value: str, ttl: float) -> None:
        self._owner.putting = True
        while not self._owner.go_on:
            await anyio.sleep(0.001)
        self._owner.put.append(key)


def _method(name: str) -> Any:
    async def call(self: Any, *arguments: Any) -> Any:
        return await getattr(self._owner.store, name)(*arguments)

    return call


for _name in ("get", "swap", "add", "reserve", "settle", "refund", "lease", "release"):
    setattr(_Store, _name, _method(_name))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", ["asyncio", "trio"])
def test_a_caller_that_is_cancelled_while_the_store_is_told_has_its_record(colour: str, stream: bool) -> None:
    waits = Waits(VirtualClock())

    async def scenario(lab: Lab) -> None:
        call = lab.call(stream=stream)
        await lab.until(lambda: waits.putting)
        call.cancel()
        await anyio.sleep(0.01)
        waits.go_on = True
        await lab.finished(call)

    lab = Lab(colour, {"together": waits}, Valve(free=True), clock=waits.clock).run(scenario)

    assert lab.calls[0].record.outcome == "answered"
    assert len(waits.put) == 1
