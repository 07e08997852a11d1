"""A reload that meets the first opening, the closing, or another reload of its host."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field
from calling import ROUTE
from clippy_hookspecs import PluginError
from patience import PATIENCE
from plugin_folder import PluginFolder, plugin_folder

import clippy_core
import clippy_core.installed
import clippy_core.lifespans
from clippy_core.installed import rescan
from clippy_core.testing import FakeProvider, Reply

FIRST_PARTY = sorted(point.name for point in entry_points(group="clippy"))
SLOW = """
    import sys

    @define(eq=False)
    class Plugin:
        open: bool = field(init=False, default=False)

        @hookimpl
        @contextmanager
        def lifespan(self, host):
            sys.modules["reload_gates"].pass_through(__name__)
            self.open = True
            yield
            self.open = False

        @hookimpl
        def pre_request(self):
            assert self.open, "used before it was opened, or after it was closed"
"""
SLOW_ASYNC = (
    SLOW.replace("import sys", "import anyio.to_thread, sys")
    .replace("@contextmanager", "@asynccontextmanager")
    .replace("def lifespan", "async def lifespan")
    .replace(
        'sys.modules["reload_gates"].pass_through(__name__)',
        'await anyio.to_thread.run_sync(sys.modules["reload_gates"].pass_through, __name__)',
    )
)


@define(eq=False)
class Gates:
    """Where the plugins of the test wait until it lets them on, each once."""

    come: dict[str, threading.Event] = field(factory=lambda: {name: threading.Event() for name in ("a", "b")})
    go: dict[str, threading.Event] = field(factory=lambda: {name: threading.Event() for name in ("a", "b")})

    def pass_through(self, module: str) -> None:
        name = module.removeprefix("folder_")
        self.come[name].set()
        assert self.go[name].wait(PATIENCE)

    def wait_for(self, name: str) -> None:
        assert self.come[name].wait(PATIENCE)


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Gates:
    made = Gates()
    monkeypatch.setitem(sys.modules, "reload_gates", made)
    return made


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[PluginFolder]:
    with plugin_folder(tmp_path) as made:
        yield made


@define(eq=False)
class Program:
    """A host in use by threads, each with one request."""

    host: Any
    answers: list[str] = field(factory=list)
    threads: list[threading.Thread] = field(factory=list)
    provider: FakeProvider = field(factory=lambda: FakeProvider(Reply("Hi")))

    def ask(self) -> None:
        with clippy_core.Client(self.host, self.provider.client()) as client:
            self.answers.append(client.chat("Hello").text)

    def do(self, work: Any) -> threading.Thread:
        thread = threading.Thread(target=work)
        thread.start()
        self.threads.append(thread)
        return thread

    def end(self) -> None:
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self.threads)


@pytest.fixture
def start() -> Iterator[Any]:
    made: list[Program] = []

    def make() -> Program:
        rescan()
        made.append(Program(clippy_core.Host.from_config(disable=FIRST_PARTY, routes={"main": ROUTE})))
        return made[-1]

    yield make
    for program in made:
        program.end()
        program.host.close()


def test_a_plugin_that_stays_is_awaited_while_it_is_still_being_opened(plugins, start, gates):
    """For the set before, when that has been replaced."""
    plugins.install("a", SLOW_ASYNC)
    program = start()
    program.do(program.ask)
    gates.wait_for("a")
    plugins.install("b", SLOW)
    gates.go["b"].set()
    program.host.reload()
    second = program.do(program.ask)
    second.join(0.2)
    gates.go["a"].set()
    program.end()
    assert ["Hi", "Hi"] == program.answers


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_plugin_that_stays_is_awaited_in_its_event_loop(plugins, start, gates, backend):
    """As for threads."""
    plugins.install("a", SLOW_ASYNC)
    program = start()

    async def ask() -> None:
        async with clippy_core.AsyncClient(program.host, program.provider.async_client()) as client:
            program.answers.append((await client.chat("Hello")).text)

    async def work() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.to_thread.run_sync(gates.wait_for, "a")
            plugins.install("b", SLOW)
            gates.go["b"].set()
            group.start_soon(program.host.areload)
            await anyio.sleep(0.2)
            group.start_soon(ask)
            await anyio.sleep(0.1)
            gates.go["a"].set()
        await program.host.aclose()

    anyio.run(work, backend=backend)
    assert ["Hi", "Hi"] == program.answers


def test_a_plugin_that_was_removed_while_it_was_opened_may_fail(plugins, start, gates):
    """Who waited for it hears of that."""
    plugins.install("a", SLOW_ASYNC.replace("self.open = True", "raise OSError"))
    program = start()

    def ask() -> None:
        with pytest.raises(PluginError, match=r"plugin a 1\.0: lifespan raised OSError"):
            program.ask()
        program.answers.append("failed")

    program.do(ask)
    gates.wait_for("a")
    plugins.remove("a")
    program.do(program.host.reload).join(0.2)
    gates.go["a"].set()
    program.end()
    program.ask()
    assert ["failed", "Hi"] == program.answers


def test_a_reload_does_not_wait_for_ever_for_what_was_removed(plugins, start, gates, monkeypatch):
    """It goes on closing."""
    monkeypatch.setattr(clippy_core.lifespans, "LOOP_SECONDS", 0.05)
    plugins.install(
        "a",
        """
        import anyio.to_thread, sys

        @define(eq=False)
        class Plugin:
            @hookimpl
            @asynccontextmanager
            async def lifespan(self, host):
                yield
                await anyio.to_thread.run_sync(sys.modules["reload_gates"].pass_through, __name__)
                sys.modules["reload_gates"].come["b"].set()
        """,
    )
    program = start()
    program.ask()
    plugins.remove("a")
    program.host.reload()
    gates.wait_for("a")
    gates.go["a"].set()
    gates.wait_for("b")
    program.ask()
    assert ["Hi", "Hi"] == program.answers


def test_a_thread_that_opened_the_old_set_waits_for_the_new_one(plugins, start, gates):
    """Which another opens meanwhile."""
    plugins.install("a", SLOW)
    program = start()
    first = program.do(program.ask)
    gates.wait_for("a")
    plugins.install("b", SLOW)
    program.host.reload()
    program.do(program.ask).join(0.2)
    gates.go["a"].set()
    gates.wait_for("b")
    first.join(0.2)
    gates.go["b"].set()
    program.end()
    assert ["Hi", "Hi"] == program.answers


def test_a_host_that_is_closed_during_a_reload_is_closed(plugins, start, gates):
    """With what the reload opens; and it opens again whole."""
    plugins.install("a", SLOW)
    gates.go["a"].set()
    program = start()
    program.ask()
    plugins.install("b", SLOW)
    program.do(program.host.reload)
    gates.wait_for("b")
    program.do(program.host.close).join(0.2)
    gates.go["b"].set()
    program.end()
    assert [False, False] == [plugin.open for plugin in program.host.plugins.values()]
    program.ask()
    assert ["Hi", "Hi"] == program.answers


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_host_that_is_closed_by_a_loop_during_a_reload_is_closed(plugins, start, gates, backend):
    """Without a loop that stands still meanwhile."""
    plugins.install("a", SLOW_ASYNC)
    gates.go["a"].set()
    program = start()

    async def work() -> None:
        async with anyio.create_task_group() as group:
            await program.host.aopen()
            plugins.install("b", SLOW_ASYNC)
            group.start_soon(program.host.areload)
            await anyio.to_thread.run_sync(gates.wait_for, "b")
            group.start_soon(program.host.aclose)
            await anyio.sleep(0.2)
            gates.go["b"].set()
        assert {"a": False, "b": False} == {name: one.open for name, one in program.host.plugins.items()}

    anyio.run(work, backend=backend)


def test_a_signal_handler_may_reload_whatever_it_interrupts(plugins, start, gates, monkeypatch):
    """A thread that finds itself in a lock would wait for ever."""
    gates.go["a"].set()
    plugins.install("a", SLOW)
    program = start()
    rounds: list[int] = []
    read = clippy_core.installed._read

    def interrupted() -> Any:
        if not rounds:
            rounds.append(1)
            signal.raise_signal(signal.SIGUSR1)
        return read()

    monkeypatch.setattr(clippy_core.installed, "_read", interrupted)
    before = signal.signal(signal.SIGUSR1, lambda *_: program.host.reload())
    try:
        program.ask()
        program.host.reload()
    finally:
        signal.signal(signal.SIGUSR1, before)
    program.ask()
    assert ["Hi", "Hi"] == program.answers
