"""What a typed program writes against the public API.  Checked by mypy (test_typed_api.py), never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import assert_type

import httpx
import httpx2
import openai
from attrs import define, field
from clippy_hookspecs import (
    Answer,
    AuditRecord,
    CacheEntry,
    Chunk,
    Clock,
    ErrorInfo,
    Failure,
    Headers,
    Host,
    Join,
    Message,
    Outcome,
    ProviderError,
    RawReply,
    RawRequest,
    Refusal,
    Request,
    RequestContext,
    Response,
    Retry,
    Scope,
    ServiceRegistry,
    StashKey,
    StateStore,
    StreamInterrupted,
    Switch,
    Text,
    TextFilter,
    TokenCounter,
    Tool,
    Usage,
    dump_entry,
    evolve,
    hookimpl,
    load_entry,
)

import clippy_core
from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply, Script, VirtualClock

BEGAN = StashKey[float]("example.began")
SEEN = StashKey[list[str]]("example.seen")


@define(eq=False)
class Everything:
    """A plugin with every kind of hook, in both colours."""

    limit: int = field(default=10, metadata={"doc": "requests"})

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        assert_type(host.plugins, Mapping[str, object])
        yield

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        services.offer(TokenCounter, Words())

    @hookimpl(tryfirst=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> Request | Answer | None:
        ctx.stash[BEGAN] = ctx.clock.now()
        assert_type(ctx.stash[BEGAN], float)
        assert_type(ctx.stash.get(SEEN), list[str] | None)
        if request.model == "none":
            raise Refusal("no such model", status=404, code="model")
        if not request.messages:
            return Answer(Response(message=Message("assistant", (Text("Hello?"),))), reason="nothing was said")
        return evolve(request, headers=request.headers.replace("x-example", "1"))

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | Join | None:
        return load_entry(b"") if ctx.partition else None

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        assert_type(dump_entry(entry), bytes)

    @hookimpl
    def compress_context(self, request: Request, budget: int | None, ctx: RequestContext) -> Request | None:
        counter = ctx.services.get(TokenCounter)
        assert_type(counter.count(request.messages[0].text), int)
        return evolve(request, messages=request.messages[-2:])

    @hookimpl
    def classify_error(self, failure: Failure, ctx: RequestContext) -> ErrorInfo | None:
        return ErrorInfo("transient", "overloaded", retryable=True) if failure.status == 529 else None

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | Switch | None:
        return Retry(after=error.retry_after or 1.0) if ctx.route_attempt < self.limit else Switch("spare")

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> Chunk | list[Chunk] | None:
        return [evolve(chunk, delta=chunk.delta.upper())] if chunk.content else None

    @hookimpl(inline=True)
    async def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        judged = await ctx.ask(Request(messages=(Message("user", (Text(response.text),)),)))
        return response if judged.complete else None

    @hookimpl
    def post_attempt(self, outcome: Outcome) -> None:
        assert_type(outcome.usage, Usage | None)

    @hookimpl(trylast=True)
    async def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        store = ctx.services.get(StateStore)
        assert_type(await store.add("requests", 1.0, ttl=60.0), float)
        assert_type(record.scope, Scope)


@define(eq=False)
class Holds:
    """A plugin whose lifespan belongs to an event loop."""

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield


class Shout(TextFilter):
    """A filter over answers."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        return text.upper(), ""


class Words:
    """A service."""

    def count(self, text: str, model: str = "") -> int:
        return len(text.split())

    def count_message(self, message: Message, model: str = "") -> int:
        return self.count(message.text, model)


counter: TokenCounter = Words()
clock: Clock = VirtualClock()


def under_an_sdk() -> None:
    """The entrance of a program that has an SDK."""
    host = clippy_core.Host.from_config(disable=["audit"])
    client = host.wrap(openai.OpenAI())
    assert_type(client, openai.OpenAI)
    assert_type(host.wrap(openai.AsyncOpenAI()), openai.AsyncOpenAI)
    assert_type(host.wrap(httpx.Client()), httpx.Client)
    httpx2.Client(transport=clippy_core.transport(host, httpx2))
    with host, host.scope(tenant="acme", user="ada") as scope:
        assert_type(scope, Scope)


def with_a_client_of_ours(host: clippy_core.Host) -> None:
    """The entrance of a program that has none."""
    with clippy_core.Client(host) as client:
        response = client.chat("Hello", model="m", temperature=0.5)
        assert_type(response, Response)
        assert_type(response.text, str)
        client.chat([{"role": "user", "content": "Hi"}, Message("user")], tools=[Tool("clock")], route="main")
        with client.stream("Hello") as stream:
            for chunk in stream:
                assert_type(chunk, Chunk)
        try:
            assert_type(client.stream("Hello").text(), Iterator[str])
        except StreamInterrupted as broken:
            assert_type(broken.partial, Response | None)
        except ProviderError as failed:
            assert_type(failed.info, ErrorInfo)


async def with_an_async_client(host: clippy_core.Host) -> None:
    """The same for an event loop."""
    async with host, clippy_core.AsyncClient(host) as client:
        assert_type(await client.chat("Hello"), Response)
        async with await client.stream("Hello") as stream:
            async for text in stream.text():
                assert_type(text, str)


async def as_a_gateway(host: Host) -> None:
    """What a plugin may ask of its host."""
    assert_type(await host.answer(RawRequest("POST", "http://x", Headers([("a", "b")]))), RawReply)
    other = host.with_plugins({"shout": Shout()})
    assert_type(other, Host)


def in_tests() -> None:
    """The fake provider."""
    provider = FakeProvider(Script(Fault.status(503), then=Reply("Hi")), clock=VirtualClock())
    assert_type(provider.calls, int)
    with FakeServer(provider) as server:
        assert_type(server.base_url, str)
