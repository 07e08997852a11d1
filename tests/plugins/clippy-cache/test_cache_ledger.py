"""The file of statistics adds up what all programs counted, and never fails a request."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from calling import Caller
from clippy_cache import CachePolicy, Statistics
from clippy_cache.ledger import Ledger
from clippy_cache.ledger_file import MOST_DAYS, MOST_STORED, StoredKey, _object, opened, read_counts, read_file, write
from clippy_cache_memory import MemoryCache
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "statistics.db"


def used(path: Path, questions: int) -> Statistics:
    """What one program counted that asked so many questions twice each."""
    policy, caller = CachePolicy(keep_statistics=path), Caller("sync", httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache()})
    with caller.host:
        for number in range(questions):
            caller.chat(f"question {number}")
            caller.chat(f"question {number}")
    return policy.statistics()


def test_programs_add_up_their_counts(path: Path) -> None:
    """One after the other, and each host that opens again adds what is new only."""
    counted = [used(path, 3), used(path, 2)]
    found = Statistics.of(read_file(path)[0])
    assert found.requests == sum(one.requests for one in counted) == 10
    assert found.hits == {("exact", "cache-memory"): 5}
    assert found.attempts == 5
    assert found.hit_latency.count == 5


def test_a_host_that_opens_twice_counts_once(path: Path) -> None:
    policy, caller = CachePolicy(keep_statistics=path), Caller("sync", httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache()})
    for number in range(3):
        with caller.host:
            caller.chat(f"question {number}")
    found, stored = read_file(path)
    assert Statistics.of(found) == policy.statistics()
    assert len(stored) == 3


def test_the_file_is_its_owners_alone(path: Path) -> None:
    used(path, 1)
    assert [stat.S_IMODE(one.stat().st_mode) & 0o077 for one in path.parent.iterdir()] == [0] * len(
        list(path.parent.iterdir())
    )


def test_what_a_stored_answer_was_made_of_is_kept_without_its_content(path: Path) -> None:
    used(path, 1)
    (one,) = read_file(path)[1]
    assert {"scope", "body.messages[0]", "fingerprint"} <= one.fields.keys()
    assert one.model == "test-model"
    assert b"question" not in path.read_bytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_counts_its_own(path: Path) -> None:
    policy, caller = CachePolicy(keep_statistics=path), Caller("sync", httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache()})
    with caller.host:
        caller.chat("before")
        child = os.fork()
        if not child:
            try:
                with caller.host:
                    caller.chat("in the child")
                ok = policy.statistics().requests == 1
            finally:
                os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert Statistics.of(read_file(path)[0]).requests == 2


def test_threads_of_several_ledgers_lose_nothing(path: Path) -> None:
    """Four writers of one file at once."""

    def write_all() -> None:
        counts = {"miss/absent": 0.0}
        ledger = Ledger(path, lambda: dict(counts), gather=0.0)
        for _ in range(10):
            counts["miss/absent"] += 1
            ledger.changed(0.0)
            ledger.flush()

    threads = [threading.Thread(target=write_all) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert read_file(path)[0] == {"miss/absent": 40.0}


@pytest.mark.parametrize("how", ["folder", "strange"])
def test_a_file_that_cannot_be_written_is_said_once_and_fails_nothing(
    path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    if how == "folder":
        path.mkdir()
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
    with caplog.at_level(logging.WARNING, "clippy.cache"):
        policy, caller = CachePolicy(keep_statistics=path), Caller("sync", httpx)
        caller.start({"cache": policy, "cache-memory": MemoryCache()})
        for number in range(3):
            with caller.host:
                caller.chat(f"question {number}")
    assert policy.statistics().requests == 3
    assert [record.getMessage()[:60] for record in caplog.records] == [
        "cache statistics are counted in this process only: the file "
    ]


def test_a_disk_that_was_full_gets_what_was_counted_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"miss/absent": 1.0}
    ledger = Ledger(path, lambda: dict(counts))
    ledger.store(StoredKey("k", 0.0, "m", {"scope": "a"}))

    def full(_: Path) -> Any:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("clippy_cache.ledger.opened", full)
        ledger.flush()
    assert not path.exists()
    counts["miss/absent"] = 3.0
    ledger.flush()
    found, stored = read_file(path)
    assert (found, [one.key for one in stored]) == ({"miss/absent": 3.0}, ["k"])


@given(
    st.dictionaries(st.text(st.characters(), max_size=300), st.floats() | st.integers(), max_size=5),
    st.text(st.characters(), max_size=300),
    st.floats(),
)
def test_whatever_is_counted_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, counts: dict[str, float], model: str, now: float
) -> None:
    """Names and models are other people's words, and half a character among them is no reason to write nothing."""
    path = tmp_path_factory.mktemp("odd") / "s.db"
    ledger = Ledger(path, lambda: {**counts, "attempts": 1.0})
    ledger.changed(now)
    ledger.store(StoredKey("k", 1.0, model, {"scope": "a"}))
    ledger.flush()
    found, stored = read_file(path)
    assert found["attempts"] == 1.0
    assert [one.key for one in stored] == ["k"]


def test_old_days_and_old_keys_go(path: Path) -> None:
    with opened(path) as connection:
        for day in (1, 2, MOST_DAYS + 1):
            write(connection, day, {"miss/absent": 1.0}, ())
        assert read_counts(connection) == {"miss/absent": 2.0}
        assert read_counts(connection, since=3) == {"miss/absent": 1.0}
        keys = [StoredKey(f"k{number}", 0.0, "m", {}) for number in range(MOST_STORED + 20)]
        write(connection, 1, {}, keys)
    stored = read_file(path)[1]
    assert (len(stored), stored[0].key, stored[-1].key) == (MOST_STORED, f"k{MOST_STORED + 19}", "k20")


ODD = st.none() | st.integers(-(2**62), 2**62) | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda one: st.lists(one) | st.dictionaries(st.text(max_size=3), one),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [
        "hit/exact/x",
        "hit/",
        "miss/",
        "attempts",
        "attempts/x",
        "hit-latency/5",
        "hit-latency/-",
        "miss-latency/99999999",
        "saved/input",
        "",
        "/",
    ]
)


@given(
    st.dictionaries(NAMES | st.text(max_size=5), ODD, max_size=6),
    st.lists(st.tuples(ODD, ODD, ODD, ODD | JSONS.map(json.dumps) | st.just('{"a":' * 9000)), max_size=4),
)
def test_whatever_stands_in_the_file_is_read_as_counts_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, counts: dict[str, Any], stored: list[tuple[Any, ...]]
) -> None:
    path = tmp_path_factory.mktemp("hostile") / "s.db"
    with opened(path) as connection:
        for name, value in counts.items():
            connection.execute("INSERT OR IGNORE INTO counts VALUES (1, ?, coalesce(?, 0))", (name, value))
        for key, at, model, fields in stored:
            connection.execute(
                "INSERT OR IGNORE INTO stored (key, at, model, fields)"
                " VALUES (coalesce(?, 1), coalesce(?, 2), coalesce(?, 3), coalesce(?, 4))",
                (key, at, model, fields),
            )
    found, keys = read_file(path)
    document = Statistics.of(found).document()
    json.dumps(document, allow_nan=False)
    assert all(isinstance(one.key, str) and isinstance(one.at, float) for one in keys)


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    used(path, 1)
    path.write_bytes(b"SQLite format 3\0" * 100)
    used(path, 2)
    assert Statistics.of(read_file(path)[0]).requests == 4
    assert path.with_name(path.name + ".damaged").exists()


def test_a_wrong_path_costs_the_statistics_and_nothing_of_what_lies_there(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"amount\n5\n")
    path.chmod(0o644)
    used(path, 2)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"amount\n5\n", 0o644)
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    (said,) = [record.getMessage() for record in caplog.records if record.name == "clippy.cache"]
    assert said.endswith("is no SQLite file, so it is left as it is; name another one")


def test_nothing_is_written_where_statistics_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clippy_cache.policy._default_path", lambda: tmp_path / "s.db")
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache()})
    with caller.host:
        caller.chat("one")
    assert list(tmp_path.iterdir()) == []
    assert CachePolicy().path == tmp_path / "s.db"


def test_a_file_that_is_put_in_the_place_of_the_open_one_gets_nothing_of_its_log(tmp_path: Path) -> None:
    path, backup = tmp_path / "statistics.db", tmp_path / "backup.db"
    with opened(backup) as connection:
        write(connection, 1, {"hits": 1.0}, ())
    with opened(path) as connection:
        write(connection, 1, {"hits": 5.0}, ())
        backup.replace(path)
    assert read_file(path)[0] == {"hits": 1.0}
    assert not path.with_name("statistics.db-wal").exists()


@given(st.dictionaries(st.text(), st.text()))
def test_the_fields_of_a_key_are_written_as_json(fields: dict[str, str]) -> None:
    """Also where a name, which is a caller's, holds quotes, backslashes, line feeds or half a character."""
    assert _object(fields) == json.dumps(fields)
