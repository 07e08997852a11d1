"""``clippy audit`` shows records and lets none of them speak to the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from clippy_audit import AuditLog
from clippy_audit.lines import last_records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def run(log: AuditLog, *arguments: str) -> Result:
    group = click.Group("clippy")
    log.register_commands(group)
    return CliRunner().invoke(group, ["audit", *arguments])


@pytest.fixture
def filled(tmp_path: Path) -> AuditLog:
    """A log of twelve records, the newest of them with a text that would rewrite the screen."""
    log = AuditLog(path=tmp_path / "audit.jsonl")
    lines = [{"v": 1, "id": f"r{number}", "outcome": "answered", "model": "m"} for number in range(11)]
    lines.append({"v": 1, "id": "evil", "outcome": "failed", "model": "\x1b[2J\x1b]0;x\x07\u202egnp\x7f\nfake line"})
    log.path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return log


def test_tail_shows_the_newest_records_in_order(filled: AuditLog) -> None:
    """Ten unless told otherwise."""
    shown = run(filled, "tail").output.splitlines()
    assert len(shown) == 10
    assert shown[0].endswith("r2")
    assert len(run(filled, "tail", "-n", "3").output.splitlines()) == 3


def test_what_a_record_holds_cannot_move_the_cursor(filled: AuditLog) -> None:
    """Escapes, bidirectional marks and line ends are shown as what they are, in every form of output."""
    for arguments in (["tail"], ["tail", "--json"], ["show", "evil"], ["show", "evil", "--json"]):
        output = run(filled, *arguments).output
        assert not any(character in output for character in "\x1b\x07\x7f\u202e")
        assert "fake line" not in output.splitlines()
    assert "\\x1b[2J" in run(filled, "tail").output


def test_json_output_is_one_object_a_line(filled: AuditLog) -> None:
    """The same records."""
    lines = run(filled, "tail", "-n", "2", "--json").output.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["r10", "evil"]


def test_show_finds_a_record_by_its_id(filled: AuditLog) -> None:
    """Whole; and says so when there is none."""
    assert json.loads(run(filled, "show", "r4").output)["id"] == "r4"
    missing = run(filled, "show", "r\x1b99")
    assert missing.exit_code == 1
    assert "no record of r\\x1b99" in missing.output


def test_the_beginning_of_an_id_is_enough_where_it_is_one_requests(filled: AuditLog) -> None:
    """As with the keys of stored answers; a whole id is nobody's beginning, and two records of a request are one."""
    assert json.loads(run(filled, "show", "ev").output)["id"] == "evil"
    assert json.loads(run(filled, "show", "r1").output)["id"] == "r1", "and not r10"
    several = run(filled, "show", "r")
    assert several.exit_code == 1
    assert "11 ids begin with r; give more of one" in several.output
    with filled.path.open("a") as file:
        file.write(json.dumps({"v": 1, "id": "evil", "outcome": "cached"}) + "\n")
    assert json.loads(run(filled, "show", "e").output)["outcome"] == "cached", "the newest"


def test_an_empty_log_is_no_error(tmp_path: Path) -> None:
    """Nothing was audited yet."""
    shown = run(AuditLog(path=tmp_path / "none.jsonl"), "tail")
    assert (shown.exit_code, shown.output[:10]) == (0, "no records")


def test_lines_that_are_no_records_are_passed_over(filled: AuditLog) -> None:
    """A disk may have been full, a file may hold anything."""
    with filled.path.open("ab") as file:
        file.write(b'{"torn\n[1]\nnull\n\xff\xfe\n\n')
    assert [json.loads(line)["id"] for line in run(filled, "tail", "-n", "1", "--json").output.splitlines()] == ["evil"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.integers(0, 90000), max_size=8), st.integers(1, 10), st.integers(0, 3))
def test_the_newest_records_are_read_across_pieces_and_files(
    tmp_path: Path, sizes: list[int], count: int, aside: int
) -> None:
    """Lines longer than a piece, none at all, and files set aside."""
    path = tmp_path / "log"
    records = [{"n": number, "pad": "x" * size} for number, size in enumerate(sizes)]
    old, new = records[:aside], records[aside:]
    for file, part in ((path.with_name("log.1"), old), (path, new)):
        file.write_text("".join(json.dumps(record) + "\n" for record in part))
    assert last_records(path, count, keep=5) == records[-count:]


def test_the_plugin_works_without_click() -> None:
    """Only the command line needs it, and it brings it."""
    program = "import sys; sys.modules['click'] = None; import clippy_audit; clippy_audit.AuditLog()"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
