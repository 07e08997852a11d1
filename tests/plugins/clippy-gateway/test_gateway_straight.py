"""Small requests that go straight over aiohttp's connections leave, and end, as those through its session."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest
from attrs import define, field
from clippy_gateway.settings import Connections
from clippy_gateway.straight import Straight, rehearsed
from clippy_gateway.upstream import AiohttpUpstream
from clippy_hookspecs import Headers, RawRequest
from yarl import URL

JSON = ("content-type", "application/json")
KEY = ("authorization", "Bearer sk-of-the-provider")
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@define
class Provider:
    """Answers each request with the next of *answers*, then closes the connection where one says so."""

    answers: Sequence[bytes]
    closes: bool = False
    got: list[bytes] = field(factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for answer in self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.got.append(head + await reader.readexactly(length))
                writer.write(answer)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()


async def told(reply: Any) -> tuple[Any, ...]:
    """A reply as a value, its body in one piece."""
    body = reply.body
    if not isinstance(body, bytes):
        pieces = []
        try:
            while (piece := await body.next()) is not None:
                pieces.append(piece)
        finally:
            await body.aclose()
        body = b"".join(pieces)
    return reply.status, reply.headers.raw, body


def both_ways(
    monkeypatch: pytest.MonkeyPatch,
    provider: Provider,
    headers: Headers,
    times: int = 1,
    path: str = "/v1/chat/completions?a=%20b",
    scheme: str = "http",
) -> list[Any]:
    """What the provider got, how many connections that took and what was answered or raised: straight, and not."""

    async def scene() -> list[Any]:
        server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
        url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
        found = []
        async with server:
            for largest in (64 * 1024, 0):
                monkeypatch.setattr("clippy_gateway.upstream.LARGEST", largest)
                provider.got, provider.connections = [], 0
                upstream = AiohttpUpstream(Connections(read=5.0))
                ended: list[Any] = []
                for _ in range(times):
                    try:
                        ended.append(await told(await upstream.send(RawRequest("POST", url, headers, b'{"a": 1}'), {})))
                    except Exception as error:
                        ended.append((type(error).__name__, str(error).partition(", url=")[0]))
                await upstream.aclose()
                found.append((provider.got, provider.connections, ended))
        return found

    return asyncio.run(asyncio.wait_for(scene(), 30))


@pytest.mark.parametrize("largest", [64 * 1024, 0], ids=["straight", "through the session"])
def test_what_a_provider_says_unasked_is_nobody_s_answer(largest, monkeypatch) -> None:
    """Neither what comes with an answer nor what comes behind it: the connection is not used again."""
    own = [b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % number for number in range(3)]
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        number, connections = connections, connections + 1
        await reader.readuntil(b"}")
        writer.write(own[number])
        await writer.drain()
        await said.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
        await reader.read()
        writer.close()

    async def scene() -> list[Any]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        upstream, bodies = AiohttpUpstream(Connections(read=5.0)), []
        async with server:
            for _ in range(3):
                said.clear()
                bodies.append((await upstream.send(RawRequest("POST", url, Headers([JSON]), b"{}"), {})).body)
                said.set()
                ((session, _),) = upstream._sessions.values()
                while not any(idle.should_close for idles in session.connector._conns.values() for idle, _ in idles):
                    await asyncio.sleep(0.001)  # until it has come
            await upstream.aclose()
        return bodies

    said = asyncio.Event()
    monkeypatch.setattr("clippy_gateway.upstream.LARGEST", largest)
    assert asyncio.run(asyncio.wait_for(scene(), 30)) == [b"0", b"1", b"2"]


HEADS = {
    "plain": Headers([JSON]),
    "as bytes": Headers.undecoded([(b"Content-Type", b"application/json"), (b"x-name", "ünï".encode())]),
    "a key": Headers([JSON, ("accept-encoding", "gzip, br"), KEY]),
    "of a connection": Headers([JSON, ("connection", "close"), ("host", "other"), ("content-length", "99")]),
    "the same name twice": Headers([JSON, ("x-tag", "a"), ("x-tag", "b")]),
    "beyond latin-1": Headers([JSON, ("x-price", "1 €")]),
    "two encodings": Headers([KEY, ("accept-encoding", "gzip"), ("accept-encoding", "br")]),
    "a line break": Headers([JSON, ("x-evil", "a\r\nx-clippy-user: root")]),
    "a null": Headers([JSON, ("x-evil", "a\0b")]),
    "a control character": Headers.undecoded([(b"content-type", b"text/plain"), (b"x-evil", b"a\x1b[2Jb")]),
    "none": Headers(),
}


@pytest.mark.parametrize("headers", HEADS.values(), ids=HEADS)
def test_a_request_leaves_byte_for_byte_as_through_the_session(monkeypatch, headers):
    straight, through = both_ways(monkeypatch, Provider([OK, OK]), headers, times=2)
    assert straight == through
    assert straight[0] == [] if "x-evil" in headers else straight[1] == 1


ADDRESSES = [("/v1?a=ü b", "http"), ("/v1\r\nx: y", "http"), ("/v\0", "http"), ("/v\x7f", "http"), ("/v\ud800", "http")]


@pytest.mark.parametrize(("path", "scheme"), [*ADDRESSES, ("/v1", "ftp")], ids=ascii)
def test_an_odd_address_is_sent_to_or_refused_as_through_the_session(monkeypatch, path, scheme):
    straight, through = both_ways(monkeypatch, Provider([OK]), Headers([JSON]), path=path, scheme=scheme)
    assert straight == through


ANSWERS = {
    "below all statuses": b"HTTP/1.1 099 No\r\ncontent-length: 0\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "events": b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: a\n\n",
    "not yet": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK,
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "elsewhere": b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://other/\r\ncontent-length: 0\r\n\r\n",
    "the key": b"HTTP/1.1 401 No\r\nx-was: sk-of-the-provider\r\ncontent-length: 18\r\n\r\nsk-of-the-provider",
    "the last": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_comes_back_as_through_the_session(monkeypatch, answer):
    closes = b"connection: close" in answer
    straight, through = both_ways(monkeypatch, Provider([answer] * 3, closes=closes), Headers([JSON, KEY]), times=3)
    assert straight == through
    assert straight[1] == (3 if closes else 1)
    assert not any(b"sk-of-the-provider" in body for _, _, body in straight[2])


FAILURES = {
    "nothing came": b"",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "amid its body": b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{",
    "until it ends": b"HTTP/1.1 200 OK\r\n\r\nall of it",
    "amid a chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{",
}


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
def test_what_breaks_off_is_told_as_through_the_session(monkeypatch, answer):
    straight, through = both_ways(monkeypatch, Provider([answer], closes=True), Headers([JSON]), times=2)
    assert straight == through
    assert straight[1] == 2


def test_who_waits_no_longer_closes_the_connection_and_the_next_request_has_another():
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        left.set()
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        async with server:
            upstream = AiohttpUpstream(Connections())
            asking = asyncio.create_task(upstream.send(RawRequest("POST", url, Headers([JSON]), b"{}"), {}))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asking), 0.05)
            asking.cancel()
            await asyncio.wait_for(left.wait(), 10)
            with pytest.raises(asyncio.TimeoutError):
                await upstream.send(RawRequest("POST", url, Headers([JSON]), b"{}"), {"read": 0.05})
            await upstream.aclose()

    asyncio.run(asyncio.wait_for(scene(), 30))


@pytest.mark.parametrize("largest", [64 * 1024, 0], ids=["straight", "through the session"])
def test_a_provider_that_falls_silent_after_a_head_that_is_no_answer_is_waited_for_no_longer_than_before_it(
    largest, monkeypatch
):
    async def scene() -> None:
        provider = Provider([b"HTTP/1.1 103 Early Hints\r\n\r\n", b""])
        server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        async with server:
            upstream = AiohttpUpstream(Connections(read=0.05))
            monkeypatch.setattr("clippy_gateway.upstream.LARGEST", largest)
            with pytest.raises(aiohttp.SocketTimeoutError):
                await asyncio.wait_for(upstream.send(RawRequest("POST", url, Headers([JSON]), b"{}"), {}), 10)
            await upstream.aclose()

    asyncio.run(asyncio.wait_for(scene(), 30))


def test_of_an_answer_that_was_let_go_of_nobody_is_warned():
    async def scene() -> list[str]:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        provider = Provider([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"] * 2)
        server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
        async with server:
            upstream = AiohttpUpstream(Connections())
            await upstream.send(RawRequest("POST", url, Headers([JSON]), b"{}"), {})
            await upstream.aclose()
            gc.collect()
        return told

    assert asyncio.run(asyncio.wait_for(scene(), 30)) == []


@pytest.mark.parametrize("name", ["set_response_params", "start_timeout", "read"])
def test_an_aiohttp_that_is_another_inside_sends_through_its_session_and_that_is_told_once(monkeypatch, caplog, name):
    from aiohttp.client_proto import ResponseHandler

    def renamed(*_: Any, **__: Any) -> None:
        raise TypeError("unexpected keyword argument")

    rehearsed.cache_clear()
    with monkeypatch.context() as other:
        other.setattr(ResponseHandler, name, renamed)
        assert asyncio.run(_places(2)) == [None, None]
    rehearsed.cache_clear()
    assert [record.message.partition(" (")[2] for record in caplog.records] == [
        "TypeError: unexpected keyword argument); they go through its session"
    ]
    assert all(asyncio.run(_places(1)))


async def _places(times: int) -> list[Any]:
    """What is known of an address in sessions opened one after the other."""
    found = []
    for _ in range(times):
        async with aiohttp.ClientSession() as session:
            found.append(Straight(session).place(URL("http://127.0.0.1:1/")))
    return found
