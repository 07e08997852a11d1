"""Answers repeated requests from one SQLite file, which many processes may share.

A hit is one indexed select in the caller's thread; what is stored is written behind, in batches.  Whatever is wrong
with the file or the disk is a miss and one line in the log.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import platformdirs
from attrs import define, evolve, field
from attrs.validators import ge, gt
from clippy_hookspecs import (
    CacheEntry,
    CorruptEntry,
    Host,
    Request,
    RequestContext,
    Scope,
    Selector,
    StatusTable,
    StoredEntry,
    dump_entry,
    hookimpl,
    load_entry,
)
from clippy_hookspecs.stored import MAX_BYTES, MAX_LINE_BYTES
from clippy_sqlite import follow_forks

from .file import Row
from .store import EntryStore, checksum_of

__all__ = ["SqliteCache"]


def _default_path() -> Path:
    return platformdirs.user_cache_path("clippy") / "cache-sqlite.db"


@define(eq=False)
class SqliteCache:
    """Answers repeated requests from one SQLite file; drops the oldest first."""

    path: Path | None = field(
        default=None,
        metadata={
            "doc": "The file; by default cache-sqlite.db in clippy's folder among the user's caches.",
            "unset": _default_path,
        },
    )
    ttl: float = field(default=3600.0, validator=ge(0), metadata={"doc": "Seconds an answer is given again."})
    max_bytes: int = field(
        default=256 * 1024 * 1024, validator=ge(0), metadata={"doc": "Bytes of stored answers kept in all."}
    )
    max_entry_bytes: int = field(
        default=1024 * 1024, validator=ge(0), metadata={"doc": "Bytes of one stored answer; a larger one is not kept."}
    )
    busy_timeout: float = field(
        default=2.0, validator=gt(0), metadata={"doc": "Seconds a write waits for another process's lock on the file."}
    )
    stale_if_error: float = field(
        default=0.0,
        validator=ge(0),
        metadata={"doc": "Seconds an answer is kept beyond its time, for those who ask for one when a provider fails."},
    )
    _store: EntryStore = field(init=False, repr=False)
    _inherited: list[EntryStore] = field(init=False, repr=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._begin()
        follow_forks(self, SqliteCache._rest, SqliteCache._resume, SqliteCache._begin_after_fork)

    def _begin(self) -> None:
        path = self.path or _default_path()
        # Room for the line beside the body, and for what a process with other settings may have stored.
        longest = max(self.max_entry_bytes, MAX_BYTES) + MAX_LINE_BYTES
        self._store = EntryStore(path.expanduser(), self.max_bytes, longest, self.busy_timeout)

    def _rest(self) -> None:
        self._store.rest()

    def _resume(self) -> None:
        self._store.resume()

    def _begin_after_fork(self) -> None:
        self._inherited.append(self._store)
        self._begin()

    def _end_of(self, entry: CacheEntry) -> float:
        """Until when it is fresh.  It knows the ttl of the process that stored it; of two the shorter counts."""
        mine, told = entry.stored_at + self.ttl, entry.expires_at
        return mine if told is None or mine < told else told

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Write behind while a host is open; write what is pending when the last one closes."""
        self._store.start()
        try:
            yield
        finally:
            # In a process forked meanwhile this is its own store, not the one that was started.
            self._store.stop()

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        """The stored answer, if it is younger than ``ttl`` and before its own ``expires_at``, or if asked for late."""
        store = self._store
        now = ctx.clock.time()
        value = store.get(key, now)
        if value is None:
            return None
        try:
            entry = load_entry(value, store.longest)
        except CorruptEntry:
            store.drop(key)
            return None
        late = now - self._end_of(entry)
        return entry if late < 0 or late < ctx.stale_within else None  # its row goes when it has been late for too long

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        """Store *entry* for the rest of its time, unless it is too large or was changed by a plugin."""
        if entry.response.raw is None:
            return
        now = ctx.clock.time()
        expires = self._end_of(entry)
        if not now < expires:
            return
        late = max(self.stale_if_error, ctx.cache_control.stale_if_error)
        if late and expires < math.inf:
            # Its row stays longer than it is fresh, and others that read it must know when that ends.
            entry = evolve(entry, expires_at=expires)
        value = dump_entry(entry)
        if len(value) > min(self.max_entry_bytes, self.max_bytes):
            return
        scope = ctx.scope
        tenant, user, session = _columns(scope.tenant, scope.user, scope.session)
        tags, kept_until = _tag_lines(entry.tags), expires + late
        row = Row(
            key, now, kept_until, checksum_of(key, value), tenant, user, session, tags, request.model or "", value
        )
        self._store.put(row, now)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        """Drop what *selector* names and overwrite it in the file; the parts that it gives must all fit.

        Raises OSError or sqlite3.Error when that cannot be done: who deletes must know.
        """
        self._store.delete(_parts(selector))

    def stored(self, selector: Selector, limit: int) -> list[StoredEntry]:
        """What the file holds and fits, latest first; one beyond its time may be among it.

        Raises OSError or sqlite3.Error if it cannot be read.
        """
        found = []
        for row in self._store.matching(_parts(selector), limit):
            try:
                entry = load_entry(row.value, self._store.longest)
            except CorruptEntry:
                continue
            expires = self._end_of(entry)
            scope = Scope(*map(json.loads, (row.tenant, row.user, row.session)))
            found.append(
                StoredEntry(row.key, len(row.value), entry.stored_at, expires, row.model or None, entry.tags, scope)
            )
        return found

    def stored_entry(self, key: str) -> CacheEntry | None:
        """The entry of this key, whatever its age.  Raises OSError or sqlite3.Error if the file cannot be read."""
        for row in self._store.matching(_parts(Selector(key)), 1):
            try:
                return load_entry(row.value, self._store.longest)
            except CorruptEntry:
                break
        return None

    async def status_tables(self) -> tuple[StatusTable]:
        """How much is kept, of how much.  Raises OSError or sqlite3.Error if the file cannot be read."""
        row = (*self._store.held(), self.max_bytes)
        return (StatusTable("kept", ("entries", "bytes", "at most, bytes"), (row,)),)

    def close(self) -> None:
        """Write what is pending and close the file, for use without a host; the next use opens it again."""
        self._store.close()


def _parts(selector: Selector) -> dict[str, str | None]:
    """*selector* as it is looked for in the columns."""
    scope = selector.scope
    tenant, user, session = (None,) * 3 if scope is None else _columns(scope.tenant, scope.user, scope.session)
    if scope is not None and scope != Scope():
        # A tenant's users and sessions belong to the tenant; a scope that says nothing is that of calls
        # without a scope and does not stand for everybody.
        tenant = None if scope.tenant is None else tenant
        user = None if scope.user is None else user
        session = None if scope.session is None else session
    prefix = selector.tag_prefix
    return {
        "key": selector.key,
        "key_prefix": selector.key_prefix,
        "model": selector.model,
        "tag": None if selector.tag is None else _tag_lines((selector.tag,)),
        "tag_prefix": None if prefix is None else "\n" + json.dumps(prefix)[:-1],
        "tenant": tenant,
        "user": user,
        "session": session,
    }


@lru_cache(maxsize=256)
def _columns(tenant: str | None, user: str | None, session: str | None) -> tuple[str, str, str]:
    return json.dumps(tenant), json.dumps(user), json.dumps(session)


def _tag_lines(tags: tuple[str, ...]) -> str:
    """One JSON string a line, between line feeds, so that a tag is found whole and nothing in a tag looks like two."""
    return "\n" + "".join(json.dumps(tag) + "\n" for tag in tags) if tags else ""
