"""The life of hosts and streams: opening, closing, forks, loops, streams that nobody reads."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import anyio
import anyio.lowlevel
import httpx
import httpx2
import pytest
from attrs import define, field
from calling import COLOURS, Caller
from clippy_hookspecs import (
    CacheEntry,
    Clock,
    Embedder,
    PluginError,
    ProviderError,
    Request,
    RequestContext,
    StateStore,
    TokenCounter,
    hookimpl,
)
from patience import meanwhile, until

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeProvider, Fault, Reply


@define(eq=False)
class Opens:
    """Holds something open, in a plain context manager."""

    events: list[str] = field(factory=list)

    @hookimpl
    @contextmanager
    def lifespan(self, host: object) -> Iterator[None]:
        self.events.append("open")
        yield
        self.events.append("close")


@define(eq=False)
class OpensAsync:
    """Holds something open that belongs to an event loop."""

    events: list[str] = field(factory=list)
    groups: list[object] = field(factory=list)

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, host: object) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            self.groups.append(group)
            self.events.append("open")
            yield
        self.events.append("close")


def test_a_host_opens_on_its_first_request_and_closes_when_told(caller):
    """Requests share what was opened; closing a client closes nothing of the host."""
    opens = Opens()
    caller.start([opens], Reply("Hi"))
    assert [] == opens.events
    caller.chat()
    caller.chat()
    assert ["open"] == opens.events
    caller.host.close()
    assert ["open", "close"] == opens.events
    caller.chat()
    assert ["open", "close", "open"] == opens.events


def test_an_async_lifespan_is_held_open_by_a_task_of_the_hosts(caller):
    """A task group opened there survives the request that happened to come first, also one that timed out."""
    opens = OpensAsync()
    caller.start([opens], Reply("Hi"))

    async def run() -> None:
        async with caller.host:
            http = httpx.AsyncClient(transport=caller.provider.async_transport())
            async with clippy_core.AsyncClient(caller.host, http) as client:
                with anyio.move_on_after(0):
                    await client.chat("Hello")
                assert "Hi" == (await client.chat("Hello")).text

    if caller.colour == "sync":
        caller.chat()
        caller.host.close()
    else:
        anyio.run(run, backend=caller.colour)
    assert ["open", "close"] == opens.events


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_event_loops_one_after_the_other_each_get_their_own_set(backend):
    """What was opened in the first loop is not used in the second."""
    caller, opens = Caller(backend, httpx), OpensAsync()
    caller.start([opens], Reply("Hi"))
    assert "Hi" == caller.chat().text
    assert "Hi" == caller.chat().text
    assert 2 == opens.events.count("open")
    assert 2 == len(set(map(id, opens.groups)))


@define(eq=False)
class CannotOpen:
    """Has nothing to open."""

    @hookimpl
    @contextmanager
    def lifespan(self, host: object) -> Iterator[None]:
        raise OSError("disk full")
        yield


def test_a_plugin_that_cannot_open_stops_the_host_and_the_others_are_closed(caller):
    """The error names it, and what was opened before it is closed again."""
    opens = Opens()
    caller.start({"a": opens, "b": CannotOpen()}, Reply("Hi"))
    with pytest.raises(PluginError, match="plugin b: lifespan raised OSError"):
        caller.chat()
    assert ["open", "close"] == opens.events


def test_a_fork_leaves_the_child_with_an_unopened_host():
    """gunicorn's preload: the child opens what it needs itself, and does not hang on the parent's threads."""
    caller, opens = Caller("sync", httpx), OpensAsync()
    caller.start([opens], Reply("Hi"))
    caller.chat()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, caller.chat().text.encode() + str(opens.events.count("open")).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert b"Hi2" == pipe.read()
    os.waitpid(child, 0)
    caller.host.close()


def test_hosts_contexts_and_streams_do_not_pickle():
    """They say what to do instead."""
    caller = Caller("sync", httpx).start([], Reply("Hi"))
    with pytest.raises(TypeError, match="from_config"):
        pickle.dumps(caller.host)
    with (
        clippy_core.Client(caller.host, caller._http()) as client,
        client.stream("Hello") as stream,
        pytest.raises(TypeError, match="does not pickle"),
    ):
        pickle.dumps(stream.context)


def test_two_hosts_in_one_process_do_not_touch_each_other():
    """Their plugins, services, faults and scopes are their own."""
    one, two = (Caller("sync", httpx).start([], Reply("Hi")) for _ in range(2))
    with one.host.scope(tenant="a"):
        one.chat()
        two.chat()
    assert ("a", None) == (one.records.last.scope.tenant, two.records.last.scope.tenant)
    assert one.host.services.get(StateStore) is not two.host.services.get(StateStore)


def test_scopes_nest_and_end():
    """What an inner block does not say stays; after the block it is as before."""
    caller = Caller("sync", httpx).start([], Reply("Hi"))
    with caller.host.scope(tenant="t"), caller.host.scope(user="u"):
        caller.chat()
    caller.chat()
    inner, outer = caller.records.records
    assert ("t", "u") == (inner.scope.tenant, inner.scope.user)
    assert (None, None) == (outer.scope.tenant, outer.scope.user)


# --- streams that nobody reads ------------------------------------------------------------------------------------


@define(eq=False)
class Holds:
    """Takes a place for each attempt."""

    @hookimpl
    def pre_attempt(self, ctx: RequestContext) -> None:
        ctx.leases += 1

    @hookimpl
    def post_attempt(self, ctx: RequestContext) -> None:
        ctx.leases -= 1


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_that_was_dropped_unread_is_settled_as_abandoned(colour):
    """Collected without being closed: the record is written and the connection closed all the same."""
    caller = Caller(colour, httpx).start([], Reply("one two three four"))

    def drop() -> None:
        response = client.send(client.build_request("POST", URL, json=STREAM), stream=True)
        next(response.iter_raw())

    async def adrop() -> None:
        response = await client.send(client.build_request("POST", URL, json=STREAM), stream=True)
        assert 200 == response.status_code

    if colour == "sync":
        client = caller.host.wrap(caller._http())
        drop()
        gc.collect()
        assert until(lambda: caller.records.outcomes)
    else:
        client = caller.host.wrap(caller._http())

        async def run() -> None:
            await adrop()
            gc.collect()
            assert await meanwhile(lambda: caller.records.outcomes)

        anyio.run(run, backend=colour)
    assert ["abandoned"] == caller.records.outcomes


URL = "http://fake.test/v1/chat/completions"
STREAM = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def test_a_stream_that_holds_a_place_and_is_not_read_is_closed_after_a_while(sync_caller):
    """Others wait for the place; a stream without one may rest as long as its reader likes."""
    for plugins, expected in (([Holds()], ["abandoned"]), ([], [])):
        sync_caller.records.records.clear()
        sync_caller.start(plugins, Reply("one two three"), abandoned_after=0.05)
        with clippy_core.Client(sync_caller.host, sync_caller._http()) as client:
            stream = client.stream("Hello")
            next(stream)
            sync_caller.clock.advance(1)
            if expected:
                assert until(lambda: sync_caller.records.outcomes)
            assert expected == sync_caller.records.outcomes
            stream.close()


def test_a_stream_that_has_given_its_place_back_may_rest(sync_caller):
    """Nobody waits for it any more, as for a breaker's probe that has shown what it was sent for."""
    sync_caller.start([Holds()], Reply("one two three"), abandoned_after=30.0)
    with clippy_core.Client(sync_caller.host, sync_caller._http()) as client, client.stream("Hello") as stream:
        next(stream)
        sync_caller.clock.advance(31)
        stream.context.leases -= 1
        drive(stream._stream._look())
        assert not sync_caller.records.outcomes
        stream.context.leases += 1
        assert "three" in "".join(chunk.delta for chunk in stream)


@pytest.mark.parametrize("module", [httpx, httpx2])
def test_a_reader_who_comes_back_to_a_stream_that_was_closed_meanwhile_learns_that_it_is_cut(module):
    """What was handed on is not the answer, and must not look as if it were."""
    caller = Caller("sync", module).start([Holds()], Reply("one two three"), abandoned_after=0.05)
    with caller.host.wrap(caller._http()) as client, client.stream("POST", URL, json=STREAM) as response:
        pieces = response.iter_raw()
        next(pieces)
        caller.clock.advance(1)
        assert until(lambda: caller.records.outcomes)
        with pytest.raises(module.RemoteProtocolError, match="nobody read on"):
            list(pieces)
    assert ["abandoned"] == caller.records.outcomes


# --- services -------------------------------------------------------------------------------------------------------


@define(eq=False)
class Offers:
    """Offers a token counter, and a store whose methods block."""

    def count(self, text: str, model: str = "") -> int:
        return 7

    def count_message(self, message: object, model: str = "") -> int:
        return 7

    @hookimpl
    def register_services(self, services: object) -> None:
        services.offer(TokenCounter, self)  # type: ignore[attr-defined]


@define(eq=False)
class Asks:
    """Uses services in an async hook."""

    found: list[object] = field(factory=list)

    @hookimpl(inline=True)
    async def pre_request(self, ctx: RequestContext) -> None:
        store = ctx.services.get(StateStore)
        await store.put("key", '"value"', 60)
        self.found += [await store.get("key"), ctx.services.get(TokenCounter).count("x"), ctx.services.get(Clock).now()]


def test_services_are_awaited_the_same_way_in_every_colour(caller):
    """An inline async hook awaits the store in place; a plugin's counter wins over the host's own."""
    asks = Asks()
    caller.start({"offers": Offers(), "asks": asks}, Reply("Hi"))
    caller.chat()
    assert ['"value"', 7, caller.clock.now()] == asks.found


@define(eq=False)
class Waits:
    """An embedder that suspends in async programs and has another for sync ones; says which was asked."""

    blocking: object = None

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        await anyio.lowlevel.checkpoint()
        return [[float(threading.current_thread() is threading.main_thread())]]

    @hookimpl
    def register_services(self, services: object) -> None:
        services.offer(Embedder, self)  # type: ignore[attr-defined]


class Blocks:
    """What a sync host drives in place."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[2.0]]


@define(eq=False)
class Embeds:
    """Asks for vectors, in place or on the portal."""

    found: list[float] = field(factory=list)

    @hookimpl(inline=True)
    async def pre_request(self, ctx: RequestContext) -> None:
        self.found += (await ctx.services.get(Embedder).embed(["x"]))[0]

    @hookimpl
    async def pre_attempt(self, ctx: RequestContext) -> None:
        self.found += (await ctx.services.get(Embedder).embed(["x"]))[0]


def test_a_provider_may_bring_another_for_sync_hosts(caller):
    """It is driven in the caller's thread there; an async hook on the portal gets the one that waits."""
    embeds = Embeds()
    caller.start({"waits": Waits(Blocks()), "embeds": embeds}, Reply("Hi"))
    caller.chat()
    assert ([2.0, 0.0] if caller.colour == "sync" else [1.0, 1.0]) == embeds.found


def test_a_service_nobody_offers_is_a_clear_error(sync_caller):
    """It names the Protocol; with a default there is no error."""
    sync_caller.start([], Reply("Hi"))
    with pytest.raises(LookupError, match="Embedder"):
        sync_caller.host.services.get(Embedder)
    assert sync_caller.host.services.get(Embedder, None) is None


# --- ctx.ask --------------------------------------------------------------------------------------------------------


@define(eq=False)
class Translates:
    """Asks the model a question of its own before each request."""

    answers: list[str] = field(factory=list)
    depth: int = 0

    @hookimpl
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        question = Request(model="m", messages=request.messages, params={"seed": 1})
        self.answers.append((await ctx.ask(question)).text)


@pytest.mark.parametrize("inline", [False, True])
def test_a_plugin_asks_a_model_through_the_same_host_without_itself(caller, inline):
    """The inner call has its own record with its parent's id, and the asking plugin is not asked again."""

    @define(eq=False)
    class Inline:
        answers: list[str] = field(factory=list)

        @hookimpl(inline=True)
        async def pre_request(self, request: Request, ctx: RequestContext) -> None:
            self.answers.append((await ctx.ask(Request(model="m", messages=request.messages))).text)

    plugin = Inline() if inline else Translates()
    caller.start({"asks": plugin}, [Reply("inner"), Reply("outer")])
    with caller.host.scope(user="ann"):
        assert "outer" == caller.chat().text
    assert ["inner"] == plugin.answers
    inner, outer = caller.records.records
    assert (inner.parent, inner.scope.user) == (outer.id, "ann")
    assert outer.parent is None


def test_a_failed_inner_call_is_a_provider_error_in_the_hook(caller):
    """The plugin may catch it; here it may not fail, so the request ends."""
    caller.start({"asks": Translates()}, Fault.status(500))
    with pytest.raises(PluginError) as caught:
        caller.chat()
    assert isinstance(caught.value.__cause__, ProviderError)


@define(eq=False)
class AskMore:
    """Asks in every hook of the inner requests as well."""

    @hookimpl(inline=True)
    async def pre_request(self, request: Request, ctx: RequestContext) -> None:
        await ctx.ask(Request(model="m", messages=request.messages))


def test_plugins_that_ask_through_each_other_end_at_the_third_level(sync_caller):
    """Four plugins that ask: the fourth level is refused by name."""
    sync_caller.start({f"ask-{n}": AskMore() for n in range(5)}, Reply("Hi"))
    with pytest.raises(PluginError) as caught:
        sync_caller.chat()
    causes = []
    error: BaseException | None = caught.value
    while error is not None:
        causes.append(type(error))
        assert len(causes) < 50, "an error is among its own causes"
        error = error.__cause__
    assert RecursionError in causes


def test_an_entry_is_stored_under_the_scope_of_its_caller(caller):
    """Two tenants never share an answer."""
    from calling import Keep

    keep = Keep()
    caller.start([keep], Reply("Hi"))
    for tenant in ("a", "b", None, "a"):
        with caller.host.scope(tenant=tenant):
            caller.chat()
    assert 3 == len(keep.entries)
    assert 3 == caller.provider.calls
    assert all(isinstance(entry, CacheEntry) for entry in keep.entries.values())


def test_a_provider_in_process_is_never_left_open(caller):
    """Every answer that was begun was read or closed."""
    caller.start([], Reply("Hi"))
    caller.chat()
    caller.stream()
    counters = caller.provider.counters
    assert isinstance(caller.provider, FakeProvider)
    assert 2 == counters["completed"] + counters["closed_early"]
