"""A server that is gone, hangs, is full or refuses is a cache that misses: no request fails; the log says it once."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from calling import Caller
from clippy_cache_redis import RedisCache
from clippy_redis import ServerUnavailable
from redis_server import RedisServer

import clippy_core
from clippy_core.testing import Reply

OPEN = Callable[..., Any]
START = Callable[..., RedisServer]
WORKERS, QUESTIONS = 4, 10


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "clippy.cache-redis"]


class Traffic:
    """Workers that ask the same few questions again and again until told to end, on one host in one colour."""

    def __init__(self, caller: Caller) -> None:
        self.caller, self.ended = caller, False
        self.answered = [0] * WORKERS
        self.wrong: list[str] = []

    def __enter__(self) -> Traffic:
        self._pool = ThreadPoolExecutor(1)
        self._running = self._pool.submit(self._run)
        return self

    def __exit__(self, *error: object) -> None:
        self.ended = True
        self._running.result(60)
        self._pool.shutdown()

    def goes_on(self) -> None:
        """Wait until every worker has had answers to questions that it asked from now on."""
        until, enough = time.monotonic() + 60, [number + 3 for number in self.answered]
        while any(number < wanted for number, wanted in zip(self.answered, enough, strict=True)):
            assert not self._running.done(), self.wrong
            assert time.monotonic() < until, "the workers stand still"
            threading.Event().wait(0.002)

    def _note(self, worker: int, question: str, got: str) -> None:
        self.answered[worker] += 1
        if got != question:
            self.wrong.append(f"{question} was answered {got}")

    def _run(self) -> None:
        if self.caller.colour == "sync":
            with (
                clippy_core.Client(self.caller.host, self.caller._http()) as client,
                ThreadPoolExecutor(WORKERS) as pool,
            ):
                for running in [pool.submit(self._work, client, number) for number in range(WORKERS)]:
                    running.result()
        else:
            anyio.run(self._all, backend=self.caller.colour)

    def _work(self, client: Any, worker: int) -> None:
        turn = worker
        while not self.ended:
            turn += 1
            question = f"question {turn % QUESTIONS}"
            self._note(worker, question, client.chat(question).text)

    async def _all(self) -> None:
        async with clippy_core.AsyncClient(self.caller.host, self.caller._http()) as client:
            async with anyio.create_task_group() as group:
                for number in range(WORKERS):
                    group.start_soon(self._work_async, client, number)

    async def _work_async(self, client: Any, worker: int) -> None:
        turn = worker
        while not self.ended:
            turn += 1
            question = f"question {turn % QUESTIONS}"
            self._note(worker, question, (await client.chat(question)).text)
            await anyio.lowlevel.checkpoint()


def test_a_server_killed_amid_traffic_fails_no_request(
    caller: Caller, start_server: START, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed and started again three times: each answer is right, and after each start the cache is used again."""
    server = start_server()
    plugin = RedisCache(url=server.url, timeout=10.0, connect_timeout=10.0)
    caller.start({"cache-redis": plugin}, Reply(echo=True))
    with Traffic(caller) as traffic:
        traffic.goes_on()
        for _ in range(3):
            server.stop()
            traffic.goes_on()
            server.start()
            caller.clock.advance(plugin.pause * 2)
            traffic.goes_on()
            assert server.ask("DBSIZE") > 0
    assert traffic.wrong == []
    assert set(caller.records.outcomes) <= {"answered", "cached"}
    asked, number = caller.provider.calls, len(caller.records.outcomes)
    assert caller.records.outcomes.count("cached") == number - asked
    lines = told(caplog)
    assert [line.endswith("answers again") for line in lines] == [False, True] * 3
    caller.host.close()


def test_a_server_that_hangs_is_waited_for_once(
    caller: Caller, start_server: START, caplog: pytest.LogCaptureFixture
) -> None:
    """The call that finds out waits for its timeout; in the pause nobody does, and after it one call tries."""
    server = start_server()
    # On asyncio the call that finds out is in a loop of its own and connects anew, so it waits for both.
    plugin = RedisCache(url=server.url, timeout=1.0, connect_timeout=3.0)
    caller.start({"cache-redis": plugin}, Reply(echo=True))
    assert caller.chat("before").text == "before"
    server.hang()
    for number in range(20):
        assert caller.chat(f"{number}").text == f"{number}"
    assert caller.chat("before").text == "before"
    server.go_on()
    assert len(told(caplog)) == 1
    assert server.ask("DBSIZE") == 1, "it was asked in the pause"
    caller.clock.advance(plugin.pause * 2)
    asked = caller.provider.calls
    assert caller.chat("before").text == "before"
    assert caller.provider.calls == asked
    assert told(caplog)[1].endswith("answers again")
    caller.host.close()


def test_a_server_that_was_never_there_is_a_cache_that_misses(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """One line, without the password."""
    plugin = RedisCache(url="redis://ada:hunter2@127.0.0.1:1/3", connect_timeout=10.0)
    caller.start({"cache-redis": plugin}, Reply(echo=True))
    for _ in range(5):
        assert caller.chat("Hello").text == "Hello"
        assert caller.stream("Hello").text == "Hello"
    (line,) = told(caplog)
    assert line.startswith("Redis at 127.0.0.1:1/3: Error 111")
    assert "hunter2" not in line
    assert "ada" not in line
    assert caller.provider.calls == 10
    caller.host.close()


def test_a_full_server_answers_from_what_it_has(
    server: RedisServer, start_server: START, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    """What is new is not stored, and that is said once."""
    full = start_server("--maxmemory-policy", "noeviction")
    caller.start({"cache-redis": RedisCache(url=full.url, timeout=10.0, connect_timeout=10.0)}, Reply(echo=True))
    caller.chat("kept")
    full.ask("CONFIG", "SET", "maxmemory", "1")
    for number in range(5):
        assert caller.chat(f"{number}").text == f"{number}"
    assert caller.chat("kept").text == "kept"
    assert caller.provider.calls == 6
    (line,) = told(caplog)
    assert "its memory is full" in line
    assert line.endswith("; nothing is stored")
    caller.host.close()


def test_what_a_full_server_evicts_is_a_miss(start_server: START, opened: OPEN) -> None:
    """And what it keeps is found by an invalidation: there is no index that could be evicted instead."""
    server = start_server("--maxmemory-policy", "allkeys-lru", "--maxmemory", "8mb")
    cache = opened(server.url)
    for number in range(2000):
        cache.store(f"{number}", "x" * 8000, tags=["red"] if number % 2 else ["blue"])
    kept = [number for number in range(2000) if cache.text(f"{number}") is not None]
    assert 0 < len(kept) < 2000
    cache.host.invalidate(tag="red")
    left = {number for number in kept if cache.text(f"{number}") is not None}
    assert left
    assert not {number for number in left if number % 2}


def test_an_invalidation_that_may_have_dropped_nothing_raises(start_server: START, opened: OPEN) -> None:
    """With the reason; and it does ask the server in the pause after a failure."""
    server = start_server()
    cache = opened(server.url)
    cache.store("k")
    server.stop()
    assert cache.lookup("k") is None
    for selector in ({}, {"key": "k"}, {"tag": "red"}):
        with pytest.raises(ExceptionGroup) as caught:
            cache.host.invalidate(**selector)
        (error,) = caught.value.exceptions
        assert isinstance(error.__cause__, ServerUnavailable)
        assert "Error 111" in str(error.__cause__)
    server.start()
    cache.host.invalidate(key="k")


def test_a_user_with_the_rights_that_the_readme_lists_can_do_everything(
    server: RedisServer, start_server: START, opened: OPEN, caplog: pytest.LogCaptureFixture
) -> None:
    """Another one is told so."""
    owned = start_server()
    readme = (Path(__file__).parents[3] / "plugins" / "clippy-cache-redis" / "README.md").read_text(encoding="utf-8")
    listed = re.sub(r"\s+", " ", readme).partition("The user needs `")[2].partition("`")[0].split()
    owned.ask("ACL", "SETUSER", "able", "on", ">hunter2", "~mine|*", "-@all", *listed)
    owned.ask("ACL", "SETUSER", "weak", "on", ">hunter2", "~*", "-@all", "+ping", "+select")
    able = opened(f"redis://able:hunter2@127.0.0.1:{owned.port}/1", prefix="mine")
    able.store("k", tags=["red"])
    able.store("other")
    assert able.text("k") == "hello"
    able.host.invalidate(tag="red")
    assert (able.text("k"), able.text("other")) == (None, "hello")
    able.host.invalidate(key="other")
    assert able.text("other") is None
    assert told(caplog) == []
    weak = opened(f"redis://weak:hunter2@127.0.0.1:{owned.port}")
    assert weak.text("k") is None
    assert "access list" in told(caplog)[0]


def test_the_node_of_a_cluster_says_that_it_is_none_of_ours(
    start_server: START, opened: OPEN, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls are answered all the same."""
    node = start_server("--cluster-enabled", "yes", ready=False)
    cache = opened(node.url)
    cache.store("k")
    assert cache.text("k") is None
    assert told(caplog)
