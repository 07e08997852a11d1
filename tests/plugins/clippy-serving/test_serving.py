"""The server behind the pages: what it reads, what it refuses before reading, and how it ends."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from attrs import define, evolve
from clippy_hookspecs import Headers
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_serving import WHOLE, Limits, NoAddress, Pages, Server, json_reply, listening, reply, text_reply
from clippy_serving.bounded import Bounded
from clippy_serving.listening import SocketFile, listen
from clippy_serving.stalling import Stall
from patience import PATIENCE, until

LIMITS = Limits(body=1000, headers=20, head=2000, target=200)
HASTY = evolve(LIMITS, body_seconds=0.3, head_seconds=0.3, stall_seconds=0.2)
"""For tests of what takes too long, and for them alone: a busy machine takes as long for what is sent at once."""


class Ticks:
    """A stream that ends after *count* pieces, or never; it says when it was closed."""

    def __init__(self, count: int | None = None, pace: float = 0.01) -> None:
        self.count, self.sent, self.pace, self.closed = count, 0, pace, threading.Event()

    async def next(self) -> bytes | None:
        if self.count is not None and self.sent >= self.count:
            return None
        self.sent += 1
        await anyio.sleep(self.pace)
        return b"tick\n"

    async def aclose(self) -> None:
        self.closed.set()


class Once(Ticks):
    """Says nothing after its first piece, so that nobody notices by writing that its reader left."""

    async def next(self) -> bytes | None:
        piece = await super().next()
        self.pace = 60
        return piece


def streamed(ticks: Ticks) -> Callable[[RawRequest], Any]:
    async def stream(request: RawRequest) -> RawReply:
        return reply(200, ticks, "text/event-stream")

    return stream


async def echo(request: RawRequest) -> RawReply:
    return text_reply(200, f"{request.method} {request.url} {request.body.decode()}")


@pytest.fixture(params=["h11", "httptools"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both readers of HTTP: which of them is used hangs on what is installed."""
    if request.param == "h11":
        monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)
    return request.param


@pytest.fixture
def serve(reader: str) -> Iterator[Callable[[Pages], Server]]:
    running: list[Server] = []

    def start(pages: Pages) -> Server:
        server = Server(pages, limits=pages.limits, drain=PATIENCE)
        server.start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


def pages(limits: Limits = LIMITS, **settings: object) -> Pages:
    made = Pages(limits=limits, **settings)  # type: ignore[arg-type]
    made.route("GET", "/echo", echo)
    made.route("POST", "/echo", echo)
    made.route("GET", "/below/*", echo)
    return made


def raw(port: int, data: bytes) -> bytes:
    """What the server sends on a connection that gets *data*, until it closes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as conn:
        try:
            conn.sendall(data)
            answer = b""
            while piece := conn.recv(65536):
                answer += piece
        except ConnectionError:  # refused while it was being sent
            pass
        return answer


def status(port: int, data: bytes) -> int:
    return int(raw(port, data).split(b" ", 2)[1])


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def test_routes_are_found_by_method_and_path(serve: Callable[[Pages], Server]) -> None:
    server = serve(pages())
    assert httpx.get(url(server, "/echo?a=1&b=%2F")).text == "GET /echo?a=1&b=%2F "
    assert httpx.post(url(server, "/echo"), content="hi").text == "POST /echo hi"
    assert httpx.get(url(server, "/below/a/b")).text == "GET /below/a/b "
    assert httpx.get(url(server, "/nowhere")).status_code == 404
    assert httpx.get(url(server, "/echo/")).status_code == 404


def test_another_method_is_told_which_there_are(serve: Callable[[Pages], Server]) -> None:
    answer = httpx.delete(url(serve(pages()), "/echo"))
    assert (405, "GET, HEAD, POST") == (answer.status_code, answer.headers["allow"])


def test_head_has_the_length_and_no_body(serve: Callable[[Pages], Server]) -> None:
    answer = httpx.head(url(serve(pages()), "/echo"))
    assert (200, "11", b"") == (answer.status_code, answer.headers["content-length"], answer.content)


def test_a_whole_answer_leaves_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for it is woken once; a long body is written by itself, and the next answer is none the worse."""
    wrote: list[bytes] = []

    class Recording:
        def __init__(self, transport: Any) -> None:
            self._transport = transport

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

        def write(self, data: bytes) -> None:
            wrote.append(data)
            self._transport.write(data)

    made = Bounded.connection_made
    monkeypatch.setattr(Bounded, "connection_made", lambda reader, transport: made(reader, Recording(transport)))
    long = "x" * 1024 * 1024

    async def told(request: RawRequest) -> RawReply:
        return text_reply(200, long if request.url == "/long" else "hello")

    at = Pages(limits=LIMITS)
    for path in ("/short", "/long"):
        at.route("GET", path, told)
    server = Server(at, limits=LIMITS)
    server.start()
    try:
        with httpx.Client(base_url=url(server, ""), trust_env=False, timeout=PATIENCE) as client:
            assert client.get("/short").text == "hello"
            assert client.head("/short").headers["content-length"] == "5"
            assert client.get("/long").text == long
            assert client.get("/nowhere").status_code == 404
    finally:
        server.stop()
    ends = [(one.startswith(b"HTTP/1.1 "), one.endswith(b"\r\n\r\n")) for one in wrote]
    assert ends == [(True, False), (True, True), (True, True), (False, False), (True, False)]


START, BODY, FIVE_LONG = "http.response.start", "http.response.body", (b"content-length", b"5")
HEAD = {"type": START, "status": 200, WHOLE: True}
FIVE = {"type": BODY, "body": b"whole"}
AFTER_ITS_HEAD: dict[str, tuple[list[dict[str, Any]], bytes, bytes]] = {
    "raises": ([HEAD | {"headers": [FIVE_LONG]}], b"HTTP/1.1 500", b"Internal Server Error"),
    "returns": ([HEAD | {"headers": [FIVE_LONG]}], b"HTTP/1.1 500", b"Internal Server Error"),
    "no_body": ([HEAD | {"headers": [(b"content-length", b"0")]}, {"type": BODY}], b"HTTP/1.1 200", b"\r\n\r\n"),
    "no_headers": ([HEAD, FIVE], b"HTTP/1.1 200", b"whole\r\n0\r\n\r\n"),
    "lists": ([HEAD | {"headers": [FIVE_LONG, [b"a", b"b"]]}, FIVE], b"HTTP/1.1 200", b"a: b\r\n\r\nwhole"),
    "more": ([HEAD | {"headers": [FIVE_LONG]}, FIVE | {"more_body": True}, {"type": BODY}], b"HTTP/1.1 200", b"whole"),
}


@pytest.fixture(scope="module")
def after_its_head() -> Iterator[Server]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        name = scope["path"][1:]
        for message in AFTER_ITS_HEAD[name][0]:
            await send(message)
        if name == "raises":
            raise ValueError(name)

    server = Server(app)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("name", AFTER_ITS_HEAD)
def test_an_application_that_does_otherwise_after_a_whole_head_is_answered_as_by_uvicorn(
    name: str, after_its_head: Server
) -> None:
    _, begins, ends = AFTER_ITS_HEAD[name]
    with socket.create_connection(("127.0.0.1", after_its_head.port), PATIENCE) as made:
        made.sendall(b"GET /%b HTTP/1.1\r\nhost: here\r\n\r\n" % name.replace(" ", "_").encode())
        said = b""
        while not said.endswith(ends) and (piece := made.recv(65536)):
            said += piece
    assert (said[: len(begins)], said[-len(ends) :]) == (begins, ends)


def test_no_answer_says_what_serves_it(serve: Callable[[Pages], Server]) -> None:
    server = serve(pages(headers={"x-content-type-options": "nosniff"}))
    for path in ("/echo", "/nowhere"):
        headers = httpx.get(url(server, path)).headers
        assert "server" not in headers
        assert headers["x-content-type-options"] == "nosniff"


def test_encoded_paths_are_not_decoded(serve: Callable[[Pages], Server]) -> None:
    assert httpx.get(url(serve(pages()), "/%65cho")).status_code == 404


HOST = b"Host: 127.0.0.1\r\n"
REFUSED = {
    "body too long": (b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 1001\r\n\r\n", 413),
    "body too long in pieces": (
        b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1f4\r\n" + b"x" * 500 + b"\r\n"
        b"1f5\r\n" + b"x" * 501 + b"\r\n",
        413,
    ),
    "body that never ends": (b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nabc", 408),
    "length no number": (b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: +5\r\n\r\nhello", 400),
    "length told twice": (b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    "length and chunks": (
        b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "packed chunks": (
        b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        400,
    ),
    "too many headers": (b"GET /echo HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 20 + b"Connection: close\r\n\r\n", 431),
    "headers too long": (b"GET /echo HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 2000 + b"\r\n\r\n", 431),
    "path too long": (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "no host": (b"GET /echo HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /echo HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    "a whole address": (b"GET http://127.0.0.1/echo HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "an address without a version": (b"GET /echo\r\n" + HOST + b"\r\n", 400),
    "a version before HTTP/1.0": (b"GET /echo HTTP/0.9\r\n" + HOST + b"\r\n", 400),
    "a version that has no such lines": (b"GET /echo HTTP/2.0\r\n" + HOST + b"\r\n", 400),
    "no HTTP at all": (b"\x16\x03\x01\x00\xff\x01\x00\r\n\r\n", 400),
    "a header without a name": (b"GET /echo HTTP/1.1\r\n" + HOST + b": x\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_long_or_broken_is_refused(name: str, serve: Callable[[Pages], Server]) -> None:
    data, expected = REFUSED[name]
    server = serve(pages(HASTY if expected == 408 else LIMITS))
    assert expected == status(server.port, data)
    assert httpx.get(url(server, "/echo")).status_code == 200  # and the server lives on


def test_a_head_without_end_is_not_kept(serve: Callable[[Pages], Server]) -> None:
    answer = raw(serve(pages()).port, b"GET /echo HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 1_000_000)
    assert answer == b"" or int(answer.split()[1]) in {400, 431}


def test_a_connection_that_says_nothing_is_closed(serve: Callable[[Pages], Server]) -> None:
    assert raw(serve(pages(HASTY)).port, b"") == b""


def test_a_second_head_that_does_not_come_whole_is_not_waited_for(serve: Callable[[Pages], Server]) -> None:
    """Its first piece ends the wait for another request, and with it the time that an idle connection may last."""
    limits = evolve(LIMITS, head_seconds=1.0)
    with socket.create_connection(("127.0.0.1", serve(pages(limits)).port), PATIENCE) as conn:
        conn.sendall(b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b" 200 " in conn.recv(65536)
        conn.sendall(b"GET /echo HTTP/1.1\r\na: b")
        assert b" 408 " in conn.recv(65536)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"GET /echo HTTP/1.1\r\na: b", 408, "head_too_slow"),
        (b"\x16\x03\x01\x00\xff\x01\x00\r\n\r\n", 400, "no_http"),
        (b"GET /echo HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 400_000, 431, "head_too_long"),
        (b"", 0, ""),
    ],
)
def test_what_never_reaches_the_application_is_told(data: bytes, status: int, code: str, reader: str) -> None:
    """But not of who says nothing: a health check that opens a connection is none."""
    heard: list[tuple[int, str]] = []

    class Hears(Pages):
        def refused_unread(self, status: int, code: str) -> None:
            heard.append((status, code))

    server = Server(Hears(), limits=HASTY if status in (0, 408) else LIMITS)
    server.start()
    raw(server.port, data)
    server.stop()
    if reader == "h11" and status == 431:
        status, code = 400, "no_http"  # it bounds what it keeps itself
    assert heard == ([(status, code)] if status else [])


def test_the_log_tells_it_where_nobody_else_hears(serve: Callable[[Pages], Server], caplog: Any) -> None:
    raw(serve(pages()).port, b"no HTTP\r\n\r\n")
    assert caplog.messages == ["refused with 400 no_http before it was a request"]


def test_what_is_no_request_is_not_answered_amid_another_answer(serve: Callable[[Pages], Server]) -> None:
    """Whoever reads that answer would find another head in the middle of it."""
    made = pages()
    made.route("GET", "/stream", streamed(Ticks(20)))
    with socket.create_connection(("127.0.0.1", serve(made).port), PATIENCE) as conn:
        conn.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")
        while b"tick" not in conn.recv(65536):
            pass
        conn.sendall(b"no HTTP\r\n\r\n")
        rest = b""
        while piece := conn.recv(65536):
            rest += piece
    answer, end, rest = rest.partition(b"\r\n0\r\n\r\n")
    assert (b"HTTP" in answer, bool(end)) == (False, True)
    assert rest == b"" or int(rest.split()[1]) == 400


def test_a_body_that_breaks_is_refused(serve: Callable[[Pages], Server]) -> None:
    head = b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert status(serve(pages()).port, head + b"-1\r\nhi\r\n") == 400


CHUNKED = b"POST /echo HTTP/1.1\r\n" + HOST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"


async def told(request: RawRequest) -> RawReply:
    return text_reply(200, f"{request.headers.get('x-late', 'no such header')} {request.body.decode()}")


def test_a_trailer_is_no_header(serve: Callable[[Pages], Server]) -> None:
    """Whoever stands in front takes headers out that callers may not send, and lets trailers through."""
    made = Pages(limits=LIMITS)
    made.route("POST", "/echo", told)
    assert b"no such header hi" in raw(serve(made).port, CHUNKED + b"X-Late: yes\r\n\r\n")


@pytest.mark.parametrize("data", [CHUNKED + b"a: " + b"b" * 1_000_000, CHUNKED[:-7] + b"2;" + b"b" * 1_000_000])
def test_a_body_that_says_nothing_for_long_is_not_kept(data: bytes, serve: Callable[[Pages], Server]) -> None:
    server = serve(pages(HASTY))
    answer = raw(server.port, data)
    assert answer == b"" or int(answer.split()[1]) in {400, 408, 431}
    assert httpx.get(url(server, "/echo")).status_code == 200


def test_an_offer_of_another_protocol_costs_no_body(serve: Callable[[Pages], Server]) -> None:
    """Java's own client offers HTTP/2 with whatever it sends first, and sends its next request on that connection."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    first = b"POST /echo HTTP/1.1\r\n" + HOST + offer + b"Content-Length: 3\r\n\r\none"
    second = b"POST /echo HTTP/1.1\r\n" + HOST + offer + b"Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
    third = b"GET /echo HTTP/1.1\r\n" + HOST + offer + b"\r\n"
    last = b"POST /echo HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Length: 4\r\n\r\nfour"
    answer = raw(serve(pages()).port, first + second + third + last)
    found = [answer.find(said) for said in (b"POST /echo one", b"POST /echo two", b"GET /echo", b"POST /echo four")]
    assert -1 not in found
    assert sorted(found) == found


def test_the_guard_is_asked_before_the_body_is_read(serve: Callable[[Pages], Server]) -> None:
    asked: list[tuple[str, bool]] = []

    def guard(request: RawRequest, websocket: bool) -> RawReply | None:
        asked.append((request.url, websocket))
        return text_reply(403, "no\n")

    server = serve(pages(guard=guard))
    assert 403 == status(server.port, b"POST /echo HTTP/1.1\r\n" + HOST + b"Content-Length: 900\r\n\r\n")
    assert 403 == status(
        server.port, b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert asked == [("/echo", False), ("/ws", True)]


def test_a_page_that_fails_says_so_without_saying_why(
    serve: Callable[[Pages], Server], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(request: RawRequest) -> RawReply:
        raise ValueError("sk-secret")

    made = pages()
    made.route("GET", "/broken/*", broken)
    answer = httpx.get(url(serve(made), "/broken/%1b%5b2J%e2%80%ae%0afake?q=word"))
    assert answer.status_code == 500
    assert caplog.messages[-1] == "GET /broken/%1b%5b2J%e2%80%ae%0afake failed"  # as it was sent: a log is looked at
    assert "sk-secret" not in answer.text
    assert "sk-secret" in caplog.text  # the log does say why


def test_a_stream_is_sent_piece_by_piece_and_closed(serve: Callable[[Pages], Server]) -> None:
    ticks = Ticks(3)

    async def stream(request: RawRequest) -> RawReply:
        return reply(200, ticks, "text/event-stream")

    made = pages()
    made.route("GET", "/stream", stream)
    assert httpx.get(url(serve(made), "/stream")).text == "tick\n" * 3
    assert ticks.closed.wait(PATIENCE)


def test_an_old_client_gets_a_stream_that_ends_with_its_connection(serve: Callable[[Pages], Server]) -> None:
    made = pages()
    made.route("GET", "/stream", streamed(Ticks(3)))
    port = serve(made).port
    head, _, body = raw(port, b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n").partition(b"\r\n\r\n")
    assert (b"transfer-encoding" in head.lower(), body) == (False, b"tick\n" * 3)
    assert raw(port, b"GET /echo HTTP/1.0\r\n" + HOST + b"\r\n").endswith(b"\r\n\r\nGET /echo ")


@pytest.mark.parametrize("behind", [0, 1], ids=["alone", "another request waits"])
def test_a_reader_who_leaves_closes_the_stream(serve: Callable[[Pages], Server], behind: int) -> None:
    ticks, made = Once(), pages()
    made.route("GET", "/stream", streamed(ticks))
    with socket.create_connection(("127.0.0.1", serve(made).port), PATIENCE) as conn:
        conn.sendall(
            b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n" + behind * (b"GET /echo HTTP/1.1\r\n" + HOST + b"\r\n")
        )
        while b"tick" not in conn.recv(65536):
            pass
    assert ticks.closed.wait(PATIENCE)


class Flood(Ticks):
    """More than any buffer holds, and counted as it is taken."""

    loop: asyncio.AbstractEventLoop | None = None

    async def next(self) -> bytes | None:
        self.loop = asyncio.get_running_loop()
        self.sent += 1
        await anyio.lowlevel.checkpoint()
        return bytes(65536)


@define(eq=False)
class Reader:
    """Somebody with a small buffer, whom a flood is sent to; when it is looked what he has taken says the test."""

    ticks: Flood
    conn: socket.socket
    stalls: list[Stall]

    def is_looked_at(self) -> None:
        looked, stall = threading.Event(), self.stalls[-1]
        assert self.ticks.loop is not None
        self.ticks.loop.call_soon_threadsafe(lambda: (stall._timer and stall._look(), looked.set()))
        assert looked.wait(PATIENCE)


@pytest.fixture
def flood(serve: Callable[[Pages], Server], monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """When the server has nowhere to put any more of it."""
    ticks, stalls, begin = Flood(), [], Stall.begin
    monkeypatch.setattr(Stall, "begin", lambda stall: (begin(stall), stalls.append(stall)))
    made = pages(evolve(LIMITS, stall_seconds=1000.0))
    made.route("GET", "/stream", streamed(ticks))
    with stopped(serve(made).port, b"GET /stream HTTP/1.1\r\n") as conn:
        assert until(lambda: stalls)
        assert until(lambda: settled(lambda: (ticks.sent, stalls[-1]._waiting())))
        yield Reader(ticks, conn, stalls)


def settled(count: Callable[[], object]) -> bool:
    """Whether *count* stays the same for many looks."""
    first = count()
    return all(count() == first for _ in range(50) if not time.sleep(0.001))


def stopped(port: int, line: bytes) -> socket.socket:
    """A connection with a small buffer that asks, and takes nothing of what comes."""
    conn = socket.socket()
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    conn.settimeout(PATIENCE)
    conn.connect(("127.0.0.1", port))
    conn.sendall(line + HOST + b"\r\n")
    return conn


def test_a_reader_that_stops_reading_is_cut_off(serve: Callable[[Pages], Server]) -> None:
    ticks, made = Flood(), pages(HASTY)
    made.route("GET", "/stream", streamed(ticks))
    with stopped(serve(made).port, b"GET /stream HTTP/1.1\r\n") as conn:
        assert ticks.closed.wait(PATIENCE)
        with pytest.raises(ConnectionResetError):
            while conn.recv(65536):
                pass


def test_a_reader_that_is_merely_slow_is_not(flood: Reader) -> None:
    """What it takes in all this time makes no room for anything more: only the system sees that it moves."""
    before = flood.ticks.sent
    for _ in range(10):
        flood.conn.recv(4096)
        flood.is_looked_at()
        assert not flood.ticks.closed.is_set()
    assert flood.ticks.sent == before
    for _ in range(5):
        flood.is_looked_at()
    assert flood.ticks.closed.wait(PATIENCE)


def test_a_whole_answer_that_nobody_takes_is_not_kept(serve: Callable[[Pages], Server]) -> None:
    async def long(request: RawRequest) -> RawReply:
        return text_reply(200, "x" * 20_000_000)

    made = pages(HASTY)
    made.route("GET", "/long", long)
    with stopped(serve(made).port, b"GET /long HTTP/1.1\r\nconnection: close\r\n") as conn:
        ended = select.poll()
        ended.register(conn, 0)  # of nothing but an error: what came may lie there unread
        assert ended.poll(round(PATIENCE * 1000))
        with pytest.raises(ConnectionResetError):
            while conn.recv(65536):
                pass


def test_a_stream_that_breaks_is_no_whole_answer(serve: Callable[[Pages], Server]) -> None:
    class Broken(Ticks):
        async def next(self) -> bytes | None:
            if self.sent:
                raise OSError("gone")
            return await super().next()

    async def stream(request: RawRequest) -> RawReply:
        return reply(200, Broken(), "text/event-stream")

    made = pages()
    made.route("GET", "/stream", stream)
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url(serve(made), "/stream"))


@pytest.mark.parametrize("kept_open", [False, True], ids=["nobody there", "one that asks nothing"])
def test_nobody_is_waited_for_where_nobody_is_answered(
    serve: Callable[[Pages], Server], kept_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a moment: a program with pages ends as fast as one without, and its idle connections are closed."""
    pages, sleep = Pages(), asyncio.sleep
    slept: list[float] = []
    pages.route("POST", "/echo", echo)
    server = serve(pages)

    async def sleeps(seconds: float, *result: Any) -> Any:
        slept.append(seconds)
        return await sleep(seconds, *result)

    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=PATIENCE) as client:
        assert client.post("/echo", content=b"x").status_code == 200
        if not kept_open:
            client.close()
        monkeypatch.setattr(asyncio, "sleep", sleeps)
        server.stop()
    assert {*slept} == {0}


def test_stopping_lets_answers_end_and_ends_what_never_would(serve: Callable[[Pages], Server]) -> None:
    endless, slow = Ticks(), Ticks(30)

    def page(ticks: Ticks, **extensions: object) -> Callable[[RawRequest], object]:
        async def stream(request: RawRequest) -> RawReply:
            return reply(200, ticks, "text/event-stream", **extensions)

        return stream

    made = pages()
    made.route("GET", "/events", page(endless, endless=True))  # type: ignore[arg-type]
    made.route("GET", "/answer", page(slow))  # type: ignore[arg-type]
    server = serve(made)
    with httpx.stream("GET", url(server, "/events")) as events, httpx.stream("GET", url(server, "/answer")) as answer:
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert answer.read() == b"tick\n" * 30
        events.read()  # ends in good order
        stopping.join()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url(server, "/echo"))


def test_a_piece_of_a_stream_does_not_wait_until_the_one_before_it_is_acknowledged() -> None:
    with listen("127.0.0.1", 0, None) as opened, socket.create_connection(opened.getsockname()):
        accepted, _ = opened.accept()  # as granian does, which sets nothing itself
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_taken_port_is_the_callers_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"cannot listen at 127\.0\.0\.1:\d+"):
            Server(Pages(), port=taken.getsockname()[1]).start()


@pytest.mark.parametrize(
    ("host", "port", "uds", "why"),
    [
        ("192.0.2.1", 0, None, "this machine has no such address"),
        ("no.such.name.invalid", 0, None, "no address is known by this name"),
        ("x" * 70, 0, None, "no address is known by this name"),
        ("127.0.0.1", 70_000, None, "cannot listen at 127.0.0.1:70000"),
        ("127.0.0.1", 0, "/nowhere/at/all/pages.sock", "the folder is not there"),
        ("127.0.0.1", 0, "/tmp/" + "x" * 200, "too long"),
    ],
)
def test_an_address_that_cannot_be_had_is_told_with_its_cause(host, port, uds, why) -> None:
    with pytest.raises(NoAddress) as error:
        listen(host, port, uds).close()
    assert why in str(error.value)
    assert "Errno" not in str(error.value)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_a_unix_socket_is_only_for_its_user_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "pages.sock"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    server = Server(pages(), uds=path)
    server.start()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.get("http://127.0.0.1/echo").text == "GET /echo "
    with pytest.raises(OSError, match="cannot listen"):
        Server(pages(), uds=path).start()  # one that answers is not taken over
    server.stop()
    assert not path.exists()


def test_of_two_servers_that_find_one_dead_socket_one_has_it_and_the_other_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look before either has taken it; what the first has just made is not removed as dead."""
    path = tmp_path / "pages.sock"
    left_behind = socket.socket(socket.AF_UNIX)
    left_behind.bind(str(path))
    left_behind.close()
    looks, both_looked, one_ended, look = count(), threading.Event(), threading.Event(), listening._answers

    def answers(at: Path) -> bool:
        found = look(at)
        if next(looks) == 0:
            both_looked.wait(0.1)  # the other one can look only if nothing keeps it
        else:
            both_looked.set()
            one_ended.wait(PATIENCE)
        return found

    monkeypatch.setattr(listening, "_answers", answers)
    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(listen, "", 0, path) for _ in range(2)]
        for one in both:
            one.add_done_callback(lambda _: one_ended.set())
        failed = [one.exception(PATIENCE) for one in both]
    assert sorted(type(one) for one in failed if one is not None) == [NoAddress]
    (opened,) = [one.result() for one, error in zip(both, failed, strict=True) if error is None]
    with opened, socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
        opened.accept()[0].close()
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_the_socket_of_a_successor_stays_when_the_one_that_drained_ends(tmp_path: Path) -> None:
    path = tmp_path / "pages.sock"
    older, newer = Server(pages(), uds=path), Server(pages(), uds=path)
    older.start()
    path.unlink()  # as whoever takes the path over from one that answers no more
    newer.start()
    os.utime(path, (1, 1))  # the clock of files is coarse, and a number that is free is given again
    older.stop()
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
        assert client.get("http://127.0.0.1/echo").text == "GET /echo "
    newer.stop()


@pytest.mark.parametrize("why", [NotADirectoryError(20, "Not a directory"), PermissionError(13, "Permission denied")])
def test_a_socket_that_cannot_be_removed_is_told_and_ends_no_shutdown(
    why: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pages.sock"
    with listen("", 0, path):
        file = SocketFile.of(path)

    def refuses(self: Path, missing_ok: bool = False) -> None:
        raise why

    monkeypatch.setattr(Path, "unlink", refuses)
    file.remove()
    assert f"{path} stays: {why.strerror}" in caplog.text


def test_run_returns_after_sigterm(tmp_path: Path) -> None:
    code = (
        "import sys; from clippy_serving import Pages, Server\n"
        f"server = Server(Pages(), uds={str(tmp_path / 's')!r}, drain=60); server.run(); print('after'); sys.exit(7)"
    )
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "s").exists():
        assert running.poll() is None
        time.sleep(0.02)
    with socket.socket(socket.AF_UNIX) as probe:
        while probe.connect_ex(str(tmp_path / "s")):
            time.sleep(0.02)
        probe.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        probe.recv(100)  # it serves, so its signal handlers stand
    os.kill(running.pid, signal.SIGTERM)
    assert ("after\n", None) == running.communicate(timeout=PATIENCE)
    assert 7 == running.returncode


def test_a_path_that_is_taken_or_none_is_refused() -> None:
    made = pages()
    for path in ("/echo", "/below/*", "echo", "/a?b", "/a#b"):
        with pytest.raises(ValueError, match=r"taken|no path"):
            made.route("GET", path, echo)


def test_json_holds_no_tag() -> None:
    body = json_reply({"a": "<script>&\u2028"}).body
    assert body == b'{"a":"\\u003cscript\\u003e\\u0026\\u2028"}'


def test_a_websocket_is_closed_before_it_is_open() -> None:
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        sent.append(message)

    anyio.run(pages(), {"type": "websocket", "path": "/ws", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_longest_prefix_answers() -> None:
    made = Pages()

    async def deep(request: RawRequest) -> RawReply:
        return RawReply(200, Headers(), b"deep", {})

    made.route("GET", "/*", echo)
    made.route("GET", "/a/b/*", deep)
    assert made.handlers("/a/b/c")["GET"] is deep
    assert made.handlers("/a/x")["GET"] is echo
