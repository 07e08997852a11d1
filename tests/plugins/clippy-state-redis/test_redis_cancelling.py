"""A call that is cancelled between question and answer gives its answer to nobody else, and loses no connection.

In March 2023 ChatGPT showed users the titles of other users' chats: a cancelled call had left its answer in a pooled
connection of redis-py (openai.com, "March 20 ChatGPT outage").
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from patience import PATIENCE
from redis_server import RedisServer

CALLERS = 24
CANCELLATIONS = {"asyncio": 2_000, "trio": 500}
MOST = 50_000
"""Cancellations after which we give up waiting for answers: a slow machine needs more of them, a broken store all."""
OPEN = Callable[..., Any]


@pytest.mark.parametrize("backend", CANCELLATIONS)
def test_no_answer_reaches_another_caller(backend: str, server: RedisServer, open_store: OPEN) -> None:
    """Two dozen callers share four connections and are cancelled at random moments; each sees its own values only."""
    store, seed = open_store(server.url, max_connections=4), random.Random(4)
    counts = {"wrong": 0, "right": 0, "cancelled": 0}

    def unfinished() -> bool:
        few = counts["cancelled"] < CANCELLATIONS[backend] or counts["right"] <= CALLERS
        return few and counts["cancelled"] < MOST

    async def caller(store: Any, number: int) -> None:
        mine = f"the value of {number}"
        while unfinished():
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:

                    async def cancel() -> None:
                        for _ in range(seed.randrange(40)):
                            await anyio.lowlevel.checkpoint()
                        await anyio.sleep(seed.choice((0, 0, 0.0002, 0.001)))
                        scope.cancel()

                    group.start_soon(cancel)
                    while True:
                        found = await store.get(f"k{number}")
                        counts["right" if found == mine else "wrong"] += 1
                        counts["wrong"] += await store.swap(f"k{number}", mine, mine, 60.0) is not True
                        counts["wrong"] += await store.add(f"n{number}", number, 60.0) % max(number, 1) != 0
            counts["cancelled"] += 1

    async def campaign(store: Any) -> None:
        for number in range(CALLERS):
            await store.put(f"k{number}", f"the value of {number}", 60.0)
        async with anyio.create_task_group() as group:
            for number in range(CALLERS):
                group.start_soon(caller, store, number)
        with anyio.fail_after(PATIENCE):  # all four connections are there to be used
            async with anyio.create_task_group() as group:
                for number in range(CALLERS):
                    group.start_soon(store.get, f"k{number}")

    store.run(campaign, backend)
    assert counts["wrong"] == 0
    assert counts["right"] > CALLERS


def test_a_second_cancellation_loses_no_connection(server: RedisServer, open_store: OPEN) -> None:
    """asyncio may cancel a task again while it is leaving."""
    store, seed = open_store(server.url, max_connections=2), random.Random(7)

    async def campaign(store: Any) -> None:
        await store.put("k", "v", 60.0)
        for _ in range(500):
            tasks = [asyncio.ensure_future(store.get("k")) for _ in range(6)]
            for _ in range(seed.randrange(12)):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            for _ in range(seed.randrange(3)):
                await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(one == "v" or isinstance(one, asyncio.CancelledError) for one in ended)
        with anyio.fail_after(PATIENCE):
            assert await asyncio.gather(*(store.get("k") for _ in range(20))) == ["v"] * 20

    store.run(campaign)
    assert server.has_connections(0)


def test_connections_are_bounded(server: RedisServer, open_store: OPEN) -> None:
    """More callers wait for one of them."""
    store = open_store(server.url, max_connections=3)

    async def many(store: Any) -> int:
        most = 0
        for _ in range(20):
            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(store.add, "n", number, 60.0)
            most = max(most, server.connections())
        return most

    assert store.run(many) == 3
    assert store.sync("add", "n", 0, 60.0) == 20 * sum(range(50))
