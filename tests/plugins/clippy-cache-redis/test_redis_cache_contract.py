"""What every cache must do, on a real server."""

from __future__ import annotations

from typing import ClassVar

import pytest
from clippy_cache_redis import RedisCache
from redis_server import RedisServer

from clippy_core.testing import CacheContract, PluginContract

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


class TestRedisCache(CacheContract):
    max_bytes = None  # how much is kept in all is the server's maxmemory
    path = None
    shared = True
    server: ClassVar[RedisServer]

    @pytest.fixture(autouse=True)
    def on_the_server(self, server: RedisServer) -> None:
        type(self).server = server

    def make(self) -> RedisCache:
        # A machine that is busy with other tests is no slow server.
        return RedisCache(url=self.server.url, timeout=10.0, connect_timeout=10.0)


class TestWithoutUrl(PluginContract):
    def make(self) -> RedisCache:
        return RedisCache()
