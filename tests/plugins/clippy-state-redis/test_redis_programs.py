"""Every kind of program: forked processes, threads, several event loops, sync code inside of one, no `with` at all."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from attrs import define, field
from calling import COLOURS, Caller
from clippy_hookspecs import RequestContext, StateStore, hookimpl
from clippy_state_redis import RedisState
from redis_server import RedisServer

from clippy_core.testing import Reply
from clippy_core.testing.contracts.processes import in_processes

OPEN = Callable[..., Any]


@define(eq=False)
class Counts:
    """Counts requests, in place and in a hook that may wait."""

    found: list[float] = field(factory=list)

    @hookimpl(inline=True)
    async def pre_request(self, ctx: RequestContext) -> None:
        self.found.append(await ctx.services.get(StateStore).add("requests", 1, 60.0))

    @hookimpl
    async def pre_attempt(self, ctx: RequestContext) -> None:
        self.found.append(await ctx.services.get(StateStore).add("requests", 1, 60.0))


def test_hooks_use_it_in_every_colour(caller: Caller, server: RedisServer) -> None:
    """A sync host needs no portal for an inline hook; a hook on the portal gets the connections of that loop."""
    counts = Counts()
    caller.start({"state-redis": RedisState(url=server.url), "counts": counts}, Reply("Hi"))
    caller.chat()
    caller.chat()
    assert counts.found == [1.0, 2.0, 3.0, 4.0]
    caller.host.close()
    assert server.has_connections(0)


def test_sync_code_inside_a_running_event_loop_works(server: RedisServer, open_store: OPEN) -> None:
    """As in a notebook, whose cells run in a loop."""
    store = open_store(server.url)

    async def cell() -> Any:
        return store.sync("add", "n", 1, 60.0)

    assert [asyncio.run(cell()), store.sync("add", "n", 1, 60.0)] == [1, 2]


def test_each_event_loop_has_connections_of_its_own(server: RedisServer, open_store: OPEN) -> None:
    """One loop after the other, and two at the same time in two threads."""
    store = open_store(server.url)
    for number in range(3):
        assert store.run(lambda opened: opened.add("n", 1, 60.0)) == number + 1
    both = threading.Barrier(2)

    async def at_once(opened: Any) -> float:
        await opened.get("k")
        await asyncio.to_thread(both.wait)
        return float(await opened.add("n", 1, 60.0))

    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(store.run, at_once) for _ in range(2)]
        assert sorted(run.result() for run in runs) == [4, 5]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_host_that_closes_leaves_no_connection(colour: str, server: RedisServer, open_store: OPEN) -> None:
    """Whatever its program is; used again it opens again."""
    store = open_store(server.url)
    for turn in (1, 2):
        assert store.ask(colour, "add", "n", 1, 60.0) == turn
        store.host.close()
        assert server.has_connections(0)


def test_nothing_is_opened_before_it_is_used(server: RedisServer, open_store: OPEN) -> None:
    store = open_store(server.url)
    store.host.open()
    assert server.connections() == 0


def test_an_event_loop_that_ended_without_closing_the_host_is_forgotten(server: RedisServer, open_store: OPEN) -> None:
    """Its connections are closed with it, and the next loop works."""
    store = open_store(server.url)
    opened = store.host._serving.current.views[False].get(StateStore)
    for number in range(3):
        assert asyncio.run(opened.add("n", 1, 60.0)) == number + 1
        assert server.has_connections(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_forked_processes_open_their_own_connections(server: RedisServer, open_store: OPEN) -> None:
    """They add beside their parent, whose connections go on to work; each addition has its own value."""
    store = open_store(server.url)
    store.sync("add", "n", 1, 60.0)

    def work(_: int) -> Any:
        return [store.sync("add", "n", 1, 60.0) for _ in range(20)]

    given = sorted(value for values in in_processes(8, work) for value in values)
    assert given == [float(number) for number in range(2, 162)]
    assert store.sync("add", "n", 1, 60.0) == 162


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_process_forked_in_an_event_loop_disturbs_its_parent_in_nothing(
    server: RedisServer, open_store: OPEN
) -> None:
    """The loop's connections are shared with the child, which neither uses nor closes them."""
    store = open_store(server.url)

    async def fork(opened: Any) -> None:
        assert await opened.add("n", 1, 60.0) == 1
        before = server.connections()

        def work(_: int) -> Any:
            found = store.sync("add", "n", 1, 60.0)
            gc.collect()
            return found

        assert in_processes(1, work) == [2.0]
        for number in range(3, 20):
            assert await opened.add("n", 1, 60.0) == number
        assert server.has_connections(before)

    store.run(fork)


def test_threads_share_a_bounded_pool(server: RedisServer, open_store: OPEN) -> None:
    """Thirty-two threads on three connections lose nothing."""
    store = open_store(server.url, max_connections=3)

    def work(_: int) -> list[float]:
        return [store.sync("add", "n", 1, 60.0) for _ in range(20)]

    with ThreadPoolExecutor(32) as threads:
        given = sorted(value for values in threads.map(work, range(32)) for value in values)
    assert given == [float(number) for number in range(1, 641)]
    assert server.connections() == 3


def test_another_prefix_is_another_store(server: RedisServer, open_store: OPEN) -> None:
    """And a prefix that begins alike is none of ours."""
    one, two = open_store(server.url, prefix="a"), open_store(server.url, prefix="a:v")
    one.sync("put", "v:k", "1", 60.0)
    assert two.sync("get", "k") is None
    assert one.sync("get", "v:k") == "1"


@pytest.mark.parametrize("ttl", [0.0001, 1e-300, 1e18, math.inf])
def test_any_ttl_above_zero_is_taken(ttl: float, server: RedisServer, open_store: OPEN) -> None:
    """A short one ends at once, an endless one in a hundred years."""
    store = open_store(server.url)
    store.sync("put", "k", "v", ttl)
    store.sync("add", "n", 1, ttl)
    assert store.sync("reserve", "b", 1.0, 1.0, ttl) is not None
    assert store.sync("lease", "l", "ada", ttl) is True
    left = [server.ask("PTTL", f"clippy|{kind}") for kind in ("v:k", "c:n", "u:b", "l:l")]
    assert all(one in (-2, 0, 1) if ttl < 1 else one > 3e12 for one in left)


@pytest.mark.parametrize("amount", [math.inf, -math.inf, math.nan])
def test_amounts_that_are_no_numbers_are_refused(amount: float, server: RedisServer, open_store: OPEN) -> None:
    """They would make every later sum one."""
    store = open_store(server.url)
    held = store.sync("reserve", "b", 1.0, 10.0, 60.0)
    for call in (("add", "n", amount, 60.0), ("reserve", "b", amount, 10.0, 60.0), ("settle", held, amount, 60.0)):
        with pytest.raises(ValueError, match="give a finite number"):
            store.sync(*call)
    assert store.sync("reserve", "b", 9.0, 10.0, 60.0) is not None


def test_a_plugin_without_a_url_offersnullcontext() -> None:
    """And says why."""
    assert RedisState().idle == "no url is set"
    assert RedisState(url="redis://127.0.0.1").idle == ""


def test_the_reservation_says_when_it_ends_by_the_servers_clock(server: RedisServer, open_store: OPEN) -> None:
    """In unix seconds; the clock of the host may say anything."""
    seconds, _ = server.ask("TIME")
    held = open_store(server.url).sync("reserve", "b", 1.0, 10.0, 600.0)
    assert 599 <= held.expires_at - int(seconds) <= 660
