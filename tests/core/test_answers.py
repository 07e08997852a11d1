"""Answers that are not what was asked for, what is stored of them, and what waits for whom."""

from __future__ import annotations

import json
import threading
from types import MappingProxyType
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest
from attrs import define, field
from calling import Again, Caller, Keep
from clippy_hookspecs import (
    Chunk,
    ClippyError,
    Headers,
    Message,
    Outcome,
    ProviderError,
    Refusal,
    Request,
    RequestContext,
    Response,
    StateStore,
    Text,
    TextFilter,
    Tool,
    hookimpl,
)
from patience import until

import clippy_core
from clippy_core.testing import FakeProvider, Fault, Raw, Reply
from clippy_core.wire import decode_response

URL = "http://fake.test/v1/chat/completions"
PLAIN = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**PLAIN, "stream": True}
SSE = (("content-type", "text/event-stream"),)
BROTLI = (("content-type", "application/json"), ("content-encoding", "br"))


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(text: str, **more: Any) -> bytes:
    return event({"id": "1", "choices": [{"index": 0, "delta": {"content": text}, **more}]})


ROLE = event({"id": "1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
STOP = event({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
DONE = b"data: [DONE]\n\n"
WHOLE = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "secret"}, "finish_reason": "stop"}],
    }
).encode()


@define(eq=False)
class Hide(TextFilter):
    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        return text.replace("secret", "******"), ""


def test_a_whole_answer_to_a_streaming_caller_is_filtered(sync_caller):
    """The provider ignored "stream": true; the guard may not be passed by that."""
    sync_caller.start([Hide()], Raw(WHOLE))
    sent = sync_caller.send(json=STREAM)
    assert b"secret" not in sent.body


def test_a_whole_answer_to_a_streaming_client_of_ours_meets_on_response_once(sync_caller, make_calls):
    calls = make_calls()
    sync_caller.start([calls], Raw(WHOLE))
    assert "secret" == sync_caller.stream().text
    assert 1 == calls.hooks.count("on_response")


def test_an_answer_in_an_encoding_nobody_asked_for_does_not_pass_a_guard_unseen(sync_caller):
    """accept-encoding was cut; a server that answers in brotli all the same must not bypass on_response."""

    @define(eq=False)
    class Guard:
        seen: int = 0

        @hookimpl
        def on_response(self, response: Response) -> None:
            self.seen += 1

    guard = Guard()
    sync_caller.start([guard], Raw(b"\x8b\x03\x80secret", headers=BROTLI))
    sent = sync_caller.send(json=PLAIN)
    assert guard.seen or sent.error is not None or sent.status >= 400


def test_an_answer_in_an_encoding_nobody_asked_for_passes_who_only_observes(sync_caller):
    """A monitor is no guard: with it a caller gets what he would get without."""

    @define(eq=False)
    class Monitor:
        observes_only = True

        @hookimpl
        def on_chunk(self, chunk: Chunk) -> None:
            raise AssertionError("this is no stream")

    sync_caller.start([Monitor()], Raw(b"\x8b\x03", headers=BROTLI))
    sent = sync_caller.send(json=PLAIN)
    assert (sent.status, sent.body) == (200, b"\x8b\x03")


def test_an_answer_in_an_unknown_encoding_leaves_a_record_and_no_connection(sync_caller):
    """Our own client says what is wrong; the request is in the books like any other."""
    sync_caller.start([], Raw(b"\x8b\x03", headers=BROTLI))
    with pytest.raises(ClippyError):
        sync_caller.chat()
    assert 1 == len(sync_caller.records.records)


# --- failures of what is not read -----------------------------------------------------------------------------------
def test_a_stream_for_a_plain_call_of_our_client_is_a_failure_of_the_provider(caller):
    """Nobody reads it, so its connection is closed; the caller gets a ProviderError that says what came."""
    caller.start([], Raw([b"data: {}\n\n", b"data: [DONE]\n\n"], headers=SSE))
    with pytest.raises(ProviderError) as caught:
        caller.chat()
    assert "a stream, which this call did not ask for" in str(caught.value.__cause__)
    assert ["failed"] == caller.records.outcomes
    assert {"requests": 1, "closed_early": 1}.items() <= caller.provider.counters.items()


def test_a_failed_get_of_an_unknown_endpoint_is_a_failure(sync_caller):
    """GET is retried; post_attempt and audit learn that it failed."""

    @define(eq=False)
    class Notes:
        states: list[str] = field(factory=list)

        @hookimpl
        def post_attempt(self, outcome: Outcome) -> None:
            self.states.append(outcome.state)

    notes = Notes()
    sync_caller.start([Again(), notes], [Fault.status(503), Reply("Hi")])
    sent = sync_caller.send("GET", "/bytes?type=text/plain")
    assert (["error", "ok"], 200) == (notes.states, sent.status)


def test_a_failed_unknown_call_is_recorded_as_failed(sync_caller):
    sync_caller.start([], Fault.status(503))
    sync_caller.send("POST", "/files", content=b"x")
    assert ["failed"] == sync_caller.records.outcomes


# --- what is stored -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "overloaded", "type": "server_error"}}',
        b"<html>proxy error</html>",
        b'{"object": "list", "data": [{"index": 0, "emb',
    ],
    ids=["error", "html", "cut"],
)
def test_an_embedding_that_is_none_is_not_stored(sync_caller, body):
    keep = Keep()
    sync_caller.start([keep], Raw(body))
    sync_caller.send(path="/embeddings", json={"model": "e", "input": "x"})
    assert {} == keep.entries


def test_a_stream_with_an_error_in_it_is_not_stored(sync_caller):
    """A provider that reports an error, goes on and ends well: later callers must not get the error from the cache."""
    keep = Keep()

    @define(eq=False)
    class Asks:
        @hookimpl
        def on_error(self) -> None: ...

    error = event({"error": {"message": "overloaded"}})
    sync_caller.start([keep, Asks()], Raw((ROLE, error, delta("x"), STOP, DONE), headers=SSE))
    sync_caller.send(json=STREAM)
    assert ["failed"] == sync_caller.records.outcomes
    assert {} == keep.entries


def test_what_a_cache_gives_from_a_stream_has_its_usage(sync_caller):
    """A program that reads usage.total_tokens of a plain answer must not crash because a streamed twin came first."""
    sync_caller.start([Keep()], Reply("one two"))
    sync_caller.send(json=STREAM)
    sent = sync_caller.send(json=PLAIN)
    assert json.loads(sent.body).get("usage")


def test_a_custom_credential_header_is_in_the_key(sync_caller):
    """Two subscriptions of an API gateway never share an answer."""
    sync_caller.start([Keep()], Reply("Hi"))
    for key in ("one", "two"):
        for name in ("ocp-apim-subscription-key", "x-portkey-api-key", "cf-aig-authorization"):
            sync_caller.send(json=PLAIN, headers={name: key})
    assert 6 == sync_caller.provider.calls


def test_an_empty_tenant_is_not_an_unsaid_one(sync_caller):
    """host.scope(tenant="") is said; a header must not replace it."""
    sync_caller.start([], Reply("Hi"), trust_headers=True)
    with sync_caller.host.scope(tenant=""):
        sync_caller.send(json=PLAIN, headers={"x-clippy-tenant": "other"})
    assert "" == sync_caller.records.last.scope.tenant


def test_callers_with_two_keys_are_two_callers(sync_caller):
    """Without a scope the credential's digest says who calls (section 6)."""
    sync_caller.start([], Reply("Hi"))
    for key in ("one", "two"):
        sync_caller.send(json=PLAIN, headers={"authorization": f"Bearer {key}"})
    one, two = (record.scope for record in sync_caller.records.records)
    assert one != two


def test_scope_headers_never_go_upstream_even_without_plugins():
    provider = FakeProvider(Reply("Hi"))
    with clippy_core.Host([]).wrap(provider.client()) as client:
        client.post(URL, json=PLAIN, headers={"x-clippy-tenant": "acme"})
    assert "x-clippy-tenant" not in provider.requests[0].headers


# --- what we gave up on ---------------------------------------------------------------------------------------------


@define(eq=False)
class OverBudget:
    """Tenant a is over its budget."""

    @hookimpl
    def pre_request(self, ctx: RequestContext) -> None:
        if ctx.scope.tenant == "a":
            raise Refusal("tenant a is over its budget of 12 dollars", 429, "budget")

    @hookimpl
    def on_error(self) -> None: ...


@pytest.mark.parametrize("how", ["scope", "header"])
def test_a_tenant_never_gets_what_another_was_refused_for(sync_caller, how):
    sync_caller.start([OverBudget()], Reply("Hi"), trust_headers=True)
    client = sync_caller.host.wrap(sync_caller._http())
    for tenant, count in (("a", "0"), ("b", "1")):
        if how == "scope":
            with sync_caller.host.scope(tenant=tenant):
                response = client.post(URL, json=PLAIN, headers={"x-stainless-retry-count": count})
        else:
            headers = {"x-stainless-retry-count": count, "x-clippy-tenant": tenant}
            response = client.post(URL, json=PLAIN, headers=headers)
    assert "tenant a" not in response.text


def test_two_azure_keys_never_share_a_failure(sync_caller):
    sync_caller.start([Again()], [Fault.status(401), Fault.status(401), Fault.status(401), Reply("Hi")])
    client = sync_caller.host.wrap(sync_caller._http())
    client.post(URL, json=PLAIN, headers={"api-key": "one"})
    response = client.post(URL, json=PLAIN, headers={"api-key": "two", "x-stainless-retry-count": "1"})
    assert 200 == response.status_code


def test_a_failure_is_forgotten_when_the_same_call_succeeded_later(sync_caller):
    """The SDK repeats a success whose body it could not read; it must not get the failure of a minute ago."""
    sync_caller.start([Again()], [Fault.status(503)] * 3 + [Reply("Hi"), Reply("Hi")])
    client = sync_caller.host.wrap(sync_caller._http())
    assert 503 == client.post(URL, json=PLAIN).status_code
    assert 200 == client.post(URL, json=PLAIN).status_code
    assert 200 == client.post(URL, json=PLAIN, headers={"x-stainless-retry-count": "1"}).status_code


# --- under SDKs -----------------------------------------------------------------------------------------------------
def test_a_cancelled_flow_is_not_repeated_by_an_sdk():
    import openai

    @define(eq=False)
    class Cancels:
        calls: int = 0

        @hookimpl
        def pre_attempt(self, ctx: RequestContext) -> None:
            self.calls += 1
            ctx.flow.cancel("the user closed the page")

    cancels = Cancels()
    provider = FakeProvider(Reply("Hi"))
    sdk = openai.OpenAI(api_key="k", base_url="http://fake.test/v1", http_client=provider.client(httpx2), max_retries=2)
    client = clippy_core.Host([cancels]).wrap(sdk)
    with pytest.raises(openai.APIError):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert 1 == cancels.calls


def test_a_host_that_cannot_open_is_not_opened_three_times_by_an_sdk():
    """A PluginError of a lifespan reaches an SDK like any other: an answer that is not repeated."""
    import openai

    @define(eq=False)
    class CannotOpen:
        calls: int = 0

        @hookimpl
        def lifespan(self, host: object) -> Any:
            self.calls += 1
            raise OSError("disk full")

        @hookimpl
        def pre_request(self) -> None: ...

    plugin = CannotOpen()
    provider = FakeProvider(Reply("Hi"))
    sdk = openai.OpenAI(api_key="k", base_url="http://fake.test/v1", http_client=provider.client(httpx2), max_retries=2)
    client = clippy_core.Host([plugin]).wrap(sdk)
    with pytest.raises(openai.OpenAIError) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert (1, True) == (plugin.calls, "lifespan" in str(caught.value))


# --- services and ask ------------------------------------------------------------------------------------------------


@define(eq=False)
class Remote:
    """A store on a network."""

    async def get(self, key: str) -> str | None:
        await anyio.lowlevel.checkpoint()
        return "1"

    async def _other(self, *a: Any) -> Any: ...

    put = swap = add = reserve = settle = refund = lease = release = _other

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(StateStore, self)


@define(eq=False)
class UsesStore:
    """Awaits the store in an ordinary async hook."""

    found: str | None = None

    @hookimpl
    async def pre_request(self, ctx: RequestContext) -> None:
        self.found = await ctx.services.get(StateStore).get("x")


def test_an_async_hook_may_await_an_async_service_in_a_sync_program(sync_caller):
    uses = UsesStore()
    sync_caller.start([Remote(), uses], Reply("Hi"))
    assert "Hi" == sync_caller.chat().text
    assert "1" == uses.found


@define(eq=False)
class InlineAsk:
    @hookimpl(inline=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        await ctx.ask(Request(model="m", messages=request.messages))


def test_an_inline_ask_works_in_a_sync_client_inside_a_running_loop():
    """A notebook: the sync client is called on the thread of an event loop."""
    caller = Caller("sync", httpx).start([InlineAsk()], Reply("Hi"))

    async def cell() -> str:
        return caller.chat().text

    assert "Hi" == anyio.run(cell)


def test_a_question_to_another_address_sends_the_question(sync_caller):
    """A judge elsewhere gets what the plugin asks, not the caller's body."""

    @define(eq=False)
    class Judge:
        @hookimpl
        async def pre_request(self, request: Request, ctx: RequestContext) -> None:
            await ctx.ask(
                Request(
                    "openai.chat",
                    url="http://judge.test/v1/chat/completions",
                    headers=Headers([("authorization", "Bearer judge"), ("content-type", "application/json")]),
                    model="judge",
                    messages=(Message("user", (Text("is this fine?"),)),),
                )
            )

    sync_caller.start([Judge()], Reply("Hi"))
    sync_caller.send(json={"model": "m", "messages": [{"role": "user", "content": "my private words"}]})
    [asked] = [seen for seen in sync_caller.provider.requests if "judge.test" in seen.url]
    assert b"my private words" not in asked.body
    assert b"is this fine?" in asked.body


def test_forty_threads_may_ask_two_levels_deep():
    """Asking holds a thread of a pool while it waits for another of the same pool."""
    callers = 41

    @define(eq=False)
    class Outer:
        @hookimpl
        async def pre_request(self, request: Request, ctx: RequestContext) -> None:
            await ctx.ask(Request(model="m", messages=request.messages))

    @define(eq=False)
    class Gather:
        """Lets the inner requests go on together."""

        arrived: int = 0
        lock: Any = field(factory=threading.Lock)

        @hookimpl
        def pre_request(self, ctx: RequestContext) -> None:
            if ctx.parent is None:
                return
            with self.lock:
                self.arrived += 1
            until(lambda: self.arrived >= 40, 1.0)

    @define(eq=False)
    class Inner:
        @hookimpl
        async def pre_request(self, request: Request, ctx: RequestContext) -> None:
            if ctx.parent is not None:
                await ctx.ask(Request(model="m", messages=request.messages))

    caller = Caller("sync", httpx)
    caller.start({"a-outer": Outer(), "b-gather": Gather(), "c-inner": Inner()}, Reply("Hi"))
    client = clippy_core.Client(caller.host, caller._http())
    done: list[str] = []
    threads = [threading.Thread(target=lambda: done.append(client.chat("x").text), daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    until(lambda: len(done) == callers)
    assert callers == len(done)


def test_a_question_is_the_same_in_whatever_form_it_is_given(sync_caller):
    """As a text, in OpenAI's form, which is sent as it is, and as our values, which are written."""
    sync_caller.start([Keep()], Reply("Hi"))
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    ours = Tool("look", parameters={"type": "object"})
    said = {"role": "user", "content": "Hello"}
    for messages in ("Hello", [said], [Message("user", (Text("Hello"),))], [MappingProxyType(said)]):
        for tools in ([tool], [ours]):
            assert "Hi" == sync_caller.chat(messages, tools=tools, top_p=0.5).text
    assert 1 == len(sync_caller.provider.requests)


def test_the_text_of_an_answer_of_no_api_of_ours_is_empty():
    """Its body may say anything; nobody's decoder fails over it."""
    for body in (b'{"a":1}', b"", b"no JSON"):
        assert decode_response(None, 200, Headers(), body).text == ""
