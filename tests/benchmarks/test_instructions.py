"""Counting instructions: which process did what, and what the difference of two counts says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks import instructions
from benchmarks.instructions import BLOCKS, Task, counted, table
from clippy_core.testing.canned import CannedServer

LOG = """
==10== Cachegrind, a cache and branch-prediction profiler
==9== I   refs:      7,000
==11== I   refs:      1,000
==12== I   refs:      51,000
==13== I   refs:      2,000
==14== I   refs:      57,000
==10== I   refs:      9,999,999
"""
SAID = "\n".join(
    json.dumps([group, case, more, pid])
    for group, case, more, pid in [
        ("g", "bare", 0, 11),
        ("g", "bare", 5, 12),
        ("g", "ours", 0, 13),
        ("g", "ours", 5, 14),
    ]
)
WANTED = [Task("g", "bare", 10, title="a call"), Task("g", "ours", 10, bar=1.05, title="a call")]


def test_one_call_costs_what_one_process_did_more_than_the_other() -> None:
    """Of 50 calls; making and warming up, which both did, is not in it, nor what the first of all did."""
    assert BLOCKS * WANTED[0].times == 50
    bare, ours = counted(WANTED, SAID, LOG)
    assert (bare.instructions, bare.ratio, bare.verdict) == (1000.0, 1.0, "")
    assert (ours.instructions, ours.ratio, ours.verdict) == (1100.0, 1.1, "over")
    assert [line.split() for line in table([bare, ours])][1:] == [
        ["bare", "1,000", "1.000"],
        ["ours", "1,100", "1.100", "1.05", "over"],
    ]


def test_a_process_that_valgrind_says_nothing_of_is_no_figure() -> None:
    """Rather than one of nought."""
    with pytest.raises(KeyError):
        counted(WANTED, SAID, LOG.replace("==14==", "==15=="))


def test_the_first_case_of_a_group_is_always_counted() -> None:
    """Else there were nothing to compare with; a bar of wall time is no bar of instructions."""
    with CannedServer() as server:
        found = instructions.tasks(server.port, ["cached-sync"], ["memory-cache hit"])
    assert [(task.case, task.bar) for task in found] == [("bare", None), ("memory-cache hit", None)]


def test_the_counted_process_does_each_case_in_children_of_its_own() -> None:
    """Without valgrind, which only counts: it says who did how much, and fails when a case does."""
    with CannedServer() as server:
        before = server.requests()
        asked = [["call-sync", "0 plugins", 2]]
        done = _worked(server.port, asked)
        assert done.returncode == 0, done.stderr
        said = [json.loads(line) for line in done.stdout.splitlines()]
        assert [one[:3] for one in said] == [["call-sync", "0 plugins", more] for more in (0, 0, BLOCKS)]
        assert len({pid for *_, pid in said}) == 3
        assert server.requests() - before == 2 * 3 + 2 * BLOCKS
        failed = _worked(server.port, [["call-sync", "no such case", 1]])
        assert failed.returncode
        assert "no such case: the process that did it failed" in failed.stderr


def _worked(port: int, asked: list[list[object]]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.instructions", "--worker", str(port), json.dumps(asked)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
