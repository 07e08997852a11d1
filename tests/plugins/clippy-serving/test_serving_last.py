"""What becomes of those who had connected when the server was told to end."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from clippy_serving import Server
from patience import PATIENCE

REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"


class Busy:
    """Says who asked; a request for /busy holds the whole loop until it is let go."""

    def __init__(self) -> None:
        self.held, self.let_go = threading.Event(), threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/busy":
            self.held.set()
            assert self.let_go.wait(PATIENCE)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"heard"})


@pytest.fixture(params=["httptools on uvloop", "h11 on asyncio"])
def busy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Busy, Server]]:
    if request.param == "h11 on asyncio":
        monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)
        monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr("clippy_serving.server._FIRST_WORDS", PATIENCE)
    app = Busy()
    server = Server(app, drain=PATIENCE)
    server.start()
    yield app, server
    app.let_go.set()
    server.stop()


def connected(server: Server, said: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    made.sendall(said)
    return made


def answered(made: socket.socket) -> bool:
    said = b""
    while not said.endswith(b"heard"):
        try:
            piece = made.recv(65536)
        except ConnectionError:
            return False
        if not piece:
            return False
        said += piece
    return True


def heard(made: socket.socket) -> bool:
    """Whether it was answered; it is closed."""
    with made:
        return answered(made)


def ending(server: Server) -> threading.Thread:
    thread = threading.Thread(target=server.stop)
    thread.start()
    while server._serving is not None and not server._serving.should_exit:
        time.sleep(0.001)
    return thread


def test_connections_that_the_system_took_while_the_server_was_busy_are_answered(busy: tuple[Busy, Server]) -> None:
    app, server = busy
    first = connected(server, b"GET /busy HTTP/1.1\r\nhost: here\r\n\r\n")
    assert app.held.wait(PATIENCE)
    waiting = [connected(server, REQUEST) for _ in range(150)]  # more than a loop takes at once
    thread = ending(server)
    app.let_go.set()
    assert [heard(made) for made in (first, *waiting)] == [True] * 151
    thread.join()


def test_one_that_has_said_nothing_yet_may_say_it(busy: tuple[Busy, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clippy_serving.server._FIRST_WORDS", PATIENCE)  # a busy machine may take longer to say it
    _, server = busy
    silent, kept = connected(server), connected(server, REQUEST)
    assert answered(kept)  # by now the silent one is known as well
    thread = ending(server)
    with pytest.raises(ConnectionRefusedError):
        while True:
            with suppress(ConnectionResetError):  # it was closed in the middle of the handshake
                connected(server).close()
    silent.sendall(REQUEST)
    assert heard(silent)
    thread.join()
    assert kept.recv(1) == b""
    kept.close()


def test_one_that_goes_on_saying_nothing_keeps_no_server(
    busy: tuple[Busy, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clippy_serving.server._FIRST_WORDS", 0.1)
    _, server = busy
    silent = connected(server)
    ending(server).join()
    assert silent.recv(1) == b""
    silent.close()
