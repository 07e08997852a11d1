"""Many processes add whole lines to one file, which is set aside when it has grown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clippy_lines import AppendFile

WRITER = """
import sys
from pathlib import Path
from clippy_lines import AppendFile
path, name, count, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
file = AppendFile(path, max_bytes=limit, keep=1000)
for number in range(count):
    file.append(f'{{"by":"{name}","n":{number},"pad":"{"x" * (number % 90)}"}}\\n'.encode())
"""


def all_lines(path: Path) -> list[bytes]:
    """The lines of *path* and of every file set aside from it."""
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name) and file.suffix != ".lock"]
    return [line for file in files for line in file.read_bytes().splitlines()]


@pytest.mark.parametrize("limit", [1 << 30, 4096], ids=["one file", "set aside again and again"])
def test_no_line_of_any_process_is_lost_or_mixed(tmp_path: Path, limit: int) -> None:
    """Four processes, one file: every line whole and exactly once, each process's in its order."""
    path = tmp_path / "log.jsonl"
    arguments = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*arguments, name, "400", str(limit)]) for name in "abcd"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    found = [json.loads(line) for line in all_lines(path)]
    assert sorted((line["by"], line["n"]) for line in found) == [(name, n) for name in "abcd" for n in range(400)]


def test_old_files_move_up_and_the_oldest_goes(tmp_path: Path) -> None:
    """``keep`` of them stay, the newest is .1."""
    file = AppendFile(tmp_path / "log", max_bytes=10, keep=2)
    for number in range(5):
        file.append(f"line-{number:03}\n".encode())
    file.close()
    shown = {entry.name: entry.read_text().strip() for entry in tmp_path.iterdir() if entry.suffix != ".lock"}
    assert shown == {"log": "line-004", "log.1": "line-003", "log.2": "line-002"}


def test_a_file_that_another_process_set_aside_is_left_behind(tmp_path: Path) -> None:
    """The next line goes to the file that has the name now; also when it was deleted."""
    file = AppendFile(tmp_path / "log")
    file.append(b"one\n")
    (tmp_path / "log").rename(tmp_path / "log.1")
    file.append(b"two\n")
    assert (tmp_path / "log").read_text() == "two\n"
    (tmp_path / "log").unlink()
    file.append(b"three\n")
    assert (tmp_path / "log").read_text() == "three\n"
    file.close()


def test_while_another_process_sets_the_file_aside_lines_are_still_written(tmp_path: Path) -> None:
    """A holder that was killed or stopped must not stop anybody else."""
    fcntl = pytest.importorskip("fcntl")
    file = AppendFile(tmp_path / "log", max_bytes=10)
    file.append(b"12345678\n")
    with (tmp_path / "log.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file.append(b"abcdefgh\n")
    file.close()
    assert (tmp_path / "log").read_text() == "12345678\nabcdefgh\n"


def test_a_torn_line_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    """What a killed process left half written stays on a line of its own."""
    (tmp_path / "log").write_bytes(b'{"half')
    file = AppendFile(tmp_path / "log")
    file.append(b'{"whole":1}\n')
    file.append(b'{"whole":2}\n')
    file.close()
    assert (tmp_path / "log").read_bytes() == b'{"half\n{"whole":1}\n{"whole":2}\n'


def test_a_line_that_the_disk_cuts_is_an_error_and_ends_there(tmp_path: Path) -> None:
    """A limit on the file's size makes the system write a part and say so."""
    resource = pytest.importorskip("resource")
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        file = AppendFile(tmp_path / "log")
        try:
            file.append(b"12345\n")
            file.append(b"abcdefghij\n")
        except OSError:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    file = AppendFile(tmp_path / "log")
    file.append(b"after\n")
    file.close()
    assert (tmp_path / "log").read_bytes() == b"12345\nabcd\nafter\n"


def test_each_record_is_on_the_disk_before_the_call_returns_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One write, then one fsync, of the same descriptor."""
    calls: list[str] = []
    write, fsync = os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda fd, data: calls.append("write") or write(fd, data))
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("fsync") or fsync(fd))
    for mode in ("none", "each"):
        file = AppendFile(tmp_path / mode, fsync=mode)
        file.append(b"x\n")
        file.append(b"y\n")
        file.close()
    assert calls == ["write", "write", "write", "fsync", "write", "fsync"]
