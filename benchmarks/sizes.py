"""Prints what a lookup costs in a cache of many entries, as a ratio to one of few, beside the bar.

python -m benchmarks.sizes                                  memory, SQLite and Redis, 1,000 and 1,000,000 entries each
python -m benchmarks.sizes --only sqlite --many 100000

Every lookup is of another entry, in an order by chance, so that nothing is found because it was just asked for.  The
two caches of a group take turns in short blocks.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis
from clippy_cache_memory import MemoryCache
from clippy_cache_redis import RedisCache
from clippy_cache_redis.operations import Operations, head_of
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import CacheEntry, Request, Scope, dump_entry

from benchmarks import parts
from benchmarks.bench import Bench
from benchmarks.ratios import bench, table
from benchmarks.redis_server import Missing, redis_server
from clippy_core.runtime import drive
from clippy_core.testing.timing import Block, Group, compare, repeated
from clippy_core.wire.openai_chat import API

BAR = 1.5
FEW = 1_000
BATCH = 1_000
BODY = b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
ENTRY = parts.entry_of(BODY + b'{"role":"assistant","content":"Yes."},"finish_reason":"stop"}]}')
REQUEST = Request(api=API)
UNBOUNDED = 1 << 40


def names_of(count: int) -> list[str]:
    """Keys as a host makes them, of 64 hexadecimal letters, in an order by chance."""
    rng = random.Random(count)
    return [f"{rng.getrandbits(256):064x}" for _ in range(count)]


def in_memory(bench: Bench, names: Sequence[str]) -> Callable[[str], CacheEntry | None]:
    """The lookup of a cache in memory that has them all."""
    cache, ctx = MemoryCache(max_bytes=UNBOUNDED), parts.still()
    for name in names:
        cache.cache_store(name, ENTRY, REQUEST, ctx)
    return lambda key: cache.cache_lookup(key, REQUEST, ctx)


def in_sqlite(bench: Bench, names: Sequence[str]) -> Callable[[str], CacheEntry | None]:
    """The same in a file, which is opened again for the lookups."""
    cache = SqliteCache(path=bench.folder / f"{len(names)}.db", max_bytes=UNBOUNDED)
    ctx, unused = parts.still(), Any
    for batch in _batches(names, 20 * BATCH):  # the queue of what is written behind is bounded
        with cache.lifespan(unused):
            for name in batch:
                cache.cache_store(name, ENTRY, REQUEST, ctx)
    bench.stack.callback(cache.close)
    return lambda key: cache.cache_lookup(key, REQUEST, ctx)


def on_redis(bench: Bench, names: Sequence[str]) -> Callable[[str], CacheEntry | None]:
    """The same on a server of its own; stored as the cache does, many at once."""
    port = bench.stack.enter_context(redis_server(bench.folder))
    cache = RedisCache(url=f"redis://127.0.0.1:{port}", timeout=10.0, ttl=1e12)
    host = bench.host({"cache-redis": cache})
    host.open()
    value = head_of(Scope(), "m", ()) + dump_entry(ENTRY)
    operations = Operations("clippy", UNBOUNDED)
    with redis.Redis(port=port) as client:
        for batch in _batches(names, BATCH):
            pipe = client.pipeline(transaction=False)
            for name in batch:
                pipe.execute_command(*operations.store(name, value, 1e12).words())
            pipe.execute()
    ctx = parts.context(host, waits=False)
    return lambda key: drive(cache.cache_lookup(key, REQUEST, ctx))


BACKENDS = {"memory": in_memory, "sqlite": in_sqlite, "redis": on_redis}


def group(bench: Bench, backend: str, many: int) -> Group:
    """A lookup in a cache of few entries, and in one of *many*."""
    cases = {f"{count:,} entries": _looking(bench, backend, count) for count in (FEW, many)}
    return Group(f"a lookup, {backend}", cases, {f"{many:,} entries": BAR}, 200, by="wall")


def _looking(bench: Bench, backend: str, count: int) -> Block:
    names = names_of(count)
    lookup = BACKENDS[backend](bench, names)
    random.Random(0).shuffle(names)
    turn = itertools.cycle(names)

    def one() -> None:
        assert lookup(next(turn)) is not None

    return repeated(one)


def _batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(BACKENDS), help=f"comma list of {', '.join(BACKENDS)}")
    parser.add_argument("--many", type=int, default=1_000_000, help="entries of the large cache")
    parser.add_argument("--rounds", type=int, default=101, help="rounds of each group, at least 15")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := [name for name in names if name not in BACKENDS]:
        parser.error(f"unknown backends: {unknown}")
    if options.rounds < 15 or options.many <= FEW:
        parser.error(f"fewer than 15 rounds say nothing, and many are more than {FEW:,}")
    for name in names:
        began = time.monotonic()
        with bench() as made:
            try:
                rows = compare(group(made, name, options.many), options.rounds)
            except Missing as missing:
                print(f"{name} is not measured: {missing}", flush=True)
                continue
        print(f"{table(rows)}\n  {time.monotonic() - began:.0f} seconds, {options.rounds} rounds\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
