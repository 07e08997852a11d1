"""Whether a recording could be written is said before the first call, and trying it changes nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from clippy_audit import AuditLog
from clippy_recorder import Recorder


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.sqlite"])
def test_a_place_where_a_recording_may_begin_is_fine_and_stays_empty(tmp_path: Path, name: str) -> None:
    assert Recorder(enabled=True, path=tmp_path / name).unopened() == []
    assert [*tmp_path.iterdir()] == []


def test_the_files_of_others_are_told_and_left_as_they_are(tmp_path: Path) -> None:
    lines, database = tmp_path / "notes.jsonl", tmp_path / "theirs.sqlite"
    lines.write_text("somebody's own\n")
    with closing(sqlite3.connect(database)) as theirs:
        theirs.execute("CREATE TABLE theirs (x)")
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in (lines, database)}
    assert "none of ours" in Recorder(enabled=True, path=lines).unopened()[0]
    assert "a database of another program" in Recorder(enabled=True, path=database).unopened()[0]
    assert "path in [plugins.audit]" in AuditLog(path=lines).unopened()[0]
    assert {path: (path.read_bytes(), path.stat().st_mode) for path in (lines, database)} == before
    assert {*tmp_path.iterdir()} == {lines, database}


@pytest.mark.parametrize("name", ["calls.jsonl", "calls.sqlite"])
def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (said,) = Recorder(enabled=True, path=tmp_path / "file" / "below" / name).unopened()
    assert "where calls are lost" in said
    assert Recorder(enabled=True, path=tmp_path / "new" / name).unopened() == []  # one that can be is made
    assert {one.name for one in tmp_path.iterdir()} == {"file"}


def test_one_that_is_off_or_writes_no_file_has_nothing_to_say(tmp_path: Path) -> None:
    assert Recorder(enabled=False, path=tmp_path / "nowhere" / "x.jsonl").unopened() == []
    assert Recorder(enabled=True).unopened() == []


def test_an_audit_that_can_be_written_leaves_no_file(tmp_path: Path) -> None:
    assert AuditLog(path=tmp_path / "new" / "audit.jsonl").unopened() == []
    assert [*tmp_path.iterdir()] == []
