"""A host whose plugins change while it works: installed, upgraded, broken, mended and removed."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import types
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from attrs import define, field
from calling import COLOURS, ROUTE, Records
from clippy_hookspecs import ConfigError, PluginError, StateStore
from patience import PATIENCE, meanwhile, until
from plugin_folder import PluginFolder, plugin_folder
from sdk_colours import Each, Inside, value

import clippy_core
import clippy_core.serving
from clippy_core.driven import drive
from clippy_core.ids import new_id
from clippy_core.imports import Reimport
from clippy_core.installed import rescan
from clippy_core.testing import FakeProvider, Fault, Reply

FIRST_PARTY = sorted(point.name for point in entry_points(group="clippy"))
SHOUTS = """
    @define(eq=False)
    class Plugin:
        ending: str = field(default="!", metadata={"doc": "what comes after each word"})

        @hookimpl
        def on_chunk(self, chunk):
            if chunk.kind == "text":
                return evolve(chunk, delta=chunk.delta.strip() + self.ending)

    from attrs import evolve
"""
HOLDS = """
    @define(eq=False)
    class Plugin:
        size: int = field(default=1, metadata={"doc": "its size"})
        events: list[str] = field(init=False, factory=list)
        open: int = field(init=False, default=0)

        @hookimpl
        @contextmanager
        def lifespan(self, host):
            self.events.append("open")
            self.open += 1
            yield
            self.open -= 1
            self.events.append("close")

        @hookimpl
        def pre_request(self, ctx):
            assert self.open, "used before it was opened, or after it was closed"

        @hookimpl
        def audit(self, record):
            assert self.open, "used after it was closed"
"""
HOLDS_ASYNC = HOLDS.replace("@contextmanager", "@asynccontextmanager").replace("def lifespan", "async def lifespan")
MUTE = """
        @property
        def directives(self):
            raise RuntimeError("nothing to say")

    EVENTS = []
"""
CANNOT_OPEN = HOLDS.replace('self.events.append("open")', 'raise OSError("the port is taken")')
CANNOT_OPEN_ASYNC = HOLDS_ASYNC.replace('self.events.append("open")', 'raise OSError("the port is taken")')
WITH_EVENTS = HOLDS.replace("self.events.", "EVENTS.") + "\n    EVENTS = []\n"
BROKEN = "def oops(:\n"


def start(config: Path | None = None, **overrides: Any) -> clippy_core.Host:
    """A host on what is installed beside the first-party plugins."""
    rescan()
    return clippy_core.Host.from_config(config, disable=FIRST_PARTY, routes={"main": ROUTE}, **overrides)


@define(eq=False)
class Live:
    """A host in one colour on what is installed, and what a program does with it."""

    colour: str
    plugins: PluginFolder
    config: Path
    provider: FakeProvider = field(factory=lambda: FakeProvider(Reply("one two three")))
    host: Any = None
    client: Any = None

    def run(self, work: Callable[[Live], Awaitable[Any]], **overrides: Any) -> Any:
        """Run *work* with a host and a client, in this colour."""
        self.host = start(self.config, **overrides)

        async def inside() -> Any:
            async with Inside(self._client()) as self.client:
                return await work(self)

        async def with_host() -> Any:
            async with self.host:
                return await inside()

        if self.colour != "sync":
            return anyio.run(with_host, backend=self.colour)
        with self.host:
            return drive(inside())

    def _client(self) -> Any:
        if self.colour == "sync":
            return clippy_core.Client(self.host, self.provider.client())
        return clippy_core.AsyncClient(self.host, self.provider.async_client())

    async def reload(self) -> None:
        await value(self.host.reload() if self.colour == "sync" else self.host.areload())

    async def chat(self) -> str:
        return (await value(self.client.chat("Hello"))).text

    async def text(self) -> str:
        async with Inside(await value(self.client.stream("Hello"))) as stream:
            return "".join([piece async for piece in Each(stream.text())])

    def plugin(self, name: str) -> Any:
        return self.host.plugins[name]


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[PluginFolder]:
    folder = tmp_path / "site"
    folder.mkdir()
    with plugin_folder(folder) as made:
        yield made


@pytest.fixture(params=COLOURS)
def live(request: pytest.FixtureRequest, plugins: PluginFolder, tmp_path: Path) -> Live:
    """A host in each colour."""
    config = tmp_path / "clippy.toml"
    config.write_text("")
    return Live(request.param, plugins, config)


# --- what changes ----------------------------------------------------------------------------------------------------


def test_a_plugin_that_was_installed_works_from_the_next_request_on(live):
    """And a stream under way keeps the plugins that it began with."""

    async def work(live: Live) -> None:
        async with Inside(await value(live.client.stream("Hello"))) as stream:
            pieces = Each(stream.text())
            got = [await anext(pieces)]
            live.plugins.install("shouts", SHOUTS)
            await live.reload()
            assert "one!two!three!" == await live.text()
            got += [piece async for piece in pieces]
        assert "one two three" == "".join(got)
        live.plugins.remove("shouts")
        await live.reload()
        assert "one two three" == await live.text()

    live.run(work)


def test_a_plugin_that_is_the_same_stays_with_what_it_holds(live):
    """The same instance, opened once."""
    live.plugins.install("holds", HOLDS)

    async def work(live: Live) -> Any:
        before = live.plugin("holds")
        live.plugins.install("shouts", SHOUTS)
        await live.reload()
        await live.chat()
        assert before is live.plugin("holds")
        assert ["open"] == before.events
        return before

    assert ["open", "close"] == live.run(work).events


@pytest.mark.parametrize("source", [HOLDS, HOLDS_ASYNC], ids=["plain", "async"])
def test_a_plugin_with_other_settings_is_made_anew_and_opened_before_the_old_one_closes(live, source):
    """The configuration is read again."""
    live.plugins.install("holds", source)

    async def work(live: Live) -> None:
        await live.chat()
        before = live.plugin("holds")
        live.config.write_text("[plugins.holds]\nsize = 2\n")
        await live.reload()
        assert (["open", "close"], ["open"]) == (before.events, live.plugin("holds").events)
        assert 2 == live.plugin("holds").size
        await live.chat()

    live.run(work)


@pytest.mark.parametrize("source", [HOLDS, HOLDS_ASYNC], ids=["plain", "async"])
def test_what_was_removed_is_closed_when_the_last_request_that_uses_it_has_ended(live, source):
    """Not before, and not only when the host closes."""
    live.plugins.install("holds", source)

    async def work(live: Live) -> None:
        await live.chat()
        removed = live.plugin("holds")
        async with Inside(await value(live.client.stream("Hello"))) as stream:
            live.plugins.remove("holds")
            await live.reload()
            assert {} == dict(live.host.plugins)
            assert ["open"] == removed.events
            assert "one two three" == "".join([piece async for piece in Each(stream.text())])
        await _until(live, lambda: removed.events == ["open", "close"])
        assert "one two three" == await live.chat()

    live.run(work)


def test_a_request_that_does_not_end_cannot_keep_what_was_removed_for_ever(live, monkeypatch, caplog):
    """After ten minutes it is closed all the same, and the log says so."""
    monkeypatch.setattr(clippy_core.serving, "PATIENCE", 0.05)
    live.plugins.install("holds", HOLDS.replace("def audit", "def pre_attempt").replace("record", "ctx"))

    async def work(live: Live) -> None:
        removed = live.plugin("holds")
        async with Inside(await value(live.client.stream("Hello"))):
            live.plugins.remove("holds")
            await live.reload()
            await _until(live, lambda: removed.events == ["open", "close"])

    live.run(work)
    assert "1 requests still use plugins that were removed" in caplog.text
    assert "holds" in caplog.text


def test_a_plugin_that_three_reloads_passed_by_is_closed_once_nobody_uses_it(live):
    """A request of the first set still has it when the second set, too, is replaced."""
    live.plugins.install("holds", HOLDS)

    async def work(live: Live) -> None:
        holds = live.plugin("holds")
        async with Inside(await value(live.client.stream("Hello"))) as stream:
            live.plugins.install("shouts", SHOUTS)
            await live.reload()
            live.plugins.remove("holds")
            await live.reload()
            assert ["open"] == holds.events
            assert "one two three" == "".join([piece async for piece in Each(stream.text())])
        await _until(live, lambda: holds.events == ["open", "close"])

    live.run(work)


def test_code_that_was_overwritten_is_imported_anew_with_the_package_it_stands_in(live):
    """Even within the second and with the same length: bytecode alone would not know."""
    source = """
        from . import words

        @define(eq=False)
        class Plugin:
            @hookimpl
            def on_chunk(self, chunk):
                if chunk.kind == "text":
                    return evolve(chunk, delta=words.WORD)

        from attrs import evolve
    """
    live.plugins.install("words", source, more={"words": "WORD = 'a'\n"})

    async def work(live: Live) -> None:
        assert "aaa" == await live.text()
        (live.plugins.package("words") / "words.py").write_text("WORD = 'b'\n")
        assert "aaa" == await live.text()
        await live.reload()
        assert "bbb" == await live.text()

    live.run(work)


def test_a_hook_that_begins_to_raise_fails_the_next_requests_until_it_is_mended(live):
    """As it would after a restart."""
    live.plugins.install("shouts", SHOUTS)

    async def work(live: Live) -> None:
        live.plugins.write("shouts", SHOUTS.replace("return evolve", "raise OSError; return evolve"))
        await live.reload()
        with pytest.raises(PluginError, match=r"shouts 1\.0: on_chunk raised OSError"):
            await live.text()
        live.plugins.write("shouts", SHOUTS)
        await live.reload()
        assert "one!two!three!" == await live.text()

    live.run(work)


# --- what cannot be ------------------------------------------------------------------------------------------------


def test_a_plugin_that_broke_is_set_aside_as_at_a_start(live, caplog):
    """With its reason; it is back when it is mended."""
    live.plugins.install("shouts", SHOUTS)

    async def work(live: Live) -> None:
        live.plugins.write("shouts", BROKEN)
        for _ in range(2):
            await live.reload()
        assert "one two three" == await live.text()
        (plugin,) = [one for one in live.host.discovered.plugins if one.name == "shouts"]
        assert "SyntaxError" in plugin.reason
        live.plugins.write("shouts", SHOUTS)
        await live.reload()
        assert "one!two!three!" == await live.text()

    live.run(work)
    assert 1 == caplog.text.count("SyntaxError"), "what was said is not said again"


def test_a_set_that_no_host_may_start_with_leaves_the_old_one_in_place(live):
    """ConfigError has every fault, and nothing has changed: not even the modules that old code may yet import from."""
    live.plugins.install("shouts", SHOUTS)
    live.plugins.install("holds", HOLDS)

    async def work(live: Live) -> None:
        plugins, modules = dict(live.host.plugins), sys.modules["folder_shouts"]
        live.config.write_text("[plugins.shouts]\nending = 3\n[plugins.holds]\nsizes = 3\n[plugins.none]\n")
        live.plugins.write("shouts", SHOUTS.replace('"!"', '"?"'))
        with pytest.raises(ConfigError) as caught:
            await live.reload()
        assert 3 == len(caught.value.faults)
        assert plugins == dict(live.host.plugins)
        assert modules is sys.modules["folder_shouts"]
        assert "one!two!three!" == await live.text()
        live.config.write_text("")
        await live.reload()
        assert "one?two?three?" == await live.text()

    live.run(work)


def test_a_plugin_that_cannot_open_leaves_the_old_set_in_place(live):
    """What was opened before it is closed again."""
    live.plugins.install("holds", HOLDS)

    async def work(live: Live) -> None:
        holds = live.plugin("holds")
        live.plugins.install("also", HOLDS.replace("self.events.", "EVENTS.") + "\n    EVENTS = []\n")
        live.plugins.install("port", CANNOT_OPEN)
        with pytest.raises(PluginError, match=r"plugin port 1\.0: lifespan raised OSError"):
            await live.reload()
        assert ["holds"] == list(live.host.plugins)
        assert "one two three" == await live.chat()
        assert ["open"] == holds.events
        assert ["open", "close"] == sys.modules["folder_also"].EVENTS

    live.run(work)


def test_a_plugin_that_does_not_say_what_callers_may_tell_it_leaves_the_old_set_in_place(live):
    """Each request would fail of it; so it is asked before anything is opened, by a reload as by a start."""
    live.plugins.install("holds", HOLDS)

    async def work(live: Live) -> None:
        holds = live.plugin("holds")
        assert "one two three" == await live.chat()
        live.plugins.install("mute", HOLDS.replace("self.events.", "EVENTS.") + MUTE)
        with pytest.raises(RuntimeError, match="nothing to say"):
            await live.reload()
        assert ["holds"] == list(live.host.plugins)
        assert "one two three" == await live.chat()
        with pytest.raises(RuntimeError, match="nothing to say"):
            clippy_core.Host(plugins={"mute": sys.modules["folder_mute"].Plugin}).open()
        assert (["open"], []) == (holds.events, sys.modules["folder_mute"].EVENTS)

    live.run(work)


def test_a_plugin_that_exits_while_it_is_opened_leaves_the_old_set_in_place(live):
    """It would end the event loop in which it is opened, and a thread would wait for ever for what that loop opens."""
    live.plugins.install("holds", HOLDS)

    async def work(live: Live) -> None:
        live.plugins.install("also", WITH_EVENTS)
        live.plugins.install("port", CANNOT_OPEN_ASYNC.replace("OSError", "SystemExit"))
        with pytest.raises(PluginError, match=r"plugin port 1\.0: lifespan raised SystemExit"):
            await live.reload()
        assert ["holds"] == list(live.host.plugins)
        assert "one two three" == await live.chat()
        assert ["open", "close"] == sys.modules["folder_also"].EVENTS

    live.run(work)


def test_a_reload_that_is_interrupted_closes_what_it_opened(plugins):
    """As Ctrl-C does."""
    with start() as host:
        plugins.install("also", WITH_EVENTS)
        plugins.install("port", CANNOT_OPEN.replace("OSError", "KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            host.reload()
        assert {} == dict(host.plugins)
        assert ["open", "close"] == sys.modules["folder_also"].EVENTS


def test_settings_that_cannot_be_compared_may_have_changed(live):
    """As arrays, whose comparison has no truth: the plugin is made anew, as at a start."""
    live.plugins.install(
        "odd",
        """
        class Odd:
            def __eq__(self, other):
                raise ValueError("the truth of this is ambiguous")

        @define(eq=False)
        class Plugin:
            odd: object = field(factory=Odd)

            @hookimpl
            def pre_request(self):
                return None
        """,
    )

    async def work(live: Live) -> None:
        before = live.plugin("odd")
        await live.reload()
        assert before is not live.plugin("odd")
        await live.chat()

    live.run(work)


TWO = """
    @define(eq=False)
    class Plugin:
        @hookimpl
        def pre_request(self):
            assert sys.modules[__name__].Plugin is Plugin, "the modules of another import"

    import sys
"""
ANOTHER = (
    "from attrs import define\nfrom folder_two import Plugin as First\n\n@define(eq=False)\nclass Plugin(First): pass\n"
)


def test_a_package_whose_second_plugin_broke_keeps_the_modules_of_the_first(live):
    """Which is of the new code: with the old modules it would be made anew by every reload."""
    live.plugins.install("two", TWO, more={"another": ANOTHER})
    (live.plugins.folder / "two-1.0.dist-info" / "entry_points.txt").write_text(
        "[clippy]\ntwo = folder_two:Plugin\ntwo-another = folder_two.another:Plugin\n"
    )

    async def work(live: Live) -> None:
        assert ["two", "two-another"] == list(live.host.plugins)
        live.plugins.write("two", TWO + "\n    CHANGED = True\n")
        (live.plugins.package("two") / "another.py").write_text(BROKEN)
        await live.reload()
        two = live.plugin("two")
        assert ["two"] == list(live.host.plugins)
        await live.chat()
        await live.reload()
        assert two is live.plugin("two")

    live.run(work)


def test_a_module_of_a_namespace_goes_back_into_it(plugins):
    """``from namespace import module`` looks there, and not at what is imported."""
    source = TWO.replace("assert sys", "from folder_space import plugin; assert plugin.Plugin is Plugin; assert sys")
    plugins.install("space", source)
    package = plugins.package("space")
    (package / "__init__.py").rename(package / "plugin.py")
    (plugins.folder / "space-1.0.dist-info" / "entry_points.txt").write_text(
        "[clippy]\nspace = folder_space.plugin:Plugin\n"
    )
    with start() as host, clippy_core.Client(host, FakeProvider(Reply("Hi")).client()) as client:
        assert "Hi" == client.chat("Hello").text
        (package / "plugin.py").write_text((package / "plugin.py").read_text() + "\n# changed\n")
        plugins.install("port", CANNOT_OPEN)
        with pytest.raises(PluginError):
            host.reload()
        assert "Hi" == client.chat("Hello").text
        plugins.remove("port")
        host.reload()
        assert "Hi" == client.chat("Hello").text


def _install_editable(plugins: PluginFolder, source: Path, code: str) -> None:
    """As ``pip install -e`` does: the sources stay where they are, and a signpost leads to them at Python's start."""
    plugins.install("shouts", code)
    source.mkdir()
    plugins.package("shouts").rename(source / "folder_shouts")
    (plugins.folder / "_shouts.pth").write_text(f"{source}\n")
    (plugins.folder / "shouts-1.0.dist-info" / "RECORD").write_text("_shouts.pth,,\nshouts-1.0.dist-info/METADATA,,\n")


def test_an_editable_installation_that_was_made_meanwhile_is_found(live, tmp_path, monkeypatch):
    """Its folder comes onto the path, as at a start."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    async def work(live: Live) -> None:
        _install_editable(live.plugins, tmp_path / "src", SHOUTS)
        await live.reload()
        assert "one!two!three!" == await live.text()
        await live.reload()
        assert 1 == sys.path.count(str(tmp_path / "src"))

    live.run(work)


def test_the_path_is_as_it_was_when_no_host_could_start_with_it(plugins, tmp_path, monkeypatch):
    """What an editable installation put there goes with the rest of a reload that failed."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    with start() as host:
        before = [*sys.path]
        _install_editable(plugins, tmp_path / "src", CANNOT_OPEN)
        with pytest.raises(PluginError):
            host.reload()
        assert before == sys.path


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_reload_says_what_to_call_in_an_event_loop(backend):
    """It would wait for the loop that it blocks."""
    host = clippy_core.Host()

    async def work() -> None:
        with pytest.raises(RuntimeError, match=r"await host\.areload"):
            host.reload()

    anyio.run(work, backend=backend)


def test_old_code_that_imports_from_its_package_waits_while_that_is_imported_anew(plugins, monkeypatch):
    """And finds the old modules when the new ones cannot be imported."""
    inside, go, asked = threading.Event(), threading.Event(), threading.Event()

    def pause() -> None:
        inside.set()
        assert go.wait(PATIENCE)

    put_back = Reimport._put_back

    def later(self: Reimport, package: str) -> None:
        threads[1].join(0.2)
        put_back(self, package)

    monkeypatch.setattr(Reimport, "_put_back", later)
    monkeypatch.setitem(sys.modules, "reload_gate", types.SimpleNamespace(pause=pause, asked=asked))
    source = """
        import sys

        @define(eq=False)
        class Plugin:
            @hookimpl
            def pre_request(self):
                sys.modules["reload_gate"].asked.set()
                from . import late
    """
    plugins.install("late", source, more={"late": ""})
    host, provider, answers = start(), FakeProvider(Reply("Hi")), []
    plugins.write("late", 'import sys\nsys.modules["reload_gate"].pause()\nraise OSError("not this version")\n')

    def ask() -> None:
        with clippy_core.Client(host, provider.client()) as client:
            answers.append(client.chat("Hello").text)

    threads = [threading.Thread(target=host.reload), threading.Thread(target=ask)]
    threads[0].start()
    assert inside.wait(PATIENCE)
    threads[1].start()
    assert asked.wait(PATIENCE)
    threads[1].join(0.05)  # it is in its import by now, and stays there
    go.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert ["Hi"] == answers
    (late,) = [plugin for plugin in host.discovered.plugins if plugin.name == "late"]
    assert "OSError: not this version" in late.reason


# --- what follows ----------------------------------------------------------------------------------------------------


def test_routes_services_and_counters_are_those_of_the_new_set(live):
    """But for the state that the host keeps: what was counted is not forgotten."""
    live.plugins.install("shouts", SHOUTS)

    async def work(live: Live) -> None:
        store: Any = live.host.services.get(StateStore)
        before = live.host.settings.fingerprint
        live.plugins.install("holds", HOLDS)
        live.config.write_text('[routes.other]\nbase_url = "http://other.test/v1"\nkey = "k"\nmodel = "m"\n')
        await live.reload()
        assert store is live.host.services.get(StateStore)
        assert {"main", "other"} == set(live.host.settings.routes)
        assert before != live.host.settings.fingerprint

    live.run(work)


OFFERS = """
    from clippy_hookspecs import TokenCounter

    @define(eq=False)
    class Plugin:
        @hookimpl
        def register_services(self, services):
            services.offer(TokenCounter, Counter())

    class Counter:
        def count(self, text, model=""):
            return 7

        def count_message(self, message, model=""):
            return 7
"""


def test_a_service_stays_with_its_plugin_and_goes_with_it(live):
    """A plugin that stays is not asked for its services again: they may have state."""
    from clippy_hookspecs import TokenCounter

    live.plugins.install("offers", OFFERS)

    async def work(live: Live) -> None:
        counter = live.host.services.get(TokenCounter)
        live.plugins.install("shouts", SHOUTS)
        await live.reload()
        assert counter is live.host.services.get(TokenCounter)
        live.plugins.remove("offers")
        await live.reload()
        assert 7 != live.host.services.get(TokenCounter).count("one two")

    live.run(work)


def test_a_new_plugin_is_opened_with_the_plugins_and_services_that_come_with_it(live):
    """As at a start; and later its host shows what serves then."""
    live.plugins.install("offers", OFFERS.replace("return 7", "return 6"))

    async def work(live: Live) -> None:
        live.plugins.install("offers", OFFERS)
        live.plugins.install(
            "opens",
            """
            from clippy_hookspecs import TokenCounter

            @define(eq=False)
            class Plugin:
                host: object = field(init=False)
                found: list = field(init=False)

                @hookimpl
                @contextmanager
                def lifespan(self, host):
                    self.host = host
                    self.found = [host.services.get(TokenCounter).count("one two"), *host.plugins]
                    yield
            """,
        )
        await live.reload()
        assert [7, "offers", "opens"] == live.plugin("opens").found
        live.plugins.remove("offers")
        await live.reload()
        assert ["opens"] == list(live.plugin("opens").host.plugins)

    live.run(work)


RETRIES = """
    @define(eq=False)
    class Plugin:
        @hookimpl
        def on_error(self, error, ctx):
            return Retry(0.0) if ctx.attempt < 3 else None
"""


def test_an_sdk_has_its_own_retries_again_when_the_plugin_that_owned_them_is_gone(plugins):
    """A wrapped client follows, unless the program has set its retries itself meanwhile."""
    import openai

    provider = FakeProvider([Fault.status(503, retry_after=0.01), Reply("Hi")] * 3)
    plugins.install("retries", RETRIES)
    host = start()
    sdk = openai.OpenAI(api_key="k", base_url="http://fake.test/v1", http_client=provider.client(httpx2), max_retries=2)
    wrapped, own = host.wrap(sdk), host.wrap(sdk)

    def ask() -> None:
        wrapped.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])

    own.max_retries = 5
    ask()
    plugins.remove("retries")
    host.reload()
    ask()
    assert (2, 5) == (wrapped.max_retries, own.max_retries)
    plugins.install("retries", RETRIES)
    host.reload()
    assert (0, 5) == (wrapped.max_retries, own.max_retries)
    assert 4 == provider.calls


def test_what_a_program_gave_itself_stays(live):
    """Objects are the program's: a reload reads the configuration and finds them as they are."""

    async def work(live: Live) -> None:
        records = Records()
        host = clippy_core.Host.from_config(live.config, plugins={"records": records})
        live.config.write_text("abandoned_after = 5.0\n")
        await value(host.reload() if live.colour == "sync" else host.areload())
        assert records is host.plugins["records"]
        assert host.settings.abandoned_after == 5.0

    live.run(work)


def test_a_plugin_that_was_switched_off_by_its_failure_stays_so_until_it_changes(live):
    """``on_failure = "disable"`` is about this code with these settings."""
    raising = SHOUTS.replace("return evolve", "raise OSError; return evolve")
    live.plugins.install("shouts", raising)
    live.config.write_text('[plugins.shouts]\non_failure = "disable"\n')

    async def work(live: Live) -> None:
        for _ in range(2):
            assert "one two three" == await live.text()
            await live.reload()
        assert {("shouts", "on_chunk"): 1} == live.host.faults.counts
        live.plugins.write("shouts", SHOUTS)
        await live.reload()
        assert "one!two!three!" == await live.text()

    live.run(work)


def test_a_question_of_a_plugin_goes_through_the_plugins_of_its_request(live):
    """Also when they were replaced meanwhile."""
    live.plugins.install("shouts", SHOUTS)
    live.plugins.install(
        "asks",
        """
        @define(eq=False)
        class Plugin:
            answers: list = field(init=False, factory=list)
            meanwhile: object = field(init=False, default=None)

            @hookimpl(inline=True)
            async def pre_request(self, request, ctx):
                await self.meanwhile()
                self.answers.append((await ctx.ask(Request(model="m", messages=request.messages))).text)
        """,
    )
    records = []
    live.plugins.install(
        "records",
        """
        @define(eq=False)
        class Plugin:
            @hookimpl
            def pre_attempt(self, ctx):
                ctx.stash.setdefault(KEY, list)

            @hookimpl
            def audit(self, record):
                RECORDS.append(record)

        KEY, RECORDS = StashKey("x"), []
        """,
    )

    async def work(live: Live) -> None:
        asks, records = live.plugin("asks"), sys.modules["folder_records"].RECORDS

        async def meanwhile() -> None:
            live.plugins.remove("records")
            await live.reload()

        asks.meanwhile = meanwhile
        assert "one two three" == await live.chat()
        inner, outer = records
        assert inner.parent == outer.id

    live.run(work)
    assert [] == records


# --- threads, loops, forks -------------------------------------------------------------------------------------------


def test_each_event_loop_opens_what_is_new_and_closes_what_is_gone(plugins):
    """What belongs to a loop is entered and left in it, whoever reloads."""
    plugins.install(
        "loops",
        """
        import threading

        @define(eq=False)
        class Plugin:
            opened: list = field(init=False, factory=list)
            closed: list = field(init=False, factory=list)

            @hookimpl
            @asynccontextmanager
            async def lifespan(self, host):
                self.opened.append(threading.get_ident())
                yield
                self.closed.append(threading.get_ident())
        """,
    )
    host = start()
    provider = FakeProvider(Reply("Hi"))
    asked, go = threading.Barrier(3, timeout=PATIENCE), [threading.Event() for _ in range(2)]

    def loop(number: int) -> None:
        async def work() -> None:
            async with clippy_core.AsyncClient(host, provider.async_client()) as client:
                assert "Hi" == (await client.chat("Hello")).text
                await anyio.to_thread.run_sync(asked.wait)
                await anyio.to_thread.run_sync(go[number].wait, PATIENCE)
                assert "Hi" == (await client.chat("Hello")).text
            await host.aclose()

        anyio.run(work, backend=("asyncio", "trio")[number])

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    asked.wait()
    before = host.plugins["loops"]
    idents = {thread.ident for thread in threads}
    assert idents == set(before.opened)
    plugins.install("loops", (plugins.package("loops") / "__init__.py").read_text() + "\n", "2.0")
    host.reload()
    after = host.plugins["loops"]
    assert after is not before
    assert idents == set(before.closed) == set(after.opened)
    for event, thread in zip(go, threads, strict=True):
        event.set()
        thread.join(PATIENCE)
    assert idents == set(after.closed)
    assert 2 == len(after.opened)


def test_a_loop_that_stands_still_opens_what_is_new_with_its_next_request(plugins):
    """Between two ``run_until_complete`` nothing can be opened in it."""
    plugins.install("holds", HOLDS_ASYNC)
    host = start()
    provider = FakeProvider(Reply("Hi"))
    with asyncio.Runner() as runner:

        async def ask() -> str:
            async with clippy_core.AsyncClient(host, provider.async_client()) as client:
                return (await client.chat("Hello")).text

        assert "Hi" == runner.run(ask())
        plugins.install("more", HOLDS_ASYNC)
        host.reload()
        assert [] == host.plugins["more"].events
        assert "Hi" == runner.run(ask())
        assert ["open"] == host.plugins["more"].events == host.plugins["holds"].events
        runner.run(host.aclose())


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_does_not_stand_still_while_a_plain_plugin_is_opened(plugins, backend):
    """The thread that reloads opens it."""
    host = start()
    plugins.install("first", HOLDS)

    async def work() -> None:
        async with host:
            plugins.install("holds", HOLDS.replace("self.open += 1", "self.open = threading.get_ident()"))
            plugins.write("holds", "import threading\n" + (plugins.package("holds") / "__init__.py").read_text())
            await host.areload()
            assert host.plugins["holds"].open not in (0, threading.get_ident())

    anyio.run(work, backend=backend)


def test_nobody_waits_for_a_host_that_was_closed_before_its_plugins_changed(plugins):
    """It is not used by the threads any more."""
    plugins.install("holds", HOLDS)
    with start() as host, clippy_core.Client(host, FakeProvider(Reply("Hi")).client()) as client:
        client.chat("Hello")
    plugins.remove("holds")
    host.reload()
    assert [] == [thread for thread in threading.enumerate() if thread.name == "clippy-replaced"]


def test_a_request_that_begins_as_its_plugins_are_removed_has_the_new_ones(plugins, monkeypatch):
    """Between its first look at the plugins and the moment in which it counts as theirs."""
    plugins.install("holds", HOLDS)
    host, ids, real = start(), [], new_id

    def meanwhile() -> str:
        if not ids:
            ids.append(1)
            plugins.remove("holds")
            host.reload()
        return real()

    with clippy_core.Client(host, FakeProvider(Reply("Hi")).client()) as client:
        assert "Hi" == client.chat("Hello").text
        holds = host.plugins["holds"]
        monkeypatch.setattr("clippy_core.host.new_id", meanwhile)
        assert "Hi" == client.chat("Hello").text
    assert ([1], ["open", "close"]) == (ids, holds.events)


def test_a_fork_can_reload_while_its_parent_has_a_stream_under_way(plugins):
    """The child begins with the parent's plugins and nothing open."""
    plugins.install("holds", HOLDS)
    host = start()
    provider = FakeProvider(Reply("one two three"))
    with clippy_core.Client(host, provider.client()) as client, client.stream("Hello") as stream:
        next(stream)
        plugins.install("shouts", SHOUTS)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            host.reload()
            with clippy_core.Client(host, provider.client()) as inner:
                os.write(writer, "".join(inner.stream("Hello").text()).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            assert b"one!two!three!" == pipe.read()
        os.waitpid(child, 0)
        assert "one two three" == "".join(stream.text())
    host.close()


@pytest.mark.parametrize("source", [HOLDS, HOLDS_ASYNC], ids=["plain", "async"])
def test_threads_never_meet_a_plugin_that_is_not_open(plugins, source, caplog):
    """Eight of them ask without a pause while a plugin comes, changes, breaks, raises, is mended, and goes."""
    host, before = start(), set(threading.enumerate())
    records, answers, stop = [], [], threading.Event()
    provider = FakeProvider(Reply("Hi"))
    plugins.install("records", COUNTS)
    host.reload()
    records = sys.modules["folder_records"].RECORDS

    def ask() -> None:
        with clippy_core.Client(host, provider.client()) as client:
            while not stop.is_set():
                answers.append(client.chat("Hello").text)
                answers.append("".join(client.stream("Hello").text()))
                # Threads that never wait leave the one that reads the packages five milliseconds for each file.
                stop.wait(0.01)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    skips = source.replace("size: int", 'on_failure = "skip"\n        size: int')
    steps = [
        lambda: plugins.install("holds", source),
        lambda: plugins.install("holds", source, "2.0"),
        lambda: plugins.write("holds", source.replace("= 1", "= 2")),
        lambda: plugins.write("holds", BROKEN),
        lambda: plugins.write("holds", skips.replace("assert self.open", "raise OSError; assert self.open")),
        lambda: plugins.write("holds", source),
        lambda: plugins.remove("holds"),
    ]
    for step in steps:
        step()
        host.reload()
    stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    host.close()
    assert {"Hi"} == set(answers)
    assert len(answers) == len(records) == len(set(records))
    assert "AssertionError" not in caplog.text
    left = {one.name for one in set(threading.enumerate()) - before}
    assert set() == left & {"clippy-replaced", "clippy-portal"}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_never_meet_a_plugin_that_is_not_open(plugins, backend, caplog):
    """As threads."""
    caplog.set_level(logging.WARNING)
    host = start()
    provider = FakeProvider(Reply("Hi"))
    plugins.install("records", COUNTS)
    answers = []

    async def work() -> None:
        await host.areload()
        async with host, clippy_core.AsyncClient(host, provider.async_client()) as client:
            done = False

            async def ask() -> None:
                while not done:
                    answers.append((await client.chat("Hello")).text)
                    # A loop that never waits leaves the thread that reads the packages five milliseconds for each file.
                    await anyio.sleep(0.001)

            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(ask)
                for number in range(7):
                    if number % 3:
                        plugins.install("holds", HOLDS_ASYNC if number % 2 else HOLDS, f"{number}.0")
                    else:
                        _remove(plugins, "holds")
                    await host.areload()
                done = True

    anyio.run(work, backend=backend)
    records = sys.modules["folder_records"].RECORDS
    assert {"Hi"} == set(answers)
    assert len(answers) == len(records) == len(set(records))
    assert "AssertionError" not in caplog.text


COUNTS = """
    @define(eq=False)
    class Plugin:
        @hookimpl
        def audit(self, record):
            RECORDS.append(record.id)

    RECORDS = []
"""


def _remove(plugins: PluginFolder, name: str) -> None:
    if plugins.package(name).exists():
        plugins.remove(name)


async def _until(live: Live, condition: Callable[[], bool]) -> None:
    """Wait for what a thread of the host's does."""
    assert until(condition) if live.colour == "sync" else await meanwhile(condition)
