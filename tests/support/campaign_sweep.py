"""Cancelling one call at each of its await points in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from campaign_stops import quiet, stopped
from campaign_world import CALLS, EXPECTED, World


def run(how: str, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """*work* on the event loop that goes with a way of cancelling."""
    return anyio.run(work, *arguments, backend="trio" if how == "trio" else "asyncio")


async def sweep(how: str, name: str, second: int | None, world: World) -> list[str]:
    """Cancel a call at each of its await points in turn; what was wrong, with the point."""
    call, wrong = CALLS[name], []
    async with world.async_clients():
        whole = await stopped(how, lambda: call(world, "Hello"), ())
        wrong += [f"not cancelled: {what}" for what in (*await quiet(), *world.faults())]
        for point in range(1, whole.points + 1):
            at = {point} if second is None else {point, point + second}
            result = await stopped(how, lambda: call(world, "Hello"), at)
            found = [*await quiet(), *world.faults()]
            if result.hung or not isinstance(result.error, (*EXPECTED, type(None))):
                found.append(f"the call ended with {result}")
            wrong += [f"at {point} of {whole.points}: {what}" for what in found]
    assert whole.points > 3
    return wrong
