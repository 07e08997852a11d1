"""Streams through the gateway: at once, with back-pressure, and how they end when somebody leaves."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from clippy_gateway import Key
from gateway_world import CALLERS_KEY, Books, World
from patience import PATIENCE, until

from clippy_core.testing import Fault, Raw, Reply

KEYS = {"keys": {"team": Key(CALLERS_KEY)}}
WORDS = ("one ", "two ", "three ", "four ", "five ")


def asked(stream: bool = True) -> bytes:
    body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CALLERS_KEY}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def read_events(connection: socket.socket, count: int) -> bytes:
    """What comes until so many events have begun."""
    got = b""
    while got.count(b"data: ") < count:
        piece = connection.recv(4096)
        if not piece:
            break
        got += piece
    return got


@pytest.fixture(params=["bare", "with plugins"])
def books(request: pytest.FixtureRequest) -> Books | None:
    return None if request.param == "bare" else Books()


def world_of(script: Any, books: Books | None) -> World:
    return World(script, {} if books is None else {"books": books}, KEYS)


@contextmanager
def provided(say: Callable[[socket.socket], None]) -> Iterator[dict[str, Any]]:
    """The routes to one that answers once, with a stream of what *say* writes into its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                say(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        yield {"main": {"api": "openai.chat", "base_url": url, "key": "sk-12345678"}}
        thread.join()


def test_each_chunk_is_handed_on_before_the_next_one_is_there(books):
    """The provider goes on only when the caller has the chunk before."""
    may_go_on = threading.Semaphore(1)

    def say(connection: socket.socket) -> None:
        for word in WORDS:
            may_go_on.acquire(timeout=PATIENCE)
            said = {"choices": [{"index": 0, "delta": {"content": word}}]}
            connection.sendall(b"data: " + json.dumps(said).encode() + b"\n\n")

    with provided(say) as routes, World(None, {} if books is None else {"books": books}, KEYS, routes) as world:
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            connection.sendall(asked())
            for word in WORDS:
                assert word.encode() in read_events(connection, 1)
                may_go_on.release()


@pytest.mark.parametrize("left_after", range(len(WORDS) + 1))
def test_a_caller_that_leaves_closes_the_provider_and_is_settled(books, left_after):
    waits = [Fault.stall(PATIENCE, at_delta=left_after), Reply("".join(WORDS), chunks=WORDS)]
    with world_of([waits], books) as world:
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            connection.sendall(asked())
            assert until(lambda: world.provider.calls == 1)
            if left_after:
                read_events(connection, left_after)
        assert until(lambda: world.provider.closed_early == [1])
        assert until(lambda: world.app.busy == 0)
        if books is not None:
            assert until(lambda: len(books.records) == 1)
            assert books.records[0].outcome == "cancelled"
            assert len(books.records[0].attempts) == 1


def test_a_caller_that_leaves_before_a_plain_answer_closes_the_provider(books):
    with world_of(Reply("late", delay=PATIENCE), books) as world:
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            connection.sendall(asked(stream=False))
            assert until(lambda: world.provider.calls == 1)
        assert until(lambda: world.app.busy == 0)
        assert until(lambda: world.provider.closed_early == [1])
        if books is not None:
            assert until(lambda: [record.outcome for record in books.records] == ["cancelled"])


def test_a_caller_that_leaves_after_a_slow_body_is_seen_to_leave(monkeypatch):
    """Its body was waited for as long as the gateway is patient, and several times that."""
    monkeypatch.setattr("clippy_gateway.watching._PATIENCE", 0.01)
    with world_of(Reply("late", delay=PATIENCE), None) as world:
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            connection.sendall(asked(stream=False)[:-5])
            assert until(lambda: world.app.busy == 1)
            time.sleep(0.05)
            connection.sendall(asked(stream=False)[-5:])
            assert until(lambda: world.provider.calls == 1)
        assert until(lambda: world.app.busy == 0)
        assert until(lambda: world.provider.closed_early == [1])


@pytest.mark.parametrize("at", range(4))
def test_a_stream_that_breaks_off_upstream_breaks_off_here_without_an_end(books, at, caplog):
    broken = [Fault.reset(at_delta=at), Reply("".join(WORDS), chunks=WORDS)]
    with world_of([broken, Reply("well")], books) as world:
        got = world.raw(asked().replace(b"host: x", b"host: x\r\nconnection: close"))
        after = world.chat()
        alive = world.ask("GET", "/ready")
    assert b"[DONE]" not in got
    assert not got.endswith(b"0\r\n\r\n") or b" 502 " in got.split(b"\r\n")[0]
    assert (after.status_code, alive.status_code) == (200, 200)
    if b" 502 " not in got.split(b"\r\n")[0]:
        told = re.search(rb"(?i)x-clippy-request-id: (\w+)", got)
        assert f"the answer to request {told[1].decode()} broke off" in caplog.text


def test_a_provider_that_dies_and_comes_back_is_asked_again(books):
    with world_of([Fault.reset(), Fault.reset(), Reply("well")], books) as world:
        answers = [world.chat().status_code for _ in range(3)]
    assert answers == [502, 502, 200]


def test_a_reader_that_does_not_read_stops_the_provider():
    """Back-pressure: of an endless answer the gateway holds a few buffers' worth."""
    sent = 0
    stop = threading.Event()

    def say(connection: socket.socket) -> None:
        nonlocal sent
        connection.settimeout(0.2)
        while not stop.is_set() and sent < 200_000_000:
            try:
                sent += connection.send(b"data: " + b"x" * 65536 + b"\n\n")
            except TimeoutError:
                continue
            except OSError:
                break

    with provided(say) as routes, World(None, {}, KEYS, routes) as world:
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            connection.sendall(asked())
            connection.recv(1000)
            before = -1
            while before != sent:
                before = sent
                threading.Event().wait(0.5)
            held = sent
            stop.set()
    assert held < 50_000_000


def test_many_streams_at_the_same_time_are_all_whole(books):
    with world_of(Reply("".join(WORDS), chunks=WORDS, chunk_delay=0.05), books) as world:
        got: list[bytes] = []
        once = asked().replace(b"host: x", b"host: x\r\nconnection: close")
        callers = [threading.Thread(target=lambda: got.append(world.raw(once))) for _ in range(40)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert until(lambda: world.app.busy == 0)
    assert len(got) == 40
    assert all(b"[DONE]" in answer and answer.endswith(b"0\r\n\r\n") for answer in got)


def test_what_is_no_chat_is_streamed_too(books):
    parts = [b"%d" % number * 1000 for number in range(9)]
    with world_of(Raw(parts, headers={"content-type": "application/octet-stream"}), books) as world:
        assert world.ask("GET", "/v1/files/f/content").content == b"".join(parts)


def test_a_stream_keeps_its_bytes(books):
    with world_of(Reply("one two three"), books) as world:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        direct = httpx.post(world.provider.base_url + "/chat/completions", json=body, trust_env=False).content
        through = world.chat("x", body={"stream": True}).content
    assert len(through.splitlines()) == len(direct.splitlines())


def test_an_answer_that_outlasts_the_drain_is_told_in_a_line_with_its_id(caplog):
    with World(Reply("".join(WORDS), chunks=WORDS, chunk_delay=PATIENCE), {}, KEYS, drain=1) as world:
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            connection.sendall(asked())
            got = read_events(connection, 1)
            world.server.stop()
            while piece := connection.recv(4096):
                got += piece
    assert b"[DONE]" not in got
    assert not got.endswith(b"0\r\n\r\n")
    name = got.partition(b"x-clippy-request-id: ")[2].partition(b"\r\n")[0].decode()
    told = [record for record in caplog.records if record.levelno >= 30 and "graceful shutdown" not in record.msg]
    assert [name in record.getMessage() for record in told] == [True]
    assert told[0].exc_info is None


@pytest.mark.parametrize("missing", [0, 5], ids=["whole", "with some of its body to come"])
def test_a_request_that_is_not_answered_when_the_drain_ends_is_refused(missing, caplog):
    with World(Reply("late", delay=PATIENCE), {}, KEYS, drain=1) as world:
        with socket.create_connection(("127.0.0.1", world.server.port), timeout=PATIENCE) as connection:
            whole = asked(stream=False)
            connection.sendall(whole[: len(whole) - missing])
            assert until(lambda: world.app.busy == 1 and (missing or world.provider.calls == 1))
            world.server.stop()
            got = connection.recv(4096)
    assert b" 503 " in got.split(b"\r\n")[0]
    assert b"gateway_ending" in got
    assert b"x-should-retry: true" in got
    assert not [record for record in caplog.records if record.exc_info]


def test_a_stream_that_breaks_off_is_told_with_its_id_alone(caplog):
    broken = [Fault.reset(at_delta=2), Reply("".join(WORDS), chunks=WORDS)]
    with World([broken], {}, KEYS) as world:
        got = world.raw(asked().replace(b"host: x", b"host: x\r\nconnection: close"))
    name = got.partition(b"x-clippy-request-id: ")[2].partition(b"\r\n")[0].decode()
    told = [record for record in caplog.records if record.levelno >= 30]
    assert [name in record.getMessage() for record in told] == [True]
