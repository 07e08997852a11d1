"""What a semantic cache answers, and above all what it does not, under the real host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import anyio
import pytest
from attrs import Factory, define
from clippy_cache_memory import MemoryCache
from clippy_cache_semantic import SemanticCache
from clippy_hookspecs import (
    CacheControl,
    Embedder,
    MatchVerifier,
    Message,
    ProviderError,
    RequestContext,
    Scope,
    Selector,
    ServiceRegistry,
    Text,
    hookimpl,
)

from clippy_core import AsyncClient, Client
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock


@define(eq=False)
class EveryText:
    """An embedder that finds all texts alike: the guards must do the rest."""

    calls: int = 0

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(Embedder, self)

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        self.calls += len(texts)
        return [[1.0, 0.0, crc32(text.encode()) / 2**40] for text in texts]


@pytest.fixture
def serving(clippy_host: Any) -> tuple[SemanticCache, Client]:
    cache = SemanticCache(mode="serve")
    return cache, Client(clippy_host(cache, EveryText()))


def user(text: str) -> Message:
    return Message("user", (Text(text),))


def test_a_question_in_other_words_is_answered_as_the_first_was(
    serving: tuple[SemanticCache, Client], fake_provider: FakeProvider
) -> None:
    """The provider echoes, so the answer says whose it is."""
    cache, client = serving
    assert client.chat("How do I cancel my booking?").text == "How do I cancel my booking?"
    again = client.chat("how can I cancel my reservation")
    assert again.text == "How do I cancel my booking?"
    assert (again.provenance.source, again.provenance.by) == ("cache", "cache-semantic")
    assert fake_provider.calls == 1
    hit = cache.hit_of(again.extensions["clippy"].id)
    assert hit is not None
    assert hit.tier == "meaning"
    assert hit.similarity > 0.99


def test_the_same_words_in_another_dress_need_no_embedding(clippy_host: Any, fake_provider: FakeProvider) -> None:
    """Capitals, marks, politeness, contractions and numbers in words: the first tier needs no embedder at all."""
    client = Client(clippy_host(SemanticCache(mode="serve")))
    client.chat("What's the price for twelve tickets?")
    assert client.chat("hello! what is the price for 12 tickets, please").provenance.source == "cache"
    assert client.chat("What's the price for eleven tickets?").provenance.source == "provider"
    assert fake_provider.calls == 2


@pytest.mark.parametrize(
    "other",
    [
        "How do I cancel my order?", "How don't I cancel my booking?", "When do I cancel my booking?",
        "How do I confirm my booking?", "How do I cancel 2 bookings?", "How do I cancel my booking in May?",
    ],
)  # fmt: skip
def test_what_a_guard_tells_apart_is_asked_anew(serving: tuple[SemanticCache, Client], other: str) -> None:
    """The embedder finds everything alike; what differs in a word that matters is another question."""
    cache, client = serving
    client.chat("How do I cancel my booking?")
    assert client.chat(other).text == other
    assert sum(cache.statistics().vetoes.values()) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.5}, {"response_format": {"type": "json_object"}}, {"n": 2}, {"model": "another"},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
    ],
)  # fmt: skip
def test_other_parameters_are_another_question(
    serving: tuple[SemanticCache, Client], fake_provider: FakeProvider, settings: dict[str, Any]
) -> None:
    """Model and parameters must be equal; with tools, a JSON mode or several answers nothing is shared at all."""
    _, client = serving
    client.chat("How do I cancel my booking?")
    client.chat("How can I cancel my booking?", **settings)
    assert fake_provider.calls == 2
    if "model" not in settings and "temperature" not in settings:
        client.chat("How do I cancel the booking?", **settings)
        assert fake_provider.calls == 3


def test_what_came_before_must_be_the_same(serving: tuple[SemanticCache, Client], fake_provider: FakeProvider) -> None:
    """Another system prompt or another turn before, and the same words are another question."""
    _, client = serving
    question, again = user("How do I cancel it?"), user("how can I cancel it")
    before = [
        [],
        [Message("system", (Text("Be brief."),))],
        [Message("system", (Text("Be kind."),))],
        [user("I have a phone."), Message("assistant", (Text("Nice."),))],
        [user("I have a phone."), Message("assistant", (Text("Good."),))],
        [Message("assistant", (Text("I have a phone."),)), user("Nice.")],
    ]
    for turns in before:
        assert client.chat([*turns, question]).provenance.source == "provider"
    for turns in before:
        assert client.chat([*turns, again]).provenance.source == "cache"
    assert fake_provider.calls == len(before)


def test_only_a_user_with_words_alone_is_answered(
    serving: tuple[SemanticCache, Client], fake_provider: FakeProvider
) -> None:
    """An image beside the question, or a last turn of somebody else."""
    _, client = serving
    picture = {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}
    for text in ("What is this?", "what is this"):
        client.chat([{"role": "user", "content": [{"type": "text", "text": text}, picture]}])
        client.chat([user("Say on"), Message("assistant", (Text(text),))])
    assert fake_provider.calls == 4


def test_a_long_text_is_not_shared(clippy_host: Any, fake_provider: FakeProvider) -> None:
    """What is beyond the window of an embedder would not count."""
    client = Client(clippy_host(SemanticCache(mode="serve", max_chars=30)))
    for text in ("How do I cancel the booking of my room?", "how do I cancel the booking of my room"):
        client.chat(text)
    assert fake_provider.calls == 2


def test_nobody_gets_another_tenants_answer(clippy_host: Any, fake_provider: FakeProvider) -> None:
    """The partition holds the scope."""
    host = clippy_host(SemanticCache(mode="serve"), EveryText())
    client = Client(host)
    for tenant in ("a", "b"):
        with host.scope(tenant=tenant):
            assert client.chat("How do I cancel my booking?").provenance.source == "provider"
    assert fake_provider.calls == 2


def test_shadow_mode_only_measures(clippy_host: Any, fake_provider: FakeProvider) -> None:
    """It counts what it would have answered and how that compares with what the provider said."""
    cache = SemanticCache(mode="shadow")
    script = [Reply("Press the red button."), Reply("Press the red button."), Reply("That cannot be done at all.")]
    client = Client(clippy_host(cache, EveryText(), script=script))
    assert client.chat("How do I cancel my booking?").text == "Press the red button."
    assert client.chat("how can I cancel my booking").provenance.source == "provider"
    assert client.chat("How do I cancel my reservation?").text == "That cannot be done at all."
    counted = cache.statistics()
    assert fake_provider.calls == counted.lookups == 3
    assert (counted.words, counted.meaning, counted.equal, counted.near, counted.other) == (1, 1, 1, 0, 1)


@pytest.mark.parametrize("content", [False, True])
def test_shadow_mode_shows_each_pair_so_that_one_can_judge(clippy_host: Any, content: bool) -> None:
    """By the ids of both requests, which an audit log has; the questions themselves only where that is asked for."""
    cache = SemanticCache(mode="shadow", content=content)
    script = [Reply("Press the red button."), Reply("Press the red button."), Reply("That cannot be done at all.")]
    client = Client(clippy_host(cache, EveryText(), script=script))
    questions = ("How do I cancel my booking?", "how can I cancel my booking", "How do I cancel my reservation?")
    first, same, other = (client.chat(text).extensions["clippy"].id for text in questions)
    pairs = cache.shadowed()
    assert [(one.request, one.stored, one.tier, one.answers) for one in pairs] == [
        (same, first, "words", "equal"),
        (other, same, "meaning", "other"),
    ]
    assert pairs[1].similarity == pytest.approx(1)  # of EveryText, which finds all questions alike
    shown = [(one.question, one.stored_question) for one in pairs]
    assert shown == ([(questions[1], questions[0]), (questions[2], questions[1])] if content else [("", "")] * 2)
    [table] = anyio.run(cache.status_tables)
    assert [row[0] for row in table.rows] == [other, same]
    assert "cancel" not in repr((table, pairs))


def test_a_reported_answer_is_not_given_for_so_little_again(
    serving: tuple[SemanticCache, Client], fake_provider: FakeProvider
) -> None:
    """First the entry asks for more likeness; one found by its words goes at once."""
    cache, client = serving
    client.chat("How do I cancel my booking?")
    wrong = client.chat("How can I cancel my reservation?")
    report = cache.report_wrong_hit(wrong.extensions["clippy"].id)
    assert (bool(report), report.what) == (True, "stricter")
    report = cache.report_wrong_hit(wrong.extensions["clippy"].id)
    assert (bool(report), report.what, report.why) == (False, "before", "this answer was reported before")
    same = client.chat("how do i cancel my booking")
    assert same.provenance.source == "cache"
    assert cache.report_wrong_hit(same.extensions["clippy"].id).what == "dropped"
    assert client.chat("how do i cancel my booking").provenance.source == "provider"
    assert cache.statistics().reported == 2
    report = cache.report_wrong_hit("asked-elsewhere")
    assert (bool(report), report.what) == (False, "unknown")
    assert "none of the newest 4096 answers" in report.why
    assert "'asked-elsewhere'" in report.why
    again = client.chat("how do i cancel my booking")
    cache.cache_invalidate(Selector())
    assert cache.report_wrong_hit(again.extensions["clippy"].id).what == "gone"


@define(eq=False)
class Strict:
    """A verifier that lets pass what it was told to."""

    passes: str
    asked: list[tuple[str, str]] = Factory(list)

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(MatchVerifier, self)

    async def same(self, asked: str, stored: str, ctx: RequestContext) -> bool:
        self.asked.append((asked, stored))
        return asked == self.passes


@pytest.mark.parametrize("profile", ["strict", "verifier"])
def test_a_verifier_has_the_last_word(clippy_host: Any, profile: str) -> None:
    """After the guards, or in their place."""
    verifier = Strict(passes="How can I cancel my reservation?")
    client = Client(clippy_host(SemanticCache(mode="serve", profile=profile), EveryText(), verifier))
    client.chat("How do I cancel my booking?")
    assert client.chat("How can I cancel a reservation?").provenance.source == "provider"
    assert client.chat("How can I cancel my reservation?").provenance.source == "cache"
    client.chat("How do I paint my house?")
    guarded = ("How do I paint my house?", "How do I cancel my booking?") not in verifier.asked
    assert guarded == (profile == "strict")


def test_without_a_verifier_its_profile_serves_nothing_by_meaning(clippy_host: Any) -> None:
    """No guards and nobody to ask: not served."""
    client = Client(clippy_host(SemanticCache(mode="serve", profile="verifier"), EveryText()))
    client.chat("How do I cancel my booking?")
    assert client.chat("How can I cancel my reservation?").provenance.source == "provider"
    assert client.chat("how do i cancel my booking").provenance.source == "cache"


def test_an_answer_ends_with_its_time(
    serving: tuple[SemanticCache, Client], fake_provider: FakeProvider, clippy_clock: VirtualClock
) -> None:
    """After the ttl neither tier gives it."""
    _, client = serving
    client.chat("How do I cancel my booking?")
    clippy_clock.advance(3601)
    assert client.chat("How can I cancel my booking?").provenance.source == "provider"
    assert client.chat("How can I cancel my reservation?").text == "How can I cancel my booking?"
    assert fake_provider.calls == 2


def test_a_stream_is_replayed(serving: tuple[SemanticCache, Client], fake_provider: FakeProvider) -> None:
    """Asked in other words as a stream, it comes as one."""
    _, client = serving
    assert "".join(client.stream("How do I cancel my booking?").text()) == "How do I cancel my booking?"
    assert "".join(client.stream("How can I cancel my booking?").text()) == "How do I cancel my booking?"
    assert fake_provider.calls == 1


async def test_it_works_in_asyncio_and_trio(clippy_host: Any, fake_provider: FakeProvider) -> None:
    """The embedder waits in a worker thread there."""
    async with clippy_host(SemanticCache(mode="serve"), EveryText()) as host, AsyncClient(host) as client:
        await client.chat("How do I cancel my booking?")
        assert (await client.chat("How can I cancel my reservation?")).provenance.source == "cache"
    assert fake_provider.calls == 1


def test_an_exact_cache_is_asked_first(clippy_host: Any) -> None:
    """Whatever the order of installing: the very request is answered by who knows it."""
    client = Client(clippy_host(SemanticCache(mode="serve"), MemoryCache(), EveryText()))
    client.chat("How do I cancel my booking?")
    assert client.chat("How do I cancel my booking?").provenance.by == "cache-memory"


def test_an_exact_cache_is_not_given_what_was_found_by_meaning(clippy_host: Any, fake_provider: FakeProvider) -> None:
    """It would go on giving it after somebody has reported that it was wrong."""
    semantic, exact = SemanticCache(mode="serve"), MemoryCache()
    client = Client(clippy_host(exact, semantic, EveryText()))
    first = client.chat("How do I cancel my booking?")
    again = client.chat("how can I cancel my reservation")
    assert again.text == first.text
    assert again.provenance.reason is not None
    assert again.provenance.reason.startswith("the same meaning, ")
    for _ in range(2):
        semantic.report_wrong_hit(client.chat("how can I cancel my reservation").extensions["clippy"].id)
    assert client.chat("how can I cancel my reservation").text == "how can I cancel my reservation"
    assert fake_provider.calls == 2


def test_a_failure_that_is_kept_answers_no_other_question(clippy_host: Any, fake_provider: FakeProvider) -> None:
    @define(eq=False)
    class KeepsFailures:
        @hookimpl
        def pre_request(self, ctx: RequestContext) -> None:
            ctx.cache_control = CacheControl(negative_ttl=60.0)

    fake_provider.script = [Fault.status(404)]
    client = Client(clippy_host(KeepsFailures(), SemanticCache(mode="serve"), EveryText()))
    with pytest.raises(ProviderError):
        client.chat("How do I cancel my booking?")
    assert client.chat("how can I cancel my reservation").status == 200


def test_invalidating_drops_what_is_named(clippy_host: Any) -> None:
    """By scope, and everything."""
    host = clippy_host(SemanticCache(mode="serve"), EveryText())
    client = Client(host)
    with host.scope(tenant="a"):
        client.chat("How do I cancel my booking?")
        host.invalidate(scope=Scope(tenant="b"))
        assert client.chat("how do I cancel my booking").provenance.source == "cache"
        host.invalidate(scope=Scope(tenant="a"))
        assert client.chat("how do I cancel my booking").provenance.source == "provider"
    host.invalidate()
    with host.scope(tenant="a"):
        assert client.chat("How do I cancel my booking").provenance.source == "provider"


def test_off_it_takes_no_part(clippy_host: Any, fake_provider: FakeProvider) -> None:
    """Installed is not enough: it waits for a mode."""
    client = Client(clippy_host(SemanticCache()))
    client.chat("How do I cancel my booking?")
    client.chat("how do I cancel my booking")
    assert fake_provider.calls == 2
    assert "mode" in SemanticCache().idle
    assert not SemanticCache(mode="serve").idle


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_begins_empty() -> None:
    """Its locks are its own."""
    cache = SemanticCache(mode="serve")
    cache._lock.acquire()
    child = os.fork()
    if not child:
        os._exit(0 if cache.statistics().lookups == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
