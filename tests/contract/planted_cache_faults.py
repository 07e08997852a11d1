"""Caches in one SQLite file with one fault each."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, evolve, field
from clippy_hookspecs import CacheEntry, Request, RequestContext, Scope, Selector
from planted_cache import FileCache

# --- time -------------------------------------------------------------------------------------------------------------


@define(eq=False)
class WallClock(FileCache):
    """Asks the machine for the time, so that a host with a clock of its own is never obeyed."""

    def _now(self, ctx: RequestContext) -> float:
        return time.time()

    def _expires(self, entry: CacheEntry, ctx: RequestContext) -> float:
        return time.time() + self.ttl


@define(eq=False)
class NeverOld(FileCache):
    """Has a ttl setting and looks only at what the entry says."""

    def _expires(self, entry: CacheEntry, ctx: RequestContext) -> float:
        return float("inf") if entry.expires_at is None else entry.expires_at


@define(eq=False)
class OwnTimeOnly(FileCache):
    """Keeps an entry for its own ttl, also when the entry itself says that it ends earlier."""

    def _expires(self, entry: CacheEntry, ctx: RequestContext) -> float:
        return entry.stored_at + self.ttl


@define(eq=False)
class Renews(FileCache):
    """Lets every hit prolong an entry's life, so that what is asked often is never asked anew."""

    def _may_be_late(self, ctx: RequestContext) -> float:
        return float("inf")

    def _find(self, db: sqlite3.Connection, key: str, now: float) -> Any:
        row = FileCache._find(self, db, key, now)
        db.execute("update answers set expires = ? where key = ? and expires > ?", (now + self.ttl, key, now))
        return row


@define(eq=False)
class AlwaysNew(FileCache):
    """Gives each entry the time of the hit as the time of its birth."""

    def _to_give(self, entry: CacheEntry, ctx: RequestContext) -> CacheEntry:
        return evolve(entry, stored_at=ctx.clock.time())


@define(eq=False)
class AlwaysLate(FileCache):
    """Gives what it keeps beyond its time to everybody, and not only when a provider has failed."""

    def _may_be_late(self, ctx: RequestContext) -> float:
        return self.stale_if_error


@define(eq=False)
class AsLateAsKept(FileCache):
    """Takes the wish for a late answer for yes or no, and not for a number of seconds."""

    def _may_be_late(self, ctx: RequestContext) -> float:
        return self.stale_if_error if ctx.stale_within else 0.0


@define(eq=False)
class AsLateAsWished(FileCache):
    """Keeps what is past its time for ever, and gives it as late as anybody wishes."""

    def _may_be_late(self, ctx: RequestContext) -> float:
        return ctx.stale_within

    def _put(self, db: sqlite3.Connection, key: str, row: tuple[Any, ...]) -> None:
        FileCache._put(self, db, key, (float("inf"), *row[1:]))


@define(eq=False)
class TidiesTooWell(FileCache):
    """Drops with every store what is past its time, although it is to be kept."""

    def _put(self, db: sqlite3.Connection, key: str, row: tuple[Any, ...]) -> None:
        born = row[0] - self.stale_if_error - self.ttl
        db.execute("delete from answers where expires - ? <= ?", (self.stale_if_error, born))
        FileCache._put(self, db, key, row)


# --- what is kept, and for whom ---------------------------------------------------------------------------------------


@define(eq=False)
class ByConversation(FileCache):
    """Makes its own key of the conversation, and so gives one tenant's answers to another."""

    def _key(self, key: str, request: Request) -> str:
        return json.dumps([[message.role, message.text] for message in request.messages])


@define(eq=False)
class OnePiece(FileCache):
    """Keeps the whole answer and not its events, so that a stream comes back in one piece."""

    def _to_keep(self, entry: CacheEntry) -> CacheEntry:
        return evolve(entry, events=())


@define(eq=False)
class NoCap(FileCache):
    """Has a max_bytes setting and grows without end."""

    def _trim(self, db: sqlite3.Connection) -> None:
        return None


@define(eq=False)
class EveryTenant(FileCache):
    """Drops a tag for everybody when one tenant asked for it."""

    def _fits(self, selector: Selector, key: str, tags: list[str], scope: Scope, model: str) -> bool:
        if selector.tag is not None:
            selector = evolve(selector, scope=None)
        return FileCache._fits(self, selector, key, tags, scope, model)


@define(eq=False)
class NeedsAWish(FileCache):
    """Takes a selector that names nothing for one that means nothing."""

    def _fits(self, selector: Selector, key: str, tags: list[str], scope: Scope, model: str) -> bool:
        return selector != Selector() and FileCache._fits(self, selector, key, tags, scope, model)


@define(eq=False)
class NotHardened(FileCache):
    """Raises when its file is damaged, at every lookup and at every store, and never recovers."""

    def _failed(self, error: sqlite3.Error) -> None:
        raise error


# --- threads and processes --------------------------------------------------------------------------------------------


@define(eq=False)
class Racing(FileCache):
    """What each race has a moment for, which is long on a busy machine only: here it lasts until another came into it.

    Whoever is alone in the cache waits for nobody, and nobody waits for long: a fault may lose, and must not hang.
    """

    _users: set[int] = field(init=False, factory=set)

    def _let_others(self, happen: Callable[[], bool]) -> None:
        """Go on when another thread has let *happen* what the race is about, or has had the time for it."""
        self._users.add(threading.get_ident())
        end = time.monotonic() + 0.05
        while len(self._users) > 1 and not happen() and time.monotonic() < end:
            time.sleep(0.0002)


@define(eq=False)
class LosesUpdates(Racing):
    """Keeps a list of its keys, which it reads, lengthens and writes back with nothing that holds others off."""

    _read: int = field(init=False, default=0)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            db.execute("create table if not exists keys (one integer primary key, keys text)")
            yield db

    def _put(self, db: sqlite3.Connection, key: str, row: tuple[Any, ...]) -> None:
        found = db.execute("select keys from keys").fetchone()
        keys = json.loads(found[0]) if found else []
        self._read = mine = self._read + 1
        self._let_others(lambda: self._read != mine)
        FileCache._put(self, db, key, row)
        db.execute("replace into keys values (1, ?)", (json.dumps([*keys, key]),))

    def _find(self, db: sqlite3.Connection, key: str, now: float) -> Any:
        db.execute("create table if not exists keys (one integer primary key, keys text)")
        found = db.execute("select keys from keys").fetchone()
        return FileCache._find(self, db, key, now) if found and key in json.loads(found[0]) else None


@define(eq=False)
class ChangesWhileItLooks(Racing):
    """Notes in a dict what was asked for, and writes the notes down with every store while others note more."""

    _asked: dict[str, float] = field(init=False, factory=dict)

    def _find(self, db: sqlite3.Connection, key: str, now: float) -> Any:
        self._asked[key] = now
        return FileCache._find(self, db, key, now)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            db.execute("create table if not exists asked (key text primary key, at real)")
            noted, notes = len(self._asked), iter(self._asked.items())
            self._let_others(lambda: len(self._asked) != noted)
            for name, at in notes:
                db.execute("replace into asked values (?, ?)", (name, at))
            self._asked.clear()
        with FileCache._writing(self) as db:
            yield db


@define(eq=False)
class KeyOnSelf(Racing):
    """Keeps the key it is asked for on itself while it opens the file: another thread's answer is found instead."""

    _asked: str = field(init=False, default="")

    def _key(self, key: str, request: Request) -> str:
        self._asked = key
        return key

    def _find(self, db: sqlite3.Connection, key: str, now: float) -> Any:
        self._let_others(lambda: self._asked != key)
        return FileCache._find(self, db, self._asked, now)
