"""A forked child of a busy program: it uses the host at once and again, and the parent does not notice."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field
from calling import Records
from clippy_hookspecs import RequestContext, StateStore, hookimpl

import clippy_core
from clippy_core import installed
from clippy_core.ids import new_id
from clippy_core.testing import FakeServer, Reply

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
PATIENCE = 120
"""Seconds after which a child that hangs is ended by its own alarm."""


def child_says(work: Callable[[], str]) -> str:
    """What *work* returns in a forked child, or how that ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE)
        try:
            said = work()
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return told if status == 0 else f"ended with status {status}"


@define(eq=False)
class Places:
    """Asynchronous hooks, so that a sync program needs the portal; a place is held for each request."""

    held: list[str] = field(factory=list)

    @hookimpl
    async def pre_attempt(self, ctx: RequestContext) -> None:
        ctx.leases += 1
        store: Any = ctx.services.get(StateStore)
        assert await store.lease("places", ctx.id, 60.0, 100)
        await anyio.lowlevel.checkpoint()

    @hookimpl
    async def post_attempt(self, ctx: RequestContext) -> None:
        ctx.leases -= 1
        store: Any = ctx.services.get(StateStore)
        await store.release("places", ctx.id)


def make_host(base_url: str, *plugins: object) -> clippy_core.Host:
    """A host with deadlines, so that the watchdog is at work as well."""
    route = {"base_url": base_url, "key": "sk-test", "model": "test-model", "default": True}
    named = {f"p{number}": plugin for number, plugin in enumerate((Places(), *plugins))}
    return clippy_core.Host(named, config={"routes": {"main": route}, "deadlines": {"total": 60.0, "idle": 30.0}})


def use(client: clippy_core.Client, host: clippy_core.Host, base_url: str) -> str:
    """Every way to call a host, twice; what came back."""
    said = []

    async def on_a_loop() -> None:
        async with clippy_core.AsyncClient(host) as other:
            said.append((await other.chat("a")).text)
        await host.aclose()

    for _ in range(2):
        said.append(client.chat("c").text)
        said.append("".join(client.stream("s").text()))
        with host.wrap(httpx.Client()) as http:
            body = {"model": "m", "messages": [{"role": "user", "content": "w"}]}
            answer = http.post(f"{base_url}/chat/completions", json=body).json()
            said.append(answer["choices"][0]["message"]["content"])
        asyncio.run(on_a_loop())
    return " ".join(said)


def test_children_of_a_busy_host_use_it_at_once_and_again_and_the_parent_goes_on() -> None:
    """gunicorn's preload with threads in flight, the portal and the watchdog at work, and connections in the pool."""
    records, failed, over = Records(), [], threading.Event()

    def work(number: int) -> None:
        count = 0
        try:
            while not over.is_set() or count < 2:
                count += 1
                asked = f"{number} {count}"
                with client.stream(asked) as stream:
                    assert "".join(stream.text()) == asked
                assert client.chat(asked).text == asked
        except Exception as error:
            failed.append(error)

    with FakeServer(lifetime=120.0) as server:
        host = make_host(server.base_url, records)
        client = clippy_core.Client(host)
        # Also so that nothing is imported for the first time amid a fork: CPython keeps the locks of imports over it.
        assert use(client, host, server.base_url) == "c s w a c s w a"
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            told = [child_says(lambda: use(client, host, server.base_url)) for _ in range(6)]
        finally:
            over.set()
            for thread in threads:
                thread.join(PATIENCE)
        store: Any = host.services.get(StateStore)
        assert told == ["c s w a c s w a"] * 6
        assert failed == []
        assert not store._leases["places"]
        assert set(records.outcomes) == {"answered"}
        assert use(client, host, server.base_url) == "c s w a c s w a"
        client.close()
        host.close()


def test_a_child_has_connections_of_its_own() -> None:
    """Two processes on one connection would get each other's answers."""
    with FakeServer(Reply("Hi")) as server:
        host = make_host(server.base_url)
        client = clippy_core.Client(host)
        http = httpx.Client(transport=clippy_core.transport(host))
        assert client.chat("Hello").text == "Hi"
        assert http.get(f"{server.base_url}/models").status_code == 200
        before = {seen.connection for seen in server.requests}
        parents = len(server.requests)

        def ask() -> str:
            status = http.get(f"{server.base_url}/models").status_code
            return f"{client.chat('Hello').text} {status}"

        assert child_says(ask) == "Hi 200"
        assert before.isdisjoint(seen.connection for seen in server.requests[parents:])
        assert ask() == "Hi 200"
        assert {seen.connection for seen in server.requests[parents + 2 :]} == before
        http.close()
        client.close()
        host.close()


def test_a_callers_own_http_client_is_left_as_it_is() -> None:
    """Its connections are the caller's affair, as they are without us."""
    with FakeServer(Reply("Hi")) as server, httpx.Client() as http:
        host = make_host(server.base_url)
        inner = http._transport
        client = clippy_core.Client(host, http)
        assert child_says(lambda: str(client._http is http and http._transport is inner)) == "True"


def test_no_lock_that_a_thread_of_the_parent_holds_stops_the_child() -> None:
    """Whatever the parent's threads are in the middle of: here, of everything at once."""
    with FakeServer(Reply("Hi")) as server:
        host = make_host(server.base_url)
        http = httpx.Client(transport=clippy_core.transport(host))
        client = clippy_core.Client(host)
        store: Any = host.services.get(StateStore)
        client.chat("Hello")
        locks: list[Any] = [
            store._lock, http._transport.gave_up._lock, installed._lock, host._portal._lock, host._watchdog._ready,
            host._serving.current.life._lock,
        ]  # fmt: skip

        def ask() -> str:
            body = {"model": "m", "messages": [{"role": "user", "content": "w"}]}
            refused = http.post(f"{server.base_url}/unknown", json=body, headers={"x-stainless-retry-count": "1"})
            installed.scan()
            return f"{client.chat('Hello').text} {refused.status_code}"

        for lock in locks:
            lock.acquire()
        try:
            told = child_says(ask)
        finally:
            for lock in locks:
                lock.release()
        assert told == "Hi 404"
        http.close()
        client.close()
        host.close()


def test_a_child_holds_none_of_the_places_that_the_parents_requests_hold() -> None:
    """The store of one process: a place for one is free in the child, and stays taken in the parent."""
    host = make_host("http://fake.test/v1")
    store: Any = host.services.get(StateStore)
    assert asyncio.run(store.lease("one", "parent", 60.0))
    assert child_says(lambda: str(asyncio.run(store.lease("one", "child", 60.0)))) == "True"
    assert not asyncio.run(store.lease("one", "other", 60.0))


@define(eq=False)
class HoldsOpen:
    """Notes in which process what it opened is closed."""

    closed: list[int] = field(factory=list)

    @hookimpl
    @contextmanager
    def lifespan(self) -> Iterator[None]:
        opened_in = os.getpid()
        try:
            yield
        finally:
            self.closed.append(opened_in)


def test_what_the_parent_holds_open_is_not_closed_in_the_child() -> None:
    """Not by the garbage collector either, which ends the block of a context manager that nobody holds any more."""
    holds = HoldsOpen()
    parent = os.getpid()

    def work() -> str:
        gc.collect()
        with host:
            pass
        return "closed the parent's" if parent in holds.closed else f"closed {len(holds.closed)} of its own"

    with clippy_core.Host([holds]) as host:
        assert "closed 1 of its own" == child_says(work)
    assert [parent] == holds.closed


@pytest.mark.parametrize("fork", [os.fork, ctypes.PyDLL(None).fork], ids=["of Python", "of the system"])
def test_a_child_gives_no_request_an_id_that_the_parent_will_give(
    fork: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids are made in advance; a child that went on with the parent's would give each of them a second time."""
    new_id()
    monkeypatch.setattr(os, "fork", fork)  # as servers written in C call it, which run none of Python's hooks
    told = child_says(lambda: " ".join(new_id() for _ in range(300)))
    assert set(told.split()).isdisjoint(new_id() for _ in range(300))


PROGRAM = """
import multiprocessing, sys
from contextlib import contextmanager
from attrs import define
from clippy_hookspecs import hookimpl
from clippy_core import Client, Host
from clippy_core.testing import FakeProvider

@define(eq=False)
class Holding:
    @hookimpl
    @contextmanager
    def lifespan(self, host):
        yield
        print("closed", multiprocessing.current_process().name, flush=True)

def asking(host):
    import httpx2
    with FakeProvider().client(httpx2) as inner:
        Client(host, inner).chat("Hi", model="m")

def made():
    route = {"base_url": "http://provider.test/v1", "key": "sk-0123456789abc"}
    return Host([Holding()], config={"routes": {"main": route}})

def work(host):
    asking(host or made())

host = made() if METHOD == "fork" else None
if __name__ == "__main__":
    multiprocessing.set_start_method(METHOD)
    child = multiprocessing.Process(target=work, args=(host,), name="child")
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_host_is_closed_at_the_end_of_a_child_of_multiprocessing(method: str, tmp_path: Path) -> None:
    """Which never comes to what runs at exit; a host that the parent never opened stays so."""
    (tmp_path / "program.py").write_text(PROGRAM.replace("METHOD", repr(method)), "utf-8")
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "closed child\n"), done.stderr
