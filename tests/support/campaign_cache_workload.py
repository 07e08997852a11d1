"""Ten thousand requests, some questions far more often than others, and each cache answers exactly what its model does.

    python tests/support/campaign_cache_workload.py
    python tests/support/campaign_cache_workload.py --requests 2000 --only memory,sqlite

Question number n of 2,000 is asked with a probability proportional to 1 / n (Zipf, exponent 1.0; ``--seed``, by default
20261128).  Each goes through a host, its own client and its cache plugin to a provider in process.  Two seconds pass
between two requests on average, an answer lives twenty minutes, and there is room for 350,000 bytes of the answers
(on a Redis server for as many as come).  A model says for each request whether it is a hit, and if not, why: *new*,
nobody has asked it before; *expired*, its answer was older than the ttl; *evicted*, there was no room (the memory drops
what was not asked for longest, the file what was stored first).

Exit status 1 if one request was answered otherwise than the model said, or with another answer than the provider's.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
from attrs import define, field
from clippy_cache_memory import MemoryCache
from clippy_cache_redis import RedisCache
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import CacheEntry, dump_entry, hookimpl
from redis_server import RedisServer

import clippy_core
from clippy_core.testing import FakeProvider, Reply, VirtualClock

SEED, EXPONENT, QUESTIONS = 20261128, 1.0, 2_000
TTL, BETWEEN = 1200.0, 2.0
ROUTE = {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"}
CAUSES = ("hit", "new", "expired", "evicted")


@define(eq=False)
class Model:
    """A cache as its README describes it, the slow way; *least_recent*: which one goes when there is no room.

    It is the outermost plugin, so it hears of each lookup and of each answer that is stored; it answers nothing.
    """

    size_of: Callable[[CacheEntry], int]
    room: float
    least_recent: bool
    clock: VirtualClock
    expected: str = ""
    _kept: OrderedDict[str, tuple[float, int]] = field(init=False, factory=OrderedDict)
    _evicted: set[str] = field(init=False, factory=set)
    _known: set[str] = field(init=False, factory=set)

    @hookimpl(tryfirst=True)
    def cache_lookup(self, key: str) -> None:
        if key in self._kept and self.clock.time() >= self._kept[key][0]:
            self.expected = "expired"
            if self.least_recent:  # it is noticed, and makes room
                del self._kept[key]
        elif key in self._kept:
            self.expected = "hit"
            if self.least_recent:
                self._kept.move_to_end(key)
        else:
            self.expected = "evicted" if key in self._evicted else "expired" if key in self._known else "new"

    @hookimpl(tryfirst=True)
    def cache_store(self, key: str, entry: CacheEntry) -> None:
        if self.expected == "hit":  # told after a hit as well, as a nearer cache would be
            return
        now = self.clock.time()
        self._known.add(key)
        self._evicted.discard(key)
        self._kept.pop(key, None)
        if not self.least_recent:
            for name in [name for name, (ends, _) in self._kept.items() if ends <= now]:
                del self._kept[name]
        size = self.size_of(entry)
        while sum(kept for _, kept in self._kept.values()) + size > self.room:
            name, (ends, _) = self._kept.popitem(last=False)
            if now < ends:
                self._evicted.add(name)
        self._kept[key] = now + TTL, size


def size_in_memory(entry: CacheEntry) -> int:
    """As cache-memory's README counts: the bytes of body, events and headers."""
    headers = sum(len(name) + len(value) for name, value in entry.response.headers.pairs)
    return len(entry.response.raw or b"") + sum(map(len, entry.events)) + headers


def size_in_file(entry: CacheEntry) -> int:
    """As cache-sqlite's README counts: the bytes that are stored."""
    return len(dump_entry(entry))


# --- the workload -----------------------------------------------------------------------------------------------------


def questions(requests: int, seed: int) -> Iterator[tuple[str, float]]:
    """What is asked, and the seconds before it."""
    rng = random.Random(seed)
    weights = [*accumulate((number + 1) ** -EXPONENT for number in range(QUESTIONS))]
    for number in rng.choices(range(QUESTIONS), cum_weights=weights, k=requests):
        yield f"question {number} " + "x" * (number * 37 % 900), rng.expovariate(1 / BETWEEN)


@contextmanager
def backend(name: str, folder: Path, clock: VirtualClock) -> Iterator[tuple[object, Model, Callable[[], None]]]:
    """A cache, its model, and what lets the cache finish a store that it makes behind the call."""
    room = 350_000
    if name == "memory":
        yield MemoryCache(ttl=TTL, max_bytes=room), Model(size_in_memory, room, True, clock), lambda: None
    elif name == "sqlite":
        file = SqliteCache(path=folder / "cache.db", ttl=TTL, max_bytes=room)
        yield file, Model(size_in_file, room, False, clock), lambda: _written(file)
    else:
        server = RedisServer(folder)
        try:
            cache = RedisCache(url=server.url, ttl=TTL, timeout=10.0, connect_timeout=10.0)
            yield cache, Model(size_in_file, float("inf"), False, clock), lambda: None
        finally:
            server.stop()


def _written(file: SqliteCache) -> None:
    behind: Any = file._store._behind
    assert behind.flush()


def run(name: str, requests: int, seed: int = SEED) -> tuple[Counter[str], list[str]]:
    """How many requests were what, and which were answered otherwise than they should be."""
    clock, counts, wrong = VirtualClock(), Counter[str](), list[str]()
    provider = FakeProvider(Reply(echo=True), clock=clock)
    with tempfile.TemporaryDirectory() as folder, backend(name, Path(folder), clock) as (cache, model, settle):
        plugins = {"a-model": model, f"cache-{name}": cache}
        host = clippy_core.Host(plugins, config={"routes": {"main": ROUTE}}, clock=clock)
        with clippy_core.Client(host, httpx.Client(transport=provider.transport(httpx))) as client:
            for question, pause in questions(requests, seed):
                clock.advance(pause)
                asked, model.expected = provider.calls, ""
                text = client.chat(question).text
                settle()
                counts[model.expected] += 1
                got = "a miss" if provider.calls > asked else "a hit"
                if (got == "a hit") != (model.expected == "hit"):
                    wrong.append(f"{question[:20]!r} was {got}, the model says {model.expected}")
                if text != question:
                    wrong.append(f"{question[:20]!r} was answered {text[:20]!r}")
        host.close()
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", default="memory,sqlite,redis", help="comma list of memory, sqlite, redis")
    options = parser.parse_args()
    distinct = len({question for question, _ in questions(options.requests, options.seed)})
    print(
        f"{options.requests:,} requests, Zipf with exponent {EXPONENT} over {QUESTIONS:,}, seed {options.seed}: ",
        end="",
    )
    print(f"{distinct:,} different, {options.requests - distinct:,} repeats")
    print(f"{'':8}" + "".join(f"{cause:>10}" for cause in CAUSES) + f"{'otherwise':>11}")
    faults = 0
    for name in options.only.split(","):
        if name == "redis" and not (shutil.which("redis-server") or shutil.which("valkey-server")):
            print("redis    not run: neither redis-server nor valkey-server is installed")
            continue
        counts, wrong = run(name, options.requests, options.seed)
        print(f"{name:8}" + "".join(f"{counts[cause]:>10,}" for cause in CAUSES) + f"{len(wrong):>11,}", flush=True)
        print("".join(f"  {what}\n" for what in wrong[:5]), end="")
        faults += len(wrong)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
