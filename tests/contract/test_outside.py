"""A plugin package of somebody else's: it depends on the contract alone, implements all of it, and is called in order.

``.ci/clean_room`` does the same with a wheel of it in an environment of its own.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from clippy_hookspecs import POLICIES
from sdk_lab import private_folders

import clippy_core
from clippy_core.cli import command_line
from clippy_core.installed import rescan

OUTSIDE = Path(__file__).with_name("outside")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "hook-order.md"
PROJECT = tomllib.loads((OUTSIDE / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The program that drives the package, which is installed for the time of a test."""
    private_folders(monkeypatch, tmp_path)
    info = tmp_path / "site" / "clippy_outside-1.0.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n")
    entries = "".join(f"{name} = {value}\n" for name, value in PROJECT["entry-points"]["clippy"].items())
    (info / "entry_points.txt").write_text(f"[clippy]\n{entries}")
    monkeypatch.syspath_prepend(info.parent)
    monkeypatch.syspath_prepend(OUTSIDE / "src")
    rescan()
    spec = importlib.util.spec_from_file_location("outside_order", OUTSIDE / "order.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "outside_order", module)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("clippy_outside", None)
    monkeypatch.undo()
    rescan()


def test_it_depends_on_the_contract_alone() -> None:
    """What it declares and what it imports; attrs comes with the contract."""
    assert PROJECT["dependencies"] == ["clippy-hookspecs>=0.1,<0.2"]
    tree = ast.parse((OUTSIDE / "src" / "clippy_outside" / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported - set(sys.stdlib_module_names) == {"attrs", "clippy_hookspecs"}


def test_it_implements_every_hook_and_waits_where_it_may(order: Any) -> None:
    """Both plugins; the one that waits does so in each hook that may."""
    host = clippy_core.Host.from_config(allow=[*order.PLUGINS])
    assert [tuple(POLICIES)] * 2 == [plugin.hooks for plugin in host.discovered.loaded]
    steps = [step for steps in host.chains.steps.values() for step in steps]
    may = {hook for hook, policy in POLICIES.items() if policy.may_await} - {"lifespan"}
    assert {("outside-awaiting", hook) for hook in may} == {(step.plugin, step.hook) for step in steps if step.awaits}


@pytest.mark.parametrize("number", range(16))
def test_the_calls_come_in_the_documented_order(order: Any, number: int) -> None:
    """The same in every colour and for both plugins: what the page says under this title; audit once."""
    title = order.SCENES[number][0]
    said = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("```text\n")[2].partition("```")[0]
    assert said.splitlines() == order.lines(order.every_sequence(number))


def test_the_page_is_what_the_program_prints(order: Any) -> None:
    """``python tests/contract/outside/order.py > docs/hook-order.md`` after a change."""
    assert len(order.SCENES) == 16
    assert PAGE.read_text(encoding="utf-8") == order.page()


def test_the_command_line_calls_for_commands(order: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``register_commands`` of an installed plugin is called when it starts."""
    called: list[object] = []
    monkeypatch.setattr(importlib.import_module("clippy_outside").Notes, "note", lambda self, call: called.append(call))
    command_line().main(["--help"], standalone_mode=False)
    assert called == ["register_commands", "register_commands"]
