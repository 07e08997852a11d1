"""A provider whose HTTP is wrong: its caller gets an answer or an end, at once, and never a half one as a whole."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from clippy_gateway import Key
from clippy_gateway.bodies import Gone
from clippy_gateway.on_granian import with_manners
from clippy_serving import STALLED
from gateway_world import CALLERS_KEY, PROVIDERS_KEY, Books, World
from patience import PATIENCE, until

EVENT = b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (
    len(EVENT),
    EVENT,
)


@contextmanager
def provider(answer: bytes, then: bytes = b"") -> Iterator[dict[str, Any]]:
    """The routes to one that answers once: *then* comes when the caller has the first piece, and nothing after it."""
    go, done = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                go.wait(PATIENCE)
                connection.sendall(then)
                done.wait(PATIENCE)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        try:
            yield {"go": go, "routes": {"main": {"api": "openai.chat", "base_url": url, "key": PROVIDERS_KEY}}}
        finally:
            go.set()
            done.set()
            thread.join()


@pytest.mark.parametrize("plugins", [{}, {"books": Books()}], ids=["bare", "with plugins"])
def test_a_stream_whose_framing_breaks_is_broken_off_at_once(plugins):
    """Though the provider stays: nobody waits for what cannot come any more."""
    with provider(STREAM, b"no size\r\n") as known, World(None, plugins, {}, known["routes"]) as world:
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}'
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)
            got = connection.recv(4096)
            known["go"].set()
            while piece := connection.recv(4096):
                got += piece
        assert until(lambda: world.app.busy == 0)
    assert not got.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("line", [b"x: a\x01b", b"x: a\x7fb"])
def test_a_header_that_no_server_sends_is_left_out(line, caplog):
    answer = b"HTTP/1.1 200 OK\r\ny: \xe9\tz\r\n" + line + b"\r\ncontent-length: 2\r\n\r\n{}"
    with provider(answer) as known, World(None, {}, {}, known["routes"]) as world:
        got = world.chat()
    assert (got.status_code, got.content) == (200, b"{}")
    assert (dict(got.headers.raw).get(b"y"), "x" in got.headers) == (b"\xe9\tz", False)
    assert not caplog.records


@pytest.mark.parametrize("host", [b"", b"host:\r\n"], ids=["none", "an empty one"])
def test_a_request_without_a_host_is_refused(host):
    """Also to who brings a key: granian makes an empty one of none."""
    with World(None, {}, {"keys": {"team": Key(CALLERS_KEY)}}) as world:
        got = world.raw(b"GET /v1/models HTTP/1.0\r\nx-api-key: %s\r\n%s\r\n" % (CALLERS_KEY.encode(), host))
    assert (got.split(b"\r\n")[0], b"no_host" in got) == (b"HTTP/1.1 400 Bad Request", True)


def on_granian(app: Any, send: Any) -> dict[str, Any]:
    """The scope after *app* has answered, as it is served on granian."""
    scope = {"type": "http", "path": "/v1/messages", "headers": []}
    asyncio.run(with_manners(app, 0.02, set())(scope, None, send))
    return scope


def test_granians_callers_are_told_that_their_body_is_no_http():
    """It says of them that they left, and would answer with a 500 of its own."""
    sent = []

    async def app(*_: Any) -> None:
        pass

    async def send(message: Any) -> None:
        sent.append(message)

    on_granian(app, send)
    assert (sent[0]["status"], b'"type":"error"' in sent[1]["body"]) == (400, True)


def test_granians_callers_that_stop_reading_are_cut_off():
    closed = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(Gone):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        closed.append(STALLED in scope)

    async def send(message: Any) -> None:
        await asyncio.Event().wait()

    on_granian(app, send)
    assert closed == [True]
