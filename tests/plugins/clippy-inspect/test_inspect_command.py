"""``clippy inspect``: a recording in pages, also while another process writes it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import click.testing
import httpx
import pytest
from clippy_inspect.recordings import Recording
from clippy_recorder import Exchange, write
from clippy_recorder.files import Appender
from inspect_world import exchange, failed, streamed
from patience import PATIENCE

from clippy_core.cli import command_line

CLIPPY = [sys.executable, "-m", "clippy_core.cli"]


@pytest.fixture(params=["calls.jsonl", "calls.sqlite"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    write(path, [exchange(1), streamed(2), failed(3)])
    return path


def test_a_recording_is_served_until_somebody_ends_it(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    write(file, [exchange(1), streamed(2), failed(3)])
    running = subprocess.Popen([*CLIPPY, "inspect", str(file)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        said = running.stdout.readline()
        [link] = re.findall(r"http://127\.0\.0\.1:\d+/open/\S+", said)
        with httpx.Client(base_url=link.partition("/open/")[0]) as client:
            cookie = client.get(link).headers["set-cookie"].partition(";")[0]
            client.cookies.clear()
            pages = {"cookie": cookie}
            assert 3 == client.get("/api/requests", headers=pages).json()["all"]
            assert "How is the weather?" in client.get("/requests/req-0001", headers=pages).text
    finally:
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=PATIENCE)
    assert (0, "") == (running.returncode, out)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["\x1b[2J\u202e.jsonl"], r"there is no file \x1b[2J\u202e.jsonl"),
        ([], "name a recording, or let the recorder write one"),
        (["strange.jsonl"], "strange.jsonl"),
    ],
)
def test_what_cannot_be_shown_is_said(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strange.jsonl").write_text("no recording\n", encoding="utf-8")
    runner = click.testing.CliRunner(env={"CLIPPY_PLUGINS": "inspect,recorder"})
    done = runner.invoke(command_line(), ["inspect", *arguments], prog_name="clippy")
    assert done.exit_code != 0
    assert isinstance(done.exception, SystemExit), "a traceback"
    assert sentence in done.stderr


def append(file: Path, call: Exchange) -> None:
    appender = Appender(file)
    appender.append(call)
    appender.close()


def test_what_is_written_later_is_shown_too(file: Path) -> None:
    recording = Recording(file)
    told: list[str] = []
    end = recording.subscribe(told.append)
    assert ["req-0001", "req-0002", "req-0003"] == [call.id for call in recording.latest()]
    assert () == recording.look()
    append(file, exchange(4))
    assert ("req-0004",) == recording.look()
    assert ["req-0003", "req-0004"] == [call.id for call in recording.latest(2)]
    assert ["req-0001", "req-0002"] == [call.id for call in recording.latest(5, before="req-0003")]
    found: Any = recording.find("req-0004")
    assert (found.id, recording.flow("req-0004"), recording.find("none")) == ("req-0004", None, None)
    end()
    end()


def test_who_listens_is_told_of_what_is_new(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clippy_inspect.recordings._PACE", 0.01)
    recording = Recording(file)
    told: list[str] = []
    heard = threading.Event()

    def hear(call_id: str) -> None:
        told.append(call_id)
        heard.set()

    recording.subscribe(hear)
    recording.follow()
    append(file, exchange(9))
    assert heard.wait(PATIENCE)
    recording.stop()
    assert ["req-0009"] == told
