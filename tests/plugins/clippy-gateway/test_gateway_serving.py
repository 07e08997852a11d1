"""``clippy serve`` as processes: it starts, drains, restarts its workers, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from clippy_gateway import Gateway
from clippy_gateway.serving import listening
from clippy_recorder.files import read
from gateway_world import takes
from patience import PATIENCE, until

from clippy_core.testing import FakeServer, Reply, SeenRequest

WORDS = ("one ", "two ", "three ", "four ", "five ")
ASKED = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
SLOW = "slow"
"""The model of an answer that is not over before its gateway is."""
DRAINS = "drain = 60"
TOKEN = "token-0123456789-0123456789-0123456789"
SHOWN = f'[plugins.inspect]\nenabled = true\ngateway = true\ntoken = "{TOKEN}"'
FEW_FILES = 256
"""That each process may have open at first, as systems say who know of more."""
Start = Callable[..., "Serving"]


def _as_from_a_terminal() -> None:
    """Whoever runs these tests by ``nohup`` ignores SIGHUP, and so would their children."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, FEW_FILES), hard))


class Serving:
    """One ``clippy serve``."""

    def __init__(self, folder: Path, text: str, *options: str, before: tuple[str, ...] = ()) -> None:
        file = folder / "clippy.toml"
        file.write_text(text)
        self.log = folder / "serve.log"
        self.meeting = Path(tempfile.mkdtemp())  # a short path: workers have sockets there
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "clippy_core.cli", "--config", str(file), *before, "serve", *options],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "TMPDIR": str(self.meeting)},
                start_new_session=True,
                preexec_fn=_as_from_a_terminal,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def url(self) -> str:
        found = re.search(r"serving at (http://\S+)", self.said)
        return found[1] if found else ""

    def ready(self, url: str = "", **more: Any) -> bool:
        try:
            with httpx.Client(trust_env=False, timeout=2, **more) as client:
                return client.get((url or self.url) + "/ready").status_code == 200
        except (httpx.HTTPError, httpx.UnsupportedProtocol):
            return False

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        shutil.rmtree(self.meeting, ignore_errors=True)


def answer(seen: SeenRequest) -> Reply:
    return Reply("".join(WORDS), chunks=WORDS, chunk_delay=PATIENCE if seen.json["model"] == SLOW else 0.2)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Serving] = []
    with FakeServer(answer, lifetime=600) as provider:

        def begin(*options: str, settings: str = DRAINS, wait: bool = True, route: bool = True, **more: Any) -> Serving:
            text = f'allow = ["gateway", "recorder", "inspect"]\n[plugins.gateway]\n{settings}\n'
            if route:
                text += f'[routes.main]\nbase_url = "{provider.base_url}"\nkey = "sk-0123456789"\n'
            serving = Serving(tmp_path, text, "--port", "0", *options, **more)
            running.append(serving)
            if wait:
                assert until(serving.ready), serving.said
            return serving

        yield begin
        for serving in running:
            serving.end()


def streamed(url: str, got: list[bytes], model: str = "m") -> None:
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        body = {**ASKED, "model": model, "stream": True}
        with client.stream("POST", url + "/v1/chat/completions", json=body) as answer:
            got.extend(answer.iter_raw())


@pytest.mark.parametrize(
    ("server", "options", "ended_by"),
    [
        ("uvicorn", (), signal.SIGTERM),
        ("uvicorn", (), signal.SIGHUP),
        ("uvicorn", ("--workers", "2"), signal.SIGINT),
        ("uvicorn", ("--workers", "2"), signal.SIGHUP),
        ("granian", ("--workers", "2"), signal.SIGHUP),
    ],
)
def test_a_drain_loses_no_stream(start, server, options, ended_by):
    """Also where it is ended, or closed, by the terminal, which tells every process of the group."""
    if server == "granian":
        pytest.importorskip("granian")
    serving = start(*options, settings=f'{DRAINS}\nserver = "{server}"')
    got: list[bytes] = []
    reader = threading.Thread(target=streamed, args=(serving.url, got))
    reader.start()
    assert until(lambda: got)
    os.killpg(serving.process.pid, ended_by)  # as a terminal does
    reader.join(PATIENCE)
    assert b"[DONE]" in b"".join(got)
    assert serving.process.wait(PATIENCE) == 0
    assert not serving.ready()
    assert re.search(r"ending: 60 s at most for \d+ requests? under way", serving.said)
    assert "ended; 0 requests broken off" in serving.said
    assert not options or f"{ended_by.name} came" in serving.said


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_while_it_drains_nobody_new_is_taken_and_a_second_signal_ends_it(start, server):
    serving = start(settings=f'drain = 10\nserver = "{server}"')
    got: list[bytes] = []
    reader = threading.Thread(target=_broken, args=(serving.url, got))
    reader.start()
    assert until(lambda: got)
    serving.process.send_signal(signal.SIGTERM)
    assert until(lambda: not serving.ready())
    serving.process.send_signal(signal.SIGTERM)
    assert serving.process.wait(PATIENCE) == 0
    reader.join(PATIENCE)
    assert b"[DONE]" not in b"".join(got)
    assert "Traceback" not in serving.said


def _broken(url: str, got: list[bytes]) -> None:
    with pytest.raises(httpx.HTTPError):
        streamed(url, got, SLOW)


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_a_drain_has_an_end(start, server):
    serving = start(settings=f'drain = 1\nserver = "{server}"')
    got: list[bytes] = []
    reader = threading.Thread(target=_broken, args=(serving.url, got))
    reader.start()
    assert until(lambda: got)
    serving.process.send_signal(signal.SIGTERM)
    assert serving.process.wait(PATIENCE) == 0
    reader.join(PATIENCE)
    assert "Traceback" not in serving.said
    assert re.search(r"the answer to request [0-9a-f]{16} broke off: the gateway ended", serving.said)
    assert "ended; 1 request broken off" in serving.said


def test_it_says_that_it_drains_before_it_takes_no_more_connections(start):
    serving = start(settings=f"{DRAINS}\nnotice = 60.0")
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        serving.process.send_signal(signal.SIGTERM)
        assert until(lambda: client.get(serving.url + "/ready").status_code == 503)
        assert client.get(serving.url + "/health").status_code == 200
        assert client.post(serving.url + "/v1/chat/completions", json=ASKED).status_code == 200
    serving.process.send_signal(signal.SIGTERM)  # a second one ends it
    assert serving.process.wait(PATIENCE) == 0


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for children in /proc")
def test_a_worker_that_dies_is_replaced_and_all_end_with_the_supervisor(start):
    """Meanwhile the pages name it, and nothing that the supervisor made outlives the last of them."""
    serving = start("--workers", "2", settings=f"{DRAINS}\n{SHOWN}")
    assert until(lambda: sorted(shown(serving)) == sorted(serving.workers()) and len(serving.workers()) == 2)
    first, second = serving.workers()
    os.kill(first, signal.SIGKILL)
    assert until(lambda: any("does not answer" in sentence for sentence in board(serving)["missing"]))
    assert until(lambda: len(shown(serving)) == 2 and first not in serving.workers())
    assert board(serving)["missing"] == []
    with httpx.Client(trust_env=False) as client:
        assert client.post(serving.url + "/v1/chat/completions", json=ASKED, timeout=PATIENCE).status_code == 200
    left = serving.workers()
    assert not [pid for pid in left if _files(pid) == FEW_FILES], "that would be a hundred streams"
    serving.process.kill()
    serving.process.wait(10)

    def alive(pid: int) -> bool:
        line = Path(f"/proc/{pid}/cmdline")
        return line.exists() and bool(line.read_bytes())

    assert until(lambda: not any(alive(pid) for pid in left))
    assert not [*serving.meeting.iterdir()]
    assert second in left


def test_a_unix_socket_is_for_its_user_only_and_is_removed(start, tmp_path):
    path = tmp_path / "gateway.sock"
    serving = start("--uds", str(path), wait=False)
    over = {"transport": httpx.HTTPTransport(uds=str(path))}
    assert until(lambda: takes(path) and serving.ready("http://localhost", **over)), serving.said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o660)  # as whoever lets others of a group in
    serving.process.send_signal(signal.SIGINT)
    assert serving.process.wait(PATIENCE) == 0
    assert not path.exists()


def test_a_gateway_that_drains_leaves_the_socket_of_its_successor_alone(tmp_path):
    path = tmp_path / "gateway.sock"
    with ExitStack() as newer:
        with listening(Gateway(uds=path), None) as drains:
            drains.close()  # a drain begins so
            newer.enter_context(listening(Gateway(uds=path), None))
            os.utime(path, (1, 1))  # the clock of files is coarse, and a number that is free is given again
        assert takes(path)


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "two workers"])
def test_what_is_wrong_is_said_before_anything_is_served(start, options):
    serving = start("--host", "0.0.0.0", *options, wait=False, route=False)
    assert serving.process.wait(PATIENCE) == 2
    assert "no route says where requests go" in serving.said
    assert "give each caller a key" in serving.said
    assert "Traceback" not in serving.said


@pytest.mark.parametrize("options", [("--check",), ("--workers", "2")], ids=["checking", "two workers"])
def test_a_log_that_cannot_be_written_is_said_before_anything_is_served(start, tmp_path, options):
    (tmp_path / "taken").write_text("no folder")
    serving = start("--access-log", str(tmp_path / "taken" / "access.log"), *options, wait=False)
    assert serving.process.wait(PATIENCE) == 2
    assert "plugins.gateway.access_log.to is" in serving.said
    assert "serving at" not in serving.said


def test_a_wrong_configuration_is_told_before_an_address_that_is_taken(start, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        nowhere = str(tmp_path / "nowhere.toml")
        serving = start("--port", port, wait=False, before=("--config", nowhere))
        assert serving.process.wait(PATIENCE) == 2
    assert nowhere in serving.said
    assert "cannot listen" not in serving.said


@pytest.mark.parametrize("options", [(), ("--check",)], ids=["serving", "checking"])
def test_an_address_that_is_taken_is_told_in_a_line(start, options):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        serving = start("--port", port, *options, wait=False)
        assert serving.process.wait(PATIENCE) == 1
    (line,) = serving.said.splitlines()
    assert line.startswith(f"Error: cannot listen at 127.0.0.1:{port}: Address already in use; another process has")


def test_check_says_whether_it_could_serve_and_leaves_the_address_free(start, tmp_path):
    path = tmp_path / "gateway.sock"
    serving = start("--uds", str(path), "--check", settings=f"{DRAINS}\n{SHOWN}", wait=False)
    assert serving.process.wait(PATIENCE) == 0
    assert "serving" not in serving.said
    assert "/open/" not in serving.said, "the pages would be gone"
    assert not path.exists()


def test_check_with_a_port_judges_the_configuration_beside_a_gateway_at_its_socket_and_tells_of_files(start, tmp_path):
    """And of what would be written into another program's file, which is found out at the first request otherwise."""
    path, foreign = tmp_path / "gw.sock", tmp_path / "notes.jsonl"
    foreign.write_text("somebody's own\n")
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        settings = f'uds = "{path}"\n[plugins.recorder]\nenabled = true\npath = "{foreign}"'
        serving = start("--check", settings=settings, wait=False)
        assert serving.process.wait(PATIENCE) != 0
    assert "Address already in use" not in serving.said
    assert "path in [plugins.recorder]" in serving.said
    assert foreign.read_text() == "somebody's own\n"


def _files(pid: int) -> int:
    """How many files this process may have open, if not all that the system allows it: then 0."""
    (limits,) = re.findall(r"Max open files +(\d+) +(\d+)", Path(f"/proc/{pid}/limits").read_text())
    return 0 if limits[0] == limits[1] else int(limits[0])


def board(serving: Serving) -> dict[str, Any]:
    """The dashboard over another connection, which maybe another worker takes."""
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        answer = client.get(serving.url + "/api/dashboard", headers={"authorization": f"Bearer {TOKEN}"})
        found: dict[str, Any] = answer.json()
        return found


def shown(serving: Serving) -> list[int]:
    """The processes whose tables it has."""
    return [row[0] for table in board(serving)["plugins"] if "worker" in table["name"] for row in table["rows"]]


def test_several_workers_write_one_log_and_one_recording_and_are_one_debugger(start, tmp_path):
    """Whichever of them takes a connection shows what all did, and lets in whom any of them let in."""
    file, calls = tmp_path / "access.log", tmp_path / "calls.sqlite"
    more = f'[plugins.recorder]\nenabled = true\npath = "{calls}"\n{SHOWN}'
    serving = start("--workers", "2", "--access-log", str(file), settings=f"{DRAINS}\n{more}")
    assert until(lambda: set(shown(serving)) == set(serving.workers()) and len(serving.workers()) == 2), serving.said
    for _ in range(3):
        with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
            assert client.post(serving.url + "/v1/chat/completions", json=ASKED).status_code == 200
    assert until(lambda: board(serving)["total"]["requests"] == 3)
    assert all((3, []) == (one["total"]["requests"], one["missing"]) for one in (board(serving) for _ in range(4)))
    with httpx.Client(trust_env=False, timeout=PATIENCE, base_url=serving.url) as browser:
        [link] = re.findall(rf"{serving.url}/open/\S+", serving.said)  # the one link is for all workers, to be clicked
        assert [browser.get(link).status_code, browser.get("/").status_code, browser.get(link).status_code] == [
            200,
            200,
            403,
        ]
    serving.process.send_signal(signal.SIGTERM)
    assert serving.process.wait(PATIENCE) == 0
    assert not [*serving.meeting.iterdir()]
    lines = [line for line in file.read_text().splitlines() if "/v1/chat/completions" in line]
    assert [line.split()[1] for line in lines] == ["200"] * 3
    assert {one.id for one in read(calls)} == {line.rpartition("id=")[2] for line in lines}


def test_plugins_show_their_pages_on_the_gateway():
    from attrs import define
    from clippy_hookspecs import hookimpl
    from clippy_serving import json_reply
    from gateway_world import World

    async def page(request: Any) -> Any:
        return json_reply({"url": request.url})

    @define(eq=False)
    class Shows:
        @hookimpl
        def register_routes(self, app: Any) -> None:
            app.route("GET", "/shows/*", page)

    @define(eq=False)
    class Fails:
        @hookimpl
        def register_routes(self, app: Any) -> None:
            raise RuntimeError("no pages today")

    with World(Reply("x"), {"shows": Shows(), "fails": Fails()}) as world:
        assert json.loads(world.ask("GET", "/shows/a?b=1").content) == {"url": "/shows/a?b=1"}
        assert world.chat().status_code == 200
