"""``clippy streams``: the live streams of this user's programs, and nobody else's."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import define
from calling import Caller
from click.testing import CliRunner
from clippy_hookspecs import PluginError, RequestContext
from clippy_stream import StreamController, control
from clippy_stream.commands import streams_group
from clippy_stream.control import Control, ControlError, ask, sockets
from clippy_stream_monitor import StreamMonitor

import clippy_core
from clippy_core.testing import Reply


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a unix socket's address has room for a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="c") as short:
        yield Path(short) / "s"


@define(eq=False)
class Live:
    """A program with one stream that waits for its reader."""

    caller: Caller
    stream: Any

    @property
    def id(self) -> str:
        context: RequestContext = self.stream.context
        return context.id


@pytest.fixture
def live(folder: Path) -> Iterator[Live]:
    """The host of a program that takes part, with a stream under way."""
    caller = Caller("sync", httpx)
    plugins = {"stream": StreamController(control=True, folder=folder), "stream-monitor": StreamMonitor()}
    caller.start(plugins, Reply("one two three"))
    with caller.host, clippy_core.Client(caller.host, caller._http()) as client, client.stream("Hello") as stream:
        next(stream.text())
        yield Live(caller, stream)


def streams(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(streams_group(folder), [*words])


# --- what it does ----------------------------------------------------------------------------------------------------


def test_streams_are_listed_shown_paused_resumed_and_cancelled(live: Live, folder: Path) -> None:
    """By id, as the program itself would."""
    [one] = [json.loads(line) for line in streams(folder, "list", "--json").output.splitlines()]
    assert (one["id"], one["state"], one["chunks"], one["process"]) == (live.id, "streaming", 1, os.getpid())
    assert live.id in streams(folder, "list").output
    assert "paused" in streams(folder, "pause", live.id).output
    assert "paused" == live.stream.context.flow.state
    assert "streaming" in streams(folder, "resume", live.id).output
    assert json.loads(streams(folder, "show", live.id, "--json").output)["state"] == "streaming"
    assert streams(folder, "cancel", live.id).exit_code == 0
    with pytest.raises(Exception, match="cancelled by clippy streams"):
        next(live.stream)


def test_what_was_said_is_told_nobody(live: Live, folder: Path) -> None:
    """Ids, states, model names and numbers."""
    assert "one" not in streams(folder, "list", "--json").output
    assert "Hello" not in streams(folder, "list", "--json").output


def test_an_id_that_no_program_has_is_an_error(live: Live, folder: Path) -> None:
    shown = streams(folder, "cancel", "0123456789abcdef")
    assert shown.exit_code == 1
    assert "no program has a stream 0123456789abcdef" in shown.output


def test_without_programs_the_list_says_how_one_takes_part(folder: Path) -> None:
    assert "control = true" in streams(folder, "list").output
    assert streams(folder, "pause", "1").exit_code == 1


def test_the_socket_goes_with_its_host(folder: Path) -> None:
    """And a host that does not want one has none."""
    host = clippy_core.Host({"stream": StreamController(control=True, folder=folder)})
    with host:
        [path] = sockets(folder)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
        assert "clippy-streams" in [thread.name for thread in threading.enumerate()]
    assert sockets(folder) == []
    assert "clippy-streams" not in [thread.name for thread in threading.enumerate()]
    with clippy_core.Host({"stream": StreamController(folder=folder)}):
        assert sockets(folder) == []


PROGRAM = """
import sys
import clippy_core
from clippy_core.testing import FakeProvider, Reply
from clippy_stream import StreamController

config = {"routes": {"main": {"base_url": "http://fake.test/v1", "key": "none", "model": "m"}}}
host = clippy_core.Host({"stream": StreamController(control=True)}, config=config)
with host, clippy_core.Client(host, FakeProvider(Reply("one two")).client()) as client:
    stream = client.stream("Hello")
    stream.context.flow.pause()
    print(stream.context.id, flush=True)
    try:
        list(stream)
    except Exception as error:
        print(error)
"""


def test_a_stream_of_another_process_is_cancelled_by_the_command_line(folder: Path) -> None:
    """It lies in the runtime folder of the user, where both look; a program that waits in a pause is let go."""
    folder.mkdir(mode=0o700)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        request_id = program.stdout.readline().strip()
        run = [sys.executable, "-m", "clippy_core.cli", "streams"]
        listed = subprocess.run([*run, "list"], env=env, capture_output=True, text=True, timeout=300, check=True)
        assert re.search(rf"{request_id}  paused .* process {program.pid}", listed.stdout)
        subprocess.run([*run, "cancel", request_id], env=env, capture_output=True, timeout=300, check=True)
        assert "cancelled by clippy streams" in program.communicate(timeout=300)[0]
    assert program.returncode == 0


# --- whom it answers -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell who is on the other side")
def test_another_user_gets_no_answer(live: Live, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side talks to a process of somebody else."""
    [path] = sockets(folder)
    monkeypatch.setattr(control.os, "geteuid", lambda: 4711)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(10)
        stranger.connect(str(path))
        try:
            stranger.sendall(b'{"do": "list"}\n')
            said = stranger.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            said = b""
    assert said == b""
    with pytest.raises(ControlError, match="another user's"):
        ask(path, "list")


def test_a_folder_of_another_user_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to listen in nor to look into: whoever made it may have put anything there."""
    folder.mkdir()
    monkeypatch.setattr(control.os, "geteuid", lambda: 4711)
    with pytest.raises(ControlError, match="no folder of this user"):
        Control(folder, nothing).open()
    assert "no folder of this user" in streams(folder, "list").output


def test_a_link_is_no_folder(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")
    with pytest.raises(ControlError, match="no folder of this user"):
        Control(folder, nothing).open()


def test_a_folder_that_others_could_look_into_is_closed_to_them(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    with opened(folder, nothing):
        assert stat.S_IMODE(folder.lstat().st_mode) == 0o700


# --- what can go wrong -----------------------------------------------------------------------------------------------


def nothing(what: str, request_id: str) -> dict[str, Any]:
    return {}


class opened:
    def __init__(self, folder: Path, answer: Callable[[str, str], dict[str, Any]]) -> None:
        self.control = Control(folder, answer)

    def __enter__(self) -> Path:
        self.control.open()
        return self.control.path

    def __exit__(self, *_: object) -> None:
        self.control.close()


def test_a_socket_of_a_dead_process_is_skipped_and_removed(live: Live, folder: Path) -> None:
    """As a killed one leaves it."""
    left = folder / "1-dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    assert live.id in streams(folder, "list").output
    assert not left.exists()


def test_a_process_that_does_not_answer_is_named_and_the_others_are_shown(
    live: Live, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs, as one that is stopped does."""
    monkeypatch.setattr(control, "PATIENCE", 0.1)
    with socket.socket(socket.AF_UNIX) as hangs:
        hangs.bind(str(folder / "2-hangs.sock"))
        hangs.listen()
        shown = streams(folder, "list")
    assert "2-hangs.sock does not answer" in shown.output
    assert live.id in shown.output


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nothing\n",
        b"[]\n",
        b'{"do": 1}\n',
        b'{"id": "1"}\n',
        b"x" * 10_000,
        b"",
        b"\xff\n",
        b"[" * 4000 + b"\n",
    ],
)
def test_a_question_that_is_none_changes_nothing(live: Live, folder: Path, line: bytes) -> None:
    """Whatever is sent, the next one is answered."""
    [path] = sockets(folder)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        try:
            said = client.recv(1000)
        except ConnectionResetError:
            said = b""
    assert said == b"" or "error" in json.loads(said)
    assert live.id in streams(folder, "list").output


def test_a_question_that_cannot_be_answered_is_not_the_last_one(folder: Path) -> None:
    def fails(what: str, request_id: str) -> dict[str, Any]:
        if what == "pause":
            raise RuntimeError(request_id)
        return {"streams": []}

    with opened(folder, fails) as path:
        assert ask(path, "pause", "secret") == {"error": "the process could not answer: RuntimeError"}
        assert ask(path, "list") == {"streams": []}


def test_one_who_says_nothing_does_not_keep_the_others_for_long(
    live: Live, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection has a moment for its line."""
    monkeypatch.setattr(control, "LISTENING", 0.05)
    monkeypatch.setattr(control, "PATIENCE", 10.0)
    [path] = sockets(folder)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        assert live.id in streams(folder, "list").output


def test_a_path_that_is_too_long_is_an_error_that_says_so(folder: Path) -> None:
    with pytest.raises(ControlError, match="short path"):
        Control(folder / ("x" * 150), nothing).open()


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(folder: Path) -> None:
    folder.parent.joinpath("file").write_text("")
    with pytest.raises(ControlError, match="set folder"):
        Control(folder.parent / "file" / "s", nothing).open()


def test_where_there_are_no_unix_sockets_the_host_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not open without what was asked for."""
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(PluginError, match=r"plugin stream .* control = true needs unix sockets"):
        clippy_core.Host({"stream": StreamController(control=True, folder=folder)}).open()
    assert "no unix sockets" in streams(folder, "list").output


def test_names_from_elsewhere_do_not_speak_to_the_terminal(folder: Path) -> None:
    """A model's name is whatever a program says."""
    stream = {"id": "1", "state": "streaming", "model": "\x1b]0;owned\x07", "seconds": 1.0}
    with opened(folder, lambda what, request_id: {"streams": [stream]}):
        assert "\x1b" not in streams(folder, "list").output
