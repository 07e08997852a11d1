"""What answers when no route does: a stored answer past its time, then a fixed text; and what they never hide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from calling import Caller
from clippy_cache import CachePolicy
from clippy_cache_memory import MemoryCache
from clippy_cache_sqlite import SqliteCache
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import Provenance

from clippy_core.testing import Fault, Reply
from clippy_core.wire import APIS
from clippy_core.wire.assemble import assemble_stream

COLOURS = ["sync", "asyncio", "trio"]
ROUTES = {"second": {"base_url": "http://second.test/v1", "key": "sk-second", "model": "m2"}}
HI = [{"role": "user", "content": "Hello"}]
DOWN = Fault.status(503)


def start(script: Any, colour: str = "sync", *, cache: Any = None, **settings: Any) -> Caller:
    named = {"errors": ErrorClassifier(), "fallback": Fallback(**settings), **({"cache": cache} if cache else {})}
    return Caller(colour, httpx).start(named, script, routes=ROUTES)


def post(caller: Caller, *, stream: bool = False, **more: Any) -> tuple[int, str]:
    sent = caller.send(json={"model": "m", "messages": HI, "stream": stream, **more})
    if sent.status != 200:
        return sent.status, ""
    if stream:
        return 200, assemble_stream(APIS["openai.chat"], sent.pieces).text
    return 200, json.loads(sent.body)["choices"][0]["message"]["content"]


@pytest.fixture(params=["memory", "sqlite"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "memory":
        return MemoryCache(ttl=60.0, stale_if_error=3600.0)
    return SqliteCache(path=tmp_path / "cache.db", ttl=60.0, stale_if_error=3600.0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_stored_answer_past_its_time_is_given_when_no_route_answers(colour: str, stream: bool, cache: Any) -> None:
    caller = start([Reply("old words"), DOWN, DOWN], colour, cache=cache, routes=("second",), stale=600.0)
    assert post(caller, stream=stream) == (200, "old words")
    caller.clock.advance(160)

    assert post(caller, stream=stream) == (200, "old words")

    last = caller.records.last
    assert (last.outcome, [one.route for one in last.attempts]) == ("cached", ["", "second"])
    assert last.provenance == Provenance("cache", "cache", "second", 160.0, True, "overloaded at second")
    caller.host.close()


def test_one_that_is_too_old_is_not_given_and_the_text_is(cache: Any) -> None:
    caller = start([Reply("old words"), DOWN], cache=cache, stale=50.0, static="sorry")
    post(caller)
    caller.clock.advance(60 + 51)
    assert post(caller) == (200, "sorry")
    assert caller.records.last.provenance == Provenance(
        "plugin", "fallback", "", reason="the fixed text after overloaded at the planned address"
    )
    caller.host.close()


def test_a_cache_that_keeps_nothing_longer_has_nothing() -> None:
    caller = start([Reply("old words"), DOWN], cache=MemoryCache(ttl=60.0), stale=600.0)
    post(caller)
    caller.clock.advance(61)
    assert post(caller) == (503, "")


@pytest.mark.parametrize(
    ("said", "got"),
    [("stale-if-error=0", (200, "sorry")), ("stale-if-error=39", (200, "sorry")), ("stale-if-error=41", (200, "old"))],
)
def test_a_request_that_wants_none_so_late_gets_the_text(said: str, got: tuple[int, str]) -> None:
    plugins = {
        "cache": CachePolicy(keep_statistics=False),
        "cache-memory": MemoryCache(ttl=60.0, stale_if_error=3600.0),
        "errors": ErrorClassifier(),
        "fallback": Fallback(stale=600.0, static="sorry"),
    }
    caller = Caller("sync", httpx).start(plugins, [Reply("old"), DOWN])
    post(caller)
    caller.clock.advance(100)
    answer = caller.send(json={"model": "m", "messages": HI}, headers={"x-clippy-cache": said})
    assert (answer.status, json.loads(answer.body)["choices"][0]["message"]["content"]) == got


@pytest.mark.parametrize("colour", COLOURS)
def test_an_answer_of_the_provider_is_not_replaced(colour: str, cache: Any) -> None:
    """What is late is for failures alone: with the provider well it is asked."""
    caller = start([Reply("old words"), Reply("new words")], colour, cache=cache, stale=600.0, static="sorry")
    post(caller)
    caller.clock.advance(100)
    assert post(caller) == (200, "new words")
    caller.host.close()


def test_the_fixed_text_is_not_stored(cache: Any) -> None:
    caller = start([DOWN, Reply("words")], cache=cache, static="sorry")
    assert [post(caller), post(caller)] == [(200, "sorry"), (200, "words")]
    caller.host.close()


@pytest.mark.parametrize(
    "asked",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    ],
)
def test_a_program_that_asks_for_json_or_a_call_does_not_get_a_sentence(asked: Any) -> None:
    assert post(start(DOWN, static="sorry"), **asked) == (503, "")


@pytest.mark.parametrize(
    "asked", [{"response_format": {"type": "text"}}, {"tool_choice": "auto"}, {"tool_choice": "none"}]
)
def test_one_that_asks_for_words_does(asked: Any) -> None:
    assert post(start(DOWN, static="sorry"), **asked) == (200, "sorry")


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/responses", {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}}),
        ("/responses", {"tool_choice": {"type": "function", "name": "f"}}),
        ("/messages", {"output_config": {"format": {"type": "json_schema", "schema": {}}}}),
        ("/messages", {"tool_choice": {"type": "any"}}),
    ],
)
def test_in_every_api(path: str, asked: Any) -> None:
    caller = start(DOWN, static="sorry")
    body = {"model": "m", "input": "Hi"} if path == "/responses" else {"model": "m", "max_tokens": 5, "messages": HI}
    assert caller.send(path=path, json={**body, **asked}).status == 503
    assert b"sorry" in caller.send(path=path, json=body).body


def test_an_embedding_may_be_old_and_is_never_a_sentence(cache: Any) -> None:
    caller = start([Reply("x"), DOWN, DOWN], cache=cache, routes=("second",), stale=600.0, static="sorry")
    body = {"model": "e", "input": "words"}
    fresh = caller.send(path="/embeddings", json=body)
    caller.clock.advance(100)
    late = caller.send(path="/embeddings", json=body)
    assert (late.status, late.body) == (fresh.status, fresh.body)
    other = caller.send(path="/embeddings", json={**body, "input": "others"})
    assert other.status == 503
    caller.host.close()


def test_when_the_time_is_over_the_last_resorts_still_answer() -> None:
    """They take none."""
    caller = Caller("sync", httpx)
    named = {"errors": ErrorClassifier(), "fallback": Fallback(routes=("second",), static="sorry")}
    caller.start(named, [[Fault.stall(), Reply("x")], Reply("y")], routes=ROUTES, deadlines={"total": 2.0})
    assert post(caller) == (200, "sorry")
    assert len(caller.provider.requests) == 1


def test_json_is_not_asked_of_a_route_that_cannot_promise_it_and_the_log_says_so(caplog: Any) -> None:
    caplog.set_level("INFO", "clippy")
    caller = Caller("sync", httpx)
    claude = {"api": "anthropic.messages", "base_url": "http://claude.test", "key": "sk-ant", "model": "c"}
    named = {"errors": ErrorClassifier(), "fallback": Fallback(routes=("claude", "second"))}
    caller.start(named, [DOWN, Reply('{"a": 1}')], routes={**ROUTES, "claude": claude})
    assert post(caller, response_format={"type": "json_object"}) == (200, '{"a": 1}')
    assert caller.provider.requests[1].url.startswith("http://second.test")
    assert "route claude is passed over: anthropic.messages has no way" in caplog.text
    reason = caller.records.last.provenance and caller.records.last.provenance.reason
    assert reason == "overloaded at the planned address"
