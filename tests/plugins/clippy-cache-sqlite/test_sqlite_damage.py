"""Whatever is wrong with the file or the disk is a miss and a line in the log, never an exception or a wrong answer."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache as once
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from clippy_cache_sqlite import SqliteCache
from clippy_cache_sqlite import file as file_module
from clippy_cache_sqlite.schema import SCHEMA
from clippy_hookspecs import CacheEntry, Headers, Request, RequestContext, Scope, Selector
from clippy_hookspecs.stored import undecoded_entry
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.testing.clock import VirtualClock

REQUEST = Request()
CLOCK = VirtualClock()
NOBODY = 65534
KEYS = [f"key {number}" for number in range(40)]
unused: Any = None
CTX = RequestContext(id="r", scope=Scope(), clock=CLOCK, services=unused, route=unused, flow=unused)


def entry_of(key: str) -> CacheEntry:
    """An answer that can be recognised; every third is longer than a page."""
    number = sum(key.encode())
    body = f"the answer to {key} ".encode() * (number % 7 + (400 if number % 3 == 0 else 1))
    return undecoded_entry(body, "test", 200, Headers([("x", key)]), (body[:99],), CLOCK.time(), None, ("tag",), key)


def store(cache: SqliteCache, key: str) -> None:
    cache.cache_store(key, entry_of(key), REQUEST, CTX)


def lookup(cache: SqliteCache, key: str) -> CacheEntry | None:
    return cache.cache_lookup(key, REQUEST, CTX)


def is_right(hit: CacheEntry, key: str) -> bool:
    made = entry_of(key)
    return (hit.response.raw, hit.events, hit.origin, hit.response.headers, hit.stored_at) == (
        made.response.raw, made.events, key, made.response.headers, CLOCK.time()
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def cache(path: Path) -> Iterator[SqliteCache]:
    cache = SqliteCache(path=path, busy_timeout=0.05)
    yield cache
    cache.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG, "clippy.cache-sqlite")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "clippy.cache-sqlite"]


@once
def good_file() -> bytes:
    """A cache file with forty answers in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        with closing(SqliteCache(path=path)) as cache:
            for key in KEYS:
                store(cache, key)
        return path.read_bytes()


def check(path: Path) -> int:
    """Every lookup is a miss or right, storing raises nothing; how many hits there were after storing one more."""
    with closing(SqliteCache(path=path, busy_timeout=0.05)) as cache:
        for key in KEYS:
            hit = lookup(cache, key)
            assert hit is None or is_right(hit, key)
        for key in ("one more", *KEYS[:3]):
            store(cache, key)
        hits = [(key, lookup(cache, key)) for key in ("one more", *KEYS)]
        assert all(hit is None or is_right(hit, key) for key, hit in hits)
        return sum(hit is not None for _, hit in hits)


MAGIC = b"SQLite format 3\0"
places = st.integers(0, len(good_file()) - 1)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(
        st.tuples(places.filter(lambda place: place >= len(MAGIC)), st.binary(min_size=1, max_size=40)),
        min_size=1,
        max_size=6,
    )
)
def test_damage_at_any_place_is_a_miss_and_never_a_wrong_answer(damage: list[tuple[int, bytes]]) -> None:
    """Overwriting bytes anywhere: header, schema, index, count, row or value."""
    blob = bytearray(good_file())
    for place, piece in damage:
        blob[place : place + len(piece)] = piece
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        path.write_bytes(blob)
        assert check(path) > 0


@settings(max_examples=40, deadline=None)
@given(places, st.booleans())
def test_a_file_cut_anywhere_is_a_miss(length: int, zeros: bool) -> None:
    """A file that lost its end, or whose end was never written."""
    blob = good_file()[:length] + bytes(len(good_file()) - length if zeros else 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        path.write_bytes(blob)
        assert check(path) > 0


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["-wal", "-shm"]), st.data())
def test_a_damaged_log_is_never_a_wrong_answer(suffix: str, data: st.DataObject) -> None:
    """The files beside the cache as a crash or another program may leave them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        with closing(SqliteCache(path=path)) as cache:
            for key in KEYS:
                store(cache, key)
            target = Path(folder) / "copy" / "cache.db"
            shutil.copytree(path.parent, target.parent, ignore=shutil.ignore_patterns("copy"))
        beside = target.with_name(target.name + suffix)
        blob = bytearray(beside.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(blob) - 1))
            blob[place : place + 30] = data.draw(st.binary(min_size=1, max_size=30))
        beside.write_bytes(blob[: data.draw(st.integers(0, len(blob)))])
        assert check(target) > 0


@pytest.mark.parametrize("content", [MAGIC + bytes(84), b"\0" * 5000, MAGIC[:7] + bytes(93)])
def test_a_file_that_can_be_a_damaged_one_of_ours_is_set_aside(
    content: bytes, path: Path, cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """It is renamed, not deleted; a new one is begun at once; the log says so in one line."""
    path.write_bytes(content)
    assert lookup(cache, "a") is None
    store(cache, "a")
    assert lookup(cache, "a") is not None
    assert path.with_name("cache.db.damaged").read_bytes() == content
    assert len(lines()) == 1
    assert "damaged" in lines()[0]


def test_what_was_set_aside_is_lost_to_a_second_one_only_if_it_was_surely_ours(path: Path) -> None:
    """One of ours takes the place of an earlier one of ours; what may be somebody's stays."""
    ours = good_file()[:4096]
    for content in (ours, ours + bytes(9), MAGIC + bytes(84), MAGIC + bytes(99), ours):
        path.write_bytes(content)
        check(path)
    kept = {found.name: found.read_bytes() for found in path.parent.glob("cache.db.damaged*")}
    assert kept == {
        "cache.db.damaged": MAGIC + bytes(84), "cache.db.damaged-2": MAGIC + bytes(99), "cache.db.damaged-3": ours
    }  # fmt: skip


def everything_in(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Names, modes and contents."""
    return {
        found.name: (stat.S_IMODE(found.stat().st_mode), b"" if found.is_dir() else found.read_bytes())
        for found in folder.iterdir()
    }


def another_programs_database(path: Path, *, in_its_log: bool) -> None:
    """One that is closed, or one whose only table is in the log of a program that was killed."""
    made = path.with_name("made") / "made.db"
    made.parent.mkdir()
    with closing(sqlite3.connect(made, isolation_level=None)) as theirs:
        if in_its_log:
            theirs.execute("PRAGMA journal_mode = WAL")
        theirs.execute("CREATE TABLE bookkeeping (amount REAL)")
        for suffix in ("", "-wal") if in_its_log else ("",):
            path.with_name(path.name + suffix).write_bytes(made.with_name(made.name + suffix).read_bytes())
    shutil.rmtree(made.parent)


@pytest.mark.parametrize("what", ["a folder", "text", "noise", "a database", "a pipe"])
def test_a_wrong_path_costs_nothing_of_what_lies_there(
    what: str, path: Path, cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """No mode, name or byte changes and nothing is left beside it; it is said once, and what to do."""
    if what == "a folder":
        path.mkdir(0o755)
    elif what == "a database":
        another_programs_database(path, in_its_log=False)
    elif what == "a pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no pipes with names")
        os.mkfifo(path)
    else:
        path.write_bytes(b"amount\n5\n" if what == "text" else b"\x7f" + os.urandom(20_000))
    path.chmod(0o755 if what == "a folder" else 0o644)
    before = everything_in(path.parent) if what != "a pipe" else None
    with cache.lifespan(unused):
        store(cache, "a")
        assert cache._store._behind is not None
        assert cache._store._behind.flush()
        assert lookup(cache, "a") is None
        CLOCK.advance(30)
        assert lookup(cache, "a") is None
    with pytest.raises(OSError, match="nothing was dropped"):
        cache.cache_invalidate(Selector())
    assert [found.name for found in path.parent.iterdir()] == ["cache.db"]
    assert before is None or everything_in(path.parent) == before
    (line,) = lines()
    assert str(path) in line
    assert "; name a" in line


def test_a_database_that_is_in_its_log_so_far_is_not_taken_for_an_empty_file(path: Path, cache: SqliteCache) -> None:
    """Another program that was killed left it so: its mode stays, and no lock lies beside it."""
    another_programs_database(path, in_its_log=True)
    path.chmod(0o644)
    store(cache, "a")
    assert lookup(cache, "a") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert not path.with_name("cache.db.lock").exists()
    with closing(sqlite3.connect(path)) as theirs:
        assert theirs.execute("SELECT name FROM sqlite_master").fetchall() == [("bookkeeping",)]


def test_text_that_is_written_into_an_open_file_is_left_there(
    path: Path, cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """``cp invoices.csv cache.db`` under a running program: it may be the only copy."""
    store(cache, "a")
    cache.close()
    assert lookup(cache, "b") is None
    path.write_bytes(b"amount\n5\n" * 3000)
    store(cache, "b")
    assert lookup(cache, "b") is None
    cache.close()
    assert path.read_bytes() == b"amount\n5\n" * 3000
    assert not path.with_name("cache.db.damaged").exists()
    assert len(lines()) == 1


def test_looking_at_a_file_frees_none_of_the_locks_that_this_process_holds(path: Path, cache: SqliteCache) -> None:
    """A second host of the process opens the same file; what the system forgets, other processes do not respect."""
    store(cache, "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as mine:
        mine.execute("BEGIN EXCLUSIVE")
        mine.execute("DELETE FROM entries")
        with closing(SqliteCache(path=path, busy_timeout=0.05)) as second:
            assert lookup(second, "a") is not None
        other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('PRAGMA journal_mode = DELETE')"
        done = subprocess.run([sys.executable, "-c", other, str(path)], capture_output=True, timeout=60, check=False)
        assert b"locked" in done.stderr


def test_damage_to_an_open_file_is_noticed_and_repaired(
    path: Path, cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """The pages change under an open connection: the file is set aside in the middle of a store or lookup."""
    for key in KEYS:
        store(cache, key)
    cache.close()
    assert lookup(cache, "nobody") is None
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    assert not [key for key in KEYS if lookup(cache, key)]
    store(cache, "a")
    assert lookup(cache, "a") is not None
    assert path.with_name("cache.db.damaged").exists()
    assert len(lines()) == 1


def test_an_empty_file_is_begun(path: Path, cache: SqliteCache) -> None:
    """Somebody made the file in advance."""
    path.touch()
    store(cache, "a")
    assert lookup(cache, "a") is not None
    assert not path.with_name("cache.db.damaged").exists()


def test_a_damaged_row_is_deleted_and_the_others_stay(
    path: Path, cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """Changed values, other types, values under another's key and entries of another schema: each is one miss."""
    for key in KEYS[:8]:
        store(cache, key)
    changes = {
        0: "value = CAST('x' || substr(value, 2) AS BLOB)", 1: "value = ''", 2: "value = 5", 3: "checksum = 'text'",
        4: "value = (SELECT value FROM entries WHERE key = 'key 7')", 5: "value = zeroblob(100)", 6: "value = 'text'",
    }  # fmt: skip
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for number, change in changes.items():
            other.execute(
                f"UPDATE entries SET {change.replace('NULL_', chr(39) + chr(39))} WHERE key = ?", (KEYS[number],)
            )
        assert [lookup(cache, key) is not None for key in KEYS[:8]] == [False] * 7 + [True]
        assert other.execute("SELECT key FROM entries").fetchall() == [("key 7",)]
    assert len(lines()) == 1
    store(cache, KEYS[0])
    assert lookup(cache, KEYS[0]) is not None


def test_an_entry_of_another_schema_is_a_miss(cache: SqliteCache) -> None:
    """Its checksum is right, so it was written by another version: it is deleted, not served."""
    from clippy_cache_sqlite.file import Row
    from clippy_cache_sqlite.store import checksum_of

    value = b'[2,"something newer"]\n'
    cache._store.put(Row("k", 0.0, CLOCK.time() + 9, checksum_of("k", value), "", "", "", "", "", value), CLOCK.time())
    assert cache._store.get("k", CLOCK.time()) == value
    assert lookup(cache, "k") is None
    assert cache._store.get("k", CLOCK.time()) is None


def test_another_programs_database_is_left_alone(
    path: Path, cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """A wrong path in the configuration costs the cache, not the data."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookkeeping (amount REAL)")
    before = path.read_bytes()
    store(cache, "a")
    assert lookup(cache, "a") is None
    assert path.read_bytes() == before
    assert len(lines()) == 1
    assert "another program" in lines()[0]
    with pytest.raises(OSError, match="nothing was dropped"):
        cache.cache_invalidate(Selector())


def test_a_newer_versions_file_is_left_alone(path: Path, cache: SqliteCache, lines: Callable[[], list[str]]) -> None:
    """A downgrade must not throw away what the newer version keeps."""
    store(cache, "a")
    cache.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute("CREATE TABLE invented_later (a)")
        newer.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    assert lookup(cache, "a") is None
    store(cache, "b")
    with closing(sqlite3.connect(path)) as newer:
        assert newer.execute("SELECT key FROM entries").fetchall() == [("a",)]
    assert len(lines()) == 1
    assert "newer version" in lines()[0]


@pytest.mark.parametrize("change", ["CREATE TABLE invented_later (a)", "ALTER TABLE entries RENAME TO answers"])
def test_a_file_that_a_newer_version_takes_over_while_it_is_open_is_left_alone(
    change: str, path: Path, cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """An old program that still runs neither writes its rows into it nor takes it for damaged."""
    store(cache, "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute(change)
        newer.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
    store(cache, "b")
    assert lookup(cache, "b") is None
    with pytest.raises(OSError, match="nothing was dropped"):
        cache.cache_invalidate(Selector())
    with closing(sqlite3.connect(path)) as newer:
        table = "answers" if "answers" in change else "entries"
        assert newer.execute(f"SELECT key FROM {table}").fetchall() == [("a",)]
    assert not path.with_name(path.name + ".damaged").exists()
    assert len(lines()) == 1
    assert "newer version" in lines()[0]


def test_an_older_file_is_brought_up_and_keeps_its_entries(
    path: Path, cache: SqliteCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new schema version is a step more in its migrations."""
    store(cache, "a")
    cache.close()
    step = ("CREATE TABLE invented_later (a)",)
    newer = evolve(SCHEMA, migrations=(*SCHEMA.migrations, step))
    monkeypatch.setattr(file_module, "SCHEMA", newer)
    assert lookup(cache, "a") is not None
    cache.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (newer.version,)
        assert other.execute("SELECT count(*) FROM invented_later").fetchone() == (0,)
    assert lookup(cache, "a") is not None


def test_a_full_disk_keeps_what_is_there(cache: SqliteCache, lines: Callable[[], list[str]]) -> None:
    """Stores fail quietly, are told once, and work again when there is room."""
    store(cache, KEYS[0])
    file = cache._store._file
    assert file is not None
    (pages,) = file._writer.execute("PRAGMA page_count").fetchone()
    file._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    for number in range(1, 30):
        store(cache, KEYS[number])
    assert lookup(cache, KEYS[0]) is not None
    assert lookup(cache, KEYS[29]) is None
    assert len(lines()) == 1
    assert "full" in lines()[0]
    file._writer.execute("PRAGMA max_page_count = 100000")
    store(cache, KEYS[29])
    assert lookup(cache, KEYS[29]) is not None


def test_a_full_disk_behind_a_host_loses_the_batch_and_nothing_else(
    cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """The writing thread lives on."""
    with cache.lifespan(unused):
        store(cache, KEYS[0])
        behind = cache._store._behind
        assert behind is not None
        assert behind.flush()
        file = cache._store._file
        assert file is not None
        file._writer.execute("PRAGMA max_page_count = 1")
        for key in KEYS[1:]:
            store(cache, key)
        assert behind.flush()
        file._writer.execute("PRAGMA max_page_count = 100000")
        store(cache, "late")
        assert behind.flush()
        assert lookup(cache, "late") is not None
    assert len(lines()) == 1


FULL = """
import json, logging, resource, sys
from pathlib import Path
import httpx
from clippy_cache_sqlite import SqliteCache
import clippy_core
from clippy_core.testing import FakeProvider, Reply

lines = []
class Told(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())
logging.getLogger("clippy").addHandler(Told())
provider = FakeProvider(Reply(echo=True))
route = {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"}
plugin = SqliteCache(path=Path(sys.argv[1]))
host = clippy_core.Host({"cache-sqlite": plugin}, config={"routes": {"main": route}})
wrong, hits = 0, []
with clippy_core.Client(host, httpx.Client(transport=provider.transport(httpx))) as client:
    def ask(number):
        question = f"question {number} " * 400
        before = provider.calls
        wrong = client.chat(question).text != question
        assert plugin._store._behind.flush()
        return wrong, provider.calls == before
    first = [ask(number) for number in range(5)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    later = [ask(number) for number in range(200)]
    again = [ask(number) for number in range(200)]
host.close()
print(json.dumps([first, later, again, lines, provider.calls]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit for the size of files")
@pytest.mark.parametrize("limit", [60_000, 150_000, 400_000])
def test_requests_are_served_while_the_system_lets_no_file_grow(path: Path, limit: int) -> None:
    """As on a full disk: every call is answered, what is in the file is given, and it is said once."""
    command = [sys.executable, "-c", FULL, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    first, later, again, lines, calls = json.loads(done.stdout)
    assert not [wrong for wrong, _ in (*first, *later, *again) if wrong]
    assert all(hit for _, hit in later[:5])
    assert not any(hit for _, hit in later[5:])
    kept = sum(hit for _, hit in again)
    assert 5 <= kept < 200
    assert calls == 200 + 200 - kept
    (line,) = lines
    assert line.endswith("so nothing is stored")
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_locked_file_still_answers_and_stores_later(
    path: Path, cache: SqliteCache, lines: Callable[[], list[str]]
) -> None:
    """Another process writes for longer than busy_timeout."""
    store(cache, "a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store(cache, "b")
        store(cache, "c")
        assert lookup(cache, "a") is not None
        assert lookup(cache, "b") is None
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            cache.cache_invalidate(Selector())
        other.execute("ROLLBACK")
    store(cache, "b")
    assert lookup(cache, "b") is not None
    assert next(line for line in lines() if "locked" in line).endswith("nothing is stored")
    assert len(lines()) == 2


def test_a_file_that_somebody_deleted_is_begun_again(path: Path, cache: SqliteCache) -> None:
    """``rm -r ~/.cache`` under a running program costs the entries, not the cache."""
    store(cache, "a")
    for found in list(path.parent.iterdir()):
        found.unlink()
    store(cache, "b")
    assert lookup(cache, "b") is not None
    assert path.exists()
    with closing(SqliteCache(path=path)) as other:
        assert lookup(other, "b") is not None


def test_a_log_without_its_file_is_not_replayed(path: Path, cache: SqliteCache) -> None:
    """SQLite would write the old pages of an orphaned log into the new file."""
    for key in KEYS:
        store(cache, key)
    path.unlink()
    with closing(SqliteCache(path=path)) as other:
        store(other, "a")
        assert lookup(other, "a") is not None
        assert lookup(other, KEYS[5]) is None
    assert check(path) > 0


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A cache file that somebody kept, with one entry."""
    kept = tmp_path / "kept.db"
    with closing(SqliteCache(path=kept)) as other:
        store(other, "kept")
    return kept


def held(path: Path) -> set[str]:
    """The keys in a file that SQLite finds no fault with."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {key for (key,) in database.execute("SELECT key FROM entries")}


def later(seconds: float) -> RequestContext:
    return evolve(CTX, clock=VirtualClock(epoch=CLOCK.time() + seconds))


@pytest.mark.parametrize("first", ["store", "lookup", "another thread's lookup", "close"])
def test_a_backup_that_is_restored_under_it_is_used_and_keeps_its_pages(
    path: Path, cache: SqliteCache, backup: Path, first: str
) -> None:
    """The log of the file that was replaced lies beside the new one, and SQLite would write its pages into it."""
    for key in KEYS:
        store(cache, key)
    assert lookup(cache, KEYS[0]) is not None
    backup.replace(path)
    if first == "store":
        store(cache, "new")
    elif first == "lookup":
        assert cache.cache_lookup("kept", REQUEST, later(2)) is not None
    elif first == "another thread's lookup":
        assert cache._store._file is not None
        cache._store._file.readers._idle.clear()
        lookup(cache, "kept")  # a miss, which opens the file that lies there now
    else:
        cache.close()
    assert lookup(cache, "kept") is not None
    assert lookup(cache, KEYS[0]) is None
    store(cache, "new")
    cache.close()
    assert held(path) == {"kept", "new"}


def test_another_programs_database_that_takes_its_place_is_left_alone(path: Path, cache: SqliteCache) -> None:
    """Through the log of the replaced file it would look like ours."""
    for key in KEYS:
        store(cache, key)
    theirs = path.with_name("theirs.db")
    with closing(sqlite3.connect(theirs)) as database, database:
        database.execute("CREATE TABLE invoices (number INTEGER)")
    content = theirs.read_bytes()
    theirs.replace(path)
    store(cache, "new")
    assert lookup(cache, "new") is None
    cache.close()
    assert path.read_bytes() == content
    assert not path.with_name(path.name + "-wal").exists()


def test_two_caches_meet_in_the_file_that_replaced_theirs(path: Path, cache: SqliteCache, backup: Path) -> None:
    """Who notices second must not remove the log that the first one has begun."""
    with closing(SqliteCache(path=path)) as other:
        store(cache, KEYS[0])
        assert lookup(other, KEYS[0]) is not None
        backup.replace(path)
        store(cache, "mine")
        store(other, "yours")
        for one in (cache, other):
            assert [lookup(one, key) is not None for key in ("kept", "mine", "yours", KEYS[0])] == [True] * 3 + [False]
    cache.close()
    assert held(path) == {"kept", "mine", "yours"}


def test_two_caches_on_one_damaged_file_meet_again_in_the_new_one(path: Path, lines: Callable[[], list[str]]) -> None:
    """Who finds the damage second must not set the first one's new file aside."""
    path.write_bytes(good_file())
    with closing(SqliteCache(path=path)) as one, closing(SqliteCache(path=path)) as other:
        assert lookup(one, KEYS[0]) is not None
        assert lookup(other, KEYS[0]) is not None
        for cache, key in ((one, "mine"), (other, "yours")):
            file, cache._store._file = cache._store._file, None
            assert file is not None
            file.set_aside(sqlite3.DatabaseError("malformed"))
            store(cache, key)
        assert lookup(one, "yours") is not None
        assert lookup(other, "mine") is not None
    assert len(lines()) == 1


def test_a_folder_that_cannot_be_written_is_a_cache_that_misses(tmp_path: Path, lines: Callable[[], list[str]]) -> None:
    """A file where a folder should be: one line, no exception."""
    (tmp_path / "file").touch()
    with closing(SqliteCache(path=tmp_path / "file" / "cache.db")) as cache, cache.lifespan(unused):
        store(cache, "a")
        assert cache._store._behind is not None
        assert cache._store._behind.flush()
        assert lookup(cache, "a") is None
        CLOCK.advance(30)
        assert lookup(cache, "a") is None
    assert len(lines()) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("what", ["file", "folder", "both", "secret"])
def test_without_permission_to_write_it_answers_or_misses(what: str) -> None:
    """A read-only file, a read-only folder, both, or a file that may not even be read."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "cache.db"
        path.write_bytes(good_file())
        mode = 0o000 if what == "secret" else 0o444
        path.chmod(0o644 if what == "folder" else mode)
        folder.chmod(0o555 if what in ("folder", "both") else 0o755)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if os.getuid() == 0:
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                cache = SqliteCache(path=path, busy_timeout=0.05)
                hits = [lookup(cache, key) for key in KEYS[:2]]
                store(cache, "new")
                right = all(hit is None or is_right(hit, key) for key, hit in zip(KEYS, hits, strict=False))
                code = 0 if right and lookup(cache, "new") is None else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        folder.chmod(0o755)
        path.chmod(0o600)
        assert path.read_bytes()[100:] == good_file()[100:]


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """0700 for a folder that is made, 0600 for every file in it, whatever the umask; a wider file is narrowed."""
    if os.name != "posix":
        pytest.skip("modes are POSIX's")
    path = tmp_path / "made" / "cache.db"
    old = os.umask(0)
    try:
        with closing(SqliteCache(path=path)) as cache:
            store(cache, "a")
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(old)
    names = ["cache.db", "cache.db-shm", "cache.db-wal", "cache.db.lock"]
    assert modes == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    with closing(SqliteCache(path=path)) as cache:
        assert lookup(cache, "a") is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
