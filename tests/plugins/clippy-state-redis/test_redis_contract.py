"""What every StateStore must do, on a real server."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest
from clippy_state_redis import RedisState
from redis_server import RedisServer

from clippy_core.testing import PluginContract, StateStoreContract, VirtualClock


class TestRedisStore(StateStoreContract):
    server: ClassVar[RedisServer]
    made_so_far = 0

    @pytest.fixture(autouse=True)
    def on_the_server(self, server: RedisServer) -> None:
        type(self).server = server
        self.clock = VirtualClock(epoch=time.time())  # the server's time is the machine's

    def make(self) -> RedisState:
        self.made_so_far += 1
        return RedisState(url=self.server.url, prefix=f"store-{self.made_so_far}")

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.server.advance(seconds)


class TestWithoutUrl(PluginContract):
    def make(self) -> RedisState:
        return RedisState()
