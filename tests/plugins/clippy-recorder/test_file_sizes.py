"""A recording on a disk has an end: it is set aside, or lets its oldest calls go, and may be moved away."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3

import pytest
from click.testing import CliRunner
from clippy_recorder import Exchange, Message, pruning, read
from clippy_recorder.commands import recordings_group
from clippy_recorder.documents import line
from clippy_recorder.files import Appender, recording


def call(number: int, size: int = 1000) -> Exchange:
    return Exchange(f"{number:03}", float(number), came=Message(body=b"x" * size))


def ids(path: object) -> list[str]:
    broken: list[int] = []
    found = [one.id for one in read(path, broken)]  # type: ignore[arg-type]
    assert broken == []
    return found


def test_lines_are_set_aside_when_they_are_many_and_the_oldest_files_go(tmp_path):
    """Each of the files is a recording of its own."""
    path = tmp_path / "calls.jsonl"
    appender = Appender(path, 5000, 2)
    for number in range(20):
        appender.append(call(number))
    kept = [ids(path.with_name(name)) for name in ("calls.jsonl.2", "calls.jsonl.1", "calls.jsonl")]
    together = [one for some in kept for one in some]
    assert together == [f"{number:03}" for number in range(20)][-len(together) :]
    assert all(len(some) > 1 for some in kept[:2])
    assert not path.with_name("calls.jsonl.3").exists()


def test_a_disk_that_is_full_at_the_first_call_leaves_no_half_head_behind(tmp_path, monkeypatch):
    """Which would make a file that nothing is added to, and nobody can read."""
    path, write = tmp_path / "calls.jsonl", os.write
    appender = Appender(path)
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:10]))
        with pytest.raises(OSError, match="space"):
            appender.append(call(1))
    assert path.read_bytes() == b""
    appender.append(call(2))
    assert ids(path) == ["002"]


def test_a_database_lets_its_oldest_calls_go_and_grows_no_further(tmp_path):
    """The room of those that went is used again."""
    path = tmp_path / "calls.sqlite"
    appender = Appender(path, 100_000)
    for number in range(0, 300, 10):
        appender.append(*(call(number + one) for one in range(10)))
    appender.close()
    kept = ids(path)
    assert kept == [f"{number:03}" for number in range(300)][-len(kept) :]
    assert 20 < len(kept) < 100
    assert path.stat().st_size < 150_000


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_moved_away_is_whole_and_another_one_is_begun(suffix, replaced, tmp_path):
    """As logrotate does it under a running program, or somebody who puts another recording in its place."""
    path, moved = tmp_path / f"calls.{suffix}", tmp_path / f"old.{suffix}"
    appender = Appender(path)
    appender.append(call(1))
    appender.append(call(2))
    path.rename(moved)
    if replaced:
        other = Appender(tmp_path / f"other.{suffix}")
        other.append(call(7))
        other.close()
        (tmp_path / f"other.{suffix}").rename(path)
    appender.append(call(3))
    appender.close()
    assert ids(moved) == ["001", "002"]
    assert sorted(ids(path)) == (["003", "007"] if replaced else ["003"])


def test_a_database_that_is_moved_away_at_last_is_whole_once_its_program_ends(tmp_path):
    """Also where no call came after that."""
    path, moved = tmp_path / "calls.sqlite", tmp_path / "old.sqlite"
    appender = Appender(path)
    appender.append(call(1))
    path.rename(moved)
    appender.close()
    assert ids(moved) == ["001"]
    assert not path.with_name("calls.sqlite-wal").exists()
    with contextlib.closing(sqlite3.connect(moved)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_a_forked_child_goes_on_when_its_parent_closes_the_file(suffix, tmp_path):
    """What SQLite notes of its locks is the parent's: the log was removed under the child, and with it its calls."""
    path = tmp_path / f"calls.{suffix}"
    parent = Appender(path)
    parent.append(call(1))
    (begun, begin), (closed, close) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            of_child = Appender(path)
            of_child.append(call(2))
            os.write(begin, b"+")
            os.read(closed, 1)
            of_child.append(call(3))
            of_child.close()
            os._exit(0)
        finally:
            os._exit(1)
    os.read(begun, 1)
    parent.append(call(4))
    parent.close()
    os.write(close, b"+")
    assert os.waitpid(child, 0)[1] == 0
    for end in (begun, begin, closed, close):
        os.close(end)
    assert sorted(ids(path)) == ["001", "002", "003", "004"]


@pytest.mark.parametrize("suffix", ["jsonl", "sqlite"])
def test_old_calls_are_taken_out_of_a_file_that_a_program_goes_on_adding_to(suffix, tmp_path):
    """By their number or their age, and the file stays its owner's alone."""
    path = tmp_path / f"calls.{suffix}"
    appender = Appender(path)
    appender.append(*(Exchange(f"{day}", 86400.0 * day) for day in range(1, 8)))
    pruned = CliRunner().invoke(recordings_group(), ["prune", str(path), "--keep", "5"])
    assert pruned.output == "2 calls are gone, 5 are left\n"
    appender.append(Exchange("8", 86400.0 * 8))
    pruned = CliRunner().invoke(recordings_group(), ["prune", str(path), "--before", "1970-01-06 12:00:00"])
    appender.append(Exchange("9", 86400.0 * 9))
    appender.close()
    assert pruned.output == "3 calls are gone, 3 are left\n"
    assert ids(path) == ["6", "7", "8", "9"]
    assert path.stat().st_mode & 0o077 == 0


def test_pruning_takes_nothing_without_being_told_what_and_nothing_of_another_file(tmp_path):
    """A wrong path costs nothing of what lies there."""
    path = tmp_path / "notes.jsonl"
    path.write_bytes(b'{"my": "notes"}\n')
    assert "--keep COUNT" in CliRunner().invoke(recordings_group(), ["prune", str(path)]).output
    done = CliRunner().invoke(recordings_group(), ["prune", str(path), "--keep", "0"])
    assert (done.exit_code, "is no recording" in done.output) == (1, True)
    assert path.read_bytes() == b'{"my": "notes"}\n'
    assert [one.name for one in tmp_path.iterdir()] == ["notes.jsonl"]


def test_what_is_taken_out_is_gone_also_from_a_file_that_a_link_leads_to(tmp_path):
    """And the link goes on leading there."""
    path, link = tmp_path / "calls.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(path)
    appender = Appender(link)
    appender.append(call(1), call(2))
    appender.close()
    CliRunner().invoke(recordings_group(), ["prune", str(link), "--keep", "1"])
    assert (link.is_symlink(), ids(path)) == (True, ["002"])


def test_what_is_added_while_old_calls_are_taken_out_is_in_the_file_once(tmp_path, monkeypatch):
    """A call half written when it is read, one more, and one whose writer had looked at the path before."""
    path, late = tmp_path / "calls.jsonl", line(call(5))
    appender = Appender(path)
    appender.append(call(1), call(2), call(3))
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    began, rest = pruning._began, [b"", late[-9:] + line(call(6)), line(call(7))[:40], line(call(7))[40:]]

    def read_before_it_is_whole(of):
        os.write(file, line(call(4)) + late[:-9])
        yield from began(of)

    monkeypatch.setattr(pruning, "_began", read_before_it_is_whole)
    monkeypatch.setattr(pruning, "sleep", lambda _: os.write(file, rest.pop(0) if rest else b""))
    assert pruning.prune(path, keep=2)[0] == 2
    os.close(file)
    assert rest == []
    appender.append(call(8))
    appender.close()
    assert ids(path) == ["003", "004", "005", "006", "007", "008"]


def test_a_file_is_not_set_aside_while_old_calls_are_taken_out_of_it(tmp_path, monkeypatch):
    """Its calls would be there twice, and those that came after them nowhere."""
    path = tmp_path / "calls.jsonl"
    appender = Appender(path, 5000)
    appender.append(call(1), call(2), call(3))
    began = pruning._began

    def meanwhile(of):
        yield from began(of)
        appender.append(call(4))
        appender.append(call(5))

    monkeypatch.setattr(pruning, "_began", meanwhile)
    pruning.prune(path, keep=2)
    appender.append(call(6))
    appender.append(call(7))
    appender.close()
    files = [file for name in ("calls.jsonl.1", "calls.jsonl") if (file := path.with_name(name)).exists()]
    found = [one for file in files for one in ids(file)]
    assert found == ["002", "003", "004", "005", "006", "007"]


def test_old_calls_are_not_taken_out_of_a_file_that_was_moved_away_meanwhile(tmp_path, monkeypatch):
    """What lies at its path by then stays."""
    path, began = tmp_path / "calls.jsonl", pruning._began
    appender = Appender(path)
    appender.append(call(1), call(2))

    def meanwhile(of):
        yield from began(of)
        path.rename(tmp_path / "old.jsonl")
        appender.append(call(3))

    monkeypatch.setattr(pruning, "_began", meanwhile)
    with pytest.raises(OSError, match="set aside or moved away"):
        pruning.prune(path, keep=1)
    appender.close()
    assert (ids(path), ids(tmp_path / "old.jsonl")) == (["003"], ["001", "002"])
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix != ".lock") == ["calls.jsonl", "old.jsonl"]


def test_lines_that_are_no_calls_do_not_count_as_calls_that_are_gone(tmp_path):
    """Two processes that began a file at once both wrote its head; a torn line is no call either."""
    path = tmp_path / "calls.jsonl"
    path.write_bytes(recording([]) + recording([call(1), call(2)]) + b'{"torn\n\n')
    pruned = CliRunner().invoke(recordings_group(), ["prune", str(path), "--keep", "1"])
    assert pruned.output == "1 calls are gone, 1 are left\n"
    assert ids(path) == ["002"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may give files away")
def test_a_file_stays_its_owners_when_root_takes_old_calls_out_of_it(tmp_path):
    """Or its program could neither add to it nor set it aside again."""
    path = tmp_path / "calls.jsonl"
    appender = Appender(path)
    appender.append(call(1), call(2))
    appender.close()
    os.chown(path, 1234, 1234)
    pruning.prune(path, keep=1)
    assert {(one.stat().st_uid, one.stat().st_gid) for one in tmp_path.iterdir()} == {(1234, 1234)}
