"""Answers repeated requests from this process's memory.

What is kept is the provider's bytes, not objects: each hit is a fresh entry whose body nobody has decoded, so callers
and threads share nothing that could change, and the byte cap counts what is really held.
"""

from __future__ import annotations

import heapq
import os
import threading
from weakref import WeakSet

from attrs import define, field
from attrs.validators import ge
from cachetools import Cache, LRUCache
from clippy_hookspecs import (
    CacheEntry,
    Headers,
    Request,
    RequestContext,
    Scope,
    Selector,
    StatusTable,
    StoredEntry,
    hookimpl,
)
from clippy_hookspecs.stored import undecoded_entry

__all__ = ["MemoryCache"]


@define(eq=False)
class _Kept:
    """One kept answer: ``parts`` make a fresh entry, times are unix seconds, ``size`` bytes.

    ``late`` is the seconds that it is kept beyond its time.
    """

    parts: tuple[bytes, str, int, Headers, tuple[bytes, ...], float, float | None, tuple[str, ...], str]
    stored_at: float
    expires: float
    late: float
    size: int
    model: str | None
    tags: tuple[str, ...]
    scope: Scope

    def make(self) -> CacheEntry:
        """An entry that nobody has looked at."""
        return undecoded_entry(*self.parts)


def _size(kept: _Kept) -> int:
    return kept.size


@define(eq=False)
class MemoryCache:
    """Answers repeated requests from this process's memory; forgets the least recently used first."""

    ttl: float = field(default=3600.0, validator=ge(0), metadata={"doc": "Seconds an answer is given again."})
    max_bytes: int = field(
        default=64 * 1024 * 1024, validator=ge(0), metadata={"doc": "Bytes of bodies, events and headers kept in all."}
    )
    max_entry_bytes: int = field(
        default=1024 * 1024, validator=ge(0), metadata={"doc": "Bytes of one answer; a larger one is not kept."}
    )
    stale_if_error: float = field(
        default=0.0,
        validator=ge(0),
        metadata={"doc": "Seconds an answer is kept beyond its time, for those who ask for one when a provider fails."},
    )
    _kept: LRUCache[str, _Kept] = field(init=False, repr=False)
    _lock: threading.Lock = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._begin()
        _caches.add(self)

    def _begin(self) -> None:
        self._kept = LRUCache(self.max_bytes, getsizeof=_size)
        self._lock = threading.Lock()

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        """The kept answer, if it is younger than ``ttl`` and before its own ``expires_at``, or if asked for late."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            return None
        late = ctx.clock.time() - kept.expires
        if late < 0:
            return kept.make()
        if late < kept.late:
            return kept.make() if late < ctx.stale_within else None
        with self._lock:
            # Another thread may have stored a newer answer in the meantime.
            if self._kept.get(key) is kept:
                del self._kept[key]
        return None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        """Keep *entry* for the rest of its time, unless it is too large or was changed by a plugin."""
        response, events, stored_at, told = entry.response, entry.events, entry.stored_at, entry.expires_at
        body, headers, expires = response.raw, response.headers, stored_at + self.ttl
        if told is not None and told < expires:
            expires = told
        if body is None or not ctx.clock.time() < expires:
            return
        size = len(body) + sum([len(name) + len(value) for name, value in headers.pairs])
        if events:
            size += sum(map(len, events))
        if size > self.max_entry_bytes or size > self.max_bytes:
            return
        tags = entry.tags
        parts = (body, response.api, response.status, headers, events, stored_at, told, tags, entry.origin)
        keep_late = max(self.stale_if_error, ctx.cache_control.stale_if_error)
        kept = _Kept(parts, stored_at, expires, keep_late, size, request.model or None, tags, ctx.scope)
        with self._lock:
            self._kept[key] = kept

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        """Drop what *selector* names; the parts that it gives must all fit."""
        with self._lock:
            # Cache's own lookup, not LRUCache's: to look at an entry for this is not to use it.
            for key in [key for key in self._kept if _fits(selector, key, Cache.__getitem__(self._kept, key))]:
                del self._kept[key]

    def stored(self, selector: Selector, limit: int) -> list[StoredEntry]:
        """What is kept and fits, latest first; one beyond its time may be among it."""
        with self._lock:
            found = [
                (key, kept) for key in self._kept if _fits(selector, key, kept := Cache.__getitem__(self._kept, key))
            ]
        latest = heapq.nlargest(limit, found, key=lambda one: one[1].stored_at)
        return [
            StoredEntry(key, kept.size, kept.stored_at, kept.expires, kept.model, kept.tags, kept.scope)
            for key, kept in latest
        ]

    def stored_entry(self, key: str) -> CacheEntry | None:
        """The entry of this key, whatever its age; to look at it is not to use it."""
        with self._lock:
            kept = Cache.get(self._kept, key)
        return None if kept is None else kept.make()

    async def status_tables(self) -> tuple[StatusTable]:
        """How much is kept, of how much."""
        with self._lock:
            row = (len(self._kept), int(self._kept.currsize), self.max_bytes)
        return (StatusTable("kept", ("entries", "bytes", "at most, bytes"), (row,)),)


def _fits(selector: Selector, key: str, kept: _Kept) -> bool:
    return selector.names(key, kept.tags, kept.scope, kept.model)


_caches: WeakSet[MemoryCache] = WeakSet()


def _after_fork_in_child() -> None:
    # Another thread may have held a lock, or been half-way through a store, when the process was forked without it.
    for cache in _caches:
        cache._begin()  # noqa: SLF001 (a method for this function)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
