"""A cache called directly, as its host calls it."""

from __future__ import annotations

from attrs import frozen
from clippy_hookspecs import CacheEntry, Request, Scope

from ...chains import Run
from ...runtime import drive
from .base import NotApplicable, require
from .bench import Bench, context, entry_of

REQUEST = Request(api="openai.chat")


@frozen
class Caching:
    """A cache under test, called as its host calls it; entries are made at the clock's present time."""

    bench: Bench

    def store(self, key: str, entry: CacheEntry | str, scope: Scope | None = None) -> None:
        """Hand the cache an answer, whole or as its text."""
        host = self.bench.host
        host.open()
        if isinstance(entry, str):
            entry = entry_of(entry, self.bench.clock.time())
        ctx = context(host, scope)
        drive(host.chains.all(host.chains.cache_store, (key, entry, REQUEST, ctx), Run(ctx, host.sync_runtime())))

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

    def invalidate(self, key: str | None = None, tag: str | None = None, scope: Scope | None = None) -> None:
        """As ``host.invalidate``; what the cache raises is noted by the host."""
        self.bench.host.open()
        self.bench.host.invalidate(key=key, tag=tag, scope=scope)

    def settle(self) -> None:
        """Let the cache finish what it does behind the calls: its host is closed, and opens again when it is used."""
        self.bench.close()


def named(setting: str | None, what: str) -> str:
    """The name of a setting that a suite needs.  Raises NotApplicable for a cache that has no *what*."""
    if setting is None:
        raise NotApplicable(f"it has no {what}")
    return setting
