"""The life of hosts, loops, wrapped clients."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from attrs import define, field
from calling import Caller
from clippy_hookspecs import PluginError, hookimpl
from patience import PATIENCE

import clippy_core
from clippy_core.testing import FakeProvider, FakeServer, Fault, Reply

URL = "http://fake.test/v1/chat/completions"
STREAM = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


@define(eq=False)
class Opens:
    events: list[str] = field(factory=list)

    @hookimpl
    @contextmanager
    def lifespan(self, host: object) -> Iterator[None]:
        self.events.append("open")
        yield
        self.events.append("close")


@define(eq=False)
class FailsOnce:
    """Its server is down at the first try."""

    tries: int = 0

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, host: object) -> AsyncIterator[None]:
        self.tries += 1
        if self.tries == 1:
            raise OSError("connection refused")
        yield


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_lifespan_that_failed_is_tried_again_by_the_next_request(backend):
    """The server was down for a moment; the host is not broken for ever (as it is not in a sync program)."""
    caller = Caller(backend, httpx).start([FailsOnce()], Reply("Hi"))

    async def run() -> str:
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            with pytest.raises(PluginError):
                await client.chat("Hello")
            return (await client.chat("Hello")).text

    assert "Hi" == anyio.run(run, backend=backend)


def test_what_was_opened_before_an_async_lifespan_failed_is_closed_again(caller):
    opens = Opens()
    caller.start({"a": opens, "b": FailsOnce()}, Reply("Hi"))
    with pytest.raises(PluginError):
        caller.chat()
    assert ["open", "close"] == opens.events


@define(eq=False)
class Counts:
    """Connects in lifespan itself, before it gives its manager."""

    connected: int = 0

    @hookimpl
    def lifespan(self, host: object) -> Any:
        self.connected += 1

        @asynccontextmanager
        async def manager() -> AsyncIterator[None]:
            yield
            self.connected -= 1

        return manager()


def test_lifespan_is_called_once_for_each_opening(caller):
    """Every manager that lifespan gives is entered and left."""
    counts = Counts()
    caller.start([counts], Reply("Hi"))

    async def run() -> None:
        async with caller.host, clippy_core.AsyncClient(caller.host, caller._http()) as client:
            await client.chat("Hello")

    if caller.colour == "sync":
        caller.chat()
        caller.host.close()
    else:
        anyio.run(run, backend=caller.colour)
    assert 0 == counts.connected


@define(eq=False)
class PerLoop:
    opened: list[int] = field(factory=list)
    closed: list[int] = field(factory=list)

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, host: object) -> AsyncIterator[None]:
        self.opened.append(threading.get_ident())
        yield
        self.closed.append(threading.get_ident())


def test_loops_that_begin_together_each_keep_their_own_set():
    """Ten threads with a loop each: every loop opens its set once, however they interleave."""
    per = PerLoop()
    caller = Caller("asyncio", httpx).start([per], Reply("Hi"))
    together = threading.Barrier(10)

    async def run() -> None:
        together.wait(PATIENCE)
        async with clippy_core.AsyncClient(caller.host, caller._http()) as client:
            for _ in range(5):
                await client.chat("Hello")

    threads = [threading.Thread(target=lambda: asyncio.run(run())) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert 10 == len(per.opened)


def test_a_fork_with_an_open_stream_records_it_once():
    """The child drops its copy: the record is the parent's alone."""
    caller = Caller("sync", httpx).start([], Reply("one two three"))
    client = caller.host.wrap(caller._http())
    response = client.send(client.build_request("POST", URL, json=STREAM), stream=True)
    next(response.iter_raw())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        del response
        gc.collect()
        time.sleep(0.3)
        os.write(writer, ",".join(caller.records.outcomes).encode() or b"-")
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    response.close()
    assert b"-" == told


# --- wrap -----------------------------------------------------------------------------------------------------------


def _openai(server: FakeServer, **settings: Any) -> Any:
    import openai

    return openai.OpenAI(api_key="k", base_url=server.base_url, max_retries=0, **settings)


WORDS = [[Fault.slow(0.15), Reply("one two three four five six")]] * 3


def test_closing_the_wrapped_client_leaves_the_original_alone():
    """A copy was wrapped: the original goes on reading what it reads."""
    with FakeServer(WORDS) as server:
        original = _openai(server)
        stream = original.chat.completions.create(model="m", stream=True, messages=[{"role": "user", "content": "x"}])
        next(stream)
        host = clippy_core.Host([Opens()])
        with host.wrap(original) as wrapped:
            assert wrapped is not original
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert "one two three four five six".endswith(text.strip())
        assert text
        host.close()


def test_an_answers_cookie_stays_with_the_wrapped_client():
    """The copy has a jar of its own: the original is untouched."""
    import openai

    provider = FakeProvider(Reply("Hi", headers={"set-cookie": "who=wrapped; Path=/"}))
    original = openai.OpenAI(api_key="k", base_url="http://fake.test/v1", http_client=provider.client(httpx2))
    wrapped = clippy_core.Host([Opens()]).wrap(original)
    wrapped.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert [] == list(original._client.cookies.jar)


def test_another_thread_that_imports_trio_just_now_is_no_trio_program(monkeypatch):
    """Half imported it has no functions yet; who runs in trio has long imported it whole."""
    import sys
    import types

    from clippy_core.loops import running_library, running_loop

    half = types.ModuleType("trio")
    monkeypatch.setitem(sys.modules, "trio", half)
    monkeypatch.setitem(sys.modules, "trio.lowlevel", types.ModuleType("trio.lowlevel"))
    assert running_library() is None
    with pytest.raises(RuntimeError):
        running_loop()
