"""Servers for the tests of plugins that use one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis_server import RedisServer


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that only use it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """An empty server, not to be stopped or changed."""
    shared_server.ask("FLUSHALL")
    assert shared_server.has_connections(0)  # the test before has closed its own
    return shared_server


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers that a test may stop, each with options of its own."""
    started: list[RedisServer] = []

    def start(*options: str, ready: bool = True) -> RedisServer:
        folder = tmp_path / f"redis-{len(started)}"
        folder.mkdir()
        started.append(RedisServer(folder, *options, ready=ready))
        return started[-1]

    yield start
    for server in started:
        server.stop()
