"""Caches and servers for the tests of this plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis_caches import Opened
from redis_fixtures import server, shared_server, start_server

from clippy_core.testing import VirtualClock

__all__ = ["opened", "server", "shared_server", "start_server"]


@pytest.fixture
def opened() -> Iterator[Callable[..., Opened]]:
    """Opens the cache of a server in a host of its own, with a virtual clock."""
    made: list[Opened] = []

    def open_(url: str, clock: VirtualClock | None = None, **settings: Any) -> Opened:
        made.append(Opened(url, clock, **settings))
        return made[-1]

    yield open_
    for one in made:
        one.host.close()
