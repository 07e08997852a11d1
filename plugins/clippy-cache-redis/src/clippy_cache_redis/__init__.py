"""Answers repeated requests from a Redis or Valkey server that many hosts share.

A hit is one exchange.  A server that is gone, slow or full is a miss and one line in the log; only an invalidation that
may not have dropped everything raises.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, evolve, field
from attrs.validators import ge, gt
from clippy_hookspecs import (
    CacheEntry,
    Clock,
    CorruptEntry,
    Host,
    Request,
    RequestContext,
    Selector,
    ServiceRegistry,
    StoredEntry,
    dump_entry,
    hookimpl,
    load_entry,
)
from clippy_hookspecs.stored import MAX_BYTES, MAX_LINE_BYTES
from clippy_redis import Limits, Operation, Server, ServerUnavailable, is_prefix, is_url, lost, parse

from .colours import Asking, Suspending
from .lines import Line, read
from .operations import START, Operations

__all__ = ["RedisCache"]

logger = logging.getLogger("clippy.cache-redis")


@define(eq=False)
class RedisCache:
    """Answers repeated requests from a Redis or Valkey server, which decides what is dropped when it is full."""

    url: str = field(
        default="",
        repr=False,
        validator=is_url,
        metadata={
            "doc": "the server, redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// with TLS; empty: nothing is done"
        },
    )
    prefix: str = field(
        default="clippy",
        validator=is_prefix,
        metadata={"doc": "what every key begins with; programs that share a server and no answers have different ones"},
    )
    ttl: float = field(default=3600.0, validator=ge(0), metadata={"doc": "Seconds an answer is given again."})
    max_entry_bytes: int = field(
        default=1024 * 1024, validator=ge(0), metadata={"doc": "Bytes of one stored answer; a larger one is not kept."}
    )
    stale_if_error: float = field(
        default=0.0,
        validator=ge(0),
        metadata={"doc": "Seconds an answer is kept beyond its time, for those who ask for one when a provider fails."},
    )
    connect_timeout: float = field(default=0.5, validator=gt(0), metadata={"doc": "seconds to connect"})
    timeout: float = field(default=0.25, validator=gt(0), metadata={"doc": "seconds to wait for one answer"})
    max_connections: int = field(
        default=16,
        validator=ge(1),
        metadata={"doc": "connections of the process's threads, and again of each event loop; more calls wait for one"},
    )
    pause: float = field(
        default=5.0,
        validator=ge(0),
        metadata={"doc": "seconds, half of them more or less by chance, in which a server that failed is not asked"},
    )
    _server: Server | None = field(init=False, default=None, repr=False)
    _operations: Operations = field(init=False, repr=False)
    _told: set[str] = field(init=False, factory=set, repr=False)

    def __attrs_post_init__(self) -> None:
        # Room for the two lines before the body, and for what a program with other settings may have stored.
        longest = max(self.max_entry_bytes, MAX_BYTES) + 2 * MAX_LINE_BYTES
        self._operations = Operations(self.prefix, longest)
        if self.url:
            limits = Limits(self.connect_timeout, self.timeout, self.max_connections)
            self._server = Server(parse(self.url), limits, self.pause, logger)

    @property
    def idle(self) -> str:
        """Why it does nothing."""
        return "" if self.url else "no url is set"

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        """Learn from the host how its hooks may wait."""
        services.offer(Asking, Suspending())

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Close the connections when a host closes; they open at first use, and again if another host is open."""
        server = self._server
        if server is not None:
            server.now = host.services.get(Clock).now
        try:
            yield
        finally:
            if server is not None:
                server.close()

    @hookimpl(inline=True)
    async def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        """The stored answer, if it is younger than ``ttl`` and before its own ``expires_at``, or if asked for late."""
        value = await self._ask(self._operations.lookup(key), ctx, "lookups miss")
        if value is None:
            return None
        line, _, stored = value.partition(b"\n")
        try:
            entry = load_entry(stored, self._operations.longest)
            # The entry knows the ttl of the program that stored it; of two the shorter counts.
            late = ctx.clock.time() - self._end_of(entry)
            return entry if late < 0 or late < min(ctx.stale_within, read(line).late) else None
        except CorruptEntry as error:
            self._tell("entry", "what is stored under %s is no answer and counts as a miss: %s", self.prefix, error)
            return None

    @hookimpl(inline=True)
    async def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        """Store *entry* for the rest of its time, unless it is too large or was changed by a plugin."""
        if entry.response.raw is None:
            return
        expires = self._end_of(entry)
        left = expires - ctx.clock.time()
        if not left > 0:
            return
        late = max(self.stale_if_error, ctx.cache_control.stale_if_error)
        if late and expires < math.inf:
            # It stays longer than it is fresh, and others that read it must know when that ends.
            entry = evolve(entry, expires_at=expires)
        times = (float(entry.stored_at), float(expires), float(late))
        line = Line(ctx.scope, request.model, *times, entry.tags).written()
        value = line + dump_entry(entry)
        if len(value) > self.max_entry_bytes or len(line) > MAX_LINE_BYTES:
            return
        # The server counts by its own clock how long it keeps it; whether it is still given is for ctx.clock to say.
        await self._ask(self._operations.store(key, value, left + late), ctx, "nothing is stored")

    @hookimpl
    async def cache_invalidate(self, selector: Selector) -> None:
        """Drop what *selector* names; the parts that it gives must all fit.

        With a key it is one exchange, without one all keys of the server's database are looked through.  Raises
        ConnectionError when something of it may still be there: who deletes must know.
        """
        server = self._server
        if server is None or _names_nothing(selector):
            return
        cursor = await server.ask(self._operations.drop(selector), urgent=True)
        while cursor != START:
            cursor = await server.ask(self._operations.drop(selector, cursor), urgent=True)

    def stored(self, selector: Selector, limit: int) -> list[StoredEntry]:
        """What is kept and fits, latest first; one beyond its time may be among it.  Looks through all keys.

        Raises ConnectionError.
        """
        return heapq.nlargest(limit, self._stored(selector), key=lambda one: one.stored_at)

    def stored_entry(self, key: str) -> CacheEntry | None:
        """The entry of this key, whatever its age; the server counts that as use of it.  Raises ConnectionError."""
        value = None if self._server is None else self._server.ask_now(self._operations.lookup(key))
        try:
            return None if value is None else load_entry(value.partition(b"\n")[2], self._operations.longest)
        except CorruptEntry:
            return None

    def _stored(self, selector: Selector) -> Iterator[StoredEntry]:
        server = self._server
        if server is None or _names_nothing(selector):
            return
        cursor, seen = START, set[str]()
        while True:
            cursor, found = server.ask_now(self._operations.list(selector, cursor))
            for key, size, line in found:
                # A key may come twice while the server makes more room for keys.
                if key not in seen:
                    seen.add(key)
                    try:
                        yield read(line).told(key, size)
                    except CorruptEntry:
                        continue
            if cursor == START:
                return

    def _end_of(self, entry: CacheEntry) -> float:
        return min(math.inf if entry.expires_at is None else entry.expires_at, entry.stored_at + self.ttl)

    async def _ask(self, operation: Operation, ctx: RequestContext, effect: str) -> Any:
        """The result of *operation*, None from a server that fails."""
        if self._server is None:
            return None
        try:
            return await ctx.services.get(Asking).ask(self._server, operation)
        except ServerUnavailable as failure:
            cause = failure.__cause__
            # A server that is gone was told of when it went.
            if isinstance(cause, Exception) and not lost(cause):
                self._tell(f"{effect} {type(cause).__name__}", "%s; %s", failure, effect)
            return None

    def _tell(self, what: str, message: str, *values: object) -> None:
        """Log *message*, the first time that *what* happens."""
        if what not in self._told:
            self._told.add(what)
            logger.warning(message, *values)


def _names_nothing(selector: Selector) -> bool:
    """Whether it names a key that does not begin as it says."""
    key, begins = selector.key, selector.key_prefix
    return key is not None and begins is not None and not key.startswith(begins)
