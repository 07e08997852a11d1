"""What settings, blocks and headers say of caches is what happens, in every colour."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from calling import COLOURS, Caller
from clippy_cache import CachePolicy, caching
from clippy_cache.plans import Rule
from clippy_cache_memory import MemoryCache
from clippy_hookspecs import Message, Refusal, Request, RequestContext, Text, hookimpl

import clippy_core
from clippy_core.testing import FakeProvider, Reply, VirtualClock

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


@define(eq=False)
class Watch:
    """Remembers the contexts."""

    observes_only = True
    contexts: list[RequestContext] = field(factory=list)

    @hookimpl(trylast=True)
    def pre_request(self, ctx: RequestContext) -> None:
        self.contexts.append(ctx)

    @property
    def control(self) -> Any:
        return self.contexts[-1].cache_control


def start(colour: str, policy: CachePolicy, script: Any = None, **others: object) -> Caller:
    caller = Caller(colour, httpx)
    caller.start({"cache": policy, "cache-memory": MemoryCache(), **others}, script)
    return caller


def post(caller: Caller, said: str | None = None, **more: Any) -> tuple[int, Any]:
    headers: dict[str, str] = {} if said is None else {"X-Clippy-Cache": said}
    sent = caller.send(json={**BODY, **more}, headers={"authorization": "Bearer sk-a", **headers})
    if sent.status != 200 or more.get("stream"):
        return sent.status, sent.body
    return sent.status, json.loads(sent.body)["choices"][0]["message"]["content"]


def numbered() -> Any:
    return lambda seen: Reply(f"answer {seen.number}")


# --- the header ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_no_store_keeps_nothing_and_no_cache_asks_anew_and_keeps(colour: str) -> None:
    caller = start(colour, CachePolicy(), numbered())
    said = ["no-store", None, None, "no-cache", None, "no-store", "no-store, no-cache"]
    answers = [post(caller, one)[1] for one in said]
    assert answers == [f"answer {number}" for number in (1, 2, 2, 3, 3, 3, 4)]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_only_if_cached_asks_nobody_and_says_504(colour: str, stream: bool) -> None:
    caller = start(colour, CachePolicy())
    status, body = post(caller, "only-if-cached", stream=stream)
    assert (status, json.loads(body)["error"]["code"]) == (504, "not_cached")
    assert caller.provider.calls == 0
    post(caller, stream=stream)
    assert post(caller, "only-if-cached", stream=stream)[0] == 200
    assert caller.provider.calls == 1
    assert caller.records.outcomes == ["refused", "answered", "cached"]


def test_only_if_cached_is_refused_before_anybody_shortens_the_conversation() -> None:
    @define(eq=False)
    class Shortens:
        called: int = 0

        @hookimpl
        def compress_context(self, request: Any) -> None:
            self.called += 1

    shortens = Shortens()
    caller = start("sync", CachePolicy(), a_first=shortens)
    assert post(caller, "only-if-cached")[0] == 504
    assert shortens.called == 0


def test_only_if_cached_holds_for_what_is_never_cached() -> None:
    caller = start("sync", CachePolicy())
    for path in ("/audio/speech", "/models/none"):
        sent = caller.send(path=path, json={"model": "m", "input": "hi"}, headers={"X-Clippy-Cache": "only-if-cached"})
        assert sent.status == 504
    assert caller.provider.calls == 0


@pytest.mark.parametrize("colour", COLOURS)
def test_an_answer_older_than_asked_for_is_none(colour: str) -> None:
    caller = start(colour, CachePolicy(), numbered())
    post(caller)
    caller.clock.advance(61)
    assert post(caller, "max-age=62")[1] == "answer 1"
    assert post(caller, "max-age=60")[1] == "answer 2"
    assert post(caller, "max-age=60")[1] == "answer 2"


def test_a_time_to_live_and_tags_go_with_the_entry() -> None:
    watch = Watch()
    caller = start("sync", CachePolicy(tags=("all",)), numbered(), watch=watch)
    post(caller, 'ttl=10, tags="news sport", stale-if-error=30, no-join')
    control = watch.control
    assert (control.ttl, control.tags) == (10.0, ("all", "news", "sport"))
    assert (control.stale_if_error, control.join) == (30.0, False)
    caller.clock.advance(9)
    assert post(caller)[1] == "answer 1"
    caller.clock.advance(2)
    assert post(caller)[1] == "answer 2"
    caller.host.invalidate(tag="news")
    assert post(caller)[1] == "answer 2"
    caller.host.invalidate(tag="all")
    assert post(caller)[1] == "answer 3"


@pytest.mark.parametrize("colour", COLOURS)
def test_a_misspelt_directive_is_refused_by_its_name_and_nothing_is_sent(colour: str) -> None:
    caller = start(colour, CachePolicy())
    status, body = post(caller, "no-stor")
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (400, "cache_directive")
    assert error["message"] == "X-Clippy-Cache: there is no directive 'no-stor'; did you mean no-store?"
    assert caller.provider.calls == 0


def test_who_shares_an_answer_is_nothing_that_a_header_says() -> None:
    caller = start("sync", CachePolicy())
    assert post(caller, "share=everyone")[0] == 400


def test_our_own_client_says_it_by_an_argument_and_gets_refusals_as_they_are() -> None:
    provider = FakeProvider(numbered())
    config = {"routes": {"main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "m"}}}
    host = clippy_core.Host({"cache": CachePolicy(), "cache-memory": MemoryCache()}, config=config)
    with clippy_core.Client(host, httpx.Client(transport=provider.transport())) as client:
        assert client.chat("hi", directives={"cache": "no-store"}).text == "answer 1"
        assert client.chat("hi").text == "answer 2"
        assert "".join(client.stream("hi", directives={"cache": "only-if-cached"}).text()) == "answer 2"
        with pytest.raises(Refusal, match="only-if-cached"):
            client.chat("other", directives={"cache": "only-if-cached"})
        with pytest.raises(Refusal, match="did you mean no-cache"):
            client.chat("hi", directives={"cache": "nocache"})


@define(eq=False)
class Shortens:
    """Has a model shorten the conversation before it is sent."""

    @hookimpl
    async def compress_context(self, request: Request, ctx: RequestContext) -> None:
        last = Text("Shorten: " + request.messages[-1].text)
        await ctx.ask(Request("openai.chat", model="small", messages=(Message("user", (last,)),)))


@pytest.mark.parametrize("colour", COLOURS)
def test_what_plugins_ask_about_a_conversation_is_kept_as_little_as_it_is(colour: str) -> None:
    caller = start(colour, CachePolicy(), numbered(), shortens=Shortens())
    for sent in (2, 4):
        post(caller, "no-store")
        assert caller.provider.calls == sent
    post(caller)
    post(caller)
    assert caller.provider.calls == 6


# --- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", COLOURS)
def test_a_block_says_it_for_all_requests_in_it(colour: str) -> None:
    caller = start(colour, CachePolicy(), numbered())
    with caching("no-store"):
        assert post(caller)[1] == "answer 1"
        assert post(caller)[1] == "answer 2"
    with caching(only_if_cached=True):
        assert post(caller)[0] == 504
    assert post(caller)[1] == "answer 3"
    with caching(only_if_cached=True):
        assert post(caller)[1] == "answer 3"
        assert post(caller, "no-cache")[1] == "answer 4"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_task_has_blocks_of_its_own(backend: str) -> None:
    provider, watch = FakeProvider(), Watch()
    host = clippy_core.Host({"cache": CachePolicy(), "watch": watch}, clock=VirtualClock())

    async def ask(client: Any, tag: str, turn: anyio.Event, other: anyio.Event) -> None:
        with caching(tags=[tag]):
            turn.set()
            await other.wait()
            await client.post("http://fake.test/v1/chat/completions", json={**BODY, "user": tag})

    async def both() -> None:
        one, two = anyio.Event(), anyio.Event()
        async with host.wrap(httpx.AsyncClient(transport=provider.async_transport())) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(ask, client, "a", one, two)
                group.start_soon(ask, client, "b", two, one)

    anyio.run(both, backend=backend)
    assert sorted(ctx.cache_control.tags for ctx in watch.contexts) == [("a",), ("b",)]


# --- settings --------------------------------------------------------------------------------------------------------


def test_without_settings_a_request_keeps_its_control_as_it_is() -> None:
    watch = Watch()
    caller = start("sync", CachePolicy(), watch=watch)
    post(caller, temperature=1.5)
    post(caller, temperature=1.5)
    assert watch.control == RequestContext.__attrs_attrs__.cache_control.default
    assert caller.provider.calls == 1


@pytest.mark.parametrize(
    ("temperature", "kept"),
    [({"temperature": 0}, True), ({"temperature": 0.3}, True), ({"temperature": 0.4}, False), ({}, False)],
)
def test_requests_that_want_another_answer_each_time_may_be_left_alone(
    temperature: Mapping[str, Any], kept: bool
) -> None:
    caller = start("sync", CachePolicy(max_temperature=0.3))
    post(caller, **temperature)
    post(caller, **temperature)
    assert caller.provider.calls == (1 if kept else 2)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_answers_that_call_tools_may_be_left_out(stream: bool) -> None:
    from clippy_core.testing import call

    def answers(seen: Any) -> Reply:
        return Reply(tool_calls=[call("f", {"x": 1})]) if seen.last_user_text == "Use it" else Reply("words")

    caller = start("sync", CachePolicy(tools=False), answers)
    for _ in range(2):
        post(caller, stream=stream)
        caller.send(json={**BODY, "messages": [{"role": "user", "content": "Use it"}], "stream": stream})
    assert caller.provider.calls == 3


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_long_answers_may_be_left_out(stream: bool) -> None:
    caller = start("sync", CachePolicy(max_bytes=10), [Reply("0123456789ä"), Reply("0123456789")])
    for _ in range(3):
        post(caller, stream=stream)
    assert caller.provider.calls == 2


def test_the_first_rule_that_fits_model_and_route_holds() -> None:
    watch = Watch()
    rules = (
        Rule(model="gpt-*", ttl=5.0, tags=("gpt",)),
        Rule(model="*", route="other", store=False),
        Rule(model="m?", share="everyone"),
    )
    caller = start("sync", CachePolicy(ttl=60.0, tags=("all",), rules=rules), watch=watch)
    said = []
    for model in ("gpt-5", "m1", "mm1"):
        caller.chat(model=model)
        said.append((watch.control.ttl, watch.control.tags, watch.control.share, watch.control.store))
    assert said == [
        (5.0, ("all", "gpt"), "caller", True),
        (60.0, ("all",), "everyone", True),
        (60.0, ("all",), "caller", True),
    ]


def test_rules_are_tables_of_the_configuration() -> None:
    rule = {"model": "gpt-*", "store": False}
    watch = Watch()
    host = clippy_core.Host(
        {"cache": CachePolicy, "watch": watch}, config={"plugins": {"cache": {"ttl": 5, "rules": [rule]}}}
    )
    with host.wrap(FakeProvider().client()) as client:
        for model in ("gpt-5", "m"):
            client.post("http://fake.test/v1/chat/completions", json={**BODY, "model": model})
    assert [(one.cache_control.ttl, one.cache_control.store, one.cache_control.reason) for one in watch.contexts] == [
        (5.0, False, "settings"),
        (5.0, True, None),
    ]


def test_a_header_wins_over_a_block_and_a_block_over_settings() -> None:
    watch = Watch()
    caller = start("sync", CachePolicy(ttl=60.0), watch=watch)
    with caching(ttl=50.0, max_age=20):
        post(caller, "ttl=40")
    assert (watch.control.ttl, watch.control.max_age) == (40.0, 20)


def test_installing_it_empties_no_cache() -> None:
    cache, caller = MemoryCache(), Caller("sync", httpx)
    caller.start({"cache-memory": cache})
    post(caller)
    caller.start({"cache": CachePolicy(ttl=60.0), "cache-memory": cache})
    post(caller)
    assert caller.provider.calls == 0
