"""The public API is typed: a right program passes mypy --strict, and each slip is found where it is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

mypy = pytest.importorskip("mypy.api", reason="mypy is not installed")


def found() -> set[tuple[str, int, str]]:
    """What mypy finds in both programs, with the project's own configuration: file, line, code."""
    files = [str(HERE.relative_to(ROOT) / name) for name in ("api.py", "wrong.py")]
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", "--show-error-codes", *files]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    errors = re.findall(r"^(\S+?):(\d+): error: .*\[([a-z-]+)\]$", run.stdout, re.MULTILINE)
    return {(Path(file).name, int(line), code) for file, line, code in errors}


def test_a_right_program_passes_and_every_slip_is_found() -> None:
    """As people write plugins, clients, services and tests; a slip is found where it is, and nothing else is.

    One run of mypy: as a fixture of the module it was one in each worker that got a test of it.
    """
    told = found()
    assert set() == {error for error in told if error[0] != "wrong.py"}
    marked = {
        ("wrong.py", number, code)
        for number, line in enumerate((HERE / "wrong.py").read_text(encoding="utf-8").splitlines(), 1)
        if not line.startswith("#") and "  # " in line
        for code in line.rpartition("  # ")[2].split()
    }
    assert len(marked) > 10
    assert marked == {error for error in told if error[0] == "wrong.py"}
