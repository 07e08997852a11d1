"""What the tests of the command line share: an installation of their own, and a way to run a command in it."""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import click.testing
import importlib_metadata
import pytest

from clippy_core.cli import command_line
from clippy_core.installed import rescan

NUMBERS = itertools.count()
HEADER = "import click\nfrom attrs import define, field\nfrom clippy_hookspecs import hookimpl\n"

Run = Callable[..., click.testing.Result]
Install = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for distributions; a test may put it on the path of another process."""
    made = tmp_path / "site"
    made.mkdir()
    return made


@pytest.fixture
def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution ``temporary-NAME`` 1.2 with one plugin, given as its source; returns its module.

    *tells* are the commands that it tells of, with the function in its module; *needs* is its requirement.
    """
    monkeypatch.syspath_prepend(folder)
    modules: list[str] = []

    def add(name: str, source: str, tells: Mapping[str, str] = MappingProxyType({}), needs: str = "") -> str:
        module = f"temporary_cli_plugin_{next(NUMBERS)}"
        modules.append(module)
        (folder / f"{module}.py").write_text(HEADER + textwrap.dedent(source))
        info = folder / f"temporary_{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        needed = f"Requires-Dist: {needs}\n" if needs else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: temporary-{name}\nVersion: 1.2\n{needed}")
        told = "".join(f"{command} = {module}:{function}\n" for command, function in tells.items())
        (info / "entry_points.txt").write_text(f"[clippy]\n{name} = {module}:Plugin\n[clippy.commands]\n{told}")
        importlib.invalidate_caches()
        importlib_metadata.MetadataPathFinder.invalidate_caches()
        rescan()
        return module

    yield add
    for module in modules:
        sys.modules.pop(module, None)
    monkeypatch.undo()
    rescan()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``clippy ARGS`` in an empty folder; *only* names the plugins that may load, by default none."""
    for name in list(os.environ):
        if name.startswith("CLIPPY_"):
            monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def call(*args: str, only: str = "off", **environ: str) -> click.testing.Result:
        runner = click.testing.CliRunner(env={"CLIPPY_PLUGINS": only, **environ})
        return runner.invoke(command_line(), args, prog_name="clippy")

    return call
