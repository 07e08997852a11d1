"""The recorder under the real SDKs: everything that happened is there, and no key is."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest
from attrs import define, evolve
from clippy_audit import AuditLog
from clippy_cache import CachePolicy
from clippy_cache_memory import MemoryCache
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import (
    AttemptRefused,
    ErrorInfo,
    Message,
    Refusal,
    RequestContext,
    Retry,
    StashKey,
    Text,
    TextFilter,
    hookimpl,
)
from clippy_recorder import Exchange, Recorder, document, read
from clippy_retry import RetryPolicy

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Reply, VirtualClock

KEY = "sk-proj-canary0123456789abcdefghijklmnop"
HELLO: Any = [{"role": "user", "content": "Hello"}]


def recording(provider: FakeProvider, *plugins: Any, **settings: Any) -> tuple[Recorder, openai.OpenAI]:
    """A recorder in a host under the real SDK."""
    recorder = Recorder(enabled=True, **settings)
    host = clippy_core.Host([recorder, *plugins], clock=VirtualClock())
    client = openai.OpenAI(api_key=KEY, http_client=provider.client(httpx2))
    return recorder, host.wrap(client)


def ask(client: openai.OpenAI, text: str = "Hello", **more: Any) -> Any:
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}], **more)


def test_a_plain_call_is_there_with_its_bytes_its_attempt_and_its_usage():
    """As it came, as it went, as it was answered."""
    provider = FakeProvider(Reply("Hi there"))
    recorder, client = recording(provider)
    ask(client)
    (call,) = recorder.latest()
    assert (call.state, call.status, call.model, call.api, call.stream) == ("answered", 200, "m", "openai.chat", False)
    assert call.came.body == provider.requests[0].body == call.attempts[0].sent.body
    assert call.answered is not None
    assert json.loads(call.answered.body)["choices"][0]["message"]["content"] == "Hi there"
    assert json.loads(call.attempts[0].answer.body) == json.loads(call.answered.body)
    assert call.usage.output > 0
    assert call.attempts[0].state == "ok"


@define(eq=False)
class Loud(TextFilter):
    """Says everything louder."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        return text.upper(), ""


def test_what_comes_after_the_recorder_heard_of_the_end_is_no_step():
    """Its own audit has a line in the trace a moment later: a file would have it or not."""
    recorder, client = recording(FakeProvider(Reply("Hi there")), RetryPolicy())
    ask(client)
    (call,) = recorder.latest()
    assert "recorder" not in {step.plugin for step in call.steps}


def test_an_answer_that_a_plugin_changed_is_kept_in_the_bytes_that_its_caller_got():
    """And what the provider said stays beside it."""
    provider = FakeProvider(Reply("Hi there"))
    recorder, client = recording(provider, Loud())
    got = client.chat.completions.with_raw_response.create(model="m", messages=HELLO).content
    (call,) = recorder.latest()
    assert (call.answered.body, call.answered.size) == (got, len(got))
    assert json.loads(got)["choices"][0]["message"]["content"] == "HI THERE"
    assert json.loads(call.attempts[0].answer.body)["choices"][0]["message"]["content"] == "Hi there"


def test_an_answer_of_another_wire_api_is_kept_in_the_bytes_that_its_caller_got():
    """A fallback leads to a provider of another API behind the caller's back."""
    provider = FakeProvider([Fault.status(503), Reply("Hi there")])
    routes = {"second": {"api": "anthropic.messages", "base_url": "http://second.test", "model": "m2"}}
    recorder = Recorder(enabled=True)
    plugins = [recorder, ErrorClassifier(), Fallback(routes=("second",))]
    with clippy_core.Host(plugins, config={"routes": routes}) as host:
        client = host.wrap(openai.OpenAI(api_key=KEY, http_client=provider.client(httpx2)))
        got = client.chat.completions.with_raw_response.create(model="m", messages=HELLO).content
    (call,) = recorder.latest()
    assert (call.answered.body, call.answered.size) == (got, len(got))
    assert json.loads(got)["choices"][0]["message"]["content"] == "Hi there"


def test_a_stream_keeps_the_boundaries_of_its_chunks():
    """Byte for byte, piece for piece."""
    provider = FakeProvider(Reply("one two three", chunks=("one ", "two ", "three")))
    recorder, client = recording(provider)
    assert len(list(ask(client, stream=True))) > 3
    (call,) = recorder.latest()
    pieces = [piece.data for piece in call.pieces if piece.kind == "bytes"]
    assert b"".join(pieces).count(b"data: ") > 4
    assert b"data: [DONE]" in b"".join(pieces)
    said = [piece.chunk["delta"] for piece in call.pieces if piece.kind == "chunk_out" and piece.chunk.get("delta")]
    assert "".join(said) == "one two three"


def test_a_retried_call_shows_each_attempt_its_failure_and_its_wait():
    """And what the plugins decided in between."""
    provider = FakeProvider([Fault.status(503), Reply("Hi")])
    recorder, client = recording(provider, RetryPolicy(), ErrorClassifier())
    ask(client)
    (call,) = recorder.latest()
    first, second = call.attempts
    assert (first.state, first.error["category"], first.answer.status) == ("error", "transient", 503)
    assert (second.state, second.waited > 0) == ("ok", True)
    assert ("retry", "on_error") in [(step.plugin, step.hook) for step in call.steps]


def test_an_attempt_that_was_not_sent_leaves_those_that_were_as_they_are():
    """Neither its end nor its number and route are taken for theirs."""

    @define(eq=False)
    class Held:
        """Lets the first and the third attempt not go."""

        @hookimpl
        def pre_attempt(self, ctx: RequestContext) -> None:
            if ctx.attempt in (1, 3):
                raise AttemptRefused(ErrorInfo("transient", "held", True, 3.0))

        @hookimpl
        def on_error(self, error: ErrorInfo) -> Retry:
            return Retry(error.retry_after or 1.0)

    provider = FakeProvider([Fault.status(503), Reply("Hi")])
    recorder, client = recording(provider, Held())
    ask(client)
    (call,) = recorder.latest()
    assert [(one.number, one.state, one.waited // 1_000_000) for one in call.attempts] == [
        (2, "error", 3),
        (4, "ok", 3),
    ]
    assert call.attempts[0].error["kind"] != "held"


def test_hooks_that_did_nothing_are_told_between_what_happened_around_them():
    """In the time of the call, whatever the clock: the second attempt comes after the wait, and so do its hooks."""

    @define(eq=False)
    class Looks:
        @hookimpl
        def pre_attempt(self, ctx: RequestContext) -> None: ...

        @hookimpl
        def on_error(self, error: ErrorInfo) -> Retry:
            return Retry(30.0)

        @hookimpl
        def audit(self, record: Any) -> None: ...

    recorder, client = recording(FakeProvider([Fault.status(503), Reply("Hi")]), Looks())
    ask(client)
    (call,) = recorder.latest()
    looked = [(step.hook, step.action, step.at // 20_000_000) for step in call.steps if step.plugin == "looks"]
    assert looked == [
        ("pre_attempt", "passed", 0), ("on_error", "retry", 0), ("pre_attempt", "passed", 1), ("audit", "passed", 1),
    ]  # fmt: skip


@define(eq=False)
class Politely:
    """Adds a word to each question."""

    @hookimpl
    def pre_request(self, request: Any, ctx: RequestContext) -> Any:
        return evolve(request, messages=(*request.messages, Message("user", (Text("please"),))))


def test_what_a_plugin_changed_is_told_before_and_after():
    """What came in stays what came in."""
    provider = FakeProvider(Reply("Hi"))
    recorder, client = recording(provider, Politely())
    ask(client)
    (call,) = recorder.latest()
    (changed,) = [step for step in call.steps if step.hook == "pre_request" and step.action == "changed"]
    assert "please" not in changed.before
    assert "please" in changed.after
    assert b"please" not in call.came.body
    assert b"please" in call.attempts[0].sent.body


def test_a_hit_says_where_it_came_from_and_has_no_attempt():
    """The second of two equal calls."""
    provider = FakeProvider(Reply("Hi"))
    recorder, client = recording(provider, MemoryCache())
    ask(client)
    ask(client)
    call = recorder.latest()[-1]
    assert (call.state, call.provenance["source"], call.attempts) == ("cached", "cache", ())


@define(eq=False)
class Refuses:
    """Lets nothing through."""

    @hookimpl
    def pre_request(self, request: Any, ctx: RequestContext) -> None:
        raise Refusal("not here", code="no")


def test_the_content_of_a_refused_call_is_never_kept():
    """It may be what it was refused for."""
    recorder, client = recording(FakeProvider(), Refuses())
    with pytest.raises(openai.PermissionDeniedError):
        ask(client, "a forbidden word")
    (call,) = recorder.latest()
    assert call.state == "refused"
    assert "forbidden" not in everything(call)


def everything(call: Exchange) -> str:
    """All that a call's record says, in one text."""
    return json.dumps(document(call), ensure_ascii=False)


CANARY = "canary-7Hq2vXw9TzLk4Rb8"


@pytest.mark.parametrize("level", ["minimal", "standard", "detailed"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_key_is_in_no_record_wherever_it_turns_up_again(level, stream, tmp_path):
    """In a header, a prompt, a tool's argument, an address, an answer cut into pieces, a provider's message."""
    key = f"sk-proj-{CANARY}"
    halves = (f"your key is sk-proj-{CANARY[:9]}", f"{CANARY[9:]} it seems")
    replies = [
        Reply("".join(halves), chunks=halves),
        Fault.status(401, body=json.dumps({"error": {"message": f"Incorrect API key provided: {key}"}})),
    ]
    provider = FakeProvider(replies)
    path = tmp_path / "calls.jsonl"
    recorder = Recorder(enabled=True, level=level, path=path)
    client = openai.OpenAI(api_key=key, http_client=provider.client(httpx2), default_query={"api_key": key})
    with clippy_core.Host([recorder, AuditLog(path=tmp_path / "audit.jsonl")]) as host:
        wrapped = host.wrap(client)
        tools = [{"type": "function", "function": {"name": "f", "description": key, "parameters": {}}}]
        for _ in range(2):
            try:
                answer = ask(wrapped, f"use {key} or Bearer {key}", tools=tools, stream=stream)
                if stream:
                    list(answer)
            except openai.OpenAIError:
                pass
        seen = [everything(call) for call in recorder.latest()]
    assert len(seen) == 2
    assert not [one for one in [*seen, path.read_text()] if CANARY[:9] in one]


def test_below_detailed_nothing_that_was_said_is_kept():
    """Neither the question nor the answer, nor a provider's message that may quote it."""
    wrong = Fault.status(400, body=json.dumps({"error": {"message": "your private question"}}))
    provider = FakeProvider([Reply("a private answer"), wrong])
    recorder, client = recording(provider, level="standard")
    ask(client, "a private question")
    with pytest.raises(openai.BadRequestError):
        ask(client, "a private question")
    assert "private" not in "".join(map(everything, recorder.latest()))
    assert recorder.latest()[0].came.size > 0


def test_the_newest_calls_are_kept():
    """The oldest make room, those that are over first."""
    recorder, client = recording(FakeProvider(Reply("Hi")), keep=3)
    for number in range(7):
        ask(client, f"question {number}")
    calls = recorder.latest()
    assert [b"question 4" in one.came.body for one in calls] == [True, False, False]
    assert recorder.latest(before=calls[1].id) == calls[:1]


def test_large_answers_stay_within_the_bytes_that_were_given():
    """Of one call the oldest pieces go, and are counted."""
    recorder, client = recording(FakeProvider(Reply("x" * 120_000, chunks=300)), max_bytes=65536)
    list(ask(client, stream=True))
    (call,) = recorder.latest()
    assert call.lost > 0
    assert sum(len(piece.data) for piece in call.pieces) < 65536


def test_who_wants_to_know_is_told_of_each_call():
    """When it began and when it ended; one that fails to listen harms nobody."""
    recorder, client = recording(FakeProvider(Reply("Hi")))
    told: list[str] = []
    end = recorder.subscribe(told.append)
    recorder.subscribe(lambda _: 1 / 0)
    ask(client)
    assert set(told) == {recorder.latest()[0].id}
    end()
    before = len(told)
    ask(client)
    assert len(told) == before


def test_a_stream_can_be_stopped_by_who_looks_at_it():
    """The handle of a call that goes on; none of one that is over."""
    recorder, client = recording(FakeProvider(Reply("a b c ", chunks=("a ", "b ", "c "))))
    stream = ask(client, stream=True)
    next(iter(stream))
    (call,) = recorder.latest()
    assert call.state == "running"
    recorder.flow(call.id).cancel("enough")
    with pytest.raises(openai.APIError):
        list(stream)
    assert recorder.find(call.id).state == "cancelled"
    assert recorder.flow(call.id) is None


@pytest.mark.parametrize("words", [("It ", "rains ", "today. "), ("the key is ", KEY[:20], KEY[20:], " as you know")])
def test_of_a_stream_that_runs_a_list_has_the_words_and_its_own_page_every_piece(words):
    """Whoever looks at hundreds of them would wait for seconds; a secret is said in neither."""
    recorder, client = recording(FakeProvider(Reply("".join(words) + "end", chunks=(*words, "end"))))
    stream = iter(ask(client, stream=True))
    for _ in range(4):
        next(stream)
    (listed,) = recorder.latest()
    found = recorder.find(listed.id)
    assert {"chunk_out"} == {piece.kind for piece in listed.pieces}
    assert len(listed.pieces) + listed.lost == sum(piece.kind == "chunk_out" for piece in found.pieces)
    told = "".join(piece.chunk.get("delta", "") for piece in listed.pieces)
    assert told.startswith("It rains today.") or ("key" not in told and told)
    assert KEY not in repr(document(listed)) + repr(document(found))
    list(stream)
    assert recorder.latest() == (recorder.find(listed.id),)


def test_a_recorder_that_is_not_enabled_is_asked_nothing():
    """It costs nothing: its hooks are left out."""
    host = clippy_core.Host([Recorder()])
    assert host.chains.idle


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_calls_are_written_and_can_be_read_again(backend, suffix, tmp_path):
    """What was kept in memory is what the file has."""
    path = tmp_path / f"calls.{suffix}"
    recorder = Recorder(enabled=True, path=path)

    async def work() -> None:
        provider = FakeProvider(Reply("one two", chunks=("one ", "two")))
        client = anthropic.AsyncAnthropic(api_key=KEY, http_client=provider.async_client(httpx2))
        async with clippy_core.Host([recorder]) as host:
            async with host.wrap(client).messages.stream(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
            ) as stream:
                assert await stream.get_final_text() == "one two"

    anyio.run(work, backend=backend)
    kept = recorder.latest()
    assert [document(call) for call in read(path)] == [document(call) for call in kept]
    assert path.stat().st_mode & 0o777 == 0o600


def test_stored_answers_count_for_what_they_hold():
    """Nothing came for them, and each of them is kept all the same."""
    recorder, client = recording(FakeProvider(Reply("x" * 30_000)), CachePolicy(), MemoryCache(), max_bytes=65536)
    for _ in range(5):
        ask(client, temperature=0)
    assert [call.state for call in recorder.latest()] == ["cached"] * 2


def test_a_call_that_is_over_holds_on_to_nothing_that_plugins_noted_about_it():
    """Five hundred of them are kept, with what was said and no more."""

    class Note:
        pass

    key, notes = StashKey[Note]("test.note"), []

    @define(eq=False)
    class Noting:
        @hookimpl
        def pre_request(self, ctx: RequestContext) -> None:
            ctx.stash[key] = note = Note()
            notes.append(weakref.ref(note))

    recorder, client = recording(FakeProvider(Reply("Hi")), Noting())
    ask(client)
    gc.collect()
    assert recorder.latest()[0].answered is not None
    assert [note() for note in notes] == [None]
