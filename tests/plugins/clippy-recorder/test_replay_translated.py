"""A call that was asked in one wire API and answered in another is played to its caller in the caller's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from attrs import evolve
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import Headers, RawRequest
from clippy_recorder import Exchange, Recorder, document, exchange_of, to_curl, to_python
from clippy_recorder.cleaning import cleaned
from clippy_recorder.developing import develop
from clippy_recorder.handing import packed, unpacked
from clippy_recorder.har import from_har, to_har
from clippy_recorder.replaying import Cassette, Replay
from clippy_recorder.rerunning import request_of
from clippy_recorder.serving import pages_of
from clippy_serving import Server
from gateway_world import CALLERS_KEY, World

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, Fault, Reply

MESSAGES: Any = [{"role": "user", "content": "Hello"}]
DATED = {"date": "Mon, 30 Nov 2026 01:20:00 GMT"}  # without a date an answer is of the second in which it is told
REPLY = Reply("one two three", chunks=("one ", "two ", "three"), headers=DATED)


def asked_of(url: str) -> list[Any]:
    """What three programs are told whose gateway sends each of them to a provider of another wire API."""
    said: list[Any] = []
    with httpx2.Client(trust_env=False) as http:
        how: Any = {"api_key": CALLERS_KEY, "max_retries": 0, "http_client": http}
        claude = anthropic.Anthropic(base_url=url, default_headers={"x-clippy-route": "main"}, **how)
        chat = openai.OpenAI(base_url=f"{url}/v1", default_headers={"x-clippy-route": "claude"}, **how)
        said.append(claude.messages.create(model="m", max_tokens=9, messages=MESSAGES).model_dump())
        with claude.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as events:
            said += [list(events.text_stream), events.get_final_message().model_dump()]
        said.append(chat.chat.completions.create(model="m", messages=MESSAGES).model_dump())
        streamed = chat.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        said.append([event.model_dump() for event in streamed])
        said.append(chat.responses.create(model="m", input="Hello").output_text)
        with chat.responses.stream(model="m", input="Hello") as answers:
            said.append([event.type for event in answers])
        with pytest.raises(anthropic.RateLimitError) as failed:
            claude.messages.create(model="other", max_tokens=9, messages=MESSAGES)
        said.append(failed.value.body)
    return said


@pytest.fixture(scope="module")
def gateway() -> Iterator[tuple[list[Any], list[Exchange], list[bytes]]]:
    recorder = Recorder(enabled=True)
    with World([REPLY] * 6 + [Fault.status(429)], {"recorder": recorder}) as world:
        told = asked_of(world.url)
        handed = [packed(tape) for tape in recorder._shelf.tapes()]
        yield told, [*recorder.latest()], handed


@pytest.fixture
def served() -> Iterator[Callable[[Replay], str]]:
    servers: list[Server] = []

    def serve(replay: Replay) -> str:
        servers.append(Server(pages_of(replay)))
        servers[-1].start()
        return f"http://127.0.0.1:{servers[-1].port}"

    yield serve
    for one in servers:
        one.stop()


@pytest.mark.parametrize("kept_in", ["memory", "jsonl", "har", "apart"])
def test_each_sdk_is_told_again_what_the_gateway_told_it(gateway, served, kept_in):
    """Plain, streamed and refused; from a file as from memory, whichever process wrote it."""
    told, calls, handed = gateway
    if kept_in == "apart":
        calls = [develop(unpacked(one), "detailed") for one in handed]
    if kept_in == "jsonl":
        calls = [exchange_of(json.loads(json.dumps(document(call)))) for call in calls]
    elif kept_in == "har":
        calls = from_har(json.loads(json.dumps(to_har(calls))))
    with clippy_core.Host([]) as host:
        replay = Replay(Cassette.of(calls), speed=0.0, host=host)
        again = asked_of(served(replay))
    assert replay.missing == []
    assert again == told


def test_all_that_is_told_of_one_answer_says_the_same_second_however_often_it_is_played(gateway):
    """The second that its provider named in the head, or the one in which the call began."""
    _, calls, _ = gateway
    call = next(one for one in calls if one.asked is not None and one.asked.api == "openai.chat" and one.stream)
    attempt = call.attempts[-1]
    for date, second in (("Mon, 30 Nov 2026 01:20:00 GMT", 1796001600), ("soon", int(call.began))):
        undated = [pair for pair in attempt.answer.headers if pair[0].lower() != "date"]
        named = evolve(attempt, answer=evolve(attempt.answer, headers=(*undated, ("date", date))))
        with clippy_core.Host([]) as host:
            replay = Replay(Cassette.of([evolve(call, attempts=(named,))]), speed=0.0, host=host)
            first, again = (drive(played(replay, call)) for _ in range(2))
        assert first == again
        events = [json.loads(line[6:]) for line in first.decode().splitlines() if line.startswith("data: {")]
        assert {event["created"] for event in events} == {second}


async def played(replay: Replay, call: Exchange) -> bytes:
    assert call.asked is not None
    reply = await replay.answer(RawRequest("POST", call.asked.url, Headers(), call.asked.message.body))
    if isinstance(reply.body, bytes):
        return reply.body
    parts = []
    while (piece := await reply.body.next()) is not None:
        parts.append(piece)
    return b"".join(parts)


def test_whoever_asks_in_the_provider_s_form_gets_it_as_the_gateway_got_it(gateway):
    """The very bytes: what was sent on is a question of its own."""
    _, calls, _ = gateway
    for call in calls[:2]:
        reply = drive(Replay(Cassette.of([call]), speed=0.0).answer(sent(call)))
        body = reply.body if isinstance(reply.body, bytes) else drive(whole(reply.body))
        pieces = b"".join(piece.data for piece in call.pieces if piece.kind == "bytes")
        assert body == pieces
        assert b"chat.completion" in body


def sent(call: Exchange) -> RawRequest:
    return RawRequest("POST", call.attempts[-1].url, Headers(), call.attempts[-1].sent.body)


async def whole(body: Any) -> bytes:
    parts = []
    while (piece := await body.next()) is not None:
        parts.append(piece)
    return b"".join(parts)


def test_exports_tell_the_providers_side_and_neither_side_tells_a_key(gateway):
    """An address that a command can reach is the provider's; the caller's own words are in the recording."""
    _, calls, _ = gateway
    assert all("/chat/completions" in to_curl(call) for call in calls[:2])
    assert [call.asked.api for call in calls if call.asked] == (
        ["anthropic.messages"] * 2 + ["openai.chat"] * 2 + ["openai.responses"] * 2 + ["anthropic.messages"]
    )
    assert CALLERS_KEY not in json.dumps([document(call) for call in calls])
    leaky = evolve(calls[0].asked, message=evolve(calls[0].asked.message, headers=(("x-api-key", CALLERS_KEY),)))
    assert CALLERS_KEY not in json.dumps(document(cleaned(evolve(calls[0], asked=leaky))))


def test_without_a_host_the_answer_says_what_is_lacking(gateway):
    """Instead of an answer in a form that the caller cannot read."""
    _, calls, _ = gateway
    call = calls[0]
    reply = drive(
        Replay(Cassette.of(calls)).answer(RawRequest("POST", call.asked.url, Headers(), call.asked.message.body))
    )
    assert reply.status == 404
    assert b"Replay(cassette, host=host)" in reply.body


def test_a_call_that_another_provider_answered_in_the_end_is_played_in_the_form_it_was_asked_in(served):
    """A fallback leads to another wire API behind the caller's back."""
    provider, recorder = FakeProvider([Fault.status(503), REPLY, Fault.status(503), REPLY]), Recorder(enabled=True)
    routes = {"second": {"api": "anthropic.messages", "base_url": "http://second.test", "model": "m2"}}
    plugins = {"recorder": recorder, "errors": ErrorClassifier(), "fallback": Fallback(routes=("second",))}

    def said(chat: openai.OpenAI) -> list[Any]:
        plain = chat.chat.completions.create(model="m", messages=MESSAGES)
        streamed = chat.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        return [plain.model_dump(), *[event.model_dump() for event in streamed]]

    with clippy_core.Host(plugins, config={"routes": routes}) as host, httpx2.Client(trust_env=False) as http:
        told = said(host.wrap(openai.OpenAI(api_key="x", http_client=provider.client(httpx2))))
        calls = [*recorder.latest()]
        assert [call.attempts[-1].url for call in calls] == ["http://second.test/v1/messages"] * 2
        url = served(Replay(Cassette.of(calls), speed=0.0, host=host))
        again = said(openai.OpenAI(api_key="x", base_url=f"{url}/v1", max_retries=0, http_client=http))
    assert again == told


def test_a_translated_call_that_a_cache_answers_has_its_question():
    """Nothing was sent, so what came is all that can be exported, replayed or shown."""
    recorder = Recorder(enabled=True)
    plugins = {"recorder": recorder, "cache-memory": MemoryCache()}
    with World([REPLY] * 2, plugins) as world, httpx2.Client(trust_env=False) as http:
        how: Any = {"api_key": CALLERS_KEY, "max_retries": 0, "http_client": http}
        claude = anthropic.Anthropic(base_url=world.url, default_headers={"x-clippy-route": "main"}, **how)
        for _ in range(2):
            claude.messages.create(model="m", max_tokens=9, messages=MESSAGES, extra_body={"temperature": 0})
        handed = [develop(unpacked(packed(tape)), "detailed") for tape in recorder._shelf.tapes()]
        first, hit = recorder.latest()
    assert [first.state, hit.state] == ["answered", "cached"]
    assert hit.came.body == first.came.body == first.attempts[0].sent.body
    assert json.loads(hit.came.body)["messages"] == MESSAGES
    assert [one.came.body for one in handed] == [first.came.body] * 2
    assert "--data-raw" in to_curl(hit)
    compile(to_python(hit), "program", "exec")
    assert request_of(hit, "main").body == first.came.body
    with clippy_core.Host([]) as host:
        cassette = Cassette.of([hit])
        assert cassette.unusable == 0
        replay = Replay(cassette, speed=0.0, host=host)
        assert hit.asked is not None
        assert b'"type":"message"' in drive(played(replay, hit)).replace(b" ", b"")


def test_a_call_of_our_own_client_that_a_cache_answers_has_its_question():
    """Nobody wrote bytes for it before it was to be sent."""
    recorder, provider = Recorder(enabled=True), FakeProvider([REPLY])
    route = {"routes": {"main": {"base_url": "http://provider.test/v1", "key": "none"}}}
    with (
        clippy_core.Host([recorder, MemoryCache()], config=route) as host,
        clippy_core.Client(host, provider.client()) as client,
    ):
        for _ in range(2):
            client.chat("Hello", model="m", temperature=0)
    first, hit = recorder.latest()
    assert [first.state, hit.state] == ["answered", "cached"]
    assert hit.came.body == first.attempts[0].sent.body
