"""Requests to the provider leave in the turn of the loop in which they are made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clippy_gateway.at_once import begun
from gateway_world import World

from clippy_core.testing import Reply


def test_what_waits_for_nothing_is_done_before_there_is_a_task_and_the_rest_goes_on_in_it() -> None:
    done: list[Any] = []

    async def writing(gate: asyncio.Future[str] | None) -> None:
        done.append("begun")
        if gate is not None:
            done.append(await gate)
            await asyncio.sleep(0)
        done.append("ended")

    async def scene() -> None:
        rest = begun(writing(None))
        assert done == ["begun", "ended"]
        await asyncio.create_task(rest)
        done.clear()
        gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(begun(writing(gate)))
        assert done == ["begun"]
        await asyncio.sleep(0)
        gate.set_result("open")
        await task
        assert done == ["begun", "open", "ended"]

    asyncio.run(scene())


def test_what_fails_or_is_cancelled_does_so_in_the_task() -> None:
    left: list[str] = []

    async def fails(at_once: bool) -> None:
        if not at_once:
            await asyncio.sleep(0)
        raise OSError("gone")

    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            left.append("cancelled")
            raise

    async def scene() -> None:
        for at_once in (True, False):
            with pytest.raises(OSError, match="gone"):
                await asyncio.create_task(begun(fails(at_once)))
        task = asyncio.create_task(begun(waits()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left == ["cancelled"]

    asyncio.run(scene())


@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
def test_a_body_that_the_connection_does_not_take_at_once_arrives_whole() -> None:
    text = "x" * 8 * 1024 * 1024
    with World(Reply("well")) as world:
        answer = world.chat(text, key=None)
        assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "well")
        assert world.provider.requests[0].json["messages"][0]["content"] == text


@pytest.mark.parametrize("length", [1024 * 1024 + 1, 3_000_000])
def test_a_large_body_reaches_the_provider_byte_for_byte_and_nobody_warns_of_it(length: int) -> None:
    """A picture or a document; a program that takes warnings for errors would be told that nobody answers."""
    with World(Reply("seen")) as world:
        answer = world.chat("x" * length, None)
        (asked,) = world.provider.requests
    assert (answer.status_code, len(asked.json["messages"][0]["content"])) == (200, length)
    assert "transfer-encoding" not in asked.headers
