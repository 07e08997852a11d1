"""A cache: looking up, storing and forgetting belong together."""

from __future__ import annotations

import threading
from collections import OrderedDict

from attrs import define, field
from attrs.validators import ge, gt
from clippy_hookspecs import CacheEntry, Request, RequestContext, Scope, Selector, dump_entry, hookimpl, load_entry
from clippy_hookspecs.stored import MAX_BYTES


@define(eq=False)
class Plugin:
    """Answers a question that was asked before from memory."""

    ttl: float = field(default=3600.0, validator=gt(0), metadata={"doc": "seconds for which an answer is good"})
    max_entries: int = field(default=1000, validator=ge(1), metadata={"doc": "answers to keep; the oldest go first"})
    _entries: OrderedDict[str, tuple[Scope, str, bytes]] = field(init=False, repr=False, factory=OrderedDict)
    _lock: threading.Lock = field(init=False, repr=False, factory=threading.Lock)

    @hookimpl
    def cache_lookup(self, key: str, ctx: RequestContext) -> CacheEntry | None:
        """The stored answer, unless it is too old."""
        with self._lock:
            kept = self._entries.get(key)
        if kept is None:
            return None
        entry = load_entry(kept[-1])
        ends = min(entry.stored_at + self.ttl, entry.expires_at or float("inf"))
        return entry if ctx.clock.time() < ends else None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        """Keep an answer, as bytes: so that each hit is a value of its own, and nothing of a request is held."""
        stored = dump_entry(entry)
        if len(stored) > MAX_BYTES:
            return
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = ctx.scope, request.model, stored
            while len(self._entries) > self.max_entries:
                self._entries.popitem(last=False)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        """Forget what the selector names; the parts that it gives must all fit."""
        with self._lock:
            for key, (scope, model, stored) in [*self._entries.items()]:
                if selector.names(key, load_entry(stored).tags, scope, model):
                    del self._entries[key]
