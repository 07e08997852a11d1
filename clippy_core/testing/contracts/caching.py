"""A cache called directly, as its host calls it."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen
from clippy_hookspecs import CacheControl, CacheEntry, CacheListing, Request, Scope

from ...chains import Run
from ...driven import drive
from .base import NotApplicable, require
from .bench import Bench, context, entry_of

REQUEST = Request(api="openai.chat")


@frozen
class Caching:
    """A cache under test, called as its host calls it; entries are made at the clock's present time."""

    bench: Bench

    def store(
        self, key: str, entry: CacheEntry | str, scope: Scope | None = None, model: str = "", late: float = 0.0
    ) -> None:
        """Hand the cache an answer, whole or as its text; *late* is ``stale_if_error`` of the cache control."""
        host = self.bench.host
        host.open()
        if isinstance(entry, str):
            entry = entry_of(entry, self.bench.clock.time())
        ctx, asked = context(host, scope, cache_control=CacheControl(stale_if_error=late)), evolve(REQUEST, model=model)
        drive(host.chains.all(host.chains.cache_store, (key, entry, asked, ctx), Run(ctx, host.sync_runtime())))

    def lookup(self, key: str, scope: Scope | None = None, within: float = 0.0) -> CacheEntry | None:
        """What the cache has for *key*, late by at most *within* seconds."""
        host = self.bench.host
        host.open()
        ctx = context(host, scope, stale_within=within)
        run = Run(ctx, host.sync_runtime())
        found, _ = drive(host.chains.first(host.chains.cache_lookup, (key, REQUEST, ctx), run))
        require(
            found is None or isinstance(found, CacheEntry), f"cache_lookup gave {type(found).__name__} to a lone caller"
        )
        entry: CacheEntry | None = found
        return entry

    def text(self, key: str, scope: Scope | None = None, within: float = 0.0) -> str | None:
        """The text of the answer that the cache has for *key*."""
        entry = self.lookup(key, scope, within)
        return None if entry is None else entry.response.text

    def invalidate(self, **parts: Any) -> None:
        """As ``host.invalidate``; what the cache raises is noted by the host."""
        self.bench.host.open()
        self.bench.host.invalidate(**parts)

    def listing(self) -> CacheListing:
        """The cache as one that tells what it keeps.  Raises NotApplicable for one that does not."""
        self.bench.host.open()
        for plugin in self.bench.host.plugins.values():
            if isinstance(plugin, CacheListing):
                return plugin
        raise NotApplicable("it does not list what it keeps (CacheListing)")

    def settle(self) -> None:
        """Let the cache finish what it does behind the calls: its host is closed, and opens again when it is used."""
        self.bench.close()


def named(setting: str | None, what: str) -> str:
    """The name of a setting that a suite needs.  Raises NotApplicable for a cache that has no *what*."""
    if setting is None:
        raise NotApplicable(f"it has no {what}")
    return setting
