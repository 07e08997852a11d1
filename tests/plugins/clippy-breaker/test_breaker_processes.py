"""Eight processes, each with a host of its own, on one SQLite file or one Redis server."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from clippy_breaker import CircuitBreaker
from clippy_errors import ErrorClassifier
from clippy_hookspecs import ProviderError
from clippy_state_redis import RedisState
from clippy_state_sqlite import SqliteState
from redis_server import RedisServer

import clippy_core
from clippy_core.testing import Bench, Fault, Reply
from clippy_core.testing.contracts.processes import in_processes

WORKERS = 8
OPEN_TIME = 10.0
DOWN = Fault.status(503)
Act = Callable[[Any], Any]

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]


class Shared:
    """One store of many processes."""

    def __init__(self, name: str, folder: Path) -> None:
        self.path = folder / "state.db"
        self.server = RedisServer(folder) if name == "redis" else None

    def plugin(self) -> object:
        """A process's own plugin of it."""
        return RedisState(url=self.server.url) if self.server else SqliteState(path=self.path)

    def let_pass(self, seconds: float) -> None:
        """What a server keeps ends by its own clock, and not by that of its clients."""
        if self.server is not None:
            self.server.advance(seconds)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    shared = Shared(request.param, tmp_path)
    yield shared
    if shared.server is not None:
        shared.server.stop()


class Worker:
    """One process: a host, a provider that does what *act* says, and a clock of its own that all begin alike."""

    def __init__(self, store: Shared, act: Act | Fault | Reply, later: float = 0.0) -> None:
        settings = {"open_time": OPEN_TIME, "probe_time": 2.0}
        plugins = {"errors": ErrorClassifier(), "breaker": CircuitBreaker(**settings), "store": store.plugin()}
        self.bench = Bench(plugins, act)
        self.bench.clock.advance(later)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.bench.close()

    def call(self) -> str:
        """What became of one call: its text or the kind of its failure."""
        got = self.bench.chat()
        return got.text or got.error.info.kind  # type: ignore[union-attr]

    @property
    def sent(self) -> int:
        return self.bench.provider.calls


def open_it(store: Shared) -> None:
    """One process meets the outage."""
    with Worker(store, DOWN) as worker:
        assert [worker.call() for _ in range(11)] == ["overloaded"] * 10 + ["breaker_open"]


def test_eight_processes_send_one_probe_and_not_eight(store: Shared) -> None:
    """All ask at the same moment, three times; then it is closed for all of them."""
    open_it(store)
    barrier = multiprocessing.get_context("fork").Barrier(WORKERS)

    def work(number: int) -> list[int]:
        def answer(seen: Any) -> Reply:
            if seen.number <= 3:
                barrier.wait(60)  # the probe is under way until everybody else has asked
            return Reply("fine")

        sent = []
        with Worker(store, answer, later=OPEN_TIME * 1.3) as worker:
            for _ in range(3):
                before = worker.sent
                barrier.wait(60)
                if worker.call() == "breaker_open":
                    barrier.wait(60)
                sent.append(worker.sent - before)
                barrier.wait(60)
        with Worker(store, Reply("fine"), later=OPEN_TIME * 1.3) as worker:
            assert worker.call() == "fine"
            return [*sent, worker.sent]

    rounds = zip(*in_processes(WORKERS, work), strict=True)
    assert [sum(sent) for sent in rounds] == [1, 1, 1, WORKERS]


def test_eight_processes_open_it_together(store: Shared) -> None:
    """Ten failures of theirs together, and at most one more of each that was under way."""

    def work(number: int) -> int:
        with Worker(store, DOWN) as worker:
            while worker.call() != "breaker_open":
                assert worker.sent <= 10
            return worker.sent

    assert 10 <= sum(in_processes(WORKERS, work)) <= 10 + WORKERS - 1


def test_a_process_that_is_killed_with_the_probe_holds_the_others_up_for_its_time_only(store: Shared) -> None:
    """Its lease ends by itself."""
    open_it(store)

    def work(number: int) -> None:
        with Worker(store, lambda seen: os.kill(os.getpid(), signal.SIGKILL), later=OPEN_TIME * 1.3) as worker:
            worker.call()

    with pytest.raises(AssertionError, match="-9"):
        in_processes(1, work)
    with Worker(store, Reply("fine"), later=OPEN_TIME * 1.3) as worker:
        assert worker.call() == "breaker_open"
    store.let_pass(2.0)
    with Worker(store, Reply("fine"), later=OPEN_TIME * 1.3 + 2.0) as worker:
        assert [worker.call() for _ in range(4)] == ["fine"] * 4


@pytest.mark.parametrize("colour", ["asyncio", "trio"])
def test_an_async_program_shares_it_with_a_sync_one(store: Shared, colour: str) -> None:
    """Whether the store's methods are plain and run in threads, or wait on the event loop."""
    assert anyio.run(async_calls, store, DOWN, 0.0, 11, backend=colour) == ["overloaded"] * 10 + ["breaker_open"]
    with Worker(store, DOWN) as worker:
        assert worker.call() == "breaker_open"
    fine = Reply("fine")
    assert anyio.run(async_calls, store, fine, OPEN_TIME * 1.3, 3, backend=colour) == ["fine"] * 3
    with Worker(store, DOWN, later=OPEN_TIME * 1.3) as worker:
        assert [worker.call() for _ in range(9)] == ["overloaded"] * 9


async def async_calls(store: Shared, act: Fault | Reply, later: float, number: int) -> list[str]:
    """What became of so many calls of one async program."""
    bench, ends = Worker(store, act, later).bench, []
    async with bench.host, clippy_core.AsyncClient(bench.host, bench.provider.async_client()) as client:
        for _ in range(number):
            try:
                ends.append((await client.chat("Hello")).text)
            except ProviderError as error:
                ends.append(error.info.kind)
    return ends


# --- a probe that is a long stream ------------------------------------------------------------------------------------

LONG = Reply("a long answer", chunks=("a ", "long ", "answer"))


def admitted(worker: Worker) -> str:
    """What became of the first call that was not refused: the probe's end is told beside its stream."""
    for _ in range(2000):
        if (ended := worker.call()) != "breaker_open":
            return ended
        time.sleep(0.002)
    return "never admitted"


def test_a_probe_that_is_a_stream_lets_other_processes_go_on_from_its_first_token(store: Shared) -> None:
    """That the provider is back is known then, and nobody waits for the end of a long answer."""
    open_it(store)
    later = OPEN_TIME * 1.3
    with Worker(store, LONG, later) as one, Worker(store, Reply("fine"), later) as other:
        bench = one.bench
        with clippy_core.Client(bench.host, bench.provider.client()) as client, client.stream("Hello") as stream:
            assert other.call() == "breaker_open"
            next(text for text in stream.text())
            assert admitted(other) == "fine"


@pytest.mark.parametrize("colour", ["asyncio", "trio"])
def test_it_does_so_in_an_async_program_too(store: Shared, colour: str) -> None:
    open_it(store)

    async def run() -> str:
        bench = Worker(store, LONG, OPEN_TIME * 1.3).bench
        async with bench.host, clippy_core.AsyncClient(bench.host, bench.provider.async_client()) as client:
            async with await client.stream("Hello") as stream:
                async for _ in stream.text():
                    with Worker(store, Reply("fine"), OPEN_TIME * 1.3) as other:
                        return await anyio.to_thread.run_sync(admitted, other)
        return "no text"

    assert anyio.run(run, backend=colour) == "fine"


def test_a_forked_child_does_not_count_its_parents_probe_again(store: Shared) -> None:
    """Of three probes two have gone well: the parent's stream and the child's call; the third one fails."""
    open_it(store)
    with Worker(store, LONG, OPEN_TIME * 1.3) as parent:
        bench = parent.bench
        with clippy_core.Client(bench.host, bench.provider.client()) as client, client.stream("Hello") as stream:
            next(text for text in stream.text())
            assert in_processes(1, lambda number: admitted(parent)) == ["a long answer"]
    with Worker(store, DOWN, OPEN_TIME * 1.3) as worker:
        assert [worker.call(), worker.call()] == ["overloaded", "breaker_open"]
