"""Many processes share one cache file, and none of them can break it for the others, not even by being killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from campaign_cache_kill import run
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import CacheEntry, Headers, Request, RequestContext, Scope
from clippy_hookspecs.stored import undecoded_entry

from clippy_core.testing.clock import VirtualClock

REQUEST = Request()
SECONDS = 60
WORKER = """
import sys
from contextlib import nullcontext
from pathlib import Path
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import CacheControl, Headers, Request, Scope
from clippy_hookspecs.stored import undecoded_entry

class Context:
    scope = Scope()
    cache_control = CacheControl()
    class clock:
        time = staticmethod(lambda: 1000.0)

def body(key):
    return f"the answer to {key} ".encode() * 200

path, name, count, behind = sys.argv[1:]
cache = SqliteCache(path=Path(path) if path else None, busy_timeout=30)
with cache.lifespan(None) if behind == "behind" else nullcontext():
    for number in range(int(count)):
        key = f"{name} {number}"
        entry = undecoded_entry(body(key), "test", 200, Headers(), (), 1000.0, None, (), key)
        cache.cache_store(key, entry, Request(), Context)
        for other in "abcd":
            hit = cache.cache_lookup(f"{other} {number}", Request(), Context)
            assert hit is None or (hit.origin == f"{other} {number}" and hit.response.raw == body(hit.origin))
        assert cache.cache_lookup(key, Request(), Context) is not None
        print(key, flush=True)
cache.close()
"""


class Frozen(VirtualClock):
    """The workers' time."""

    def time(self) -> float:
        return 1000.0


unused: Any = None
CTX = RequestContext(id="r", scope=Scope(), clock=Frozen(), services=unused, route=unused, flow=unused)


def start(path: Path | str, name: str, count: int, behind: str = "inline", **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(path), name, str(count), behind]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finish(worker: subprocess.Popen[str]) -> list[str]:
    out, err = worker.communicate(timeout=SECONDS)
    assert (worker.returncode, err) == (0, "")
    return out.splitlines()


def store(cache: SqliteCache, key: str) -> None:
    body = f"the answer to {key} ".encode() * 200
    cache.cache_store(key, undecoded_entry(body, "test", 200, Headers(), (), 1000.0, None, (), key), REQUEST, CTX)


def lookup(cache: SqliteCache, key: str) -> CacheEntry | None:
    return cache.cache_lookup(key, REQUEST, CTX)


def is_right(hit: CacheEntry, key: str) -> bool:
    return hit.response.raw == f"the answer to {key} ".encode() * 200 and hit.origin == key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache.db"


@pytest.fixture
def cache(path: Path) -> Iterator[SqliteCache]:
    cache = SqliteCache(path=path)
    yield cache
    cache.close()


@pytest.mark.parametrize("behind", ["inline", "behind"])
def test_four_processes_share_one_file_from_its_first_moment(path: Path, cache: SqliteCache, behind: str) -> None:
    """They all begin it at once; every answer that one of them stored is there for everybody, whole."""
    workers = [start(path, name, 60, behind) for name in "abcd"]
    keys = [key for worker in workers for key in finish(worker)]
    assert len(keys) == 240
    for key in keys:
        hit = lookup(cache, key)
        assert hit is not None
        assert is_right(hit, key)
    assert not path.with_name("cache.db.damaged").exists()


@pytest.mark.parametrize("behind", ["inline", "behind"])
def test_a_killed_writer_leaves_a_file_that_works(path: Path, cache: SqliteCache, behind: str) -> None:
    """kill -9 in the middle of a store: what was written is right, nothing is locked, and nothing is set aside."""
    for name in "cd":
        with start(path, name, 100_000, behind) as worker:
            assert worker.stdout is not None
            said = [worker.stdout.readline().strip()]
            # Until this process sees the first one written, and some more.
            while not lookup(cache, said[0]) or len(said) < 50:
                said.append(worker.stdout.readline().strip())
            worker.send_signal(signal.SIGKILL)
            worker.communicate(timeout=SECONDS)
        hits = [(key, hit) for key in said if (hit := lookup(cache, key))]
        assert all(is_right(hit, key) for key, hit in hits)
        # Written at once is kept; written behind may lose what was waiting.
        assert len(hits) == len(said) if behind == "inline" else hits
    assert not path.with_name("cache.db.damaged").exists()
    finish(start(path, "b", 3))
    assert lookup(cache, "b 2") is not None
    cache.close()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_programs_that_are_killed_amid_requests_break_nothing_for_the_others(path: Path) -> None:
    """Four at a time, each a whole host, wherever they are; tests/support/campaign_cache_kill.py kills a hundred."""
    did, wrong = run(path, kills=8, seed=1)
    assert wrong == []
    assert did["hit"] > 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_opens_its_own_file_and_leaves_its_parents_open(path: Path, cache: SqliteCache) -> None:
    """The child neither uses nor closes what it inherited, reads what was stored and adds its own, host or not."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")

    store(cache, "before")
    with cache.lifespan(unused):
        store(cache, "behind")
        inherited = cache._store
        assert inherited._behind is not None
        assert inherited._behind.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                assert cache._store is not inherited
                assert lookup(cache, "before")
                store(cache, "by the child")
                with cache.lifespan(unused):
                    store(cache, "behind the child")
                code = 0 if lookup(cache, "behind the child") and lookup(cache, "by the child") else 2
                cache.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert cache._store is inherited
        for key in ("before", "behind", "by the child", "behind the child"):
            hit = lookup(cache, key)
            assert hit is not None
            assert is_right(hit, key)
        store(cache, "after")
    assert lookup(cache, "after") is not None


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_does_not_write_what_its_parent_has_waiting(path: Path, cache: SqliteCache) -> None:
    """The child misses it and ends without a trace; the parent writes it, once."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    entry = undecoded_entry(b"{}", "test", 200, Headers(), (), 1000.0, None, (), "")
    with cache.lifespan(unused):
        behind = cache._store._behind
        assert behind is not None
        behind.gather = 3600.0
        cache.cache_store("waits", entry, REQUEST, CTX)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if lookup(cache, "waits") is None else 2
                cache.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert list(behind.pending) == ["waits"]
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT key FROM entries").fetchall() == [("waits",)]


ONE_CALL = """
import asyncio, sys
from pathlib import Path
import httpx
from clippy_cache_sqlite import SqliteCache
from clippy_core import Host
from clippy_core.testing import FakeProvider, Reply

path, how = sys.argv[1:]
provider = FakeProvider(Reply("Hello"))
host = Host({"cache-sqlite": SqliteCache(path=Path(path))})
question = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
url = "https://api.openai.com/v1/chat/completions"

async def ask():
    await host.wrap(provider.async_client(httpx)).post(url, json=question)

if how == "async":
    asyncio.run(ask())
else:
    host.wrap(provider.client(httpx)).post(url, json=question)
if how == "dropped":
    del host
print(provider.calls)
"""


@pytest.mark.parametrize("how", ["sync", "async", "dropped"])
def test_a_program_that_ends_without_closing_its_host_keeps_its_answers(path: Path, how: str) -> None:
    """A script of one call is answered from the file the next time, though nobody waited for the batch."""
    command = [sys.executable, "-c", ONE_CALL, str(path), how]
    runs = [subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False) for _ in range(2)]
    assert [(run.stdout.strip(), run.stderr) for run in runs] == [("1", ""), ("0", "")]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_process_forked_while_a_thread_writes_can_write_too(path: Path) -> None:
    """SQLite's notes of who holds which lock are the process's: copied amid a transaction they would never be true."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    cache = SqliteCache(path=path, busy_timeout=30)
    store(cache, "before")
    file, begun = cache._store._file, threading.Event()
    assert file is not None

    def write() -> None:
        with file._writing:
            file._writer.execute("BEGIN IMMEDIATE")
            begun.set()
            threading.Event().wait(0.1)
            file._writer.execute("COMMIT")

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(SECONDS)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store(cache, "child")
            code = 0 if lookup(cache, "before") and lookup(cache, "child") else 2
            cache.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    thread.join()
    store(cache, "after")
    assert all(lookup(cache, key) for key in ("before", "child", "after"))
    cache.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_process_forked_while_a_thread_reads_has_nothing_of_the_file_open(path: Path) -> None:
    """The fork waits for the lookup: SQLite's own locks, held at that moment, would be held in the child for ever."""
    descriptors = Path("/proc/self/fd")
    if not hasattr(os, "fork") or not descriptors.exists():
        pytest.skip("this system cannot fork, or does not say which files are open")
    cache = SqliteCache(path=path)
    store(cache, "before")
    assert lookup(cache, "before")
    file, begun = cache._store._file, threading.Event()
    assert file is not None
    (cursor,) = file.readers._idle

    def slowly() -> int:
        if not begun.is_set():
            begun.set()
            threading.Event().wait(0.1)
        return 0

    cursor.connection.set_progress_handler(slowly, 1)
    found: list[CacheEntry | None] = []
    thread = threading.Thread(target=lambda: found.append(lookup(cache, "before")))
    thread.start()
    assert begun.wait(SECONDS)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            held = [one.readlink().name for one in descriptors.iterdir() if one.is_symlink()]
            code = 2 if any(name.startswith("cache.db") for name in held) else 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    thread.join()
    assert found[0] is not None
    assert lookup(cache, "before")
    cache.close()


def test_the_default_file_is_in_the_users_cache_folder_and_private(tmp_path: Path) -> None:
    """A wide umask and an empty home: 0700 for the folder, 0600 for all files in it, none beside the program."""
    if os.name != "posix":
        pytest.skip("modes are POSIX's")
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "caches")}
    with start("", "a", 100_000, cwd=work, env=environment, umask=0) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "a 0\n"
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=SECONDS)
    (folder,) = {file.parent for file in home.rglob("cache-sqlite.db*")}
    assert folder.name == "clippy"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert {"cache-sqlite.db", "cache-sqlite.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert not list(work.iterdir())


def test_importing_and_configuring_touch_no_disk(tmp_path: Path) -> None:
    """An installed cache that nobody asks leaves no folder behind."""
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "caches")}
    code = "from clippy_cache_sqlite import SqliteCache\nwith SqliteCache().lifespan(None): pass"
    subprocess.run([sys.executable, "-B", "-c", code], check=True, timeout=SECONDS, env=environment)
    assert not list(tmp_path.iterdir())
