"""The plugin in a real host: pages beside a program, its streams held and ended from them, and on a gateway."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from attrs import define
from clippy_hookspecs import PluginError, hookimpl
from clippy_inspect import Inspect, attach
from clippy_recorder import Recorder
from clippy_serving import Pages, Server
from gateway_world import World
from patience import PATIENCE, until

import clippy_core
from clippy_core.cli import command_line
from clippy_core.testing import FakeServer, Fault, PluginContract, Reply

Browser = Callable[[str], httpx.Client]
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How is the weather?"}]}


class TestInspect(PluginContract):
    def make(self) -> Inspect:
        return Inspect(enabled=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The pages are opened by a clock: at once, or, while the suite compares what a plugin holds, not at all."""
    monkeypatch.setattr("clippy_inspect.inspect.SOON", 0 if request.cls is None else 600)


def address(capsys: pytest.CaptureFixture[str]) -> str:
    """The one-time link that was printed, or soon will be."""
    link: str = eventually(lambda: re.findall(r"http://127\.0\.0\.1:\d+/open/\S+\n", capsys.readouterr().err))[0]
    return link.strip()


@pytest.fixture
def browser() -> Iterator[Callable[[str], httpx.Client]]:
    with ExitStack() as stack:
        yield lambda link: stack.enter_context(closing(opened(link)))


def opened(link: str) -> httpx.Client:
    """Somebody who opened *link*: the cookie, and the value that pages act with."""
    base = link.partition("/open/")[0]
    client = httpx.Client(base_url=base, timeout=PATIENCE)
    entered = client.get(link)
    assert entered.status_code == 200
    name, _, value = entered.headers["set-cookie"].partition(";")[0].partition("=")
    client.cookies.clear()
    client.headers["cookie"] = f"{name}={value}"
    found = re.search(r'x-clippy-csrf": "([^"]+)"', client.get("/").text.replace("&#34;", '"'))
    assert found is not None
    client.headers.update({"x-clippy-csrf": found[1], "origin": base})
    return client


def eventually(what: Callable[[], Any]) -> Any:
    """What *what* says as soon as it says something; a call under way is another thread's."""
    found: list[Any] = []
    assert until(lambda: (one := what()) and (found.append(one), True)), "it never came"
    return found[-1]


@pytest.mark.parametrize("recorder", [False, True])
def test_a_program_shows_what_it_asks(recorder: bool, browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    """With the host's own recorder where there is one, else with the plugin's."""
    plugins: dict[str, object] = {"inspect": Inspect(enabled=True)}
    if recorder:
        plugins["recorder"] = Recorder(enabled=True)
    with FakeServer(Reply("It rains.")) as provider, clippy_core.Host(plugins) as host:
        with host.wrap(httpx.Client(base_url=provider.base_url)) as client:
            client.post("/chat/completions", json=ASK)
        pages = browser(address(capsys))
        [asked] = pages.get("/api/requests").json()["requests"]
        assert ("gpt-4o", "answered", 200) == (asked["model"], asked["state"], asked["status"])
        text = pages.get(f"/requests/{asked['id']}").text
        assert "How is the weather?" in text
        assert "It rains." in text


def test_it_is_off_until_somebody_says_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    with clippy_core.Host({"inspect": Inspect()}):
        assert capsys.readouterr().err == ""


def test_a_host_that_is_open_for_a_moment_opens_no_pages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the commands of ``clippy`` do, also while a program of the same configuration has the port."""
    monkeypatch.setattr("clippy_inspect.inspect.SOON", 60)
    with clippy_core.Host({"inspect": Inspect(enabled=True)}):
        pass
    assert capsys.readouterr().err == ""
    assert not [one for one in threading.enumerate() if one.name == "clippy-serving"]


def test_the_host_of_a_command_opens_no_pages_and_the_one_that_then_serves_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command ends, and with it the link would be dead; ``clippy serve`` serves with another host than it tries."""
    file = tmp_path / "clippy.toml"
    file.write_text("[plugins.inspect]\nenabled = true\n")
    cli = command_line()
    with cli.make_context("clippy", ["--config", str(file), "serve"]), cli.host() as host:
        for timer in [one for one in threading.enumerate() if isinstance(one, threading.Timer)]:
            timer.join()
        tried = host.plugins["inspect"]
        assert isinstance(tried, Inspect)
        assert tried.address is None
    assert not capsys.readouterr().err
    with host.with_plugins({"inspect": tried}):
        assert address(capsys)


def test_the_pages_end_with_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    with clippy_core.Host({"inspect": Inspect(enabled=True)}):
        link = address(capsys)
    with pytest.raises(httpx.ConnectError):
        httpx.get(link)


def test_attach_is_one_line_of_a_program(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    """The link is there before the first request, and the other plugins stay."""
    given = clippy_core.Host({"recorder": Recorder()})
    host = attach(given)
    pages = browser(address(capsys))
    with FakeServer(Reply("It rains.")) as provider:
        with host.wrap(httpx.Client(base_url=provider.base_url)) as client:
            client.post("/chat/completions", json=ASK)
    assert {"recorder", "inspect"} == set(host.plugins)
    assert 1 == pages.get("/api/requests").json()["all"]
    inspect = host.plugins["inspect"]
    assert isinstance(inspect, Inspect)
    host.open()
    host.close()
    with pytest.raises(httpx.ConnectError):
        pages.get("/")


@pytest.mark.parametrize("made", [lambda told: clippy_core.Host.from_config(plugins={"inspect": told}),
                                  lambda told: clippy_core.Host(config={"plugins": {"inspect": told}})])  # fmt: skip
def test_attach_takes_the_settings_that_are_configured(
    made: Any, browser: Browser, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked for no content must not find questions in the pages, whether or not they open by themselves."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    host = attach(made({"level": "minimal", "token": "t" * 24}))
    try:
        browser(address(capsys))
        inspect = host.plugins["inspect"]
        assert isinstance(inspect, Inspect)
        assert (inspect.enabled, inspect.level, inspect.token) == (True, "minimal", "t" * 24)
        with FakeServer(Reply("It rains.")) as provider:
            with host.wrap(httpx.Client(base_url=provider.base_url)) as client:
                client.post("/chat/completions", json=ASK)
        (kept,) = inspect.source.latest()
        assert not kept.came.body, "minimal keeps no content"
    finally:
        host.open()
        host.close()


def test_attaching_once_more_prints_another_link(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    """The first one was used, by another browser or what looked at it first."""
    host = attach(clippy_core.Host())
    browser(address(capsys))
    assert attach(host) is host
    assert {"requests": [], "all": 0} == browser(address(capsys)).get("/api/requests").json()
    host.open()
    host.close()


def test_attaching_once_more_opens_another_browser_and_keeps_its_port(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that are open do not move: one that asks for another port is told so, and what to do."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    host = attach(clippy_core.Host())
    inspect = host.plugins["inspect"]
    assert isinstance(inspect, Inspect)
    assert inspect.address is not None
    at = int(inspect.address.rpartition(":")[2])
    try:
        assert attach(host, port=at, open=True) is host
        assert [f"{inspect.address}/open/"] == [link[: len(inspect.address) + 6] for link in opened]
        with pytest.raises(ValueError, match=f"open at {inspect.address} already.*close.*port={at + 1}"):
            attach(host, port=at + 1)
    finally:
        host.open()
        host.close()
    capsys.readouterr()


def test_pages_that_were_attached_end_with_a_host_that_was_never_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """In a program with an event loop, too; attached once more they are there again."""
    host = attach(clippy_core.Host())
    first = address(capsys)
    host.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(first)

    async def main() -> str:
        assert attach(host) is host
        again = address(capsys)
        await host.aclose()
        return again

    with pytest.raises(httpx.ConnectError):
        httpx.get(anyio.run(main))


def test_pages_that_were_closed_stay_so_though_the_host_is_used_again(
    browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody asked for them; who does, by attaching once more, also finds what was asked meanwhile."""
    host = attach(clippy_core.Host())
    inspect = host.plugins["inspect"]
    assert isinstance(inspect, Inspect)
    with FakeServer(Reply("It rains.")) as provider, host.wrap(httpx.Client(base_url=provider.base_url)) as client:
        client.post("/chat/completions", json=ASK)
        assert address(capsys)
        host.close()
        client.post("/chat/completions", json=ASK)
        for timer in [one for one in threading.enumerate() if isinstance(one, threading.Timer)]:
            timer.join(PATIENCE)
        assert (inspect.address, capsys.readouterr().err) == (None, "")
        attach(host)
        assert 2 == browser(address(capsys)).get("/api/requests").json()["all"]
        host.close()
    assert inspect.address is None


def test_no_pages_are_left_of_a_host_that_cannot_open(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever attaches is told why, as at the first request."""

    @define(eq=False)
    class Broken:
        @hookimpl
        def lifespan(self, host: Any) -> Any:
            raise OSError("no such disk")

    with pytest.raises(PluginError, match="broken: lifespan raised OSError"):
        attach(clippy_core.Host({"broken": Broken()}))
    with pytest.raises(httpx.ConnectError):
        httpx.get(address(capsys))


def test_what_belongs_to_event_loops_is_closed_with_a_host_that_was_attached_in_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Attaching opens it for threads, and its first request for the loop."""
    held: list[str] = []

    @define(eq=False)
    class Loops:
        @hookimpl
        @asynccontextmanager
        async def lifespan(self, host: Any) -> AsyncIterator[None]:
            held.append("opened")
            yield
            held.append("closed")

    async def main() -> None:
        async with attach(clippy_core.Host({"loops": Loops()})):
            pass

    anyio.run(main)
    assert held.count("opened") == held.count("closed") > 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(address(capsys))


def test_pages_that_are_configured_open_each_time_that_the_host_does(capsys: pytest.CaptureFixture[str]) -> None:
    """``enabled`` is for as long as the host is open, and one that is used again is open again."""
    host = clippy_core.Host({"inspect": Inspect(enabled=True)})
    links = set()
    for _ in range(2):
        host.open()
        links.add(address(capsys))
        host.close()
    assert 2 == len(links)


def test_the_port_that_is_attached_with_wins_over_the_configured_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the pages would have opened by themselves."""
    monkeypatch.setattr("clippy_inspect.inspect.SOON", 600)
    shown: list[int] = []
    monkeypatch.setattr(Inspect, "show", lambda plugin, *asked: shown.append(plugin.port))
    given = clippy_core.Host({"inspect": Inspect(enabled=True, port=8001)})
    assert attach(given) is attach(given, port=8001) is given
    other = attach(given, port=8002)
    assert other is not given
    assert [8001, 8001, 8002] == shown
    given.close()
    other.close()


def test_a_live_stream_is_held_and_ended_from_a_page(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    words = tuple(f"w{number} " for number in range(1000))
    reply = Reply(text="".join(words), chunks=words, chunk_delay=0.05)
    got: list[bytes] = []
    with FakeServer(reply) as provider, clippy_core.Host({"inspect": Inspect(enabled=True)}) as host:
        pages = browser(address(capsys))

        def read() -> None:
            with host.wrap(httpx.Client(base_url=provider.base_url, timeout=PATIENCE)) as client:
                with client.stream("POST", "/chat/completions", json={**ASK, "stream": True}) as answer:
                    with pytest.raises(httpx.ReadError, match="cancelled in the debugger"):
                        for piece in answer.iter_raw():
                            got.append(piece)

        reader = threading.Thread(target=read)
        reader.start()

        def streams() -> list[dict[str, Any]]:
            return [one for one in pages.get("/api/streams").json()["streams"] if one["chunks"] > 3]

        [stream] = eventually(streams)
        act = f"/api/streams/{stream['id']}"
        assert "paused" == pages.post(f"{act}/pause").json()["state"]
        before = eventually(lambda: _still(pages))
        assert "paused" in pages.get("/streams").text
        assert "paused" in pages.get(f"/requests/{stream['id']}").text
        pages.post(f"{act}/resume")
        eventually(lambda: streams()[0]["chunks"] > before)
        assert 403 == pages.post(f"{act}/cancel", headers={"x-clippy-csrf": "wrong"}).status_code
        pages.post(f"{act}/cancel")
        reader.join(PATIENCE)
        assert not reader.is_alive()
        assert b"w999" not in b"".join(got)
        [ended] = eventually(lambda: pages.get("/api/requests?q=cancelled").json()["requests"])
        assert stream["id"] == ended["id"]
        assert 404 == pages.post(f"{act}/pause").status_code


def _still(pages: httpx.Client) -> int:
    """How many chunks a paused stream has, once that stays the same."""
    threading.Event().wait(0.1)
    first, second = (pages.get("/api/streams").json()["streams"][0]["chunks"] for _ in range(2))
    return first if first == second else 0


def test_a_gateway_offers_the_pages_as_carefully(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Inspect(enabled=True, gateway=True, hosts=("models.internal",))
    app = Pages()
    plugin.register_routes(app)
    code = re.findall(r"/open/\S+", capsys.readouterr().err)[0]
    server = Server(app)
    server.start()
    try:
        base = f"http://127.0.0.1:{server.port}"
        assert 401 == httpx.get(base + "/").status_code
        assert 403 == httpx.get(base + "/", headers={"host": "evil.example"}).status_code
        assert 401 == httpx.get(base + "/", headers={"host": "models.internal"}).status_code
        answer = browser(base + code).get("/api/requests")
        assert {"requests": [], "all": 0} == answer.json()
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    finally:
        server.stop()


@pytest.mark.parametrize("streams", [False, True])
def test_pages_beside_a_gateway_send_its_requests_again(
    streams: bool, browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the gateway's own connections, which are of its event loop and not of the pages'."""
    inspect = Inspect(enabled=True)
    with World(lambda _: Reply("It rains."), {"inspect": inspect}, trust_headers=True) as world:
        world.chat("How is the weather?", body={"stream": streams}, headers={"x-clippy-tenant": "acme"})
        pages = browser(address(capsys))
        [asked] = eventually(lambda: pages.get("/api/requests?q=answered").json()["requests"])
        again = pages.post("/api/replay", json={"id": asked["id"]}).json()
        assert (200, True, None) == (again["status"], again["same"], again["error"]), again
        tenants = pages.get("/api/dashboard").json()["by_tenant"]
        assert {"acme": 1, "(sent again)": 1} == {one["name"]: one["requests"] for one in tenants}


def test_why_a_request_that_is_sent_again_fails_is_told_with_it(
    browser: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = [Reply("It rains."), Fault.hangup()]
    with World(replies, {"inspect": Inspect(enabled=True)}) as world:
        world.chat("How is the weather?")
        pages = browser(address(capsys))
        [asked] = eventually(lambda: pages.get("/api/requests?q=answered").json()["requests"])
        again = pages.post("/api/replay", json={"id": asked["id"]}).json()
        assert (False, 502) == (again["same"], again["status"])
        assert "could not be reached" in again["error"], again
        assert 200 == pages.get(f"/requests/{again['id']}").status_code


def test_pages_of_a_gateway_that_will_show_nothing_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    Inspect(gateway=True).register_routes(Pages())
    assert "set plugins.inspect.enabled = true" in capsys.readouterr().err
    Inspect(gateway=True, enabled=True).register_routes(Pages())
    assert "enabled" not in capsys.readouterr().err


def test_pages_that_a_gateway_offers_have_no_port_and_no_link_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway of one process printed two links: to itself, and to another port with the same pages."""
    started: list[object] = []
    monkeypatch.setattr(threading.Timer, "start", lambda self: started.append(self))
    offered, alone = Inspect(enabled=True, gateway=True), Inspect(enabled=True, gateway=True)
    offered.register_routes(Pages())
    for plugin in (offered, alone):
        with clippy_core.Host({"inspect": plugin}):
            pass
    assert len(started) == 1, "only that of the program without a gateway"
    assert capsys.readouterr().err.count("/open/") == 1


def test_a_forked_child_leaves_the_pages_to_its_parent(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    inspect = Inspect(enabled=True)
    with clippy_core.Host({"inspect": inspect}):
        pages = browser(address(capsys))
        inspect._process = -1  # as in a child, for which this is the parent's
        with clippy_core.Host({"inspect": inspect}):
            pass
        assert capsys.readouterr().err == ""
        assert 200 == pages.get("/").status_code
        inspect._process = os.getpid()


def test_a_program_that_closes_nothing_ends_without_a_word(tmp_path: Path) -> None:
    code = "import clippy_core, clippy_inspect; clippy_inspect.attach(clippy_core.Host())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (0, 1) == (done.returncode, len(done.stderr.splitlines()))


def test_no_gateway_has_pages_unless_it_is_told_so() -> None:
    app = Pages()
    Inspect(enabled=True).register_routes(app)
    assert {} == app.handlers("/")


def test_a_port_that_is_taken_is_said_and_the_program_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    taken = Server(Pages())
    taken.start()
    try:
        with clippy_core.Host({"inspect": Inspect(enabled=True, port=taken.port)}) as host:
            said = eventually(lambda: capsys.readouterr().err)
            assert f"the pages of this program are not open: cannot listen at 127.0.0.1:{taken.port}" in said
            with pytest.raises(OSError, match="cannot listen"):
                attach(host)  # who asks for them wants to know
    finally:
        taken.stop()


def test_it_serves_an_asyncio_program_too(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with clippy_core.Host({"inspect": Inspect(enabled=True)}) as host:
            client = host.wrap(httpx.AsyncClient(base_url=provider.base_url))
            async with client:
                await client.post("/chat/completions", json=ASK)
            link = address(capsys)
            pages = await anyio.to_thread.run_sync(browser, link)
            assert 1 == (await anyio.to_thread.run_sync(pages.get, "/api/requests")).json()["all"]

    with FakeServer(Reply("It rains.")) as provider:
        anyio.run(main)
