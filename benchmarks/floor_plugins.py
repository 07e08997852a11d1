"""What the plugins of the default stack do for a call that goes well, written out: for :mod:`benchmarks.floor`."""

from __future__ import annotations

import hashlib
import itertools
import os
import sqlite3
from collections import OrderedDict
from pathlib import Path
from time import time
from typing import Any

import orjson

STATE, SQLITE, AUDIT = 10, 11, 12
"""What they do, each with all before it."""
_TOGETHER = 20
"""So many answers are written to SQLite in one transaction."""


class Plugins:
    """Caches, flight, retry, breaker, counts and audit as plain statements, with no setting and no lock."""

    def __init__(self, folder: Path) -> None:
        self.memory: OrderedDict[str, Any] = OrderedDict()
        self.bytes = 0
        self.flights: dict[str, object] = {}
        self.budget: dict[str, float] = {"main": 10.0}
        self.breaker: dict[str, list[float]] = {"main": [0.0, 0.0]}
        self.counts = {"misses": 0, "input": 0, "output": 0}
        self.waiting: list[tuple[Any, ...]] = []
        self.numbers = itertools.count(1)
        self.file = os.open(folder / "audit.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.database = sqlite3.connect(folder / "cache.db", isolation_level=None, check_same_thread=False)
        self.database.execute("pragma journal_mode = wal")
        self.database.execute("pragma synchronous = normal")
        self.database.execute(
            "create table entries (key text primary key, expires real, size int, checksum int, model text, value blob)"
        )

    def look_up(self, key: str, last: int) -> None:
        """Both caches, the flight, what retry and breaker keep of the attempt that begins."""
        if last < STATE:
            return
        assert self.memory.get(key) is None
        if last >= SQLITE:
            found = self.database.execute("select value from entries where key = ? and expires > ?", (key, time()))
            assert found.fetchone() is None
        self.flights[key] = key
        failures, _ = self.breaker["main"]
        assert failures < 5
        assert self.budget["main"] > 0

    def store(self, key: str, entry: Any, said: Any, data: bytes, now: float, last: int) -> None:
        """The attempt ended well: its books, and the answer in both caches."""
        if last < STATE:
            return
        del self.flights[key]
        self.budget["main"] = min(10.0, self.budget["main"] + 0.1)
        self.breaker["main"][1] += 1
        self.memory[key] = entry
        self.bytes += len(data)
        while len(self.memory) > 1000:
            self.memory.popitem(last=False)
        self.counts["misses"] += 1
        if last < SQLITE:
            return
        pairs = entry.response.headers.raw
        head = [[name.decode(), value.decode()] for name, value in pairs]
        line = {"api": "openai.chat", "status": 200, "headers": head, "stored_at": now, "origin": entry.origin}
        value = orjson.dumps(line) + b"\n" + data
        checksum = int.from_bytes(hashlib.blake2b(value, digest_size=4).digest())
        self.waiting.append((key, now + 3600, len(value), checksum, said["model"], value))
        if len(self.waiting) == _TOGETHER:
            self.database.execute("begin")
            self.database.executemany("insert into entries values (?, ?, ?, ?, ?, ?)", self.waiting)
            self.database.execute("commit")
            self.waiting.clear()

    def audit(self, record: Any, last: int) -> None:
        """The record as a line of JSON, in its file before the caller has the answer."""
        if last < AUDIT:
            return
        usage, (attempt,) = record.usage, record.attempts
        line = {
            "v": 1, "time": record.time, "seq": next(self.numbers), "id": record.id, "outcome": record.outcome,
            "api": record.api, "method": record.method, "url": record.url, "model": record.model,
            "stream": record.stream, "status": record.status, "duration": record.duration, "attempts": 1,
            "usage": {"input": usage.input, "output": usage.output}, "provenance": {"source": "provider"},
            "finish_reason": record.finish_reason, "first_token": record.first_token,
            "attempt_list": [{"number": 1, "status": attempt.status, "waited": 0.0, "duration": attempt.duration}],
            "trace": [
                {"plugin": one.plugin, "hook": one.hook, "action": one.action, "ns": one.ns, "calls": one.calls}
                for one in record.trace
            ],
        }  # fmt: skip
        os.write(self.file, orjson.dumps(line) + b"\n")
