"""The SQLite cache gives back exactly what was stored, for as long as it may, within its bytes, in every life."""

from __future__ import annotations

import math
import sqlite3
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import fields
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import (
    CacheEntry,
    Headers,
    Message,
    Request,
    RequestContext,
    Response,
    Scope,
    Selector,
    Text,
    dump_entry,
    evolve,
)  # fmt: skip
from clippy_hookspecs.stored import body_decoders, undecoded_entry
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clippy_core.testing.clock import VirtualClock

API = "test.sqlite"
REQUEST = Request(api=API)
HOST: Any = None


def decode(response: Response) -> Mapping[str, Any]:
    message = Message("assistant", (Text((response.raw or b"").decode()),))
    rest: Mapping[str, Any] = {
        "finish_reason": "stop",
        "usage": None,
        "id": None,
        "model": None,
        "more": (),
        "params": {},
    }
    return {"message": message, **rest}


@pytest.fixture(autouse=True)
def decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(body_decoders, API, decode)


def context(clock: VirtualClock, scope: Scope | None = None) -> RequestContext:
    unused: Any = None
    return RequestContext(id="r", scope=scope or Scope(), clock=clock, services=unused, route=unused, flow=unused)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def ctx(clock: VirtualClock) -> RequestContext:
    return context(clock)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache.db"


@pytest.fixture
def cache(path: Path) -> Iterator[SqliteCache]:
    cache = SqliteCache(path=path, ttl=60)
    yield cache
    cache.close()


def entry_at(
    now: float, body: bytes = b"hello", events: tuple[bytes, ...] = (), expires_at: float | None = None,
    tags: tuple[str, ...] = (), headers: Headers | None = None,
) -> CacheEntry:  # fmt: skip
    return undecoded_entry(body, API, 200, headers or Headers(), events, now, expires_at, tags, "origin")


def test_an_entry_comes_back_as_it_was_stored(cache: SqliteCache, ctx: RequestContext, clock: VirtualClock) -> None:
    """Body, events, headers, times, tags and origin are those of the provider's answer, after a restart too."""
    headers = Headers([("Content-Type", "application/json"), ("x", "1"), ("X", "2")])
    events = ("data: é\n\n".encode(), b"data: \xff not text\n\n", b"")
    entry = entry_at(clock.time(), b'{"a": 1}', events, clock.time() + 9, ("t", "\n", ""), headers)
    cache.cache_store("k", entry, REQUEST, ctx)
    cache.close()
    hit = cache.cache_lookup("k", REQUEST, ctx)
    assert hit is not None
    assert hit == entry
    assert hit.response.raw == b'{"a": 1}'
    assert hit.response.headers.pairs == headers.pairs
    assert cache.cache_lookup("other", REQUEST, ctx) is None


@pytest.mark.anyio
async def test_it_shows_how_much_it_keeps(cache: SqliteCache, ctx: RequestContext, clock: VirtualClock) -> None:
    """Entries and bytes of the file, none before there is one; looking makes none."""
    [table] = await cache.status_tables()
    assert table.rows == ((0, 0, cache.max_bytes),)
    assert not cache.path.exists()  # type: ignore[union-attr]
    for key in "ab":
        cache.cache_store(key, entry_at(clock.time(), b"x" * 1000), REQUEST, ctx)
    [table] = await cache.status_tables()
    [(entries, octets, most)] = table.rows
    assert (entries, most) == (2, cache.max_bytes)
    assert isinstance(octets, int)
    assert 2000 < octets < 4000


def test_nothing_touches_the_disk_before_the_first_use(path: Path) -> None:
    """Importing, configuring and opening a host that never asks leave no file."""
    with SqliteCache(path=path).lifespan(HOST):
        pass
    SqliteCache(path=path).cache_invalidate(Selector())
    assert not path.parent.exists()


def test_a_hit_writes_nothing(path: Path, cache: SqliteCache, ctx: RequestContext, clock: VirtualClock) -> None:
    """Neither into the file nor into its log, with a host or without, fresh or expired."""
    for number in range(20):
        cache.cache_store(f"{number}", entry_at(clock.time()), REQUEST, ctx)

    def written() -> dict[str, tuple[bytes, int]]:
        files = [file for file in path.parent.iterdir() if not file.name.endswith("-shm")]
        return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}

    with cache.lifespan(HOST):
        before = written()
        for _ in range(5):
            assert all(cache.cache_lookup(f"{number}", REQUEST, ctx) for number in range(20))
        clock.advance(60)
        assert not any(cache.cache_lookup(f"{number}", REQUEST, ctx) for number in range(20))
        assert written() == before


def test_an_entry_is_forgotten_at_its_ttl_to_the_second(
    cache: SqliteCache, ctx: RequestContext, clock: VirtualClock
) -> None:
    """An answer is given while it is younger than ttl, and not at that age."""
    cache.cache_store("k", entry_at(clock.time()), REQUEST, ctx)
    clock.advance(59.5)
    assert cache.cache_lookup("k", REQUEST, ctx) is not None
    clock.advance(0.5)
    assert cache.cache_lookup("k", REQUEST, ctx) is None


def test_an_entrys_own_end_counts_when_it_is_sooner(
    cache: SqliteCache, ctx: RequestContext, clock: VirtualClock
) -> None:
    """expires_at can shorten the ttl and never lengthens it."""
    cache.cache_store("soon", entry_at(clock.time(), expires_at=clock.time() + 5), REQUEST, ctx)
    cache.cache_store("late", entry_at(clock.time(), expires_at=clock.time() + 500), REQUEST, ctx)
    clock.advance(5)
    assert cache.cache_lookup("soon", REQUEST, ctx) is None
    clock.advance(55)
    assert cache.cache_lookup("late", REQUEST, ctx) is None


def test_a_back_filled_entry_keeps_its_own_times(cache: SqliteCache, ctx: RequestContext, clock: VirtualClock) -> None:
    """What another cache answered is as old here as it was there; what is over is not stored."""
    cache.cache_store("k", entry_at(clock.time() - 50), REQUEST, ctx)
    cache.cache_store("over", entry_at(clock.time() - 60), REQUEST, ctx)
    assert cache.cache_lookup("over", REQUEST, ctx) is None
    hit = cache.cache_lookup("k", REQUEST, ctx)
    assert hit is not None
    assert hit.stored_at == clock.time() - 50
    clock.advance(10)
    assert cache.cache_lookup("k", REQUEST, ctx) is None


def test_of_two_processes_with_their_own_ttl_the_shorter_counts(
    path: Path, ctx: RequestContext, clock: VirtualClock
) -> None:
    """A setting that was made stricter holds for what was stored before."""
    with closing(SqliteCache(path=path, ttl=60)) as long, closing(SqliteCache(path=path, ttl=5)) as short:
        long.cache_store("k", entry_at(clock.time()), REQUEST, ctx)
        clock.advance(5)
        assert short.cache_lookup("k", REQUEST, ctx) is None
        assert long.cache_lookup("k", REQUEST, ctx) is not None


def test_expired_rows_are_purged_by_later_stores(cache: SqliteCache, ctx: RequestContext, clock: VirtualClock) -> None:
    """What can never be given again does not take space until the file is full."""
    cache.cache_store("old", entry_at(clock.time()), REQUEST, ctx)
    clock.advance(60)
    cache.cache_store("new", entry_at(clock.time()), REQUEST, ctx)
    assert rows_of(cache) == [b"new"]


def rows_of(cache: SqliteCache) -> list[bytes]:
    file = cache._store._file
    assert file is not None
    return [key for (key,) in file._writer.execute("SELECT key FROM entries ORDER BY id")]


def test_the_oldest_go_first_when_the_bytes_are_full(path: Path, ctx: RequestContext, clock: VirtualClock) -> None:
    """Three entries fit; the fourth pushes out the one that was stored longest ago, however large the batch."""
    size = len(dump_entry(entry_at(clock.time(), b"x" * 1000)))
    with closing(SqliteCache(path=path, max_bytes=3 * size)) as cache:
        for key in "abac":
            cache.cache_store(key, entry_at(clock.time(), b"x" * 1000), REQUEST, ctx)
        assert rows_of(cache) == [b"b", b"a", b"c"]
        with cache.lifespan(HOST):
            for key in "defghi":
                cache.cache_store(key, entry_at(clock.time(), b"x" * 1000), REQUEST, ctx)
        assert [key for key in "abcdefghi" if cache.cache_lookup(key, REQUEST, ctx)] == ["g", "h", "i"]


def test_the_file_stays_near_its_limit(path: Path, ctx: RequestContext, clock: VirtualClock) -> None:
    """Evicted pages are used again, so the file and its log do not grow with every store."""
    with closing(SqliteCache(path=path, max_bytes=200_000)) as cache:
        for number in range(400):
            cache.cache_store(str(number), entry_at(clock.time(), bytes(5000)), REQUEST, ctx)
        assert len(rows_of(cache)) == 39
    assert path.stat().st_size < 450_000
    assert {file.name for file in path.parent.iterdir()} == {"cache.db", "cache.db.lock"}


def test_another_program_lists_and_shows_what_is_in_the_file(path: Path, clock: VirtualClock) -> None:
    """Whose texts come from the file and not from what is still to be written."""
    writer = SqliteCache(path=path)
    raw = undecoded_entry(b"text", API, 200, Headers(), (), clock.time(), None, ("ä",), "r")
    writer.cache_store("k", raw, evolve(REQUEST, model="m"), context(clock, Scope("täglich")))
    writer.close()
    reader = SqliteCache(path=path)
    (told,) = reader.stored(Selector(), 5)
    assert (told.key, told.model, told.tags, told.scope) == ("k", "m", ("ä",), Scope("täglich"))
    assert [one.key for one in reader.stored(Selector(tag="ä", key_prefix="k", scope=Scope("täglich")), 5)] == ["k"]
    shown = reader.stored_entry("k")
    assert shown is not None
    assert shown.response.raw == b"text"
    reader.close()


def test_an_entry_that_is_too_large_is_not_stored(path: Path, ctx: RequestContext, clock: VirtualClock) -> None:
    """The stored form counts, and the limit itself still fits."""
    size = len(dump_entry(entry_at(clock.time(), b"x" * 100)))
    with closing(SqliteCache(path=path, max_entry_bytes=size)) as cache:
        cache.cache_store("fits", entry_at(clock.time(), b"x" * 100), REQUEST, ctx)
        cache.cache_store("large", entry_at(clock.time(), b"x" * 101), REQUEST, ctx)
        assert cache.cache_lookup("fits", REQUEST, ctx) is not None
        assert cache.cache_lookup("large", REQUEST, ctx) is None


def test_an_entry_larger_than_the_default_limit_comes_back(
    path: Path, ctx: RequestContext, clock: VirtualClock
) -> None:
    """Who allows large answers gets them back, also after the limit was lowered again."""
    body = bytes(3_000_000)
    with closing(SqliteCache(path=path, max_entry_bytes=4_000_000)) as cache:
        cache.cache_store("k", entry_at(clock.time(), body), REQUEST, ctx)
    with closing(SqliteCache(path=path)) as cache:
        hit = cache.cache_lookup("k", REQUEST, ctx)
        assert hit is not None
        assert hit.response.raw == body


def test_an_answer_that_a_plugin_changed_is_not_stored(
    cache: SqliteCache, ctx: RequestContext, clock: VirtualClock
) -> None:
    """Stored is what the provider sent; a changed value has no wire form."""
    entry = entry_at(clock.time())
    cache.cache_store("k", evolve(entry, response=evolve(entry.response, status=201)), REQUEST, ctx)
    assert cache.cache_lookup("k", REQUEST, ctx) is None


SCOPES = {
    "none": Scope(), "a": Scope(tenant="a"), "a/u": Scope(tenant="a", user="u"), "b/u": Scope(tenant="b", user="u"),
    "empty": Scope(tenant=""), "s": Scope(session="s"),
}  # fmt: skip


@pytest.mark.parametrize("behind", [False, True], ids=["inline", "behind"])
@pytest.mark.parametrize(
    ("selector", "gone"),
    [
        (Selector(), {"none", "a", "a/u", "b/u", "empty", "s"}),
        (Selector(key="a"), {"a"}),
        (Selector(key="nobody"), set()),
        (Selector(tag="tag b/u"), {"b/u"}),
        (Selector(tag="tag"), set()),
        (Selector(tag="b/u\ntag"), set()),
        (Selector(tag='"\n"'), set()),
        (Selector(tag="%"), set()),
        (Selector(tag="all"), {"none", "a", "a/u", "b/u", "empty", "s"}),
        (Selector(scope=Scope(tenant="a")), {"a", "a/u"}),
        (Selector(scope=Scope(tenant="a", user="u")), {"a/u"}),
        (Selector(scope=Scope(user="u")), {"a/u", "b/u"}),
        (Selector(scope=Scope(tenant="")), {"empty"}),
        (Selector(scope=Scope()), {"none"}),
        (Selector(scope=Scope(tenant="a"), key="b/u"), set()),
        (Selector(scope=Scope(tenant="a"), tag="tag a"), {"a"}),
    ],
    ids=lambda part: str(sorted(part) if isinstance(part, set) else part),
)
def test_a_selector_drops_what_it_names_and_no_more(
    selector: Selector, gone: set[str], behind: bool, cache: SqliteCache, clock: VirtualClock
) -> None:
    """By key, by tag, by scope with what is within it, also what is still waiting to be written."""
    with cache.lifespan(HOST) if behind else closing(cache):
        for name, scope in SCOPES.items():
            cache.cache_store(name, entry_at(clock.time(), tags=("all", f"tag {name}")), REQUEST, context(clock, scope))
        cache.cache_invalidate(selector)
        assert {name for name in SCOPES if not cache.cache_lookup(name, REQUEST, context(clock))} == gone


def test_dropped_answers_are_overwritten_on_the_disk(path: Path, ctx: RequestContext, clock: VirtualClock) -> None:
    """Who erases a tenant expects its text to be gone from the file and its log."""
    secret = b"the launch code is 0000 "
    with closing(SqliteCache(path=path)) as cache:
        for size in (1, 400):
            cache.cache_store(f"k{size}", entry_at(clock.time(), secret * size), REQUEST, ctx)
        assert any(secret in file.read_bytes() for file in path.parent.iterdir())
        cache.cache_invalidate(Selector(scope=Scope()))
        assert not any(secret in file.read_bytes() for file in path.parent.iterdir())


def test_a_stored_answer_is_found_before_it_is_written(path: Path, ctx: RequestContext, clock: VirtualClock) -> None:
    """While another process holds the lock the store returns at once and the next lookup is a hit."""
    cache = SqliteCache(path=path, busy_timeout=30)
    cache.cache_lookup("k", REQUEST, ctx)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        with cache.lifespan(HOST):
            other.execute("BEGIN IMMEDIATE")
            cache.cache_store("k", entry_at(clock.time(), expires_at=clock.time() + 5), REQUEST, ctx)
            hit = cache.cache_lookup("k", REQUEST, ctx)
            assert hit is not None
            clock.advance(5)
            assert cache.cache_lookup("k", REQUEST, ctx) is None
            assert other.execute("SELECT count(*) FROM entries").fetchone() == (0,)
            other.execute("COMMIT")
        assert other.execute("SELECT count(*) FROM entries").fetchone() == (1,)


def test_the_last_host_that_closes_writes_what_is_pending(path: Path, ctx: RequestContext, clock: VirtualClock) -> None:
    """One lifespan for each event loop: the first to end leaves the others their file."""
    cache = SqliteCache(path=path)
    with cache.lifespan(HOST):
        with cache.lifespan(HOST):
            cache.cache_store("a", entry_at(clock.time()), REQUEST, ctx)
        assert cache._store._behind is not None
        cache.cache_store("b", entry_at(clock.time()), REQUEST, ctx)
    assert cache._store._behind is None
    assert not path.with_name("cache.db-wal").exists()
    with closing(SqliteCache(path=path)) as later:
        assert later.cache_lookup("a", REQUEST, ctx) is not None
        assert later.cache_lookup("b", REQUEST, ctx) is not None


def test_threads_that_read_at_once_have_a_connection_each(path: Path, ctx: RequestContext, clock: VirtualClock) -> None:
    """A few are kept for the next time, and closing the file closes even those that are being used."""
    cache = SqliteCache(path=path)
    cache.cache_store("k", entry_at(clock.time()), REQUEST, ctx)
    file = cache._store._file
    assert file is not None
    readers = file.readers
    count = 12
    held = [readers._open() for _ in range(count)]
    for cursor in held:
        readers._idle.append(cursor)
    assert readers.read("k", clock.time()) is not None
    assert len(readers._idle) == 8
    used = readers._idle[-1]

    def close_meanwhile() -> int:
        if cache._store._file is not None:
            cache.close()
            assert not readers._idle
        return 0

    used.connection.set_progress_handler(close_meanwhile, 1)
    assert readers.read("k", clock.time()) is not None
    assert not readers._idle
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        used.execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        readers.read("k", clock.time())


def test_eight_threads_see_only_whole_entries(path: Path, ctx: RequestContext, clock: VirtualClock) -> None:
    """Storing, reading and dropping at once neither raises nor mixes two answers, behind or inline."""
    cache = SqliteCache(path=path, max_bytes=20_000, busy_timeout=30)
    wrong: list[object] = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        try:
            for turn in range(60):
                key, asked = f"k{(turn * 7 + number) % 12}", f"k{turn % 12}"
                body = f"{key} {turn} ".encode() * 30
                cache.cache_store(key, entry_at(clock.time(), body, (body,)), REQUEST, ctx)
                hit = cache.cache_lookup(asked, REQUEST, ctx)
                if hit and (hit.events != (hit.response.raw,) or not hit.response.text.startswith(f"{asked} ")):
                    wrong.append(hit)
                if turn % 20 == number:
                    cache.cache_invalidate(Selector(key=key))
        except Exception as error:
            wrong.append(error)

    for life in (cache.lifespan(HOST), closing(cache)):
        with life:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not any(thread.is_alive() for thread in threads)
    assert not wrong


def test_every_setting_is_explained() -> None:
    """Settings have a default and one line of documentation."""
    settings_of = [f for f in fields(SqliteCache) if f.init]
    assert {f.name for f in settings_of} == {
        "path",
        "ttl",
        "max_bytes",
        "max_entry_bytes",
        "busy_timeout",
        "stale_if_error",
    }
    assert all(f.metadata["doc"].endswith(".") for f in settings_of)
    assert next(f for f in settings_of if f.name == "path").metadata["unset"]().name == "cache-sqlite.db"
    with pytest.raises(ValueError):
        SqliteCache(ttl=-1)


class SqliteModel(RuleBasedStateMachine):
    """The cache against an ordered dictionary that does the same the slow way."""

    LARGEST, TTL = 130, 10.0
    LIMIT = 400
    keys = st.sampled_from("abcdef")

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.ctx = context(self.clock)
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "cache.db"
        self.cache = SqliteCache(path=path, ttl=self.TTL, max_bytes=self.LIMIT, max_entry_bytes=self.LARGEST)
        self.life: Any = None
        self.model: OrderedDict[str, CacheEntry] = OrderedDict()

    def ends(self, entry: CacheEntry) -> float:
        return min(entry.stored_at + self.TTL, math.inf if entry.expires_at is None else entry.expires_at)

    @rule(key=keys, size=st.integers(0, 90), age=st.integers(0, 12), life=st.none() | st.integers(-1, 20))
    def store(self, key: str, size: int, age: int, life: int | None) -> None:
        now = self.clock.time()
        entry = entry_at(now - age, b"x" * size, expires_at=None if life is None else now + life)
        self.cache.cache_store(key, entry, REQUEST, self.ctx)
        if now >= self.ends(entry) or len(dump_entry(entry)) > self.LARGEST:
            return
        self.model[key] = entry
        self.model.move_to_end(key)
        for name in [name for name, kept in self.model.items() if self.ends(kept) <= now]:
            del self.model[name]
        while self.total() > self.LIMIT:
            self.model.popitem(last=False)

    def total(self) -> int:
        return sum(len(dump_entry(entry)) for entry in self.model.values())

    @rule(key=keys)
    def look_up(self, key: str) -> None:
        entry = self.model.get(key)
        if entry is not None and self.clock.time() >= self.ends(entry):
            entry = None
        # A batch that waits is purged and cut only when it is written.
        if self.cache._store._behind is not None:
            assert self.cache._store._behind.flush()
        assert self.cache.cache_lookup(key, REQUEST, self.ctx) == entry

    @rule(key=keys)
    def drop(self, key: str) -> None:
        self.cache.cache_invalidate(Selector(key=key))
        self.model.pop(key, None)

    @rule(seconds=st.integers(0, 6))
    def wait(self, seconds: int) -> None:
        if self.cache._store._behind is not None:
            assert self.cache._store._behind.flush()
        self.clock.advance(seconds)

    @rule()
    def open_or_close_the_host(self) -> None:
        if self.life is None:
            self.life = self.cache.lifespan(HOST)
            self.life.__enter__()
        else:
            self.life.__exit__(None, None, None)
            self.life = None

    @rule()
    def restart(self) -> None:
        if self.life is None:
            self.cache.close()

    @invariant()
    def the_count_is_right_and_within_the_limit(self) -> None:
        if self.life is None and self.cache._store._file is not None:
            query = "SELECT bytes, (SELECT coalesce(sum(size), 0) FROM entries) FROM totals"
            counted, real = self.cache._store._file._writer.execute(query).fetchone()
            assert counted == real == self.total() <= self.LIMIT

    def teardown(self) -> None:
        if self.life is not None:
            self.life.__exit__(None, None, None)
        self.cache.close()
        self.folder.cleanup()


SqliteModel.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestSqliteModel = SqliteModel.TestCase
"""Any sequence of stores, lookups, drops, waiting and restarts behaves like the model."""
