"""What every StateStore must do, on a real server."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest
from clippy_state_redis import RedisState
from redis_server import RedisServer

from clippy_core.testing import PluginContract, StateStoreContract, VirtualClock

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


class TestRedisStore(StateStoreContract):
    shared = True
    server: ClassVar[RedisServer]

    @pytest.fixture(autouse=True)
    def on_the_server(self, server: RedisServer) -> None:
        type(self).server = server
        self.clock = VirtualClock(epoch=time.time())  # the server's time is the machine's

    def make(self) -> RedisState:
        return RedisState(url=self.server.url, timeout=10.0)

    def apart(self) -> RedisState:
        return RedisState(url=self.server.url, timeout=10.0, prefix="apart")

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.server.advance(seconds)


class TestWithoutUrl(PluginContract):
    def make(self) -> RedisState:
        return RedisState()
