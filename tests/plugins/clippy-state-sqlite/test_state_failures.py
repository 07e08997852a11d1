"""Whatever is wrong with the file or the disk is an OSError that names the file, and ends when the cause ends."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from functools import cache as once
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import evolve
from clippy_hookspecs import StateStore
from clippy_state_sqlite import SqliteState
from clippy_state_sqlite import file as file_module
from clippy_state_sqlite.access import HOPELESS_SECONDS, LOOK_SECONDS
from clippy_state_sqlite.schema import SCHEMA
from hypothesis import given, settings
from hypothesis import strategies as st
from state_called import MEGABYTE, Called

from clippy_core import Host
from clippy_core.driven import drive
from clippy_core.testing import VirtualClock
from clippy_core.testing.contracts.processes import in_processes

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

NOBODY = 65534
CLOCK = VirtualClock()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.DEBUG, "clippy.state-sqlite")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "clippy.state-sqlite"]


def changed(path: Path, statement: str) -> None:
    """What somebody else does to the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(statement)


def fill(store: Called) -> None:
    """Some of everything, more than a page of each."""
    for number in range(60):
        store.put(f"k{number}", f"value {number} " * 20, 600.0)
        store.add(f"n{number}", number, 600.0)
        store.reserve("b", 1.0, 100.0, 600.0)
        store.lease("l", f"holder {number}", 600.0, 100)


@once
def good_file() -> bytes:
    with TemporaryDirectory() as folder:
        store = Called(Path(folder) / "state.db", CLOCK)
        fill(store)
        store.close()
        return (Path(folder) / "state.db").read_bytes()


def works(store: Called) -> None:
    """Every method does what it should; of what was there before nothing is expected."""
    store.put("new", "value", 60.0)
    assert store.get("new") == "value"
    assert store.swap("new", "value", "other", 60.0) is True
    assert store.add("new", 2, 60.0) == 2
    held = store.reserve("new", 10.0, 10.0, 60.0)
    assert store.reserve("new", 1.0, 10.0, 60.0) is None
    store.settle(held, 4.0, 60.0)
    assert store.reserve("new", 6.0, 10.0, 60.0) is not None
    assert store.lease("new", "ada", 60.0) is True
    assert store.lease("new", "bob", 60.0) is False
    store.release("new", "ada")
    assert store.lease("new", "bob", 60.0) is True


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"SQLite format 3\0" + bytes(84), b"\0" * 5000, b""], ids=["bare header", "zeros", "nothing"]
)  # fmt: skip
def test_a_file_that_can_be_a_damaged_one_of_ours_is_set_aside(content, path, opens, lines):
    """It is renamed and not deleted, a new one is begun at once, and the log says so; an empty one is just begun."""
    path.parent.mkdir()
    path.write_bytes(content)
    works(opens())
    if content:
        assert path.with_name("state.db.damaged").read_bytes() == content
        assert len(lines()) == 1
        assert str(path) in lines()[0]
    else:
        assert not lines()


places = st.integers(len(b"SQLite format 3\0"), len(good_file()) - 1)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(places, st.binary(min_size=1, max_size=40)), min_size=1, max_size=6))
def test_damage_at_any_place_costs_the_state_at_most(damage):
    """Overwriting bytes anywhere: in the end everything works, and nothing but OSError was raised before."""
    blob = bytearray(good_file())
    for place, piece in damage:
        blob[place : place + len(piece)] = piece
    with TemporaryDirectory() as folder:
        (Path(folder) / "state.db").write_bytes(blob)
        store = Called(Path(folder) / "state.db", CLOCK)
        for number in range(60):
            said = store.get(f"k{number}")
            assert said is None or isinstance(said, str)
            store.add(f"n{number}", 1, 60.0)
        store.reserve("b", 1.0, 1000.0, 60.0)
        works(store)
        store.close()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["-wal", "-shm"]), st.data())
def test_damage_to_its_log_costs_the_state_at_most(suffix, data):
    """The files beside it as a crash or another program may leave them."""
    with TemporaryDirectory() as folder:
        before = Called(Path(folder) / "state.db", CLOCK)
        fill(before)
        path = Path(folder) / "copy" / "state.db"
        shutil.copytree(folder, path.parent, ignore=shutil.ignore_patterns("copy"))
        before.close()
        beside = path.with_name(path.name + suffix)
        blob = bytearray(beside.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(blob) - 1))
            blob[place : place + 30] = data.draw(st.binary(min_size=1, max_size=30))
        beside.write_bytes(blob[: data.draw(st.integers(0, len(blob)))])
        store = Called(path, CLOCK)
        for number in range(60):
            said = store.get(f"k{number}")
            assert said is None or said == f"value {number} " * 20
        works(store)
        store.close()


def test_damage_to_an_open_file_is_noticed_and_repaired(path, opens, lines):
    """The pages change under an open connection; two stores on the file meet again in the new one."""
    one, other = opens(), opens()
    fill(one)
    one.close()
    assert other.get("nothing") is None
    assert one.get("nothing") is None
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    works(one)
    one.put("mine", "one", 60.0)
    one.clock.advance(LOOK_SECONDS)
    assert other.get("mine") == "one"
    assert path.with_name("state.db.damaged").exists()
    assert len(lines()) == 1


def test_a_value_of_another_kind_is_damage(path, opens, lines):
    """What is no text is not what was written."""
    for number, value in enumerate(("5", "X'ff'", "'text'")):
        store = opens()
        store.put("k", "v", 60.0)
        changed(path, f"UPDATE kept SET value = {value}")
        assert store.get("k") == ("text" if value == "'text'" else None)
        assert len(lines()) == min(number + 1, 2)


# --- files that are left alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"amount\n5\n"], ids=["a folder", "text"])
def test_what_is_no_database_is_left_alone(content, path, opens):
    """A wrong path costs the state and nothing of what lies there: no mode, no name, no lock beside it."""
    path.parent.mkdir()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    path.chmod(0o755)
    with pytest.raises(OSError, match="is a folder; name a" if content is None else "is no SQLite file.*; name a"):
        opens().put("k", "v", 60.0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert content is None or path.read_bytes() == content


def test_another_programs_database_is_left_alone(path, opens, lines):
    """A wrong path in the configuration costs the state, not the data; and so does the path of our own cache."""
    path.parent.mkdir()
    changed(path, "CREATE TABLE bookkeeping (amount REAL)")
    before, store = path.read_bytes(), opens()
    for _ in range(2):
        with pytest.raises(
            OSError, match=r"the state file .*state.db cannot be used: is a database of another program"
        ):
            store.put("k", "v", 60.0)
        with pytest.raises(OSError, match="another program"):
            store.get("k")
        store.clock.advance(HOPELESS_SECONDS)
    assert path.read_bytes() == before
    assert not lines()


def test_a_newer_versions_file_is_left_alone(path, opens):
    """A downgrade must not throw away what the newer version counts."""
    store = opens()
    store.put("k", "v", 60.0)
    store.close()
    changed(path, "CREATE TABLE invented_later (a)")
    changed(path, f"PRAGMA user_version = {SCHEMA.version + 1}")
    with pytest.raises(OSError, match="was written by a newer version of this plugin"):
        store.add("n", 1, 60.0)
    with closing(sqlite3.connect(path)) as newer:
        assert newer.execute("SELECT key FROM kept").fetchall() == [(b"k",)]


def test_a_file_that_a_newer_version_takes_over_while_it_is_open_is_not_moved_away(path, opens):
    """Its table is no longer as this program knows it, which is no damage."""
    store = opens()
    store.put("k", "v", 60.0)
    changed(path, "ALTER TABLE kept RENAME TO counted")
    changed(path, f"PRAGMA user_version = {SCHEMA.version + 1}")
    for _ in range(2):
        with pytest.raises(OSError, match="was written by a newer version of this plugin"):
            store.put("k", "w", 60.0)
    with closing(sqlite3.connect(path)) as newer:
        assert newer.execute("SELECT key FROM counted").fetchall() == [(b"k",)]


def test_an_older_file_is_brought_up_with_what_is_in_it(path, opens, monkeypatch):
    """A new schema version is a step more in its migrations."""
    store = opens()
    store.put("k", "v", 60.0)
    store.close()
    newer = evolve(SCHEMA, migrations=(*SCHEMA.migrations, ("CREATE TABLE invented_later (a)",)))
    monkeypatch.setattr(file_module, "SCHEMA", newer)
    assert store.get("k") == "v"
    works(store)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (newer.version,)
        assert other.execute("SELECT count(*) FROM invented_later").fetchone() == (0,)


# --- locks ------------------------------------------------------------------------------------------------------------


def test_a_locked_file_is_waited_for_once_and_then_not_for_a_second(path, opens):
    """A stopped process must not cost every request its patience; lookups go on; a free file is used at once."""
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    store = opens(wait=wait)
    store.put("k", "v", 60.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError, match=r"the state file .*state.db is locked by another process"):
            store.put("k", "w", 60.0)
        assert 3 <= len(waits) <= 9
        waits.clear()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                store.add("n", 1, 60.0)
            assert store.get("k") == "v"
        assert not waits
        store.clock.advance(HOPELESS_SECONDS)
        with pytest.raises(TimeoutError):
            store.add("n", 1, 60.0)
        assert waits
        other.execute("ROLLBACK")
    assert store.add("n", 1, 60.0) == 1


def test_a_file_that_is_soon_free_again_is_waited_for(path, opens):
    """Longer than SQLite waits by itself, shorter than the patience."""
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.execute("ROLLBACK")

    store = opens(patience=10.0, wait=wait)
    store.put("k", "v", 60.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.put("k", "w", 60.0)
    assert len(waits) == 3
    assert store.get("k") == "w"


# --- disks ------------------------------------------------------------------------------------------------------------


def test_a_full_file_makes_room_of_what_has_ended_and_else_refuses(opens):
    """Beyond max_bytes writes fail and what is there stays; nothing that counts is thrown away."""
    store = opens(max_bytes=64 * 1024)
    store.add("n", 1, 600.0)
    with pytest.raises(OSError, match=r"the state file .*: database or disk is full"):
        for number in range(100):
            store.put(f"k{number}", "x" * 1000, 60.0)
    assert store.get("k0") == "x" * 1000
    with pytest.raises(OSError, match="full"):
        store.put("large", "x" * 10_000, 60.0)
    store.clock.advance(60.0)
    store.put("large", "x" * 10_000, 60.0)
    assert store.get("large") == "x" * 10_000
    assert store.add("n", 1, 600.0) == 2


def test_a_disk_that_takes_no_more_is_an_error_and_what_was_written_stays(path):
    """The system refuses to make the files longer; with room again the store works."""

    def work(_: int) -> Any:
        store = Called(path, CLOCK)
        store.add("n", 1, 600.0)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        errors = []
        written = 0
        for number in range(400):
            try:
                store.put(f"k{number}", "x" * 1000, 600.0)
                written += 1
            except OSError as error:
                errors.append(str(error))
        still = [store.get(f"k{number}") for number in range(written)]
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        works(store)
        return errors[-1:], written, still.count("x" * 1000), store.add("n", 1, 600.0)

    (((error,), written, still, count),) = in_processes(1, work)
    assert str(path) in error
    assert 0 < written == still < 400
    assert count == 2


@pytest.mark.parametrize("what", ["file", "folder", "both", "secret"])
def test_without_permission_it_is_an_error_that_names_the_file(what):
    """A read-only file, a read-only folder, both, or a file that may not even be read; it is not changed."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "state.db"
        path.write_bytes(good_file())
        path.chmod(0o644 if what == "folder" else 0o000 if what == "secret" else 0o444)
        folder.chmod(0o555 if what in ("folder", "both") else 0o755)

        def work(_: int) -> Any:
            if os.getuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            store = Called(path, CLOCK)
            try:
                store.put("new", "v", 60.0)
            except OSError as error:
                return str(error)
            return "it was written"

        (error,) = in_processes(1, work)
        folder.chmod(0o755)
        path.chmod(0o600)
        assert error.startswith(f"the state file {path}")
        assert path.read_bytes()[100:] == good_file()[100:]


def test_a_path_that_cannot_be_one_is_an_error_and_tried_again_after_a_second(tmp_path, opens):
    """A file where a folder should be, a folder where the file should be."""
    (tmp_path / "file").touch()
    (tmp_path / "folder.db").mkdir()
    for wrong in (tmp_path / "file" / "state.db", tmp_path / "folder.db"):
        store = opens(wrong)
        with pytest.raises(OSError, match=f"the state file {wrong} cannot be used"):
            store.put("k", "v", 60.0)
    (tmp_path / "folder.db").rmdir()
    with pytest.raises(OSError, match="cannot be used"):
        store.put("k", "v", 60.0)
    store.clock.advance(HOPELESS_SECONDS)
    works(store)


def test_a_file_that_somebody_deleted_is_begun_again_by_all(path, opens):
    """``rm -r ~/.local/state`` under running programs costs the state; they meet again in the new file."""
    one, other, reader = opens(), opens(), opens()
    one.put("k", "v", 60.0)
    assert other.get("k") == reader.get("k") == "v"
    for found in list(path.parent.iterdir()):
        found.unlink()
    assert other.swap("k", None, "new", 60.0) is True
    assert one.swap("k", "new", "newer", 60.0) is True
    reader.clock.advance(LOOK_SECONDS)
    assert reader.get("k") == "newer"


def test_a_backup_that_is_restored_under_it_is_what_all_go_on_with(path, opens):
    """The log of the file that was replaced lies beside the backup, and must not be written into it."""
    kept = path.with_name("kept.db")
    backup = Called(kept, CLOCK)
    backup.put("k", "kept", 600.0)
    backup.close()
    one, other = opens(), opens()
    fill(one)
    assert other.get("k1") is not None
    kept.replace(path)
    one.put("mine", "1", 600.0)
    other.put("yours", "2", 600.0)
    for store in (one, other):
        assert [store.get(key) for key in ("k", "mine", "yours", "k1")] == ["kept", "1", "2", None]
        store.close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# --- what is there ----------------------------------------------------------------------------------------------------


def test_the_files_are_for_their_owner_only(path, opens):
    """0700 for a folder that is made, 0600 for every file in it, whatever the umask; a wider file is narrowed."""
    old = os.umask(0)
    try:
        store = opens()
        store.put("k", "v", 60.0)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(old)
    names = ["state.db", "state.db-shm", "state.db-wal", "state.db.lock"]
    assert modes == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.close()
    path.chmod(0o644)
    assert store.get("k") == "v"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -float("inf")])
def test_an_amount_that_is_no_number_is_refused(store, amount):
    """It would make every later sum one."""
    held = store.reserve("b", 1.0, 10.0, 60.0)
    for call in (
        lambda: store.add("n", amount, 60.0),
        lambda: store.reserve("b", amount, 10.0, 60.0),
        lambda: store.settle(held, amount, 60.0),
    ):
        with pytest.raises(ValueError, match="finite"):
            call()
    assert store.add("n", 1, 60.0) == 1


def test_what_is_too_long_is_refused_and_what_is_not_comes_back(opens):
    """A mebibyte of UTF-8, of values, keys and names."""
    store, longest = opens(max_bytes=16 * MEGABYTE), "x" * file_module.LONGEST
    store.put(longest, longest, 60.0)
    assert store.get(longest) == longest
    for call in (
        lambda: store.put("k", longest + "x", 60.0),
        lambda: store.put(longest + "x", "v", 60.0),
        lambda: store.lease("l", "ü" * (file_module.LONGEST // 2 + 1), 60.0),
    ):
        with pytest.raises(ValueError, match="at most 1048576"):
            call()


def test_the_default_file_is_in_the_users_state_and_made_when_something_is_written(tmp_path, monkeypatch):
    """Nothing beside the program; nothing at all while a host opens, reads and closes."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home" / "state"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    plugin = SqliteState()

    with Host({"state-sqlite": plugin}) as host:
        assert drive(host.services.get(StateStore).get("k")) is None
    assert not (tmp_path / "home").exists()
    with host:
        drive(host.services.get(StateStore).put("k", "v", 60.0))
        assert (tmp_path / "home" / "state" / "clippy" / "state-sqlite.db").exists()
    assert not list((tmp_path / "work").iterdir())
