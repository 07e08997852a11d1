"""Programs in an interpreter of their own, by Python itself and by ``clippy run``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define

KEPT = ("PATH", "LANG", "SYSTEMROOT", "VIRTUAL_ENV")
PYTHON = (sys.executable,)
CLIPPY_RUN = (sys.executable, "-m", "clippy_core.cli", "run")


@define
class Ran:
    """What came of a program.  ``traced`` are the requests that went through a host, in order."""

    code: int
    out: str
    err: str
    traced: list[dict[str, Any]]


@define(eq=False)
class Folder:
    """A folder with a home of its own, where programs run, with these *plugins*; "" leaves it to the configuration."""

    path: Path
    plugins: str = ""

    def write(self, name: str, source: str) -> None:
        """A file in it."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), encoding="utf-8")

    def run(self, *command: str, by: tuple[str, ...] = CLIPPY_RUN, environ: Mapping[str, str] | None = None) -> Ran:
        """Run *command* by ``clippy run``, or by Python alone.  The trace goes into a file beside the program."""
        home, trace = self.path / "home", self.path / "trace.jsonl"
        home.mkdir(exist_ok=True)
        trace.unlink(missing_ok=True)
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        settings = {"HOME": str(home), "CLIPPY_TRACE": str(trace), "OPENAI_API_KEY": "sk", "ANTHROPIC_API_KEY": "sk"}
        if self.plugins:
            settings["CLIPPY_PLUGINS"] = self.plugins
        ran = subprocess.run(
            [*by, *command], cwd=self.path, env={**kept, **settings, **(environ or {})}, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        told = trace.read_text(encoding="utf-8").splitlines() if trace.exists() else []
        return Ran(ran.returncode, ran.stdout, ran.stderr, [json.loads(line) for line in told])

    def answered(self, *command: str, environ: Mapping[str, str] | None = None) -> Ran:
        """As :meth:`run`, for a program that must end well and says nothing on stderr."""
        ran = self.run(*command, environ=environ)
        assert (ran.code, ran.err) == (0, "")
        return ran
