"""Streams that nobody reads to their end, and what happens to their connections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import sdk_anthropic_calls as claude
import sdk_openai_calls as gpt
from calling import Records
from sdk_colours import Each, Inside, value
from sdk_lab import COLOURS, ROOFS, SDK_GENERATORS, Lab, private_folders, ssl_context

import clippy_core
from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply

pytestmark = [pytest.mark.filterwarnings(text) for text in SDK_GENERATORS]
ENDLESS = [Fault.stall(at_delta=3), Reply("Eins zwei drei vier fünf sechs")]
"""Three pieces, and then nothing for as long as the client waits."""


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private_folders(monkeypatch, tmp_path)


async def leave_and_go_on(client: Any, say: Any) -> None:
    """Leaves a stream after its second text, closes it, and asks on with the same client."""
    stream = await value(client.chat.completions.create(model="m", messages=gpt.ASKED, stream=True))
    items = Each(stream)
    for _ in range(3):
        say(await anext(items))
    await value(stream.close())
    say(await value(client.models.retrieve("fake-model")))


async def leave_a_block(client: Any, say: Any) -> None:
    """Leaves the helper's with block from inside its loop."""
    async with Inside(client.chat.completions.stream(model="m", messages=gpt.ASKED)) as stream:
        async for event in Each(stream):
            say(event)
            if event.type == "content.delta":
                break
    say(await value(client.models.retrieve("fake-model")))


async def leave_anthropic(client: Any, say: Any) -> None:
    """The same with Anthropic's helper."""
    async with Inside(client.messages.stream(**claude.BASIC)) as stream:
        async for text in Each(stream.text_stream):
            say(text)
            break
    say(await value(client.models.retrieve("fake-model")))


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("call", "maker"),
    [(leave_and_go_on, gpt.make_client), (leave_a_block, gpt.make_client), (leave_anthropic, claude.make_client)],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_a_stream_left_early_closes_its_connection_and_nothing_else(colour: str, call: Any, maker: Any) -> None:
    """The server sees the client leave, once, under every roof; the next call gets a connection of its own."""
    got = Lab(colour, httpx2, maker).three(call, [ENDLESS, Reply("da")], wire=True)
    assert got["bare"].raised is None
    assert got["bare"].counters["closed_early"] == 1
    assert got["no plugin"] == got["bare"]
    assert got["all plugins"].said == got["bare"].said
    assert got["all plugins"].connections == got["bare"].connections
    assert got["all plugins"].counters["closed_early"] == 1


async def three_calls(client: Any, say: Any) -> None:
    """A plain call, a stream to its end, a plain call."""
    await gpt.chat(client, say)
    await gpt.chat_stream(client, say)
    await gpt.models(client, say)


@pytest.mark.parametrize("colour", COLOURS)
def test_connections_are_used_again_as_by_the_bare_sdk(colour: str) -> None:
    """Streams that are read to their terminal event give their connection back, or not, as they did before."""
    answers = [Reply("eins"), Reply("zwei"), Reply("drei"), Reply("vier")]
    got = Lab(colour, httpx2, gpt.make_client).three(three_calls, answers, wire=True)
    assert got["bare"].raised is None
    assert got["no plugin"] == got["bare"]
    # The same question was asked twice, plain and as a stream, so that one answer came from the cache.
    assert len(set(got["all plugins"].connections)) <= len(set(got["bare"].connections))


async def ten_streams(client: Any, say: Any) -> None:
    """Each read to its terminal event, where the SDK leaves it."""
    for number in range(10):
        asked = [{"role": "user", "content": f"question {number}"}]
        async for chunk in Each(await value(client.chat.completions.create(model="m", messages=asked, stream=True))):
            say(chunk)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_stream_read_to_its_terminal_event_gives_its_connection_back(colour: str) -> None:
    """The bare sync SDK leaves before the body's last bytes, and opens a connection for each stream."""
    got = Lab(colour, httpx2, gpt.make_client).three(ten_streams, [Reply(f"Antwort {n}") for n in range(10)], wire=True)
    assert got["all plugins"].raised is None
    assert len(set(got["all plugins"].connections)) == 1
    assert got["no plugin"] == got["bare"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("roof", ROOFS)
def test_a_cancelled_task_closes_its_connection(backend: str, roof: str) -> None:
    """Cancelled while it waits for the next piece; the server sees the client leave, and the record says so."""
    records = Records()
    kind = Lab(backend, httpx2, gpt.make_client).host(roof)
    host = clippy_core.Host({**kind.plugins, "records": records}) if kind is not None and kind.plugins else kind

    async def read(client: Any, started: anyio.Event) -> None:
        stream = await client.chat.completions.create(model="m", messages=gpt.ASKED, stream=True)
        seen = 0
        async for _ in stream:
            seen += 1
            if seen == 3:
                started.set()

    async def program(origin: str) -> None:
        original = gpt.make_client("asyncio", base_url=origin, http_client=httpx2.AsyncClient(verify=ssl_context()))
        client = host.wrap(original) if host is not None else original
        started = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, client, started)
            await started.wait()
            tasks.cancel_scope.cancel()
        await client.close()
        if host is not None:
            await host.aclose()

    with FakeServer(FakeProvider([ENDLESS])) as server:
        anyio.run(program, server.origin, backend=backend)
    assert server.counters["closed_early"] == 1
    assert records.outcomes == (["cancelled"] if roof == "all plugins" else [])
