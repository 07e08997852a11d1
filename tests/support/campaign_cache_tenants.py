"""Fifty tenants ask the same questions at the same time: nobody may get what was said to another.

    python tests/support/campaign_cache_tenants.py --calls 150000 --lookups 1000000 --seed 1

All tenants ask the same few questions of one host, many at once, plain and streamed; some calls are cancelled, some
streams left, some tenants' answers invalidated, and the caches are too small for all.  The provider answers each with a
canary of the tenant, which it knows by a header that is in no key.  A tenant is told apart by its scope, or by nothing
but its credentials.  Every answer, whole or in part, may hold the canaries of its own tenant and question only.

Through the host go as many calls as ``--calls`` says: in threads, on asyncio and on trio, over the memory cache, the
SQLite cache and both.  What is left of ``--lookups`` is asked of the backends directly, in threads, with such keys.

Exit status 1 and the first failures of each kind if anything was otherwise.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
from attrs import define, field
from clippy_cache_memory import MemoryCache
from clippy_cache_sqlite import SqliteCache
from clippy_hookspecs import (
    AuditRecord,
    CacheEntry,
    Headers,
    Message,
    Request,
    RequestContext,
    Scope,
    Selector,
    Text,
    hookimpl,
)
from clippy_hookspecs.stored import undecoded_entry

import clippy_core
from clippy_core.keys import cache_key
from clippy_core.testing import FakeProvider, Reply, SeenRequest, VirtualClock

TENANTS = 50
QUESTIONS = 12
BATCH = 1500
"""Calls of one host."""

AT_ONCE = 25
"""Calls that are under way at the same time."""

SMALL = 96 * 1024
"""Bytes of a cache: less than all answers take, so that entries are evicted all the time."""

CANARY = re.compile(rb"canary-t(\d+)-q(\d+)[.]")
SHOWN = 3


@define(eq=False)
class Tally:
    """What happened, and what was wrong."""

    counts: Counter[str] = field(factory=Counter)
    failures: dict[str, list[str]] = field(factory=lambda: defaultdict(list))
    _lock: threading.Lock = field(factory=threading.Lock)

    def add(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.counts[name] += number

    def fail(self, what: str, where: str) -> None:
        with self._lock:
            self.failures[what].append(where)

    def judge(self, body: bytes, tenant: int, question: int, whole: bool, where: str) -> None:
        """An answer holds the canaries of its tenant and question, all of them if it is whole, and no others."""
        found = {(int(one), int(other)) for one, other in CANARY.findall(body)}
        if found - {(tenant, question)}:
            self.fail("an answer to another tenant or question was given", f"{where}: {sorted(found)}")
        elif whole and not found:
            self.fail("an answer without a canary was given", where)
        self.add("answers checked, whole" if whole else "answers checked, in part", bool(whole or found))


@define(eq=False)
class Books:
    """Counts the lookups and what became of each request."""

    tally: Tally

    @hookimpl(tryfirst=True)
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        self.tally.add("lookups through the host")
        return None

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        source = record.provenance.source if record.provenance is not None else None
        self.tally.add(f"outcome {record.outcome}")
        self.tally.add("hits through the host", source == "cache")


# --- through the host -------------------------------------------------------------------------------------------------


def answer(seen: SeenRequest) -> Reply:
    """What the provider says to a tenant: a canary in each of three pieces."""
    tenant, question = seen.headers["x-canary"], seen.last_user_text.rpartition(" ")[2]
    piece = f"canary-t{tenant}-q{question}. "
    return Reply(chunks=(piece, "and " + piece, "and " + piece), text=piece + ("and " + piece) * 2)


@define(eq=False)
class Call:
    """One call of one tenant, decided by chance."""

    tenant: int
    question: int
    streamed: bool
    by_scope: bool
    stops: int | None
    leaves: int | None

    @classmethod
    def of(cls, chance: random.Random) -> Call:
        rare = chance.choices(range(QUESTIONS), [1 / (rank + 1) for rank in range(QUESTIONS)])[0]
        return cls(
            chance.randrange(TENANTS), rare, chance.random() < 0.5, chance.random() < 0.7,
            chance.randrange(60) if chance.random() < 0.2 else None,
            chance.randrange(3) if chance.random() < 0.1 else None,
        )  # fmt: skip

    @property
    def sent(self) -> dict[str, Any]:
        """The arguments of the HTTP client; without a scope the credential alone tells who asks."""
        key = "sk-shared" if self.by_scope else f"sk-{self.tenant}"
        message = {"role": "user", "content": f"Question {self.question}"}
        return {
            "method": "POST",
            "url": "http://fake.test/v1/chat/completions",
            "headers": {"authorization": f"Bearer {key}", "x-canary": str(self.tenant)},
            "json": {"model": "m", "messages": [message], "temperature": 0, "stream": self.streamed},
        }


@define(eq=False)
class Campaign:
    """The caches that live through all batches, and what was found."""

    folder: Path
    tally: Tally = field(factory=Tally)
    clock: VirtualClock = field(factory=VirtualClock)
    caches: dict[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.caches = {
            "cache-memory": MemoryCache(ttl=600.0, max_bytes=SMALL),
            "cache-sqlite": SqliteCache(path=self.folder / "cache.db", ttl=600.0),
        }

    @contextmanager
    def host(self, caches: tuple[str, ...]) -> Iterator[tuple[clippy_core.Host, FakeProvider]]:
        plugins = {name: self.caches[name] for name in caches} | {"aa-books": Books(self.tally)}
        yield clippy_core.Host(plugins, clock=self.clock), FakeProvider(answer, clock=self.clock)

    def between(self, host: clippy_core.Host, chance: random.Random) -> None:
        """What else happens: time passes, somebody's answers are dropped."""
        if chance.random() < 0.01:
            self.clock.advance(chance.choice((1.0, 60.0, 300.0)))
        if chance.random() < 0.005:
            host.invalidate(scope=Scope(f"t{chance.randrange(TENANTS)}"))

    # --- threads ------------------------------------------------------------------------------------------------------

    def in_threads(self, caches: tuple[str, ...], calls: int, seed: str) -> None:
        with self.host(caches) as (host, provider), host, host.wrap(provider.client()) as client:
            workers = [
                threading.Thread(target=self._worker, args=(host, client, calls // 8, f"{seed}-{number}"))
                for number in range(8)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()

    def _worker(self, host: clippy_core.Host, client: Any, calls: int, seed: str) -> None:
        for number in range(calls):
            chance = random.Random(f"{seed}-{number}")
            call, where = Call.of(chance), f"threads {seed}-{number}"
            try:
                self.between(host, chance)
                if call.by_scope:
                    with host.scope(tenant=f"t{call.tenant}"):
                        self._ask(client, call, where)
                else:
                    self._ask(client, call, where)
            except Exception as error:
                self.tally.fail(f"raised {error!r}", where)

    def _ask(self, client: httpx.Client, call: Call, where: str) -> None:
        pieces: list[bytes] = []
        with client.stream(**call.sent) as response:
            flow = response.extensions["clippy"].flow
            for piece in response.iter_raw():
                pieces.append(piece)
                if call.streamed and call.leaves is not None and len(pieces) > call.leaves:
                    break
                if call.streamed and call.stops is not None:
                    flow.cancel()
                    break
            else:
                self.tally.judge(b"".join(pieces), call.tenant, call.question, True, where)
                return
        self.tally.add("streams left or cancelled in threads")
        self.tally.judge(b"".join(pieces), call.tenant, call.question, False, where)

    # --- event loops --------------------------------------------------------------------------------------------------

    def on_loop(self, backend: str, caches: tuple[str, ...], calls: int, seed: str) -> None:
        anyio.run(self._loop, backend, caches, calls, seed, backend=backend)

    async def _loop(self, backend: str, caches: tuple[str, ...], calls: int, seed: str) -> None:
        with self.host(caches) as (host, provider):
            async with host, host.wrap(provider.async_client()) as client:
                for first in range(0, calls, AT_ONCE):
                    async with anyio.create_task_group() as group:
                        for number in range(first, min(first + AT_ONCE, calls)):
                            group.start_soon(self._one, host, client, f"{backend} {seed}-{number}")
                    await anyio.to_thread.run_sync(self.between, host, random.Random(f"{seed}-{first}"))

    async def _one(self, host: clippy_core.Host, client: Any, where: str) -> None:
        call = Call.of(random.Random(where))
        pieces: list[bytes] = []
        whole = False

        async def ask() -> None:
            nonlocal whole
            with host.scope(tenant=f"t{call.tenant}") if call.by_scope else _nothing():
                request = client.build_request(**call.sent)
                response = await client.send(request, stream=True)
                try:
                    # Not httpx's own async generator: left half-read it is collected unclosed, as trio warns.
                    stream = response.stream._stream.__aiter__()
                    while (piece := await anext(stream, None)) is not None:
                        pieces.append(piece)
                        if call.streamed and call.leaves is not None and len(pieces) > call.leaves:
                            return
                    whole = True
                finally:
                    with anyio.CancelScope(shield=True):
                        await response.aclose()

        try:
            async with anyio.create_task_group() as group:
                if call.stops is not None:
                    group.start_soon(_after, call.stops, group.cancel_scope)
                await ask()
                group.cancel_scope.cancel()
        except Exception as error:
            self.tally.fail(f"raised {error!r}", where)
        if not whole:
            self.tally.add(f"calls cancelled or left on {where.partition(' ')[0]}")
        self.tally.judge(b"".join(pieces), call.tenant, call.question, whole, where)

    # --- the backends alone -------------------------------------------------------------------------------------------

    def directly(self, lookups: int, seed: str) -> None:
        """Ask the backends themselves, from eight threads, with the keys that the host makes for each tenant."""
        keys = {
            (tenant, question): cache_key(body={"question": question}, scope=Scope(f"t{tenant}"))
            for tenant in range(TENANTS)
            for question in range(QUESTIONS)
        }
        # SQLite waits for a disk: a fifth of the lookups takes about as long as the rest in memory.
        shares = {"cache-memory": lookups - lookups // 5, "cache-sqlite": lookups // 5}
        with self.host(("cache-memory", "cache-sqlite")) as (host, _), host:
            for name, share in shares.items():
                sizes = [share // 8 + (number < share % 8) for number in range(8)]
                workers = [
                    threading.Thread(target=self._asks, args=(name, keys, size, f"{seed}-{name}-{number}"))
                    for number, size in enumerate(sizes)
                ]
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()

    def _asks(self, name: str, keys: dict[tuple[int, int], str], lookups: int, seed: str) -> None:
        try:
            hits = self._ask_backend(self.caches[name], keys, lookups, seed)
        except Exception as error:
            self.tally.fail(f"raised {error!r}", f"{name} {seed}")
        else:
            self.tally.add(f"direct lookups of {name}", lookups)
            self.tally.add(f"direct hits of {name}", hits)

    def _ask_backend(self, cache: Any, keys: dict[tuple[int, int], str], lookups: int, seed: str) -> int:
        """How many of so many lookups were hits."""
        chance, hits = random.Random(seed), 0
        unused: Any = None
        for number in range(lookups):
            tenant, question = chance.randrange(TENANTS), chance.randrange(QUESTIONS)
            key, scope = keys[tenant, question], Scope(f"t{tenant}")
            request = Request(api="openai.chat", model="m", messages=(Message("user", (Text(str(question)),)),))
            ctx = RequestContext(id="r", scope=scope, clock=self.clock, services=unused, route=unused, flow=unused)
            entry = cache.cache_lookup(key, request, ctx)
            if entry is None:
                cache.cache_store(key, self._entry(tenant, question), request, ctx)
            else:
                hits += 1
                body = entry.response.raw or b""
                self.tally.judge(body, tenant, question, True, f"{seed} {number}")
            if chance.random() < 0.0005:
                cache.cache_invalidate(Selector(scope=Scope(f"t{chance.randrange(TENANTS)}")))
        return hits

    def _entry(self, tenant: int, question: int) -> CacheEntry:
        now = self.clock.time()
        return undecoded_entry(
            f"canary-t{tenant}-q{question}.".encode(), "openai.chat", 200, Headers(), (), now, now + 600, (), "direct"
        )


async def _after(points: int, scope: anyio.CancelScope) -> None:
    """Cancel *scope* when so many await points have been passed."""
    for _ in range(points):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=150_000, help="calls through the host")
    parser.add_argument("--lookups", type=int, default=1_000_000, help="lookups in all")
    parser.add_argument("--seed", default="1", help="decides every choice; threads take turns as they like")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder))
        ways: list[Callable[..., None]] = [
            lambda *args: campaign.in_threads(*args),
            lambda *args: campaign.on_loop("asyncio", *args),
            lambda *args: campaign.on_loop("trio", *args),
        ]
        sets = (("cache-memory",), ("cache-sqlite",), ("cache-memory", "cache-sqlite"))
        for number in range(0, options.calls, BATCH):
            turn = number // BATCH
            ways[turn % 3](sets[turn // 3 % 3], min(BATCH, options.calls - number), f"{options.seed}-{number}")
        through = time.monotonic() - began
        counts, failures = campaign.tally.counts, campaign.tally.failures
        campaign.directly(max(0, options.lookups - counts["lookups through the host"]), options.seed)
    for name, count in sorted(counts.items()):
        print(f"{count:>9} {name}")
    print(f"{through:.0f} seconds through the host, {time.monotonic() - began - through:.0f} directly")
    for name in ("hits through the host", "answers checked, in part", "outcome cancelled"):
        if options.calls >= BATCH * 3 and not counts[name]:
            failures[f"there were no {name}: nothing was shown"].append("")
    for what, places in sorted(failures.items(), key=lambda item: -len(item[1])):
        print(f"FAILED {len(places)} times: {what}")
        for place in places[:SHOWN]:
            print(f"    {place}")
    if not failures:
        print(f"no answer to the wrong one of {TENANTS} tenants")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
