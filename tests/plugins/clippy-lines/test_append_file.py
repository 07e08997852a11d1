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


def test_a_line_that_one_process_left_torn_does_not_take_the_line_of_another_with_it(tmp_path: Path) -> None:
    """Also where the other one had the file open before: it was killed, or the disk was full for a moment."""
    torn, other = AppendFile(tmp_path / "log"), AppendFile(tmp_path / "log")
    other.append(b'{"whole":1}\n')
    torn.append(b'{"whole":2}\n')
    os.write(torn._fd, b'{"half')
    other.append(b'{"whole":3}\n')
    torn.append(b'{"whole":4}\n')
    other.close()
    torn.close()
    assert (tmp_path / "log").read_text().split("\n") == [
        '{"whole":1}', '{"whole":2}', '{"half', '{"whole":3}', '{"whole":4}', ""
    ]  # fmt: skip


def test_a_full_disk_takes_no_first_line_of_another_process_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both found the file empty, and one of them had its head cut."""
    one, other, write = (*(AppendFile(tmp_path / "log", head=b"head\n") for _ in "ab"), os.write)

    def full(file: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        other.append(b"other\n")
        return write(file, data[:2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="space"):
        one.append(b"one\n")
    other.append(b"more\n")
    one.close()
    other.close()
    assert (tmp_path / "log").read_bytes() == b"head\nother\nhe\nmore\n"


@pytest.mark.parametrize("left", [("log", "log.2", "log.3"), ("log", "log.1", "log.3"), ("log", "log.1", "log.2")])
def test_a_process_that_was_killed_while_it_set_files_aside_costs_none_of_them(
    tmp_path: Path, left: tuple[str, ...]
) -> None:
    """The gap that it left is filled, and what lies beyond it stays where it is."""
    for name in left:
        (tmp_path / name).write_text(f"{name}\n")
    file = AppendFile(tmp_path / "log", max_bytes=6, keep=3)
    file.append(b"new\n")
    file.close()
    found = [(tmp_path / name).read_text() for name in ("log", "log.1", "log.2", "log.3")]
    assert found == ["new\n", *(f"{name}\n" for name in left)]


def test_trying_a_path_out_removes_nothing_that_somebody_wrote_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program starts while a check of its settings looks."""
    file, close = AppendFile(tmp_path / "log"), AppendFile.close

    def closed(it: AppendFile) -> None:
        close(it)
        (tmp_path / "log").write_text("line\n")

    monkeypatch.setattr(AppendFile, "close", closed)
    assert file.trial() is None
    assert (tmp_path / "log").read_text() == "line\n"
