"""A host without an SDK above it: raw requests, requests of ours, and a plugin in the provider's place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from attrs import define, field
from calling import Again, Calls
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
from clippy_core.testing import FakeServer, Fault, Reply, VirtualClock

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
