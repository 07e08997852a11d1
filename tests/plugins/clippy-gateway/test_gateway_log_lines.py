"""What ``clippy serve`` logs has a time, a level and a logger; a journal with its own time gets no second one."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path

import pytest
from clippy_gateway import log_lines
from clippy_gateway.log_lines import LogLines, begin, in_journal, tell
from clippy_inspect import Inspect
from gateway_world import World
from patience import until

from clippy_core.cli import SafeLines

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logger as the command line sets it up in a process of its own, whatever ran in this one before."""
    monkeypatch.setattr(logging.getLogger("clippy"), "handlers", [SafeLines()])


def fail() -> None:
    try:
        raise ValueError("sk-canary-0123456789")
    except ValueError:
        logging.getLogger("clippy.gateway").exception("it failed\nbadly")


def test_a_line_has_time_level_and_logger_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    begin("text")
    fail()
    tell("serving at http://127.0.0.1:1")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"{TIME} error clippy\.gateway: it failed\\nbadly: ValueError in fail \(.*\)", first)
    assert re.fullmatch(rf"{TIME} info clippy\.gateway: serving at http://127\.0\.0\.1:1", second)


def test_with_json_every_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    begin("json")
    fail()
    tell("serving at http://127.0.0.1:1")
    logging.getLogger("clippy.requests").warning("m, 0.1 s", extra={"clippy_status": 200})
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"]) == ("error", "clippy.gateway")
    assert first["message"].startswith("it failed\nbadly: ValueError in fail")
    assert (second["level"], second["message"]) == ("info", "serving at http://127.0.0.1:1")
    assert re.fullmatch(TIME, second["time"])
    assert (third["message"], third["clippy_status"]) == ("m, 0.1 s", 200)


@pytest.mark.parametrize("own", [False, True])
def test_the_link_of_the_pages_is_such_a_line_too(own: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether they are at the gateway's address or have a port of their own; it can be opened as it stands there."""
    begin("json")
    said: list[str] = []
    with World(plugins={"inspect": Inspect(enabled=True, gateway=not own)}):
        assert until(lambda: said.append(capsys.readouterr().err) or "/open/" in "".join(said))
    for line in "".join(said).splitlines():
        assert {"time", "level", "logger", "message"} == {*json.loads(line)}


def test_a_journal_gets_no_second_time(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    with (tmp_path / "stream").open("w") as stream:
        found = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert in_journal(named, stream.fileno())
        assert not in_journal({}, stream.fileno())
        assert not in_journal({"JOURNAL_STREAM": "1:2"}, stream.fileno())  # it was sent elsewhere meanwhile
    monkeypatch.setattr(log_lines, "in_journal", lambda environ: True)
    begin("text")
    logging.getLogger("clippy.gateway").warning("a")
    assert capsys.readouterr().err == "warning clippy.gateway: a\n"


def test_a_handler_with_a_form_of_its_own_keeps_it() -> None:
    handler = logging.getLogger("clippy").handlers[-1]
    handler.setFormatter(own := logging.Formatter("%(message)s"))
    begin("json")
    assert handler.formatter is own
    assert not isinstance(own, LogLines)
