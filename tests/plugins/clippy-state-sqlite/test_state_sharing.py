"""Threads, event loops, hosts and forked processes use one file at once, and nobody stops an event loop for long."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from clippy_hookspecs import StateStore
from clippy_state_sqlite import SqliteState
from clippy_state_sqlite.access import Access
from clippy_state_sqlite.store import SqliteStateStore
from state_called import MEGABYTE

from clippy_core import Host
from clippy_core.driven import drive
from clippy_core.testing import VirtualClock
from clippy_core.testing.contracts.base import in_threads
from clippy_core.testing.contracts.processes import in_processes

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def host_on(path: Path, clock: VirtualClock | None = None) -> Host:
    return Host({"state-sqlite": SqliteState(path=path)}, clock=clock or VirtualClock())


def store_of(host: Host) -> Any:
    return host.services.get(StateStore)


# --- at once ----------------------------------------------------------------------------------------------------------


def test_two_hosts_of_one_process_share_a_file_and_close_it_each_for_itself(path):
    """A gateway and a client in one program; and each goes by its own clock."""
    with host_on(path) as one:
        with host_on(path) as other:
            drive(store_of(one).put("k", "v", 60.0))
            assert drive(store_of(other).get("k")) == "v"
            assert drive(store_of(other).lease("l", "ada", 60.0)) is True
        assert drive(store_of(one).lease("l", "bob", 60.0)) is False
        with host_on(path) as late:
            late.clock.advance(60.0)
            assert drive(store_of(late).get("k")) is None
        assert drive(store_of(one).get("k")) == "v"


def test_two_files_are_two_states(tmp_path):
    """Programs that should not count together have a path each."""
    with host_on(tmp_path / "one.db") as one, host_on(tmp_path / "other.db") as other:
        assert drive(store_of(one).add("n", 1, 60.0)) == 1
        assert drive(store_of(other).add("n", 1, 60.0)) == 1


def test_threads_asyncio_and_trio_count_together(store):
    """One plugin, three threads, an asyncio loop and a trio loop, a hundred additions each."""

    async def several() -> None:
        async def one() -> None:
            for _ in range(25):
                await store.both.add("n", 1, 60.0)
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one)

    def work(number: int) -> None:
        if number < 3:
            for _ in range(100):
                store.add("n", 1, 60.0)
        else:
            anyio.run(several, backend=("asyncio", "trio")[number - 3])

    in_threads(5, work)
    assert store.add("n", 0, 60.0) == 500


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_task_that_waits_for_the_file_lets_others_run(path, opens, backend):
    """Another process has the lock; another task of the loop is what lets it go."""
    store = opens(patience=30.0)
    store.put("k", "v", 60.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        order: list[str] = []

        async def writes() -> None:
            await store.both.put("k", "w", 60.0)
            order.append("written")

        async def lets_go() -> None:
            order.append("let go")
            other.execute("ROLLBACK")

        async def both() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(writes)
                await anyio.lowlevel.checkpoint()
                group.start_soon(lets_go)

        anyio.run(both, backend=backend)
    assert order == ["let go", "written"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_sync_host_waits_in_place_even_inside_a_task(path, backend):
    """A sync client that is called in a notebook drives its coroutines itself: a suspension there would be an error."""
    plugin = SqliteState(path=path, busy_timeout=0.02)
    with Host({"state-sqlite": plugin}) as host:
        drive(store_of(host).put("k", "v", 60.0))
        other = sqlite3.connect(path, isolation_level=None)

        async def notebook() -> None:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(TimeoutError, match="is locked by another process"):
                drive(store_of(host).put("k", "w", 60.0))
            other.close()

        anyio.run(notebook, backend=backend)
        assert drive(store_of(host).get("k")) == "v"


# --- forks ------------------------------------------------------------------------------------------------------------


def test_a_process_forked_while_a_thread_writes_can_write_too(store):
    """SQLite's notes of who holds which lock are the process's: copied amid a transaction they would never be true."""
    store.put("k", "v", 60.0)
    file, begun, over = store.access._file, threading.Event(), threading.Event()

    def write() -> None:
        with file._writing:
            file._writer.execute("BEGIN IMMEDIATE")
            begun.set()
            threading.Event().wait(0.1)
            file._writer.execute("COMMIT")
        over.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(60)

    def work(number: int) -> Any:
        total = store.add("n", 1, 60.0)
        store.close()
        return total

    assert sorted(in_processes(2, work)) == [1, 2]
    assert over.is_set()
    thread.join()
    assert store.add("n", 1, 60.0) == 3


def test_a_process_forked_while_a_thread_reads_has_nothing_of_the_file_open(store):
    """The fork waits for the lookup: SQLite's own locks, held at that moment, would be held in the child for ever."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("this system does not say which files are open")
    store.put("k", "v", 60.0)
    assert store.get("k") == "v"
    (cursor,) = store.access._file._readers._idle
    begun = threading.Event()

    def slowly() -> int:
        if not begun.is_set():
            begun.set()
            threading.Event().wait(0.1)
        return 0

    cursor.connection.set_progress_handler(slowly, 1)
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(store.get("k")))
    thread.start()
    assert begun.wait(60)

    def work(_: int) -> Any:
        names = [one.readlink().name for one in descriptors.iterdir() if one.is_symlink()]
        return [name for name in names if name.startswith("state.db")]

    assert in_processes(1, work) == [[]]
    thread.join()
    assert found == ["v"]


def test_threads_that_write_while_others_fork_lose_nothing(store):
    """The file is closed under them and opened again, as often as somebody forks; each child counts one."""
    store.add("n", 0, 600.0)

    def work(number: int) -> int:
        if number < 3:
            for _ in range(200):
                store.add("n", 1, 600.0)
                assert store.get("nothing") is None
            return 200
        return sum(len(in_processes(2, lambda _: store.add("n", 1, 600.0))) for _ in range(8))

    added = sum(in_threads(5, work))
    assert added == 632
    assert store.add("n", 0, 600.0) == added


def test_a_write_is_made_however_often_others_close_the_file_before_it(path):
    """Between opening and statement forks and closing hosts can take the file away every time; at last they wait."""
    access = Access(path, MEGABYTE)
    closings: list[threading.Thread] = []

    def write(file: Any, now: float) -> float:
        closings.append(threading.Thread(target=access.close))
        closings[-1].start()
        closings[-1].join(0.05)
        return float(file.add(b"n", 1.0, now + 600.0, now))

    assert access.attempt(write) == 1.0
    for thread in closings:
        thread.join()
    assert len(closings) > 1


def test_a_child_that_outlives_its_parents_host_keeps_its_own(path):
    """What the parent closes it closes for itself; and what the child closes, for itself."""
    host = host_on(path)
    host.open()
    drive(store_of(host).put("k", "v", 60.0))
    asked, answer = os.pipe(), os.pipe()

    def work(_: int) -> Any:
        host.open()
        mine = store_of(host)
        said = [drive(mine.get("k"))]
        os.write(asked[1], b"x")
        os.read(answer[0], 1)
        said += [drive(mine.add("n", 1, 60.0)), drive(mine.get("k"))]
        host.close()
        return said

    def close_amid() -> None:
        os.read(asked[0], 1)
        host.close()
        os.write(answer[1], b"x")

    closing_thread = threading.Thread(target=close_amid)
    closing_thread.start()
    assert in_processes(1, work) == [["v", 1.0, "v"]]
    closing_thread.join()
    with host:
        assert drive(store_of(host).add("n", 1, 60.0)) == 2
    for end in (*asked, *answer):
        os.close(end)


def test_without_a_host_the_machines_time_counts(path):
    """For programs that use the store by itself."""
    access = Access(path, MEGABYTE)
    store: Any = SqliteStateStore.on(access, 1.0).blocking
    held = drive(store.reserve("b", 1.0, 10.0, 60.0))
    assert abs(held.expires_at - time.time() - 60.0) < 30.0
    drive(store.put("k", "v", 3600.0))
    drive(store.put("gone", "v", 1e-9))
    assert drive(store.get("k")) == "v"
    assert drive(store.get("gone")) is None
    access.close()
