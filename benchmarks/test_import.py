"""What a program pays at its start: the import, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest


@pytest.mark.parametrize("module", ["httpx", "clippy_core", "clippy_core.testing", "openai"])
def test_an_import(benchmark: Any, module: str) -> None:
    """A new interpreter that imports *module* and ends."""
    benchmark.group = "import"
    command = [sys.executable, "-c", f"import {module}"]
    benchmark.pedantic(subprocess.run, (command,), {"check": True}, rounds=5, warmup_rounds=1)
