"""The Redis cache gives back what it may, believes nothing that the server holds, and drops what is named."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import fields
from calling import Caller
from clippy_cache_redis import RedisCache
from clippy_cache_redis.lines import Line, named, read
from clippy_cache_redis.operations import AT_ONCE
from clippy_hookspecs import CacheControl, CacheEntry, CorruptEntry, Scope, Selector, dump_entry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis_caches import Opened
from redis_server import RedisServer

from clippy_core import Host
from clippy_core.testing import Reply, Script, VirtualClock
from clippy_core.testing.contracts.bench import entry_of

OPEN = Callable[..., Any]
START = Callable[..., RedisServer]
NOBODY = Scope()
BLOBS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "blobs-dev.jsonl"


def line_of(scope: Scope = NOBODY, tags: tuple[str, ...] = ()) -> bytes:
    """The line before an answer."""
    return Line(scope, "m", 1.0, 2.0, 0.0, tags).written()


def sent(server: RedisServer) -> int:
    """Commands that the server has been sent since it started, this question's among them."""
    return int(server.ask("INFO", "stats")["total_commands_processed"])


# --- cost and time ----------------------------------------------------------------------------------------------------


def test_a_hit_a_miss_and_a_store_are_one_exchange_each(server: RedisServer, opened: OPEN) -> None:
    """Counted by the server, on a connection that is open."""
    cache = opened(server.url)
    cache.store("k")
    before = sent(server)
    own = sent(server) - before
    for _ in range(10):
        assert cache.text("k") == "hello"
    for number in range(10):
        assert cache.text(f"other {number}") is None
    for number in range(10):
        cache.store(f"new {number}")
    assert sent(server) - before - 2 * own == 30


def test_everything_has_an_end_on_the_server(server: RedisServer, opened: OPEN) -> None:
    """By the server's clock, and late answers theirs; an endless ttl is a hundred years."""
    cache = opened(server.url, ttl=60.0)
    cache.store("k")
    cache.store("soon", entry_of("hello", cache.clock.time(), expires_at=cache.clock.time() + 5.0))
    late = opened(server.url, ttl=60.0, stale_if_error=600.0, prefix="late")
    late.store("k")
    endless = opened(server.url, ttl=math.inf, prefix="endless")
    endless.store("k")
    assert 0 < server.ask("PTTL", "clippy|a:soon") <= 5_000
    assert 5_000 < server.ask("PTTL", "clippy|a:k") <= 60_000
    assert 600_000 < server.ask("PTTL", "late|a:k") <= 660_000
    assert server.ask("PTTL", "endless|a:k") > 3e12
    server.advance(5.0)
    assert (cache.text("soon"), cache.text("k")) == (None, "hello")


def test_of_two_programs_with_their_own_ttl_the_shorter_counts(server: RedisServer, opened: OPEN) -> None:
    """Whoever stored it."""
    clock = VirtualClock()
    short, long = opened(server.url, clock, ttl=10.0), opened(server.url, clock, ttl=100.0)
    long.store("k")
    clock.advance(20.0)
    assert (long.text("k"), short.text("k")) == ("hello", None)


def test_an_answer_that_is_too_large_is_not_sent(server: RedisServer, opened: OPEN) -> None:
    """Nor one that a plugin changed, nor one whose time is over."""
    cache = opened(server.url, max_entry_bytes=1000)
    cache.store("k", "x" * 1000)
    cache.store("tags", "x", tags=["t" * 1000])
    cache.store("old", entry_of("hello", cache.clock.time() - 3600.0))
    assert server.ask("DBSIZE") == 0
    cache.store("k", "x" * 100)
    assert server.ask("DBSIZE") == 1


# --- what the server holds --------------------------------------------------------------------------------------------


def blobs() -> list[bytes]:
    if not BLOBS.exists():
        pytest.skip("the corpus blobs-dev.jsonl is not beside this checkout")
    found = [json.loads(line) for line in BLOBS.read_text(encoding="utf-8").splitlines()]
    return [base64.b64decode(one["blob_b64"]) for one in found if one["expect"] == "reject"]


def test_blobs_that_somebody_planted_are_misses(server: RedisServer, opened: OPEN, monkeypatch: Any) -> None:
    """As the whole value, and behind a line as ours; nothing is executed, nothing raises, one line in the log."""
    monkeypatch.delenv("CLIPPY_CANARY", raising=False)
    cache = opened(server.url)
    with server.client() as client:
        for number, blob in enumerate(blobs()):
            for name, value in ((f"a{number}", blob), (f"b{number}", line_of() + blob)):
                client.set(f"clippy|a:{name}", value)
                assert cache.lookup(name) is None
    assert "CLIPPY_CANARY" not in os.environ


@given(value=st.binary(max_size=300), cut=st.integers(0, 600))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_miss_and_an_invalidation_passes_them(
    server: RedisServer, shared: Any, value: bytes, cut: int
) -> None:
    """Noise, and answers of ours that were cut or changed."""
    good = line_of(Scope(user="ada"), ("red",)) + dump_entry(entry_of("hello", shared.clock.time()))
    with server.client() as client:
        for one in (
            value,
            good[:cut] if cut < len(good) else good[:-1],
            good[:cut] + value + good[cut + len(value) + 1 :],
        ):
            client.set("clippy|a:k", one)
            found = shared.lookup("k")
            assert found is None or found.response.raw is not None
            shared.host.invalidate(tag="other")
        shared.host.invalidate()
        assert client.dbsize() == 0


@pytest.fixture
def shared(server: RedisServer, opened: OPEN) -> Any:
    return opened(server.url)


def test_values_of_another_kind_are_misses(server: RedisServer, opened: OPEN, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; they are under our keys, so invalidating everything takes them too."""
    cache = opened(server.url)
    server.ask("RPUSH", "clippy|a:k", "x")
    server.ask("HSET", "clippy|a:h", "x", "y")
    for _ in range(3):
        assert (cache.lookup("k"), cache.lookup("h")) == (None, None)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "clippy.cache-redis"]
    assert "another program uses these keys; set another prefix" in line
    assert line.endswith("; lookups miss")
    cache.host.invalidate(tag="red")
    assert server.ask("DBSIZE") == 2
    cache.host.invalidate()
    assert server.ask("DBSIZE") == 0


def test_no_more_is_read_than_can_be_an_answer(server: RedisServer, opened: OPEN) -> None:
    """However much somebody has stored there."""
    cache = opened(server.url)
    server.ask("SETRANGE", "clippy|a:k", 60 * 1024 * 1024, "x")

    def given_out() -> int:
        return int(server.ask("INFO", "stats")["total_net_output_bytes"])

    before = given_out()
    assert cache.lookup("k") is None
    assert given_out() - before < 14 * 1024 * 1024


# --- dropping ---------------------------------------------------------------------------------------------------------


def test_a_selector_finds_its_answers_among_many(server: RedisServer, opened: OPEN) -> None:
    """In more steps than one, with a line longer than is read at first, and after the server forgot its scripts."""
    cache = opened(server.url)
    many = 3 * AT_ONCE
    with server.client() as client:
        pipe = client.pipeline(transaction=False)
        for number in range(many):
            tags = ("red", "x" * 600) if number % 100 == 0 else ("blue",)
            pipe.set(f"clippy|a:{number}", line_of(Scope(user=str(number % 2)), tags) + b"x")
        pipe.set("clippy|v:of the state store", "1")
        pipe.set("another", "1")
        pipe.execute()
        cache.host.invalidate(tag="red")
        assert client.dbsize() == many - many // 100 + 2
        client.script_flush()
        cache.host.invalidate(tag="blue", scope=Scope(user="1"))
        assert client.dbsize() == many // 2 - many // 100 + 2
        cache.host.invalidate()
        assert sorted(client.keys()) == ["another", "clippy|v:of the state store"]


def test_the_answers_of_a_model_are_dropped_with_it(server: RedisServer, opened: OPEN) -> None:
    """Of that name, whole."""
    cache = opened(server.url)
    for model in ("gpt", "gpt-4", "", 'g"'):
        cache.store(f"of {model}", model=model, tags=["gpt"])
    cache.host.invalidate(model="gp")
    assert server.ask("DBSIZE") == 4
    for left, model in ((3, "gpt"), (2, 'g"'), (1, "")):
        cache.host.invalidate(model=model)
        assert server.ask("DBSIZE") == left
    assert cache.text("of gpt-4") == "hello"


def test_a_request_may_ask_for_its_answer_to_be_kept_longer(server: RedisServer, opened: OPEN) -> None:
    """For when a provider fails; a shorter wish than the setting cuts nothing."""
    cache = opened(server.url, ttl=60.0, stale_if_error=5.0)
    cache.store("long", control=CacheControl(stale_if_error=50.0))
    cache.store("short", control=CacheControl(stale_if_error=1.0))
    cache.clock.advance(64.0)
    assert cache.lookup("short") is None
    assert cache.lookup("short", within=100.0) is not None
    cache.clock.advance(40.0)
    assert cache.lookup("long", within=100.0) is not None
    assert cache.lookup("long", within=40.0) is None
    cache.clock.advance(10.0)
    assert cache.lookup("long", within=100.0) is None


def test_a_tag_is_no_user_and_no_part_of_another(server: RedisServer, opened: OPEN) -> None:
    """Whatever letters are in it, the ones between our words too."""
    cache = opened(server.url)
    odd = ["\t", '"', '\tu"ada"\t', "\n", "#", "\ud800", "ü😀", 'a"\t#"b', ""]
    for number, tag in enumerate(odd):
        cache.store(f"{number}", tags=[tag], scope=Scope(user="ada"))
    cache.store("model", model='x"\t#"red')
    for tag in ("ada", "a", "b", "red", "m", "x"):
        cache.host.invalidate(tag=tag)
    assert server.ask("DBSIZE") == len(odd) + 1
    for left, tag in zip(range(len(odd), 0, -1), odd, strict=True):
        cache.host.invalidate(tag=tag)
        assert server.ask("DBSIZE") == left
    assert cache.text("model") == "hello"


@pytest.mark.parametrize("prefix", ["a*", "a?", "[ab]", "a\\", "^", "a"])
def test_another_prefix_is_another_cache(prefix: str, server: RedisServer, opened: OPEN) -> None:
    """Also one with the letters of a pattern; a prefix that begins alike is none of ours."""
    others = [opened(server.url, prefix=other) for other in ("ab", "a:b", "b", "a1", "aa*")]
    for other in others:
        other.store("k", "theirs")
    cache = opened(server.url, prefix=prefix)
    cache.store("k", "ours")
    cache.host.invalidate(scope=Scope())
    assert cache.text("k") is None
    assert [other.text("k") for other in others] == ["theirs"] * 5


def test_two_servers_of_one_host_are_two_tiers(server: RedisServer, start_server: START, caller: Caller) -> None:
    """A near one before a shared one: each is asked by itself, and a hit in the second fills the first."""
    near = start_server()
    limits: dict[str, Any] = {"timeout": 10.0, "connect_timeout": 10.0}
    both = {"near": RedisCache(url=near.url, **limits), "shared": RedisCache(url=server.url, **limits)}
    caller.start(both, Script(Reply("first"), then=Reply("second")), order=["near", "shared"])
    assert caller.chat().text == "first"
    assert (near.ask("DBSIZE"), server.ask("DBSIZE")) == (1, 1)
    near.ask("FLUSHALL")
    assert caller.chat().text == "first"
    assert near.ask("DBSIZE") == 1
    caller.host.close()


def test_a_plugin_without_a_url_does_nothing() -> None:
    """And says why."""
    assert RedisCache().idle == "no url is set"
    assert RedisCache(url="redis://127.0.0.1").idle == ""
    with Host({"cache-redis": RedisCache()}) as host:
        host.invalidate()


# --- a model ----------------------------------------------------------------------------------------------------------


class AsADictionary(RuleBasedStateMachine):
    """The cache against a dictionary; two programs with one server."""

    server: RedisServer
    keys = st.sampled_from(["a", "b", "c", "*", "", "a|a:b"])
    tags = st.sampled_from(["red", "blue", "r", "", "red\nblue"])
    names = st.none() | st.sampled_from(["", "ada", "bob"])
    scopes = st.builds(Scope, tenant=names, user=names, session=names)

    def __init__(self) -> None:
        super().__init__()
        self.server.ask("FLUSHALL")
        self.clock = VirtualClock()
        self.caches = [Opened(self.server.url, self.clock, ttl=10.0) for _ in range(2)]
        self.model: dict[str, tuple[CacheEntry, Scope]] = {}

    @rule(which=st.booleans(), key=keys, scope=scopes, tags=st.lists(tags, max_size=2), age=st.integers(0, 12))
    def store(self, which: bool, key: str, scope: Scope, tags: list[str], age: int) -> None:
        entry = entry_of(f"{key} {age}", self.clock.time() - age, tags=tuple(tags))
        self.caches[which].store(key, entry, scope)
        if age < 10:
            self.model[key] = entry, scope

    @rule(which=st.booleans(), key=keys)
    def look_up(self, which: bool, key: str) -> None:
        entry, _ = self.model.get(key, (None, None))
        alive = entry is not None and self.clock.time() - entry.stored_at < 10.0
        assert self.caches[which].lookup(key) == (entry if alive else None)

    @rule(
        which=st.booleans(),
        key=st.none() | keys,
        tag=st.none() | tags,
        scope=st.none() | scopes,
        key_prefix=st.none() | st.sampled_from(["a", "*", "a|"]),
        tag_prefix=st.none() | st.sampled_from(["r", "red"]),
    )
    def drop(self, which: bool, **parts: Any) -> None:
        self.caches[which].host.invalidate(**parts)
        for name, (entry, stored_for) in list(self.model.items()):
            if _fits(Selector(**parts), name, entry, stored_for):
                del self.model[name]

    @rule(seconds=st.integers(0, 6))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def the_scripts_are_forgotten(self) -> None:
        self.server.ask("SCRIPT", "FLUSH")

    @invariant()
    def the_server_holds_what_was_not_dropped(self) -> None:
        with self.server.client() as client:
            assert {name.removeprefix("clippy|a:") for name in client.scan_iter("*")} >= set(self.model)
            assert all(client.pttl(name) > 0 for name in client.scan_iter("*"))

    def teardown(self) -> None:
        for cache in self.caches:
            cache.host.close()


def _fits(selector: Selector, key: str, entry: CacheEntry, stored_for: Scope) -> bool:
    begins = selector.tag_prefix
    return (
        selector.key in (None, key)
        and key.startswith(selector.key_prefix or "")
        and (selector.tag is None or selector.tag in entry.tags)
        and (begins is None or any(tag.startswith(begins) for tag in entry.tags))
        and (selector.scope is None or _covers(selector.scope, stored_for))
    )


def _covers(asked: Scope, stored_for: Scope) -> bool:
    if asked == Scope():
        return stored_for == asked
    parts = ((getattr(asked, name), getattr(stored_for, name)) for name in ("tenant", "user", "session"))
    return all(wanted in (None, had) for wanted, had in parts)


def test_it_answers_as_a_dictionary_does(server: RedisServer) -> None:
    machine = type("OnServer", (AsADictionary,), {"server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# --- what people are told ---------------------------------------------------------------------------------------------


def test_what_is_stored_can_be_listed(server: RedisServer, opened: OPEN) -> None:
    """Among more keys than one step looks through, and other people's; what is no answer is left out."""
    cache = opened(server.url)
    for number in range(2 * AT_ONCE):
        cache.store(f"k{number}", entry_of("hello", cache.clock.time() + number / 1000), tags=["red"])
    server.ask("SET", "clippy|a:noise", "x" * 5000 + "\n")
    server.ask("RPUSH", "clippy|a:another", "x")
    told = cache.plugin.stored(Selector(), 3)
    assert [one.key for one in told] == [f"k{2 * AT_ONCE - number}" for number in (1, 2, 3)]
    assert told[0].size == server.ask("STRLEN", f"clippy|a:{told[0].key}")
    assert told[0].expires_at == told[0].stored_at + cache.plugin.ttl
    assert len(cache.plugin.stored(Selector(), 10_000)) == 2 * AT_ONCE
    assert [one.key for one in cache.plugin.stored(Selector(key="k7"), 9)] == ["k7"]
    assert cache.plugin.stored(Selector(key="k7", key_prefix="x"), 9) == []
    cache.host.invalidate(key="k7", key_prefix="x")
    assert cache.plugin.stored_entry("k7").response.text == "hello"
    assert (cache.plugin.stored_entry("k"), cache.plugin.stored_entry("noise")) == (None, None)


@given(line=st.binary(max_size=60) | st.text('\ttusmael#"\\1.0nNaInfity{}[]', max_size=60).map(str.encode))
def test_a_line_that_is_none_of_ours_is_no_line(line: bytes) -> None:
    """Whatever stands in it."""
    try:
        found = read(line)
    except CorruptEntry:
        return
    assert isinstance(found.model, str)


@given(
    scope=st.builds(Scope, tenant=st.none() | st.text(), user=st.none() | st.text(), session=st.none() | st.text()),
    model=st.text(),
    times=st.tuples(*[st.floats(allow_nan=False)] * 3),
    tags=st.lists(st.text(), max_size=3).map(tuple),
)
def test_a_line_is_read_as_it_was_written(
    scope: Scope, model: str, times: tuple[float, float, float], tags: tuple[str, ...]
) -> None:
    """Whatever the names are; it is one line."""
    line = Line(scope, model, *times, tags)
    assert read(line.written()) == line
    assert line.written().count(b"\n") == 1


@given(tag=st.text(max_size=6), begins=st.text(max_size=3))
def test_a_tag_begins_in_its_line_as_it_begins(tag: str, begins: str) -> None:
    """JSON writes each letter by itself, so that a beginning stays one."""
    (word,) = named(Selector(tag_prefix=begins))
    assert (word in line_of(tags=(tag,)).decode()) == tag.startswith(begins)


def test_a_selector_is_read_whole() -> None:
    """A part that is added to Selector and forgotten here would drop too much."""
    read_here = {"key", "key_prefix", "tag", "tag_prefix", "model", "scope"}
    assert {part.name for part in fields(Selector)} == read_here
