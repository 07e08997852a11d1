"""Stores for the tests of this plugin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
from clippy_hookspecs import StateStore
from clippy_state_redis import RedisState
from redis_fixtures import server, shared_server, start_server

from clippy_core import Host
from clippy_core.driven import drive
from clippy_core.testing import VirtualClock

__all__ = ["open_store", "server", "shared_server", "start_server"]


@pytest.fixture
def open_store() -> Iterator[Callable[..., Opened]]:
    """Opens the store of a server in a host of its own, with a virtual clock."""
    opened: list[Opened] = []

    def open_(url: str, **settings: Any) -> Opened:
        opened.append(Opened(url, **settings))
        return opened[-1]

    yield open_
    for one in opened:
        one.host.close()


class Opened:
    """A store as programs see it: ``sync`` calls it, ``run`` gives it to a coroutine of an async program."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.plugin = RedisState(url=url, **{"timeout": 10.0, "connect_timeout": 10.0, **settings})
        self.host = Host({"state-redis": self.plugin}, clock=self.clock)

    def sync(self, method: str, *arguments: Any) -> Any:
        """The result of one method in a sync program's thread."""
        self.host.open()
        return drive(getattr(self.host.services.get(StateStore), method)(*arguments))

    def run(self, work: Callable[[Any], Awaitable[Any]], backend: str = "asyncio") -> Any:
        """What *work* makes of the store in an async program, whose host it is."""

        async def program() -> Any:
            async with self.host:
                return await work(self.host._serving.current.views[False].get(StateStore))

        return anyio.run(program, backend=backend)

    def ask(self, colour: str, method: str, *arguments: Any) -> Any:
        """The result of one method in a program of any colour."""
        if colour == "sync":
            return self.sync(method, *arguments)
        return self.run(lambda store: getattr(store, method)(*arguments), colour)
