"""Writing down what is recorded: what a disk cannot take is said once, and a child keeps books of its own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading

import httpx2
import pytest
from clippy_recorder import Exchange, Recorder, keeping, read
from clippy_recorder.keeping import MOST_WAITING, Keeper
from clippy_recorder.tape import Tape

import clippy_core
from clippy_core.testing import FakeProvider, Reply


def tape(number: int) -> Tape:
    return Tape(str(number), None, 0, 1.0, 1 << 20, None)


def exchange(kept: Tape) -> Exchange:
    return Exchange(kept.id, kept.time)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "clippy.recorder"]


def test_calls_are_written_together_in_their_order(tmp_path):
    """What waits when the host is closed is written, too."""
    keeper = Keeper(tmp_path / "calls.jsonl", exchange)
    for number in range(150):
        keeper.keep(tape(number))
    keeper.close()
    assert [one.id for one in read(tmp_path / "calls.jsonl")] == [str(number) for number in range(150)]
    assert keeper.lost == 0


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_a_folder_that_is_gone_is_said_once_and_so_is_that_it_is_back(suffix, tmp_path, caplog):
    """Calls go on; what was lost is counted, and shown while it lasts and afterwards."""
    folder = tmp_path / "gone"
    folder.touch()  # another program's file, in its place
    keeper = Keeper(folder / f"calls.{suffix}", exchange)
    with caplog.at_level(logging.WARNING, "clippy.recorder"):
        keeper._write()
        assert keeper.status() is None
        for number in range(3):
            keeper.keep(tape(number))
            keeper._write()
        (during,) = keeper.status().rows
        folder.unlink()
        keeper.keep(tape(3))
        keeper.close()
    (after,) = keeper.status().rows
    written = [one.id for one in read(folder / f"calls.{suffix}")]
    assert written[-1] == "3"
    assert keeper.lost + len(written) == 4
    assert (str(folder) in during[0], during[1] != "written again", during[3] > 0) == (True, True, True)
    assert (after[1], after[3]) == ("written again", keeper.lost)
    first, second = said(caplog)
    assert ("gone" in first, "said once" in first) == (True, True)
    assert f"recorded again in {folder / f'calls.{suffix}'}; {keeper.lost} were lost" in second


def test_a_full_disk_is_said_once(tmp_path, caplog):
    """The device that is always full."""
    (tmp_path / "calls.jsonl").symlink_to("/dev/full")
    keeper = Keeper(tmp_path / "calls.jsonl", exchange)
    with caplog.at_level(logging.WARNING, "clippy.recorder"):
        for number in range(3):
            keeper.keep(tape(number))
            keeper._write()
        keeper.close()
    assert keeper.lost == 3
    assert [("No space left" in line, "said once" in line) for line in said(caplog)] == [(True, True)]


def test_a_call_that_cannot_be_worked_out_takes_no_other_with_it(tmp_path, caplog):
    """It is told with its id."""

    def developed(kept: Tape) -> Exchange:
        if kept.id == "1":
            raise ValueError("no")
        return exchange(kept)

    keeper = Keeper(tmp_path / "calls.jsonl", developed)
    for number in range(3):
        keeper.keep(tape(number))
    keeper.close()
    assert [one.id for one in read(tmp_path / "calls.jsonl")] == ["0", "2"]
    assert said(caplog) == ["call 1 was not recorded"]


def test_a_disk_slower_than_the_calls_loses_the_newest_and_says_so(tmp_path, caplog):
    """Memory has an end."""
    keeper = Keeper(tmp_path / "calls.jsonl", exchange)
    keeper._ended.set()
    keeper._some.set()
    keeper._thread.join()
    for number in range(MOST_WAITING + 5):
        keeper.keep(tape(number))
    assert (keeper.lost, len(keeper._waiting)) == (5, MOST_WAITING)
    assert len(said(caplog)) == 1


def test_a_file_system_that_hangs_keeps_no_program_from_ending_and_what_may_be_lost_is_told(
    tmp_path, monkeypatch, caplog
):
    """Nobody could tell it afterwards."""
    monkeypatch.setattr(keeping, "_CLOSING", 0.05)
    begun, on = threading.Event(), threading.Event()

    def developed(kept: Tape) -> Exchange:
        begun.set()
        on.wait(60)
        return exchange(kept)

    keeper = Keeper(tmp_path / "calls.jsonl", developed)
    keeper.keep(tape(0))
    assert begun.wait(60)
    keeper.keep(tape(1))
    keeper.close()
    (told,) = said(caplog)
    assert str(tmp_path / "calls.jsonl") in told
    on.set()
    keeper._thread.join(60)
    assert [one.id for one in read(tmp_path / "calls.jsonl")] == ["0", "1"]


def ask(host: clippy_core.Host, text: str) -> None:
    """One call through *host*."""
    with FakeProvider(Reply("Hi")).client(httpx2) as inner:
        clippy_core.Client(host, inner).chat(text, model="m")


def test_a_forked_child_keeps_books_of_its_own_in_the_same_file(tmp_path):
    """Each process's calls are there once, and nothing of the parent's is written again."""
    path = tmp_path / "calls.jsonl"
    recorder = Recorder(enabled=True, path=path)
    route = {"routes": {"main": {"base_url": "http://provider.test/v1", "key": "sk-0123456789abc"}}}
    with clippy_core.Host([recorder], config=route) as host:
        ask(host, "of the parent, before")
        child = os.fork()
        if not child:
            signal.alarm(30)
            try:
                assert recorder.latest() == ()
                ask(host, "of the child")
                host.close()
                os._exit(len(recorder.latest()))
            finally:
                os._exit(99)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 1
        ask(host, "of the parent, after")
    asked = [one.attempts[0].sent.body for one in read(path)]
    assert sorted(b"child" in body for body in asked) == [False, False, True]
    assert sum(b"before" in body for body in asked) == sum(b"after" in body for body in asked) == 1


def test_what_a_killed_program_had_recorded_before_is_in_the_file(tmp_path):
    """A call is lost only if it ended in the last moment before the kill."""
    program = f"""
import os, signal, sys, time
from pathlib import Path
from clippy_recorder import Exchange
from clippy_recorder.keeping import Keeper
from clippy_recorder.tape import Tape
path = Path({str(tmp_path / "calls.jsonl")!r})
keeper = Keeper(path, lambda kept: Exchange(kept.id, kept.time))
keeper.keep(Tape("before", None, 0, 1.0, 100, None))
while not path.exists() or b"before" not in path.read_bytes():
    time.sleep(0.01)
keeper.keep(Tape("last", None, 0, 1.0, 100, None))
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert [one.id for one in read(tmp_path / "calls.jsonl")][:1] == ["before"]
