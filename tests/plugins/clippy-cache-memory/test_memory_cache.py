"""The memory cache gives back exactly what was stored, for as long as it may, within its bytes, to many threads."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

import pytest
from attrs import fields
from clippy_cache_memory import MemoryCache
from clippy_hookspecs import (
    CacheEntry,
    Headers,
    Message,
    Request,
    RequestContext,
    Response,
    Scope,
    Selector,
    Text,
    evolve,
)
from clippy_hookspecs.stored import body_decoders, undecoded_entry
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clippy_core.testing.clock import VirtualClock

API = "test.memory"
REQUEST = Request(api=API)


def decode(response: Response) -> Mapping[str, Any]:
    message = Message("assistant", (Text((response.raw or b"").decode()),))
    rest = {"finish_reason": "stop", "usage": None, "id": None, "model": None, "more": (), "params": {"a": 1}}
    return {"message": message, **rest}


@pytest.fixture(autouse=True)
def decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(body_decoders, API, decode)


def context(clock: VirtualClock, scope: Scope | None = None) -> RequestContext:
    return RequestContext(
        id="r",
        scope=scope or Scope(),
        clock=clock,
        services=cast("Any", None),
        route=cast("Any", None),
        flow=cast("Any", None),
    )


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def ctx(clock: VirtualClock) -> RequestContext:
    return context(clock)


def entry_at(
    now: float, body: bytes = b"hello", events: tuple[bytes, ...] = (), expires_at: float | None = None,
    tags: tuple[str, ...] = (), headers: Headers | None = None,
) -> CacheEntry:  # fmt: skip
    return undecoded_entry(body, API, 200, headers or Headers(), events, now, expires_at, tags, "origin")


def test_an_entry_comes_back_as_it_was_stored(ctx: RequestContext, clock: VirtualClock) -> None:
    """Body, events, headers, times, tags and origin are those of the provider's answer."""
    headers = Headers([("Content-Type", "application/json"), ("x", "1"), ("X", "2")])
    entry = entry_at(
        clock.time(), b'{"a": 1}', (b"data: 1\n\n", b"data: [DONE]\n\n"), clock.time() + 9, ("t",), headers
    )
    cache = MemoryCache()
    cache.cache_store("k", entry, REQUEST, ctx)
    hit = cache.cache_lookup("k", REQUEST, ctx)
    assert hit == entry
    assert hit is not None
    assert hit.response.raw == b'{"a": 1}'
    assert hit.response.headers.pairs == headers.pairs
    assert cache.cache_lookup("other", REQUEST, ctx) is None


def test_an_entry_is_forgotten_at_its_ttl_to_the_second(ctx: RequestContext, clock: VirtualClock) -> None:
    """An answer is given while it is younger than ttl, and not at that age."""
    cache = MemoryCache(ttl=60)
    cache.cache_store("k", entry_at(clock.time()), REQUEST, ctx)
    clock.advance(59.5)
    assert cache.cache_lookup("k", REQUEST, ctx) is not None
    clock.advance(0.5)
    assert cache.cache_lookup("k", REQUEST, ctx) is None


def test_an_entrys_own_end_counts_when_it_is_sooner(ctx: RequestContext, clock: VirtualClock) -> None:
    """expires_at can shorten the ttl and never lengthens it."""
    cache = MemoryCache(ttl=60)
    cache.cache_store("soon", entry_at(clock.time(), expires_at=clock.time() + 5), REQUEST, ctx)
    cache.cache_store("late", entry_at(clock.time(), expires_at=clock.time() + 500), REQUEST, ctx)
    clock.advance(5)
    assert cache.cache_lookup("soon", REQUEST, ctx) is None
    clock.advance(55)
    assert cache.cache_lookup("late", REQUEST, ctx) is None


def test_a_back_filled_entry_keeps_its_own_times(ctx: RequestContext, clock: VirtualClock) -> None:
    """What another cache answered is as old here as it was there; what is over is not kept."""
    cache = MemoryCache(ttl=60)
    cache.cache_store("k", entry_at(clock.time() - 50), REQUEST, ctx)
    cache.cache_store("over", entry_at(clock.time() - 60), REQUEST, ctx)
    assert cache.cache_lookup("over", REQUEST, ctx) is None
    hit = cache.cache_lookup("k", REQUEST, ctx)
    assert hit is not None
    assert hit.stored_at == clock.time() - 50
    clock.advance(10)
    assert cache.cache_lookup("k", REQUEST, ctx) is None


@pytest.mark.anyio
async def test_it_shows_how_much_it_keeps(ctx: RequestContext, clock: VirtualClock) -> None:
    """Entries and their bytes, beside what it may keep."""
    cache = MemoryCache(max_bytes=1000)
    cache.cache_store("k", entry_at(clock.time(), b"x" * 10), REQUEST, ctx)
    cache.cache_store("l", entry_at(clock.time(), b"x" * 30), REQUEST, ctx)
    [table] = await cache.status_tables()
    assert (table.columns, table.rows) == (("entries", "bytes", "at most, bytes"), ((2, 40, 1000),))


def test_the_least_recently_used_goes_first(ctx: RequestContext, clock: VirtualClock) -> None:
    """A hit counts as use."""
    cache = MemoryCache(max_bytes=30)
    for key in "abc":
        cache.cache_store(key, entry_at(clock.time(), b"x" * 10), REQUEST, ctx)
    assert cache.cache_lookup("a", REQUEST, ctx) is not None
    cache.cache_store("d", entry_at(clock.time(), b"x" * 10), REQUEST, ctx)
    assert [key for key in "abcd" if cache.cache_lookup(key, REQUEST, ctx)] == ["a", "c", "d"]


def test_an_entry_that_is_too_large_is_not_kept(ctx: RequestContext, clock: VirtualClock) -> None:
    """Body, events and headers count; the limit itself still fits, and nothing else is pushed out."""
    cache = MemoryCache(max_bytes=100, max_entry_bytes=20)
    cache.cache_store(
        "small", entry_at(clock.time(), b"x" * 10, (b"y" * 6,), headers=Headers([("ab", "cd")])), REQUEST, ctx
    )
    cache.cache_store(
        "large", entry_at(clock.time(), b"x" * 10, (b"y" * 7,), headers=Headers([("ab", "cd")])), REQUEST, ctx
    )
    assert cache.cache_lookup("small", REQUEST, ctx) is not None
    assert cache.cache_lookup("large", REQUEST, ctx) is None
    MemoryCache(max_bytes=0).cache_store("k", entry_at(clock.time()), REQUEST, ctx)


def test_an_answer_that_a_plugin_changed_is_not_kept(ctx: RequestContext, clock: VirtualClock) -> None:
    """Stored is what the provider sent; a changed value has no wire form."""
    entry = entry_at(clock.time())
    cache = MemoryCache()
    cache.cache_store("k", evolve(entry, response=evolve(entry.response, status=201)), REQUEST, ctx)
    assert cache.cache_lookup("k", REQUEST, ctx) is None


def test_what_one_caller_does_to_a_hit_no_other_sees(ctx: RequestContext, clock: VirtualClock) -> None:
    """Two hits share no mutable part, and decoding one leaves the kept one as small as it was."""
    cache = MemoryCache()
    cache.cache_store("k", entry_at(clock.time()), REQUEST, ctx)
    first, second = (cache.cache_lookup("k", REQUEST, ctx) for _ in range(2))
    assert first is not None
    assert second is not None
    cast("dict[str, Any]", first.response.params)["a"] = "changed"
    cast("dict[str, Any]", first.response.extensions)["clippy"] = "mine"
    assert not second.response.decoded
    assert second.response.params == {"a": 1}
    assert second.response.extensions == {}


def test_two_instances_do_not_touch_each_other(ctx: RequestContext, clock: VirtualClock) -> None:
    """A host's cache is its own."""
    one, other = MemoryCache(), MemoryCache()
    one.cache_store("k", entry_at(clock.time()), REQUEST, ctx)
    assert other.cache_lookup("k", REQUEST, ctx) is None


SCOPES = {
    "none": Scope(), "a": Scope(tenant="a"), "a/u": Scope(tenant="a", user="u"), "b/u": Scope(tenant="b", user="u"),
    "empty": Scope(tenant=""), "s": Scope(session="s"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("selector", "gone"),
    [
        (Selector(), {"none", "a", "a/u", "b/u", "empty", "s"}),
        (Selector(key="a"), {"a"}),
        (Selector(key="nobody"), set()),
        (Selector(tag="tag b/u"), {"b/u"}),
        (Selector(tag="tag"), set()),
        (Selector(tag="all"), {"none", "a", "a/u", "b/u", "empty", "s"}),
        (Selector(scope=Scope(tenant="a")), {"a", "a/u"}),
        (Selector(scope=Scope(tenant="a", user="u")), {"a/u"}),
        (Selector(scope=Scope(user="u")), {"a/u", "b/u"}),
        (Selector(scope=Scope(tenant="")), {"empty"}),
        (Selector(scope=Scope()), {"none"}),
        (Selector(scope=Scope(tenant="a"), key="b/u"), set()),
        (Selector(scope=Scope(tenant="a"), tag="tag a"), {"a"}),
    ],
    ids=lambda part: str(sorted(part) if isinstance(part, set) else part),
)
def test_a_selector_drops_what_it_names_and_nothing_else(
    selector: Selector, gone: set[str], clock: VirtualClock
) -> None:
    """By key, by tag, by scope with what is within it; the parts that are given must all fit."""
    cache = MemoryCache()
    for name, scope in SCOPES.items():
        cache.cache_store(name, entry_at(clock.time(), tags=("all", f"tag {name}")), REQUEST, context(clock, scope))
    cache.cache_invalidate(selector)
    assert {name for name in SCOPES if not cache.cache_lookup(name, REQUEST, context(clock))} == gone


def test_eight_threads_see_only_whole_entries(ctx: RequestContext, clock: VirtualClock) -> None:
    """Storing, reading, decoding and dropping at once keeps the byte limit and never mixes two answers."""
    cache = MemoryCache(max_bytes=2000)
    wrong: list[object] = []
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(300):
            key = f"k{(turn * 7 + number) % 12}"
            body = f"{key} {turn}".encode() * 10
            cache.cache_store(key, entry_at(clock.time(), body, (body,)), REQUEST, ctx)
            hit = cache.cache_lookup(f"k{turn % 12}", REQUEST, ctx)
            if hit is not None and (
                hit.events != (hit.response.raw,) or not hit.response.text.startswith(f"k{turn % 12} ")
            ):
                wrong.append(hit)
            if turn % 50 == number:
                cache.cache_invalidate(Selector(key=key))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert 0 < cache._kept.currsize <= 2000
    assert cache._kept.currsize == sum(kept.size for kept in cache._kept.values())


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_begins_empty_with_a_free_lock(ctx: RequestContext, clock: VirtualClock) -> None:
    """A lock that another thread held at the fork would never be freed in the child."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    cache = MemoryCache()
    cache.cache_store("k", entry_at(clock.time()), REQUEST, ctx)
    with cache._lock:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                missed = cache.cache_lookup("k", REQUEST, ctx) is None
                cache.cache_store("k", entry_at(clock.time()), REQUEST, ctx)
                code = 0 if missed and cache.cache_lookup("k", REQUEST, ctx) else 2
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert cache.cache_lookup("k", REQUEST, ctx) is not None


def test_every_setting_is_explained_and_a_negative_one_refused() -> None:
    """Settings have a default and one line of documentation."""
    for setting in (f for f in fields(MemoryCache) if f.init):
        assert setting.metadata["doc"].endswith(".")
        with pytest.raises(ValueError):
            MemoryCache(**{setting.name: -1})


class MemoryModel(RuleBasedStateMachine):
    """The cache against an ordered dictionary that does the same the slow way."""

    LIMIT, LARGEST, TTL = 60, 25, 10.0
    keys = st.sampled_from("abcdef")

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.ctx = context(self.clock)
        self.cache = MemoryCache(ttl=self.TTL, max_bytes=self.LIMIT, max_entry_bytes=self.LARGEST)
        self.model: OrderedDict[str, CacheEntry] = OrderedDict()

    @rule(key=keys, size=st.integers(0, 30), age=st.integers(0, 12), life=st.none() | st.integers(-1, 20))
    def store(self, key: str, size: int, age: int, life: int | None) -> None:
        now = self.clock.time()
        entry = entry_at(now - age, b"x" * size, expires_at=None if life is None else now + life)
        self.cache.cache_store(key, entry, REQUEST, self.ctx)
        if age >= self.TTL or (life is not None and life <= 0) or size > self.LARGEST:
            return
        # An entry that grows may push out its own predecessor's neighbours, oldest first, and then goes to the end.
        rest = [k for k in self.model if k != key]
        old = len(self.model[key].response.raw or b"") if key in self.model else 0
        while sum(self.size(k) for k in self.model) + size - old > self.LIMIT:
            first, _ = self.model.popitem(last=False)
            old = 0 if first == key else old
        self.model[key] = entry
        self.model.move_to_end(key)
        assert set(self.model) <= {*rest, key}

    def size(self, key: str) -> int:
        return len(self.model[key].response.raw or b"")

    @rule(key=keys)
    def look_up(self, key: str) -> None:
        hit = self.cache.cache_lookup(key, REQUEST, self.ctx)
        entry = self.model.get(key)
        if entry is not None:
            self.model.move_to_end(key)
            ends = min(entry.stored_at + self.TTL, float("inf") if entry.expires_at is None else entry.expires_at)
            if self.clock.time() >= ends:
                del self.model[key]
                entry = None
        assert hit == entry

    @rule(key=keys)
    def drop(self, key: str) -> None:
        self.cache.cache_invalidate(Selector(key=key))
        self.model.pop(key, None)

    @rule(seconds=st.integers(0, 6))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def within_its_bytes(self) -> None:
        assert self.cache._kept.currsize == sum(self.size(key) for key in self.model) <= self.LIMIT


MemoryModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


TestMemoryModel = MemoryModel.TestCase
"""Any sequence of stores, lookups, drops and waiting behaves like the model."""
