"""What was counted is what the provider's log says, request by request."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import httpx
import pytest
from attrs import define, evolve, field
from calling import COLOURS, Caller
from clippy_cache import CachePolicy, Latency, Statistics
from clippy_cache.books import MOST_NAMES, Books
from clippy_cache.statistics import ACCURACY, added, bucket
from clippy_cache_failures import CacheFailures
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_hookspecs import CacheEntry, Prices, ProviderError, Refusal, Request, ServiceRegistry, Usage, hookimpl
from clippy_retry import RetryPolicy
from flight_lab import Lab
from hypothesis import given
from hypothesis import strategies as st

from clippy_core.testing import Fault, Reply, SeenRequest

PER_TOKEN = 0.001


@define(eq=False)
class PriceList:
    """One price for every model but *free*, whose price nobody knows."""

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(Prices, self)

    def cost(self, model: str, usage: Usage) -> float | None:
        return None if model == "unpriced" else PER_TOKEN * usage.total


def plugins() -> dict[str, object]:
    return {
        "cache": CachePolicy(keep_statistics=False),
        "cache-failures": CacheFailures(stale_if_error=1000.0, negative_ttl=30.0),
        "cache-memory": MemoryCache(ttl=20.0, stale_if_error=1000.0),
        "errors": ErrorClassifier(),
        "retry": RetryPolicy(attempts=2, base=0.0, budget=0.0),
        "prices": PriceList(),
    }


USED = Usage(7, 3)
ANSWER = Reply("An answer of a few words.", usage=USED, delay=2.0)
FATES: Sequence[Any] = (
    ANSWER,
    ANSWER,
    ANSWER,
    Reply("cut off", finish="length", usage=USED),
    Reply("", finish="content_filter", usage=USED),
    *[Fault.status(503)] * 5,
    Fault.status(404),
    Fault.status(400, kind="context_length"),
    Fault.status(401),
    Fault.status(429),
    Fault.reset(at_delta=1),
    Fault.reset(before_head=True),
)


@define(eq=False)
class Log:
    """How a provider answered."""

    chance: random.Random
    fates: list[Any] = field(factory=list)

    def __call__(self, seen: SeenRequest) -> Any:
        self.fates.append(self.chance.choice(FATES))
        return self.fates[-1]


def change(before: Statistics, after: Statistics) -> dict[str, float]:
    """What one request added to the groups that exclude each other."""
    return {
        "hits": sum(after.hits.values()) - sum(before.hits.values()),
        "misses": sum(after.misses.values()) - sum(before.misses.values()),
        "others": sum(after.others.values()) - sum(before.others.values()),
        "attempts": after.attempts - before.attempts,
        "stored": sum(after.stored.values()) - sum(before.stored.values()),
        "spent": after.spent.input + after.spent.output - before.spent.input - before.spent.output,
        "timed": after.hit_latency.count
        + after.miss_latency.count
        - before.hit_latency.count
        - before.miss_latency.count,
    }


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_workload_is_counted_as_the_provider_logged_it(colour: str, seed: int) -> None:
    """Retries, stale answers, kept failures, cancelled streams, directives and repeats, one after the other."""
    chance, caller = random.Random(seed), Caller(colour, httpx)
    made = plugins()
    policy: Any = made["cache"]
    log = Log(random.Random(seed + 100))
    caller.start(made, log)
    for _ in range(200 if colour == "sync" else 40):
        said = chance.choice([None, None, None, None, "no-store", "no-cache", "only-if-cached", "max-age=20", "wrong"])
        params: dict[str, Any] = {} if said is None else {"directives": {"cache": said}}
        before, asked = policy.statistics(), caller.provider.calls
        question = f"question {chance.randrange(8)}"
        if chance.random() < 0.5:
            caller.stream(question, stop_after=chance.choice([None, None, 1]), **params)
        else:
            with suppress(ProviderError, Refusal):
                caller.chat(question, **params)
        record, new = caller.records.last, change(before, policy.statistics())
        sent = caller.provider.calls - asked
        assert new["attempts"] == sent
        assert new["hits"] + new["misses"] + new["others"] == 1
        by_cache = record.provenance is not None and record.provenance.source == "cache"
        assert new["hits"] == by_cache
        assert new["misses"] == (
            not by_cache and (sent > 0 or (record.error is not None and record.error.kind == "not_cached"))
        )
        assert new["timed"] == new["hits"] + new["misses"]
        if said == "no-store":
            assert new["stored"] == 0
        told = record.usage is None or not record.usage.estimated  # a stream tells its usage if it is asked to
        if told and record.outcome in ("answered", "cached", "refused"):
            answers = sum(isinstance(fate, Reply) for fate in log.fates[asked:])
            assert new["spent"] == answers * USED.total
        caller.clock.advance(chance.choice([0, 0, 0, 5, 25]))
    whole = policy.statistics()
    assert whole.requests == len(caller.records.records)
    assert whole.attempts == caller.provider.calls
    kinds = {kind for kind, _ in whole.hits}
    if colour == "sync":
        assert kinds == {"exact", "stale", "negative"}
    assert {by for _, by in whole.hits} == {"cache-memory"}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_hit_saves_what_the_answer_took(colour: str, stream: bool) -> None:
    caller, made = Caller(colour, httpx), plugins()
    policy: Any = made["cache"]
    caller.start(made, ANSWER)
    caller.chat("one")
    for _ in range(3):
        if stream:
            caller.stream("one")
        else:
            caller.chat("one")
    found = policy.statistics()
    assert found.hits == {("exact", "cache-memory"): 3}
    assert found.misses == {"absent": 1}
    assert found.stored == {"answers": 1}
    assert (found.spent.input, found.spent.output) == (7, 3)
    assert (found.saved.input, found.saved.output) == (21, 9)
    assert found.saved.dollars == pytest.approx(3 * 10 * PER_TOKEN)
    assert found.spent.dollars == pytest.approx(10 * PER_TOKEN)
    assert found.saved.seconds == pytest.approx(6.0)
    assert (found.saved.unpriced, found.saved.untimed) == (0, 0)
    assert found.hit_rate == 0.75


def test_an_unknown_price_is_not_free_and_an_unknown_time_not_short() -> None:
    """The answer was stored by a program before this one."""
    cache, first = MemoryCache(), Caller("sync", httpx)
    first.start({"cache-memory": cache}, ANSWER)
    first.chat("one", model="unpriced")
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx, clock=first.clock)
    caller.start({"cache": policy, "cache-memory": cache, "prices": PriceList()}, ANSWER)
    caller.chat("one", model="unpriced")
    found = policy.statistics()
    assert (found.saved.input, found.saved.dollars, found.saved.unpriced) == (7, 0.0, 1)
    assert (found.saved.seconds, found.saved.untimed) == (0.0, 1)


@pytest.mark.parametrize(
    ("said", "reason"),
    [(None, "absent"), ("no-cache", "no-cache"), ("no-store", "absent"), ("no-store, no-cache", "no-cache")],
)
def test_a_miss_has_its_reason(said: str | None, reason: str) -> None:
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache()})
    caller.chat("one", directives={} if said is None else {"cache": said})
    assert policy.statistics().misses == {reason: 1}


def test_what_was_there_and_is_gone_is_told_from_what_never_was() -> None:
    policy, caller = CachePolicy(ttl=10.0, keep_statistics=False), Caller("sync", httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache()})
    caller.chat("one")
    caller.clock.advance(11)
    caller.chat("one")
    caller.chat("two")
    caller.send(path="/audio/speech", json={"model": "m", "input": "hi"})
    assert policy.statistics().misses == {"absent": 2, "gone": 1, "not cacheable": 1}


def test_what_an_equal_request_stores_meanwhile_was_not_there_before() -> None:
    """Two misses of one key at once: the second to end is no miss of something that is gone."""
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)

    @define(eq=False)
    class AsksInBetween:
        inner: bool = False

        @hookimpl
        def pre_attempt(self) -> None:
            if not self.inner:
                self.inner = True
                caller.chat("one")

    caller.start({"cache": policy, "cache-memory": MemoryCache(), "in-between": AsksInBetween()})
    caller.chat("one")
    assert policy.statistics().misses == {"absent": 2}


def test_without_a_cache_nothing_is_stored_and_nothing_gone() -> None:
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)
    caller.start({"cache": policy})
    caller.chat("one")
    caller.chat("one")
    found = policy.statistics()
    assert (found.misses, found.stored) == ({"absent": 2}, {})
    assert found.not_stored == {"no cache is active": 2}


def test_an_answer_to_another_question_is_a_hit_of_its_own_kind() -> None:
    """It is no exact one, and tells nothing of what is stored for this request."""

    @define(eq=False)
    class NearEnough:
        kept: list[CacheEntry] = field(factory=list)

        @hookimpl
        def cache_lookup(self, request: Request) -> CacheEntry | None:
            wanted = request.messages[-1].text == "ONE" and self.kept
            return evolve(self.kept[0], note="the same words") if wanted else None

        @hookimpl
        def cache_store(self, entry: CacheEntry) -> None:
            self.kept.append(entry)

    near = NearEnough()
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)
    caller.start({"cache": policy, "near": near}, ANSWER)
    caller.chat("one")
    assert caller.chat("ONE").provenance.reason == "the same words"
    near.kept.clear()
    caller.chat("ONE")
    found = policy.statistics()
    assert found.hits == {("similar", "near"): 1}
    assert found.misses == {"absent": 2}
    assert (found.saved.output, found.saved.untimed) == (3, 1)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_answer_that_was_not_kept_has_its_reason(stream: bool) -> None:
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)
    form = {"response_format": {"type": "json_object"}}
    caller.start(
        {"cache": policy, "cache-memory": MemoryCache()}, [Reply("a", finish="length"), Reply("a"), Reply("a")]
    )
    for params in ({}, {"directives": {"cache": "no-store"}}, form):
        if stream:
            caller.stream("one", **params)
        else:
            caller.chat("one", **params)
    assert policy.statistics().not_stored == {"ended with length": 1, "no-store": 1, "not JSON": 1}


def test_a_reader_that_leaves_is_counted_as_such() -> None:
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache()}, Reply("a b c d e f"))
    caller.stream("one", stop_after=1)
    caller.stream("one")
    caller.stream("one", stop_after=1)
    found = policy.statistics()
    assert found.not_stored == {"cancelled": 1}
    assert (found.hits, found.misses) == ({("exact", "cache-memory"): 1}, {"absent": 2})


@pytest.mark.parametrize("colour", COLOURS)
def test_who_joins_a_flight_is_a_hit_and_the_leader_a_miss(colour: str) -> None:
    async def scenario(lab: Lab) -> None:
        leader = lab.call()
        await lab.asked()
        others = [lab.call() for _ in range(4)]
        await lab.until(lambda: lab.waiting == 4)
        lab.valve.flow()
        await lab.finished(leader, *others)

    policy = CachePolicy(keep_statistics=False)
    lab = Lab(colour, {"cache": policy}).run(scenario)
    found = policy.statistics()
    assert found.hits == {("joined", "together"): 4}
    assert (found.misses, found.attempts) == ({"absent": 1}, len(lab.valve.exchanges))
    assert found.saved.output == 4 * found.spent.output


def test_what_never_came_to_a_cache_is_neither_hit_nor_miss() -> None:
    from clippy_hookspecs import Answer, Message, Response, Text

    @define(eq=False)
    class Says:
        @hookimpl
        def pre_request(self, request: Request) -> Answer:
            return Answer(Response(message=Message("assistant", (Text("mine"),)), finish_reason="stop"))

    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache(), "says": Says()})
    caller.chat("one")
    found = policy.statistics()
    assert (found.others, found.hit_rate, found.attempts) == ({"answered": 1}, None, 0)


# --- the numbers themselves ------------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_two_percent(durations: list[float], q: float) -> None:
    buckets: dict[int, int] = {}
    for one in durations:
        buckets[bucket(one)] = buckets.get(bucket(one), 0) + 1
    exact = sorted(durations)[math.floor(q * (len(durations) - 1))]
    found = Latency(buckets).quantile(q)
    assert found == pytest.approx(exact, rel=ACCURACY * 1.001)


@given(st.floats())
def test_every_duration_has_a_bucket(seconds: float) -> None:
    assert bucket(1e-6) <= bucket(seconds) <= bucket(1e6)


@given(st.lists(st.lists(st.floats(1e-6, 1e3), max_size=20), max_size=5))
def test_counts_of_several_processes_add_up_to_those_of_one(processes: list[list[float]]) -> None:
    one, several = Books(), [Books() for _ in processes]
    for books, durations in zip(several, processes, strict=True):
        for seconds in durations:
            told = (("miss/absent", 1.0), (f"miss-latency/{bucket(seconds)}", 1.0))
            books.add(told)
            one.add(told)
    assert Statistics.of(added(books.read() for books in several)) == Statistics.of(one.read())


def test_names_without_end_take_no_memory_without_end() -> None:
    books = Books()
    for number in range(MOST_NAMES + 50):
        books.add(((f"miss/{number}", 1.0),))
    found = Statistics.of(books.read())
    assert sum(found.misses.values()) == MOST_NAMES + 50
    assert (found.misses["more"], len(found.misses)) == (50, MOST_NAMES + 1)


def test_nothing_counted_has_no_rate_and_no_quantiles() -> None:
    found = Statistics.of({})
    assert (found.requests, found.hit_rate, found.hit_latency.quantile(0.5)) == (0, None, None)


@pytest.mark.anyio
async def test_the_tables_say_what_the_statistics_say() -> None:
    """The rate in per cent, None before there was anything; the commonest first."""
    policy, caller = CachePolicy(keep_statistics=False), Caller("sync", httpx)
    [first, hits, misses] = await policy.status_tables()
    assert (first.rows, hits.rows, misses.rows) == (((0, 0, 0, None),), (), ())
    caller.start({"cache": policy, "cache-memory": MemoryCache()}, [Reply("once")])
    for _ in range(4):
        caller.chat(temperature=0)
    [first, hits, misses] = await policy.status_tables()
    assert first.rows == ((4, 3, 1, 75.0),)
    assert hits.rows == (("exact", "cache-memory", 3),)
    assert misses.rows == tuple(policy.statistics().misses.items())
