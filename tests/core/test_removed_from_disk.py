"""Packages that are removed from the disk under a running host: what it needs it has imported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    ROOT / "clippy_core",
    ROOT / "hookspecs" / "src" / "clippy_hookspecs",
    *(path.parent for path in (ROOT / "plugins").glob("*/src/*/__init__.py")),
]


def test_a_host_works_on_when_all_its_packages_are_deleted(tmp_path: Path) -> None:
    """Every call in every colour, with faults that are judged and repaired: nothing is imported late."""
    folder = tmp_path / "packages"
    for package in PACKAGES:
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "support" / "removed_program.py"), str(folder)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    plugins = sum("entry-points" in path.read_text("utf-8") for path in (ROOT / "plugins").glob("*/pyproject.toml"))
    assert run.stdout == f"{plugins} plugins worked on, 0 failures\n"
