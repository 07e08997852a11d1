"""What clippy-cache counts, written out: for :mod:`benchmarks.floor`."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections import deque
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from benchmarks.floor_steps import LEDGER
from benchmarks.pace import A_SECOND

_GROWTH = math.log(1.02 / 0.98)
_MOST_KNOWN, _MOST_STORED, _DAYS = 10_000, 10_000, 400
_AROUND_FIELDS = b'"api":"5f7cdeb5817f6dc2","base_url":"fc99ff363de82ca6","route":"e68c1b4ca4006c0c"'
_KEYED = blake2b(key=os.urandom(32), digest_size=8)
_SCALARS: dict[tuple[str, Any], bytes] = {}


class CacheCounts:
    """Counts by name and of the newest answers what they took, in memory and from LEDGER on in a file.

    README of clippy-cache: "misses by reason, attempts, tokens, dollars and seconds", "*absent*; *gone*, which this
    process knows to have been stored before"; quantiles from buckets that grow by 4 %.  "They are written a second
    behind, in batches, by day (UTC) for 400 days; the file also has of the newest 10,000 stored answers the key, the
    model and a keyed digest of each part of the key".
    """

    def __init__(self, path: Path, last: int, a_second: int = A_SECOND) -> None:
        self.last, self.lock, self.a_second = last, threading.Lock(), a_second
        self.sums: dict[str, float] = {}
        self.buckets: dict[int, str] = {}
        self.known: dict[str, tuple[float, Any, float | None]] = {}
        self.prices: dict[str, float] = {}
        self.noted: deque[tuple[str, float, str, bytes]] = deque(maxlen=_MOST_STORED)
        self.written: dict[str, float] = {}
        self.calls = 0
        # Held open: a program that counts for a second only would open it for each batch.
        self.file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.file.execute("pragma journal_mode = wal")
        self.file.execute("pragma synchronous = normal")
        self.file.execute("create table counts (day int, name text, value real, primary key (day, name)) without rowid")
        self.file.execute("create table stored (id integer primary key, key text unique, at real, model, fields)")

    def asked(self, key: str, said: Any) -> None:
        """No cache had it: whether it is gone, and what form its answer must have ("What is never kept")."""
        assert key not in self.known
        assert said.get("response_format") is None

    def stored(self, key: str, now: float, said: Any, told: Any, usage: Any, duration: float, parts: bool) -> None:
        """Caches were given the answer: what it took, and from FIELDS on what its key was made of."""
        assert told["choices"][0]["message"].get("tool_calls") is None  # whose arguments must be JSON
        model, known = said["model"], self.known
        price = self.prices.get(model)
        with self.lock:
            known.pop(key, None)
            known[key] = (duration, usage, price)
            if len(known) > _MOST_KNOWN:
                del known[next(iter(known))]
        if self.last >= LEDGER:
            self.noted.append((key, now, model, _digests(said) if parts else b"{}"))

    def count(self, duration: float, usage: Any) -> None:
        """The request in the counts, and every hundredth time the transaction that the plugin's thread makes."""
        number = math.ceil(math.log(duration) / _GROWTH)
        latency = self.buckets.get(number) or self.buckets.setdefault(number, f"miss-latency/{number}")
        sums = self.sums
        with self.lock:
            for name, more in (
                ("miss/absent", 1), (latency, 1), ("attempts", 1), ("spent/input", usage.input),
                ("spent/output", usage.output), ("spent/unpriced", 1), ("stored/answers", 1),
            ):  # fmt: skip
                sums[name] = sums.get(name, 0) + more
        if self.last >= LEDGER:
            self.calls += 1
            if self.calls % self.a_second == 0:
                self._write()

    def _write(self) -> None:
        with self.lock:
            sums, rows = self.sums.copy(), list(self.noted)
            self.noted.clear()
        day, before, file = int(rows[-1][1] // 86400), self.written, self.file
        new = [(day, name, more) for name, value in sums.items() if (more := value - before.get(name, 0))]
        file.execute("begin immediate")
        file.executemany(
            "insert into counts values (?, ?, ?) on conflict (day, name) do update set value = value + excluded.value",
            new,
        )
        file.execute("delete from counts where day <= ?", (day - _DAYS,))
        file.executemany("insert or replace into stored (key, at, model, fields) values (?, ?, ?, ?)", rows)
        file.execute("delete from stored where id <= (select max(id) from stored) - ?", (_MOST_STORED,))
        file.execute("commit")
        self.written = sums


def _digests(said: Any) -> bytes:
    """A keyed digest of each part of the body, beside those of what is around it, which all calls of a caller share."""
    parts = [b"{", _AROUND_FIELDS]
    for name, value in said.items():
        if name == "messages":
            for place, one in enumerate(value):
                parts.append(f',"body.messages[{place}]":"{_digest(one)}"'.encode())
        else:
            # A model or a temperature comes again; what was said is remembered by nobody.
            known = _SCALARS.get((name, value))
            if known is None:
                known = _SCALARS[name, value] = f',"body.{name}":"{_digest(value)}"'.encode()
            parts.append(known)
    parts.append(b"}")
    return b"".join(parts)


def _digest(value: Any) -> str:
    digest = _KEYED.copy()
    digest.update(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()
