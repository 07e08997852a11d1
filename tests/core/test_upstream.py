"""A host without an SDK above it: raw requests, requests of ours, and a plugin in the provider's place."""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from calling import Again, Calls, Records
from clippy_cache_memory import MemoryCache
from clippy_hookspecs import (
    Headers,
    Message,
    ProviderError,
    RawReply,
    RawRequest,
    Refusal,
    Request,
    ServiceRegistry,
    Text,
    Upstream,
    hookimpl,
)

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeServer, Fault, Raw, Reply, VirtualClock

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
JSON = Headers({"content-type": "application/json"})


def run(colour: str, work: Any) -> Any:
    """The result of a coroutine function, driven or run."""
    return drive(work()) if colour == "sync" else anyio.run(work, backend=colour)


async def read(reply: RawReply) -> bytes:
    """The whole body of a reply."""
    if isinstance(reply.body, bytes):
        return reply.body
    parts = []
    while (piece := await reply.body.next()) is not None:
        parts.append(piece)
    await reply.body.aclose()
    return b"".join(parts)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def colour(request: pytest.FixtureRequest) -> str:
    """In threads, and on both event loops."""
    return request.param


@pytest.mark.parametrize("stream", [False, True])
def test_a_raw_request_goes_the_whole_way(colour, stream):
    """What a gateway does with the bytes it got; the connections are the host's own."""
    calls = Calls()
    with FakeServer([Fault.status(503), Reply("Hi there")]) as server:
        host = clippy_core.Host({"again": Again(), "calls": calls}, clock=VirtualClock())

        async def work() -> tuple[int, bytes]:
            raw = RawRequest(
                "POST", f"{server.base_url}/chat/completions", JSON, json.dumps({**CHAT, "stream": stream}).encode()
            )
            reply = await host.answer(raw)
            body = await read(reply)
            if colour != "sync":
                await host.aclose()
            return reply.status, body

        status, body = run(colour, work)
        host.close()
    assert 200 == status
    assert (b"[DONE]" if stream else b"Hi there") in body
    assert 2 == calls.hooks.count("pre_attempt")
    assert "audit answered" == calls.hooks[-1]


def test_a_provider_out_of_reach_is_a_bad_gateway(colour):
    """The answer is in the request's own wire API."""
    with FakeServer(Reply("Hi")) as server:
        url = f"{server.refusing_url}/v1/messages"
    host = clippy_core.Host([Calls()])

    async def work() -> tuple[int, Any]:
        reply = await host.answer(RawRequest("POST", url, JSON, json.dumps({**CHAT, "max_tokens": 5}).encode()))
        return reply.status, json.loads(await read(reply))

    status, body = run(colour, work)
    assert (502, "error") == (status, body["type"])


def test_a_request_of_ours_is_answered_as_a_value(colour):
    """host.ask: no client, no SDK."""
    with FakeServer([Reply("Hi"), Fault.status(400)]) as server:
        host = clippy_core.Host([Calls()])
        from clippy_core.wire import find

        url = f"{server.base_url}/chat/completions"
        request = Request(
            "openai.chat", find("POST", url)[1], "POST", url, "", JSON, "m", (Message("user", (Text("Hello"),)),)
        )

        async def work() -> str:
            text = (await host.ask(request)).text
            with pytest.raises(ProviderError, match="400"):
                await host.ask(request)
            if colour != "sync":
                await host.aclose()
            return text

        assert "Hi" == run(colour, work)
        host.close()


@define(eq=False)
class Instead:
    """Stands in the provider's place."""

    seen: list[RawRequest] = field(factory=list)

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(Upstream, self)

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        self.seen.append(request)
        choice = {"index": 0, "message": {"role": "assistant", "content": "from the plugin"}, "finish_reason": "stop"}
        return RawReply(200, JSON, json.dumps({"id": "x", "choices": [choice]}).encode(), {})


def test_a_plugin_may_stand_in_the_providers_place(caller):
    """A replay offers an Upstream: nothing is sent, and everything else is as it was."""
    instead = Instead()
    caller.start([instead], Reply("from the provider"))
    assert "from the plugin" == caller.chat().text
    assert 0 == caller.provider.calls
    assert b"Hello" in instead.seen[0].body


def test_a_plugin_in_the_providers_place_answers_an_http_client_too(caller):
    """Its answers are not the transport's own, so the client's response is made of them, changed or not."""
    caller.start([Instead()], Reply("from the provider"))
    sent = caller.send(json=CHAT)
    assert (200, None) == (sent.status, sent.error)
    assert "from the plugin" == json.loads(sent.body)["choices"][0]["message"]["content"]
    assert 0 == caller.provider.calls


@pytest.mark.parametrize("more", [[], [Calls()]], ids=["alone", "with a plugin that looks at requests"])
def test_what_requests_need_is_there_when_the_plugins_are_open(more, tmp_path):
    """A server opens its host before it takes connections; its first request may find no file left to open."""
    route = {"api": "openai.chat", "base_url": "http://localhost:1/v1", "key": "sk-12345678"}
    config = {"routes": {"main": route}, "salt_path": str(tmp_path / "salt")}
    host = clippy_core.Host([Instead(), *more], config=config)

    async def work() -> int:
        await host.aopen()
        raw = RawRequest("POST", "http://gateway/v1/chat/completions", JSON, json.dumps(CHAT).encode(), "main")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            return (await host.answer(raw)).status
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await host.aclose()

    assert anyio.run(work) == 200
    assert (tmp_path / "salt").exists() == bool(more)


def test_a_refused_raw_request_is_an_answer(colour):
    """403 in the API's own shape, and nothing is sent."""

    @define(eq=False)
    class Refuses:
        @hookimpl
        def pre_request(self) -> None:
            raise Refusal("no", 403, "forbidden")

    host = clippy_core.Host([Refuses()])

    async def work() -> int:
        raw = RawRequest("POST", "http://localhost:1/v1/chat/completions", JSON, json.dumps(CHAT).encode())
        return (await host.answer(raw)).status

    assert 403 == run(colour, work)


def test_the_same_configuration_runs_with_other_plugins():
    """What a debugger does to compare."""
    host = clippy_core.Host([Calls()], config={"trust_headers": True})
    other = host.with_plugins({"again": Again()})
    assert ["again"] == list(other.plugins)
    assert other.config is host.config


# --- to a route of the configuration ----------------------------------------------------------------------------------


def routed(server: FakeServer, **more: Any) -> dict[str, Any]:
    """A configuration with one route of each wire API to *server*."""
    return {
        "routes": {
            "chat": {"base_url": f"{server.base_url}", "key": "the-routes-own", **more},
            "claude": {"api": "anthropic.messages", "base_url": server.anthropic_url, "key": "the-other-routes-own"},
        }
    }


def within(colour: str, host: clippy_core.Host, work: Any) -> Any:
    """Run *work* with *host* open for its colour."""

    async def inside() -> Any:
        if colour == "sync":
            with host:
                return await work()
        async with host:
            return await work()

    return run(colour, inside)


def asked_for(path: str, route: str, *headers: tuple[str, str], body: Any = CHAT) -> RawRequest:
    """What a gateway hands on of a call to itself."""
    given = Headers([("content-type", "application/json"), ("authorization", "Bearer the-callers"), *headers])
    return RawRequest("POST", f"http://gateway{path}", given, json.dumps(body).encode(), route)


@pytest.mark.parametrize("plugins", [[], [Calls()]], ids=["no plugin", "a plugin"])
def test_a_route_brings_its_own_address_and_credentials(colour, plugins):
    """The caller's key stays behind, with and without plugins; the path below the API's root is kept."""
    with FakeServer() as server:
        host = clippy_core.Host(plugins, config=routed(server))

        async def work() -> None:
            for path in ("/v1/chat/completions", "/chat/completions"):
                reply = await host.answer(asked_for(path, "chat", ("cookie", "c=1"), ("x-clippy-tags", "t")))
                assert reply.status == 200
                await read(reply)
            assert await read(await host.answer(asked_for("/v1/messages", "claude", body={**CHAT, "max_tokens": 9})))

        within(colour, host, work)
        sent = server.requests
    assert [httpx.URL(one.url).path for one in sent] == ["/v1/chat/completions", "/v1/chat/completions", "/v1/messages"]
    assert [one.headers.get("authorization") for one in sent] == ["Bearer the-routes-own"] * 2 + [None]
    assert sent[2].headers["x-api-key"] == "the-other-routes-own"
    assert all("cookie" not in one.headers and "x-clippy-tags" not in one.headers for one in sent)


def test_a_path_cannot_leave_the_routes_own_place(colour):
    """The route's key would go along to whatever lies beside its base address."""
    with FakeServer() as server:
        host = clippy_core.Host([], config=routed(server))

        async def work() -> None:
            for path in ("/v1/../admin", "/v1/%2e%2e/admin", "/..%2fadmin", "/v1/..%5cadmin"):
                reply = await host.answer(asked_for(path, "chat"))
                assert (reply.status, json.loads(reply.body)["error"]["code"]) == (400, "bad_path")

        within(colour, host, work)
        assert not server.requests


def test_an_upgrade_header_takes_nobody_past_the_plugins(colour):
    """Under a client it marks a websocket; from a stranger it is only a header."""
    calls = Calls()
    with FakeServer() as server:
        host = clippy_core.Host([calls], config=routed(server))
        within(colour, host, lambda: host.answer(asked_for("/v1/chat/completions", "chat", ("upgrade", "anything"))))
    assert calls.hooks


def test_an_unreachable_route_is_a_bad_gateway_in_the_callers_own_form(colour):
    """Nobody's exception, and no address in it."""
    with FakeServer() as server:
        config = routed(server)
    host = clippy_core.Host([], config=config)

    async def work() -> None:
        reply = await host.answer(asked_for("/v1/messages", "claude"))
        assert (reply.status, json.loads(reply.body)["type"]) == (502, "error")

    within(colour, host, work)


def test_the_record_of_a_failure_that_came_as_a_success_has_the_status_that_its_caller_got(colour):
    """A caller of another API is told what the provider meant; one of its own gets what the provider said."""
    records = Records()
    said = Raw(json.dumps({"error": {"message": "slow down", "code": 429}}).encode())
    with FakeServer([said, said]) as server:
        host = clippy_core.Host([records], config=routed(server))

        async def work() -> list[int]:
            messages, chat = {**CHAT, "max_tokens": 9}, CHAT
            asked = (("/v1/messages", messages), ("/v1/chat/completions", chat))
            return [(await host.answer(asked_for(path, "chat", body=body))).status for path, body in asked]

        given = within(colour, host, work)
    assert given == [record.status for record in records.records] == [429, 200]


def test_callers_without_a_scope_are_told_apart_by_their_own_key(colour):
    """Not by the route's, which is the same for all of them."""
    seen = []

    @define(eq=False)
    class Scopes:
        @hookimpl
        def pre_request(self, request, ctx):
            seen.append(ctx.scope.user)

    with FakeServer() as server:
        host = clippy_core.Host([Scopes()], config=routed(server))

        async def work() -> None:
            for key in ("one", "two", "one"):
                given = Headers({"authorization": f"Bearer {key}"})
                await host.answer(RawRequest("POST", "http://g/v1/chat/completions", given, b"{}", "chat"))

        within(colour, host, work)
    assert seen[0] == seen[2] != seen[1]
    assert all(user.startswith("key-") for user in seen)


def created_of(body: bytes) -> set[int]:
    """The seconds that an answer in Chat Completions' form says it was made in."""
    if body.startswith(b"{"):
        return {json.loads(body)["created"]}
    return {json.loads(line[6:])["created"] for line in body.splitlines() if line.startswith(b"data: {")}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_does_not_say_when_it_was_made_has_one_second_for_every_reader(stream):
    """Claude's says nothing of it: each worker that shares a cache would say when it looked."""
    cache, provider = MemoryCache(ttl=600), Anthropic()
    body = json.dumps({**CHAT, "temperature": 0, "stream": stream}).encode()
    raw = RawRequest("POST", "http://gateway/v1/chat/completions", JSON, body, "claude")
    told = []
    for later in (0.0, 7.0, 19.0):
        clock = VirtualClock()
        clock.advance(later)
        config = {"routes": {"claude": {"api": "anthropic.messages", "base_url": "http://claude.test", "key": "sk-x"}}}
        host = clippy_core.Host([cache, provider], config=config, clock=clock)
        told.append(created_of(drive(asked(host, raw))))
    assert provider.asked == 1
    assert told == [told[0]] * 3
    assert len(told[0]) == 1


async def asked(host: clippy_core.Host, raw: RawRequest) -> bytes:
    return await read(await host.answer(raw))


@define(eq=False)
class Anthropic:
    """A provider of Anthropic's kind, in the provider's place."""

    asked: int = 0

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(Upstream, self)

    async def send(self, request: RawRequest, timeout: Mapping[str, float | None]) -> RawReply:
        self.asked += 1
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
        message |= {"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 1, "output_tokens": 1}}
        if not json.loads(request.body).get("stream"):
            return RawReply(200, JSON, json.dumps(message).encode(), {})
        events = [
            {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ]
        pieces = [f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events]
        return RawReply(200, Headers({"content-type": "text/event-stream"}), Pieces(pieces), {})


@define(eq=False)
class Pieces:
    pieces: list[bytes]

    async def next(self) -> bytes | None:
        return self.pieces.pop(0) if self.pieces else None

    async def aclose(self) -> None:
        self.pieces.clear()
