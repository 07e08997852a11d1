"""What the plugins of the default stack do for a call that goes well, written out: for :mod:`benchmarks.floor`.

Each step names the sentence that asks for it.  Locks stand only where a thread could otherwise spoil something that
is promised: the interpreter does one operation of a dict, a list or a counter at a time by itself.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections import OrderedDict, deque
from contextvars import ContextVar
from pathlib import Path
from time import time
from typing import Any
from zlib import crc32

import orjson

from benchmarks.floor_audit import AuditFile
from benchmarks.floor_counts import CacheCounts
from benchmarks.floor_steps import ASKED, AUDIT, COUNTS, FIELDS, FILES, SQLITE, STATE
from benchmarks.pace import A_BATCH, A_SECOND

_MOST = 64 * 1024 * 1024
_HOUR = 3600.0
_DIGIT = bytes(ord("0") if chr(byte).isdecimal() and byte < 128 else ord(".") for byte in range(256))
_SAID: ContextVar[Any] = ContextVar("floor.scope", default=None)
_BLOCK: ContextVar[Any] = ContextVar("floor.caching", default=None)
_ENCODINGS = {b"gzip, deflate": True}
_log = logging.getLogger("benchmarks.floor")


class Plugins:
    """Caches, flights, retry, breaker, counts and audit as plain statements, up to and with the step ``last``."""

    def __init__(self, folder: Path, last: int, rows: int = A_BATCH, calls: int = A_SECOND) -> None:
        self.last, self.rows = last, rows
        self.lock, self.memory, self.bytes = threading.Lock(), OrderedDict[str, Any](), 0
        self.drained: dict[str, float] = {}
        self.breakers: dict[str, str] = {}
        self.well: deque[float] = deque(maxlen=50)
        self.means: dict[bytes, str] = {}
        self.around: dict[tuple[str, ...], bytes] = {}
        self.prompts: dict[tuple[str, str], list[int]] = {}
        self.counts = CacheCounts(folder / "statistics.db", last, calls)
        self.audit_file = AuditFile(folder / "audit.jsonl", last)
        self.pending: dict[str, tuple[Any, ...]] = {}
        self.queued = 0
        self.path = str(folder / "cache.db")
        self.database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma synchronous = normal")
        self.database.execute(
            "create table entries (key text primary key, expires real, size int, checksum int, model text,"
            " tenant text, user text, session text, tags text, value blob)"
        )
        self.database.execute("create table totals (bytes int)")
        self.database.execute("insert into totals values (0)")
        self.inode = os.stat(self.path).st_ino  # noqa: PTH116 - as in the step that is measured

    def begin(self, raw: Any, url: str, body: bytes) -> None:
        """Whose call it is and what it asks for.

        DESIGN.md: the scope of a block, else of headers and credentials, which stand in the key with the semantic
        headers (6); accept-encoding is cut (5); JSON by the standard library where orjson is not exact (5): integers of
        19 digits.  README of clippy-cache: the header ``X-Clippy-Cache`` and the block around the call.
        """
        if self.last < ASKED:
            return
        means, found = self.means, [url]
        for name, value in raw:
            what = means.get(name)
            if what is None:
                what = means[name] = _meaning(name.lower())
            if what == "encodings":
                assert value in _ENCODINGS
            elif what:
                found.append(what + value.decode())
        assert _SAID.get() is None
        assert _BLOCK.get() is None
        key = tuple(found)
        if key not in self.around:
            self.around[key] = b""
        assert b"000" not in body[::6].translate(_DIGIT)

    def look_up(self, key: str, said: Any, canonical: bytes) -> None:
        """Both caches, whether it may share a flight, what retry and breaker know of the attempt that begins."""
        last = self.last
        if last < STATE:
            return
        assert self.memory.get(key) is None
        if last >= SQLITE:
            assert key not in self.pending  # "A lookup of the same process sees what is queued"
            found = self.database.execute(
                "select value, checksum from entries where key = ? and expires > ?", (key, time())
            )
            assert found.fetchone() is None
        assert said.get("temperature", 1) != 0  # else it would share a flight (README of clippy-dedup)
        # Breakers keep their state in a service (DESIGN.md, 6), whose functions are async (4).
        opened = None
        try:
            self._kept("main").send(None)
        except StopIteration as done:
            opened = done.value
        assert opened is None
        if last >= ASKED:
            assert b".0" not in canonical  # 1 and 1.0 are one number in a key (DESIGN.md, 5)
        if last >= COUNTS:
            self.counts.asked(key, said)

    def store(
        self, key: str, entry: Any, said: Any, told: Any, data: bytes, now: float, duration: float, usage: Any
    ) -> None:
        """The attempt ended well: its books, and the answer in both caches, which say what they keep."""
        last = self.last
        if last < STATE:
            return
        if self.drained:
            raise AssertionError("no retry was made")
        self.well.append(now)
        pairs = entry.response.headers.raw
        size = len(data) + sum([len(name) + len(value) for name, value in pairs])
        with self.lock:
            self.memory[key] = (entry, now + _HOUR, size)
            self.bytes += size
            while self.bytes > _MOST:
                self.bytes -= self.memory.popitem(last=False)[1][2]
        if last >= SQLITE:
            self._queue(key, entry, said["model"], pairs, data, now)
        if last >= COUNTS:
            self.counts.stored(key, now, said, told, usage, duration, last >= FIELDS)

    async def _kept(self, route: str) -> str | None:
        return self.breakers.get(route)

    def _queue(self, key: str, entry: Any, model: str, pairs: Any, data: bytes, now: float) -> None:
        """One row, and every tenth time the transaction that the thread of clippy-cache-sqlite makes."""
        head = [[name.decode(), value.decode()] for name, value in pairs]
        line = {"api": "openai.chat", "status": 200, "headers": head, "stored_at": now, "origin": entry.origin}
        value = orjson.dumps(line) + b"\n" + data
        size, checksum = len(value), crc32(value, crc32(key.encode()))
        self.pending[key] = (key, now + _HOUR, size, checksum, model, "null", "null", "null", "", value)
        self.queued += size  # of 16 MiB, which would be too many
        if len(self.pending) == self.rows:
            self._write()

    def _write(self) -> None:
        database, pending, rows = self.database, self.pending, list(self.pending.values())
        if self.last >= FILES:
            assert os.stat(self.path).st_ino == self.inode  # noqa: PTH116 - "Somebody deleted the file"
        database.execute("begin immediate")
        if self.last >= FILES:
            # "Bytes of stored answers kept in all. Beyond it the oldest go first", of all processes, at every time.
            marks = ",".join("?" * len(rows))
            (gone,) = database.execute(
                f"select total(size) from entries where key in ({marks})",
                list(pending),
            ).fetchone()
            more = self.queued - int(gone)
            (total,) = database.execute("update totals set bytes = bytes + ? returning bytes", (more,)).fetchone()
            assert total <= 256 * 1024 * 1024
        database.executemany("insert or replace into entries values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        database.execute("commit")
        for row in rows:
            if pending.get(row[0]) is row:
                del pending[row[0]]
        self.queued = 0

    def audit(self, record: Any) -> None:
        """Counts of what was used, and the record in its file."""
        last = self.last
        if last < AUDIT:
            return
        if last >= COUNTS:
            # README of clippy-prompt-cache: what was read from the providers' caches and written to them.
            key, usage = (record.route, record.model), record.usage
            with self.lock:
                line = self.prompts.get(key) or self.prompts.setdefault(key, [0, 0, 0, 0])
                line[0] += 1
                line[1] += usage.input
                line[2] += usage.cache_read
                line[3] += usage.cache_write
            self.counts.count(record.duration, record.usage)
            # README of clippy-telemetry-log: a program that has not set up logging prints nothing.
            assert not _log.isEnabledFor(logging.INFO)
        self.audit_file.write(record)


def _meaning(name: bytes) -> str:
    """What a request's header is to us, remembered by its name: "" for nothing."""
    if name == b"accept-encoding":
        return "encodings"
    words = {b"authorization", b"auth", b"key", b"token", b"secret", b"cookie"}
    told = name.startswith((b"x-clippy-", b"openai-", b"anthropic-")) or not words.isdisjoint(name.split(b"-"))
    return name.decode() if told or name == b"accept-language" else ""
