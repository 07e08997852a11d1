"""Four programs use one cache file, a hundred of them are killed with SIGKILL, and no wrong answer is ever given.

    python tests/support/campaign_cache_kill.py --kills 100

Each program is a host with the SQLite cache in front of a provider in process that answers a question with itself.  The
questions are the same few hundred for all, of up to 20,000 letters, more than the cache may hold; each program also
drops answers.  Every few milliseconds one of them is killed, wherever it is, and another one begins.

In the end: every answer that anybody got was that to its question; nobody had to say anything in the log; the file
opens and is sound (``PRAGMA integrity_check``, its count of bytes, and each entry in it); nobody had to begin a new
one; and a new program gets answers from it and stores more.

Exit status 1 and what was otherwise, if anything was.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import select
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
from attrs import define, field
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import load_entry

import clippy_core
from clippy_core.testing import FakeProvider, Reply

PROGRAMS, QUESTIONS, ROOM = 4, 300, 1_000_000
PATIENCE = 60.0
ROUTE = {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"}
Say = Callable[..., None]


def question(number: int) -> str:
    """One of up to 20,000 letters, which are its own."""
    return f"question {number} " * (1 + number * 7 % 1200)


# --- the programs -----------------------------------------------------------------------------------------------------


class Told(logging.Handler):
    """What the log says goes to the parent."""

    def __init__(self, say: Say) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say("log", record.getMessage())


def program(path: Path, seed: int, say: Say, requests: int | None = None) -> None:
    """Ask, now and then drop an answer or everything; for ever, or so many *requests*."""
    logging.getLogger("clippy").addHandler(Told(say))
    rng, provider = random.Random(seed), FakeProvider(Reply(echo=True))
    plugin = SqliteCache(path=path, max_bytes=ROOM, busy_timeout=PATIENCE)
    host = clippy_core.Host({"cache-sqlite": plugin}, config={"routes": {"main": ROUTE}})
    with clippy_core.Client(host, httpx.Client(transport=provider.transport(httpx))) as client:
        while requests is None or provider.calls < requests:
            number = min(int(rng.paretovariate(0.6)), QUESTIONS)
            asked = provider.calls
            text = client.chat(question(number)).text
            say("asked" if provider.calls > asked else "hit")
            if text != question(number):
                say("wrong", f"question {number} was answered {text[:40]!r}")
            if rng.random() < 0.01:
                host.invalidate(tag="none has it")
            elif rng.random() < 0.002:
                host.invalidate()
    host.close()


def process(path: Path, seed: int, pipe: int) -> None:
    """Everything a process does; it never returns."""

    def say(*what: Any) -> None:
        os.write(pipe, json.dumps(what).encode() + b"\n")

    try:
        signal.alarm(300)
        program(path, seed, say)
    except BaseException:
        say("failed", traceback.format_exc(limit=-3))
    os._exit(1)


@define
class Worker:
    """One process, and what it has said."""

    pid: int
    pipe: int
    rest: bytes = b""
    said: list[list[Any]] = field(factory=list)

    @classmethod
    def begin(cls, path: Path, seed: int) -> Worker:
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            os.close(reader)
            process(path, seed, writer)
        os.close(writer)
        return cls(pid, reader)

    def read(self) -> bool:
        """Take what it says; False at the end."""
        piece = os.read(self.pipe, 1 << 16)
        *lines, self.rest = (self.rest + piece).split(b"\n")
        self.said += [json.loads(line) for line in lines]
        return bool(piece)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        while self.read():
            pass
        os.close(self.pipe)


# --- the campaign -----------------------------------------------------------------------------------------------------


def run(path: Path, kills: int, seed: int) -> tuple[Mapping[str, int], list[str]]:
    """What the programs did, and what was wrong."""
    program(path, seed - 1, lambda *what: None, requests=1)  # what is imported late is imported before the forks
    rng, seeds = random.Random(seed), iter(range(seed, seed + kills + PROGRAMS))
    living = [Worker.begin(path, next(seeds)) for _ in range(PROGRAMS)]
    gone: list[Worker] = []
    while len(gone) < kills:
        _listen(living, rng.uniform(0.002, 0.08))
        victim = rng.choice([worker for worker in living if worker.said] or living)
        if not victim.said:
            continue
        victim.kill()
        gone.append(victim)
        living[living.index(victim)] = Worker.begin(path, next(seeds))
    for worker in living:
        worker.kill()
    said = [what for worker in (*gone, *living) for what in worker.said]
    wrong = [" ".join(what) for what in said if what[0] in ("wrong", "failed", "log")]
    return Counter(what[0] for what in said), [*wrong, *_faults_of(path), *_faults_of_another(path, seed)]


def _listen(living: list[Worker], seconds: float) -> None:
    """Hear what they say for so long."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([worker.pipe for worker in living], [], [], left)
        for worker in living:
            if worker.pipe in ready and not worker.read():
                raise SystemExit(f"a program ended by itself: {worker.said[-1:]}")


def _faults_of(path: Path) -> list[str]:
    wrong = [f"{file.name} is there" for file in path.parent.glob("*.damaged*")]
    with closing(sqlite3.connect(path)) as file:
        found = [line for (line,) in file.execute("PRAGMA integrity_check")]
        rows = file.execute("SELECT key, size, value FROM entries").fetchall()
        (counted,) = file.execute("SELECT bytes FROM totals").fetchone()
    wrong += [] if found == ["ok"] else found
    wrong += [f"{key} has {len(value)} bytes, not {size}" for key, size, value in rows if len(value) != size]
    if counted != sum(size for _, size, _ in rows) or counted > ROOM:
        wrong.append(f"its count says {counted} bytes of {ROOM}")
    for _, _, value in rows:
        text = load_entry(value).response.text
        if text != question(int(text.split()[1])):
            wrong.append(f"an entry holds {text[:40]!r}")
    return wrong


def _faults_of_another(path: Path, seed: int) -> list[str]:
    """What a new program says, which must find answers and store more."""
    said: list[tuple[Any, ...]] = []
    program(path, seed - 1, lambda *what: said.append(what), requests=20)
    wrong = [" ".join(what) for what in said if what[0] not in ("asked", "hit")]
    return [*wrong, *([] if ("hit",) in said else ["a new program got no answer from the file"])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261128)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        did, wrong = run(Path(folder) / "cache.db", options.kills, options.seed)
    asked = did["asked"] + did["hit"]
    seconds = time.monotonic() - began
    print(f"{PROGRAMS} programs at once, {options.kills} killed in {seconds:.0f} s: {asked:,} requests, ", end="")
    print(f"{did['hit']:,} answered from the file, {len(wrong)} faults")
    print("".join(f"  {what}\n" for what in wrong[:10]), end="")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
