"""What a host costs a call and a stream, by pytest-benchmark; the ratios to quote come from ``ratios.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from benchmarks.canned import CannedServer
from benchmarks.hosts import OnChunk, WithAudit, body, host, read_lines, several, sync_client

HOSTS = {
    "bare httpx": None,
    "no plugins": {},
    "5 no-op plugins in every hook": several(WithAudit, 5),
}


@pytest.fixture(scope="module")
def server() -> Iterator[CannedServer]:
    """One loopback server for all."""
    with CannedServer() as canned:
        yield canned


@pytest.mark.parametrize("name", HOSTS)
def test_a_plain_call(benchmark: Any, server: CannedServer, name: str) -> None:
    """One call, its answer read as JSON."""
    plugins = HOSTS[name]
    with sync_client(httpx, None if plugins is None else host(plugins)) as client:

        def call() -> str:
            answer = client.post(server.chat_url, json=body()).json()
            return str(answer["choices"][0]["message"]["role"])

        assert benchmark(call) == "assistant"


STREAMS = {"bare httpx": None, "no plugins": {}, "1 on_chunk plugin": several(OnChunk, 1), "5": several(OnChunk, 5)}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_a_hundred_chunks(benchmark: Any, server: CannedServer, name: str) -> None:
    """A burst of a hundred chunks, each read as JSON."""
    plugins = STREAMS[name]
    with sync_client(httpx, None if plugins is None else host(plugins)) as client:

        def call() -> int:
            with client.stream("POST", server.chat_url, json=body(stream=True)) as response:
                return read_lines(response)

        assert benchmark(call) >= 100
