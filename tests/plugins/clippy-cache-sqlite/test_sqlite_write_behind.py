"""What is stored is written in batches on a thread of its own, and nobody waits longer than they must."""

from __future__ import annotations

import math
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clippy_cache_sqlite import _parts
from clippy_cache_sqlite.file import CacheFile, Row
from clippy_cache_sqlite.write_behind import WriteBehind
from clippy_hookspecs import Selector


def row_of(key: str, size: int = 10) -> Row:
    return Row(key, 0.0, math.inf, 0, "", "", "", "", "", b"x" * size)


NEVER = 3600.0
"""Longer than any test: what comes sooner did not come because the time was up."""


def test_what_comes_together_is_written_together() -> None:
    """A batch waits for more, and neither a flush nor the end waits for the batch."""
    written: list[list[str]] = []
    behind = WriteBehind(lambda rows: written.append([row.key for row in rows]), gather=NEVER)
    for key in "abc":
        behind.put(row_of(key))
    assert not written
    assert behind.flush()
    assert written == [["a", "b", "c"]]
    behind.put(row_of("d"))
    behind.close()
    assert written[1:] == [["d"]]
    assert not behind._thread.is_alive()


@pytest.mark.parametrize(("count", "size"), [(128, 1), (1, 1024 * 1024)], ids=["rows", "bytes"])
def test_enough_for_a_batch_does_not_wait_for_more(count: int, size: int) -> None:
    """So many rows or bytes are written at once."""
    written = threading.Event()
    behind = WriteBehind(lambda rows: written.set(), gather=NEVER)
    for number in range(count):
        behind.put(row_of(str(number), size))
    assert written.wait(60)
    behind.close()


def test_a_large_batch_is_written_in_parts() -> None:
    """Other processes get their turn between them; the order is that of the stores."""
    release, written = threading.Event(), list[list[str]]()

    def write(rows: Any) -> None:
        release.wait(60)
        written.append([row.key for row in rows])

    behind = WriteBehind(write, gather=NEVER)
    for number in range(500):
        behind.put(row_of(str(number)))
    release.set()
    behind.close()
    assert [key for keys in written for key in keys] == [str(number) for number in range(500)]
    assert max(map(len, written)) == 128


def test_a_flush_does_not_wait_for_what_is_put_later() -> None:
    """Under a load that never ends the queue is never empty, and who invalidates comes through all the same."""

    def write(rows: Any) -> None:
        written.extend(row.key for row in rows)
        behind.put(row_of(f"after {rows[-1].key}"))
        if not len(written) % 50:
            stop.wait(60)  # were everybody's rows waited for, it would be for ever

    written, stop = list[str](), threading.Event()
    behind = WriteBehind(write)
    behind.put(row_of("first"))
    assert behind.flush()
    assert written[0] == "first"
    assert behind.pending
    behind.write = lambda rows: None
    stop.set()
    behind.close()


def test_a_writer_that_broke_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are then written by whoever stores them, and a flush that has nothing to hope for does not wait."""
    monkeypatch.setattr(threading, "excepthook", lambda args: None)

    def write(rows: Any) -> None:
        raise RuntimeError("not a failure of the file")

    behind = WriteBehind(write)
    behind.put(row_of("a"))
    behind.close()
    assert not behind.put(row_of("b"))
    assert not behind.pending
    assert behind.flush()


def test_a_full_queue_drops_and_counts() -> None:
    """Memory stays bounded when the disk is slower than the answers; a newer row replaces its older one."""
    release, written = threading.Event(), list[Row]()

    def write(rows: Any) -> None:
        release.wait(60)
        written.extend(rows)

    behind = WriteBehind(write, max_bytes=25)
    rows = [row_of(key) for key in "aabc"]
    assert all(behind.put(row) for row in rows)
    assert list(behind.pending) == ["a", "b"]
    assert behind.dropped == 1
    release.set()
    assert behind.flush()
    behind.close()
    assert written[-1] is rows[2]
    assert {row.key for row in written} == {"a", "b"}
    assert not behind.put(rows[0])


def test_a_batch_that_brings_some_keys_again_replaces_them(tmp_path: Path) -> None:
    """The bytes that are counted are those that lie there, and the newer row is the latest."""
    file = CacheFile.open(tmp_path / "cache.db", 10_000, 10_000, 2.0)
    file.write([row_of("a", 1), row_of("b", 2), row_of("c", 4)], 0.0)
    file.write([row_of("d", 8), row_of("b", 16)], 0.0)
    everything = dict.fromkeys(_parts(Selector()))
    assert [(row.key, len(row.value)) for row in file.matching(everything, 10)] == [
        ("b", 16), ("d", 8), ("c", 4), ("a", 1)
    ]  # fmt: skip
    file.close()
    with closing(sqlite3.connect(tmp_path / "cache.db")) as connection:
        assert connection.execute("SELECT bytes FROM totals").fetchall() == [(29,)]
