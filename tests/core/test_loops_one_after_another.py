"""One host under event loops, one after the other: ``asyncio.run`` twice, ``trio.run`` after it, then none."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
import pytest
import trio
from attrs import define, field
from calling import Records
from campaign_stops import quiet
from clippy_hookspecs import Headers, RawRequest, RequestContext, StateStore, hookimpl
from patience import meanwhile
from sdk_lab import SDK_GENERATORS

import clippy_core
from clippy_core.driven import drive
from clippy_core.testing import FakeServer, Reply

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
RUNS = {
    "asyncio, asyncio": (asyncio.run, asyncio.run),
    "asyncio, trio": (asyncio.run, trio.run),
    "trio, asyncio": (trio.run, asyncio.run),
    "trio, trio": (trio.run, trio.run),
    "asyncio, trio, asyncio": (asyncio.run, trio.run, asyncio.run),
}


@define(eq=False)
class Whole:
    """Holds a place in every request and something open in every loop, asynchronously."""

    opened: int = 0
    closed: int = 0
    waiting: Any = field(factory=set)

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, host: object) -> AsyncIterator[None]:
        self.opened += 1
        event = anyio.Event()
        self.waiting.add(event)
        try:
            yield
        finally:
            self.waiting.discard(event)
            self.closed += 1

    @hookimpl
    async def pre_attempt(self, ctx: RequestContext) -> None:
        ctx.leases += 1
        store: Any = ctx.services.get(StateStore)
        await store.lease("places", ctx.id, 60.0, 100)
        await anyio.lowlevel.checkpoint()

    @hookimpl
    async def post_attempt(self, ctx: RequestContext) -> None:
        store: Any = ctx.services.get(StateStore)
        await store.release("places", ctx.id)
        ctx.leases -= 1


async def program(host: clippy_core.Host, base_url: str, records: Records, *, closes: bool) -> None:
    """All ways to call a host on a loop, a stream that is left early, and one that is dropped unread."""
    before = records.outcomes
    body = {"model": "m", "messages": [{"role": "user", "content": "w"}]}
    async with clippy_core.AsyncClient(host) as client, host.wrap(httpx.AsyncClient()) as http:
        assert (await client.chat("Hello")).text == "one two three"
        async with await client.stream("Hello") as stream:
            await anext(aiter(stream))
        await anext(aiter(await client.stream("Hello")))
        gc.collect()
        assert (await http.post(f"{base_url}/chat/completions", json=body)).status_code == 200
        asked = RawRequest("POST", f"{base_url}/chat/completions", Headers(), json.dumps(body).encode())
        reply = await host.answer(asked)
        assert reply.status == 200
        assert isinstance(reply.body, bytes)
        assert await meanwhile(lambda: records.outcomes.count("abandoned") > before.count("abandoned"))
        if closes:
            await host.aclose()
            assert await quiet() == []


def one_after_another(runs: Any, closes: bool) -> None:
    """The program in each loop of *runs*, then a call without a loop; what is left is looked at after each."""
    whole, records = Whole(), Records()
    with FakeServer(Reply("one two three")) as server:
        route = {"base_url": server.base_url, "key": "sk-test", "model": "test-model"}
        config: dict[str, Any] = {"routes": {"main": route}, "deadlines": {"total": 60.0}}
        host = clippy_core.Host({"whole": whole, "zz": records}, config=config)
        for number, run in enumerate(runs, 1):
            main = functools.partial(program, host, server.base_url, records, closes=closes)
            run(main()) if run is asyncio.run else run(main)
            assert len(records.outcomes) == 5 * number
            assert len(host._runtimes) == 1
            assert len(host._http._pools) <= 1
        with clippy_core.Client(host) as client:
            assert client.chat("Hello").text == "one two three"
        store: Any = host.services.get(StateStore)
        assert not store._leases.get("places")
        host.close()
    assert (whole.opened, whole.closed, len(whole.waiting)) == (len(runs) + 1, len(runs) + 1, 0)
    assert sorted(set(records.outcomes)) == ["abandoned", "answered", "cancelled"]
    assert len(records.records) == 5 * len(runs) + 1


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the sockets of a host that is never closed
@pytest.mark.parametrize("closes", [True, False], ids=["closed", "never closed"])
@pytest.mark.parametrize("name", RUNS)
def test_one_host_serves_one_loop_after_another_and_keeps_nothing_of_those_before(name: str, closes: bool) -> None:
    """No runtime, connection, task, lease, thread or open lifespan."""
    before = set(threading.enumerate())
    one_after_another(RUNS[name], closes)
    gc.collect()
    assert not [one.name for one in set(threading.enumerate()) - before if one.name.startswith("clippy-portal")]


@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_what_is_closed_in_a_loop_leaves_no_connection_of_a_thread_open(run: Any) -> None:
    """A thread of the program, or of a plugin, may have asked as well."""

    def ask(host: clippy_core.Host, url: str) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "w"}]}
        asked = RawRequest("POST", f"{url}/chat/completions", Headers(), json.dumps(body).encode(), route="main")
        assert drive(host.answer(asked)).status == 200

    async def program(host: clippy_core.Host, url: str) -> None:
        async with host:
            await anyio.to_thread.run_sync(ask, host, url)
            assert len(host._http._pools) == 1
        assert not host._http._pools

    with FakeServer(Reply("one")) as server:
        config = {"routes": {"main": {"base_url": server.base_url, "key": "sk-test", "model": "m"}}}
        host, url = clippy_core.Host({"zz": Records()}, config=config), server.base_url
        run(program(host, url)) if run is asyncio.run else run(program, host, url)
    gc.collect()
