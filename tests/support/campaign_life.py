"""One request watched from beginning to end, and an answer that knows whether it was closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
from attrs import define, field
from campaign_stops import quiet
from clippy_hookspecs import Chunk, ErrorInfo, RequestContext, Retry, hookimpl

import clippy_core
from clippy_core.testing import FakeProvider

ROUTES = {"main": {"base_url": "http://fake.test/v1", "key": "sk-test", "model": "test-model"}}


@define(eq=False)
class Life:
    """The marks of a request's life that a plugin sees, and its flow."""

    marks: list[str] = field(factory=list)
    flow: Any = None

    @hookimpl
    def pre_request(self, ctx: RequestContext) -> None:
        self.flow = ctx.flow

    @hookimpl
    def pre_attempt(self) -> None:
        self.marks.append("attempt")

    @hookimpl
    def post_attempt(self, outcome: Any) -> None:
        self.marks.append(f"ended {outcome.state}")

    @hookimpl
    def on_chunk(self, chunk: Chunk) -> None:
        if chunk.kind == "end":
            self.marks.append(f"end {chunk.reason}")

    @hookimpl
    def audit(self, record: Any) -> None:
        self.marks.append(record.outcome)


class Client:
    """Our async client under a host with a Life, in front of a provider in process, in real time."""

    def __init__(self, script: Any, *plugins: object, clock: Any = None, **config: Any) -> None:
        self.life = Life()
        self.provider = FakeProvider(script, clock=clock)
        named = {f"p{number}": plugin for number, plugin in enumerate((*plugins, self.life))}
        self.host = clippy_core.Host(named, config={"routes": ROUTES, **config}, clock=clock)

    def __call__(self) -> clippy_core.AsyncClient:
        return clippy_core.AsyncClient(self.host, httpx.AsyncClient(transport=self.provider.async_transport()))


async def settled(client: Client) -> list[str]:
    """The marks, once nothing of the request is going on."""
    assert [] == await quiet()
    counts = client.provider.counters
    assert counts["requests"] == counts["completed"] + counts["broken"] + counts["closed_early"]
    return client.life.marks


@define(eq=False)
class Later:
    """Tries again in half a minute."""

    decided: Any = field(factory=lambda: anyio.Event())

    @hookimpl
    def classify_error(self) -> ErrorInfo:
        return ErrorInfo("transient", "fault", retryable=True)

    @hookimpl
    def on_error(self) -> Retry:
        self.decided.set()
        return Retry(30.0)


async def when(event: anyio.Event, act: Callable[[], Any]) -> None:
    """Do something a few turns of the loop after *event*."""
    await event.wait()
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    act()


class OneHead(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Answers at once; something else happens at that very moment.  Knows whether its answer was closed."""

    class Body(httpx.AsyncByteStream, httpx.SyncByteStream):
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"{}"

        def __iter__(self) -> Iterator[bytes]:
            yield b"{}"

        def close(self) -> None:
            self.closed = True

        async def aclose(self) -> None:
            self.closed = True

    def __init__(self, meanwhile: Callable[[], Any]) -> None:
        self.meanwhile, self.body = meanwhile, self.Body()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.meanwhile()
        return httpx.Response(200, stream=self.body, headers={"content-type": "application/json"})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)
