"""A Redis cache called directly, in a host of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clippy_cache_redis import RedisCache
from clippy_hookspecs import CacheControl, CacheEntry, Request, Scope

from clippy_core import Host
from clippy_core.chains import Run
from clippy_core.driven import drive
from clippy_core.testing import VirtualClock
from clippy_core.testing.contracts.bench import context, entry_of

DEFAULT = CacheControl()


class Opened:
    """A cache called as a sync host calls it."""

    def __init__(self, url: str, clock: VirtualClock | None = None, **settings: Any) -> None:
        self.clock = clock or VirtualClock()
        # A machine that is busy with other tests is no slow server.
        self.plugin = RedisCache(url=url, **{"timeout": 10.0, "connect_timeout": 10.0, **settings})
        self.host = Host({"cache-redis": self.plugin}, clock=self.clock)
        self.host.open()

    def store(
        self,
        key: str,
        entry: CacheEntry | str = "hello",
        scope: Scope | None = None,
        tags: Sequence[str] = (),
        model: str = "m",
        control: CacheControl = DEFAULT,
    ) -> None:
        if isinstance(entry, str):
            entry = entry_of(entry, self.clock.time(), tags=tuple(tags))
        ctx, request = context(self.host, scope, cache_control=control), Request(api="openai.chat", model=model)
        chains = self.host.chains
        drive(chains.all(chains.cache_store, (key, entry, request, ctx), Run(ctx, self.host.sync_runtime())))

    def lookup(self, key: str, within: float = 0.0) -> CacheEntry | None:
        ctx, chains = context(self.host, stale_within=within), self.host.chains
        arguments = (key, Request(api="openai.chat"), ctx)
        found, _ = drive(chains.first(chains.cache_lookup, arguments, Run(ctx, self.host.sync_runtime())))
        assert found is None or isinstance(found, CacheEntry)
        return found

    def text(self, key: str) -> str | None:
        found = self.lookup(key)
        return None if found is None else found.response.text
