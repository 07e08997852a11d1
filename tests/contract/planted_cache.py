"""A sound cache in one SQLite file, and a sound one in memory."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from attrs import define, field
from clippy_hookspecs import (
    CacheEntry,
    CorruptEntry,
    Request,
    RequestContext,
    Scope,
    Selector,
    dump_entry,
    hookimpl,
    load_entry,
)

TABLE = """create table if not exists answers (
    key text primary key, expires real, tags text, scope text, stamp integer, blob blob)"""
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@define(eq=False)
class FileCache:
    """Answers repeated requests from one SQLite file that threads and processes share."""

    path: str | None = field(default=None, metadata={"doc": "The file; a new temporary one if none is said."})
    ttl: float = field(default=3600.0, metadata={"doc": "Seconds an answer is given again."})
    max_bytes: int = field(default=64 * 1024 * 1024, metadata={"doc": "Bytes of answers kept in all."})
    stale_if_error: float = field(default=0.0, metadata={"doc": "Seconds an answer is kept beyond its time."})
    _file: Path = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.path is not None:
            self._file = Path(self.path)
        else:
            folder = tempfile.mkdtemp()
            self._file = Path(folder, "answers.db")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one piece of work: they are cheap, and none is shared between threads or processes."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._file, timeout=20, isolation_level=None)) as db:
            db.execute("pragma synchronous = off")
            db.execute(TABLE)
            yield db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            db.execute("begin immediate")
            yield db
            db.execute("commit")

    def _failed(self, error: sqlite3.Error) -> None:
        """A file that is no database any more is thrown away, so that the next answer can be kept again."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in DAMAGE:
            for suffix in ("", "-journal"):
                Path(f"{self._file}{suffix}").unlink(missing_ok=True)

    # --- what the variants change -------------------------------------------------------------------------------------

    def _key(self, key: str, request: Request) -> str:
        return key

    def _now(self, ctx: RequestContext) -> float:
        return ctx.clock.time()

    def _expires(self, entry: CacheEntry, ctx: RequestContext) -> float:
        end = entry.stored_at + self.ttl
        return end if entry.expires_at is None else min(end, entry.expires_at)

    def _may_be_late(self, ctx: RequestContext) -> float:
        """Seconds that an answer may be past its time."""
        return ctx.stale_within  # what is later than it may ever be is not found

    def _to_keep(self, entry: CacheEntry) -> CacheEntry:
        return entry

    def _to_give(self, entry: CacheEntry, ctx: RequestContext) -> CacheEntry:
        return entry

    def _find(self, db: sqlite3.Connection, key: str, now: float) -> Any:
        return db.execute("select key, blob, stamp from answers where key = ? and expires > ?", (key, now)).fetchone()

    def _put(self, db: sqlite3.Connection, key: str, row: tuple[Any, ...]) -> None:
        db.execute("replace into answers values (?, ?, ?, ?, ?, ?)", (key, *row))

    def _trim(self, db: sqlite3.Connection) -> None:
        total = db.execute("select sum(length(blob)) from answers").fetchone()[0]
        for key, size in db.execute("select key, length(blob) from answers order by rowid").fetchall():
            if total <= self.max_bytes:
                return
            db.execute("delete from answers where key = ?", (key,))
            total -= size

    def _fits(self, selector: Selector, key: str, tags: list[str], scope: Scope, model: str) -> bool:
        return selector.names(key, tags, scope, model)

    # --- the hooks ----------------------------------------------------------------------------------------------------

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        key = self._key(key, request)
        try:
            with self._open() as db:
                row = self._find(db, key, self._now(ctx))
            entry = None if row is None else read(*row)
            if entry is None or self._now(ctx) - self._expires(entry, ctx) >= self._may_be_late(ctx):
                return None
            return self._to_give(entry, ctx)
        except sqlite3.Error as error:
            self._failed(error)
        except CorruptEntry:
            pass  # a miss: the next answer takes its place
        return None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        key, expires = self._key(key, request), self._expires(entry, ctx)
        if entry.response.raw is None or expires <= self._now(ctx):
            return
        blob = dump_entry(self._to_keep(entry))
        scope = [ctx.scope.tenant, ctx.scope.user, ctx.scope.session, request.model]
        late = max(self.stale_if_error, ctx.cache_control.stale_if_error)
        row = (expires + late, json.dumps(entry.tags), json.dumps(scope), stamp(key, blob), blob)
        try:
            with self._writing() as db:
                self._put(db, key, row)
                self._trim(db)
        except sqlite3.Error as error:
            self._failed(error)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        try:
            with self._writing() as db:
                for key, tags, scope in db.execute("select key, tags, scope from answers").fetchall():
                    *whose, model = json.loads(scope)
                    if self._fits(selector, key, json.loads(tags), Scope(*whose), model):
                        db.execute("delete from answers where key = ?", (key,))
        except sqlite3.Error as error:
            self._failed(error)


def stamp(key: str, blob: bytes) -> int:
    """Binds an answer to its key, so that a byte that changed in the file is a miss and not an answer."""
    return crc32(blob, crc32(key.encode()))


def read(key: str, blob: Any, stamped: Any) -> CacheEntry:
    if type(blob) is not bytes or stamp(key, blob) != stamped:
        raise CorruptEntry("these are not the bytes that were stored")
    return load_entry(blob)


# --- sound as well ----------------------------------------------------------------------------------------------------


@define(eq=False)
class InMemory:
    """A sound cache of another build: bytes in a dict, in one process.  It has no use for a path."""

    ttl: float = field(default=3600.0, metadata={"doc": "Seconds an answer is given again."})
    max_bytes: int = field(default=64 * 1024 * 1024, metadata={"doc": "Bytes of answers kept in all."})
    stale_if_error: float = field(default=0.0, metadata={"doc": "Seconds an answer is kept beyond its time."})
    _kept: dict[str, tuple[bytes, float, float, tuple[str, ...], Scope, str]] = field(
        init=False, factory=dict, repr=False
    )
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @hookimpl
    async def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        with self._lock:
            kept = self._kept.get(key)
        late = ctx.clock.time() - kept[1] if kept is not None else 0.0
        in_time = late < 0 or (kept is not None and late < min(kept[2], ctx.stale_within))
        return load_entry(kept[0]) if kept is not None and in_time else None

    @hookimpl
    async def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        end = entry.stored_at + self.ttl
        end = end if entry.expires_at is None else min(end, entry.expires_at)
        if entry.response.raw is None or end <= ctx.clock.time():
            return
        blob = dump_entry(entry)
        with self._lock:
            self._kept.pop(key, None)
            late = max(self.stale_if_error, ctx.cache_control.stale_if_error)
            self._kept[key] = (blob, end, late, entry.tags, ctx.scope, request.model)
            while sum(len(kept[0]) for kept in self._kept.values()) > self.max_bytes:
                del self._kept[next(iter(self._kept))]

    @hookimpl
    async def cache_invalidate(self, selector: Selector) -> None:
        with self._lock:
            for key, (_, _, _, tags, scope, model) in list(self._kept.items()):
                if selector.names(key, tags, scope, model):
                    del self._kept[key]
