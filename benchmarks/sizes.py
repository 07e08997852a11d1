"""Prints what a hit costs in a cache of many entries, as a ratio to one of few, beside the bar.

python -m benchmarks.sizes                                  memory, SQLite and Redis, 1,000 and 1,000,000 entries each
python -m benchmarks.sizes --only sqlite --many 100000

A call is one that our own client makes and the cache answers; a lookup is what the cache does in it, by itself.  Each
is for another entry, in an order by chance, so that nothing is found because it was just asked for.  The two caches
take turns in short blocks.  Where a million entries are, the processor waits for memory: a lookup in a plain dict of so
many takes longer, too, and stands beside that in memory.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import redis
from clippy_cache_memory import MemoryCache
from clippy_cache_redis import RedisCache
from clippy_cache_redis.lines import Line
from clippy_cache_redis.operations import Operations
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import Request, Scope, dump_entry

import clippy_core
from benchmarks import parts
from benchmarks.bench import Bench
from benchmarks.ratios import bench, table
from benchmarks.redis_server import Missing, redis_server
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, Reply
from clippy_core.testing.timing import Block, Group, compare, repeated

BAR = 1.5
FEW = 1_000
TTL = 1e12
BODY = b'{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
ENTRY = parts.entry_of(BODY + b'{"role":"assistant","content":"Yes."},"finish_reason":"stop"}]}')
REQUEST = Request(api="openai.chat")
UNBOUNDED = 1 << 40
_numbers = itertools.count()


def names_of(count: int) -> list[str]:
    """Keys as a host makes them, of 64 hexadecimal letters, in an order by chance."""
    rng = random.Random(count)
    return [f"{rng.getrandbits(256):064x}" for _ in range(count)]


def in_memory(bench: Bench, names: Sequence[str]) -> MemoryCache:
    """A cache in memory that has them all."""
    cache, ctx = MemoryCache(max_bytes=UNBOUNDED, ttl=TTL), parts.still()
    for name in names:
        cache.cache_store(name, ENTRY, REQUEST, ctx)
    return cache


def in_sqlite(bench: Bench, names: Sequence[str]) -> SqliteCache:
    """The same in a file."""
    cache = SqliteCache(path=bench.folder / f"{next(_numbers)}.db", max_bytes=UNBOUNDED, ttl=TTL)
    ctx = parts.still()
    unused: Any = None
    for batch in _batches(names, 20_000):  # the queue of what is written behind is bounded
        with cache.lifespan(unused):
            for name in batch:
                cache.cache_store(name, ENTRY, REQUEST, ctx)
    bench.stack.callback(cache.close)
    return cache


def on_redis(bench: Bench, names: Sequence[str]) -> RedisCache:
    """The same on a server of its own; stored as the cache does, many at once."""
    port = bench.stack.enter_context(redis_server(bench.folder))
    value = Line(Scope(), "m", 1.0, TTL, 0.0, ()).written() + dump_entry(ENTRY)
    operations = Operations("clippy", UNBOUNDED)
    with redis.Redis(port=port) as client:
        for batch in _batches(names, 1_000):
            pipe = client.pipeline(transaction=False)
            for name in batch:
                pipe.execute_command(*operations.store(name, value, TTL).words())
            pipe.execute()
    return RedisCache(url=f"redis://127.0.0.1:{port}", timeout=10.0, ttl=TTL)


BACKENDS: dict[str, Callable[[Bench, Sequence[str]], Any]] = {
    "memory": in_memory,
    "sqlite": in_sqlite,
    "redis": on_redis,
}


def lookups(bench: Bench, backend: str, many: int) -> Group:
    """A lookup among few entries, and among *many*."""
    cases: dict[str, Block] = {}
    for count in (FEW, many):
        names = names_of(count)
        cache = BACKENDS[backend](bench, names)
        host = bench.host({f"cache-{backend}": cache})
        host.open()
        find = functools.partial(_found, cache, parts.context(host, waits=False), backend == "redis")
        cases[f"{count:,} entries"] = _in_any_order(find, names)
    if backend == "memory":
        for count in (FEW, many):
            names = names_of(count)
            known = {name: [name] for name in names}
            cases[f"a dict of {count:,}"] = _in_any_order(known.get, names)
    return Group(f"a lookup, {backend}", cases, {}, 200, by="wall")


def calls(bench: Bench, backend: str, many: int) -> Group:
    """A call that is answered by a cache of few entries, and by one of *many*."""
    cases = {f"{count:,} entries": _calling(bench, backend, count) for count in (FEW, many)}
    return Group(f"a call, {backend}", cases, {f"{many:,} entries": BAR}, 50, by="wall")


def _calling(bench: Bench, backend: str, count: int) -> Block:
    """Ask what was asked before; as many questions as a processor does not keep at hand, among entries of others."""
    asked = [f"question {number}" for number in range(min(count, 20_000))]
    cache = BACKENDS[backend](bench, names_of(count - len(asked)))
    provider = FakeProvider(Reply("Yes."))
    http = httpx.Client(transport=provider.transport(httpx))
    client = bench.stack.enter_context(clippy_core.Client(bench.host({f"cache-{backend}": cache}), http))
    known = -1
    while known != provider.calls:  # what came faster than the disk took it is asked once more
        known = provider.calls
        for question in asked:
            client.chat(question)

    def ask(question: str) -> str:
        return client.chat(question).text

    block = _in_any_order(ask, asked)
    before = provider.calls
    block(len(asked))
    assert provider.calls == before
    return block


def _found(cache: Any, ctx: Any, waits: bool, key: str) -> Any:
    found = cache.cache_lookup(key, REQUEST, ctx)
    return drive(found) if waits else found


def _in_any_order(call: Callable[[str], Any], names: list[str]) -> Block:
    random.Random(0).shuffle(names)
    turn = itertools.cycle(names)

    def one() -> None:
        assert call(next(turn))

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
    for name, make in itertools.product(names, (calls, lookups)):
        began = time.monotonic()
        with bench() as made:
            try:
                rows = compare(make(made, name, options.many), options.rounds)
            except Missing as missing:
                print(f"{name} is not measured: {missing}", flush=True)
                continue
        print(f"{table(rows)}\n  {time.monotonic() - began:.0f} seconds, {options.rounds} rounds\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
