"""The examples are programs: every Python block of the documentation runs, every block of configuration is accepted.

A block that speaks of a ``ctx`` it does not make is the inside of a hook: it is compiled and not run.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from clippy_hookspecs.stored import MAX_BYTES
from doc_pages import GUIDE, ROOT, blocks, files, write_package

import clippy_core
from clippy_core.discovery import rescan
from clippy_core.testing import FakeProvider, FakeServer, Reply

README = ROOT / "README.md"
"""Run by a test of its own, which knows what it prints."""
PAGES = sorted([README, ROOT / "SECURITY.md", ROOT / "hookspecs" / "README.md"])
PAGES += sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").glob("*/README.md")])


NOBODY = "http://key@127.0.0.1:9/1"
"""A Sentry project on a port where nobody listens."""


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _is_inside_a_hook(block: str) -> bool:
    names = [node for node in ast.walk(ast.parse(block)) if isinstance(node, (ast.Name, ast.arg))]
    made = {node.arg for node in names if isinstance(node, ast.arg)}
    return any(isinstance(node, ast.Name) and node.id == "ctx" for node in names) and "ctx" not in made


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
WITH_TOML = [page for page in PAGES if blocks(page, "toml")]


def run(page: Path, folder: Path, server: FakeServer) -> str:
    """Run a page's Python blocks one after the other, as a program of its own in an empty home; what it printed."""
    settings = _settings(folder, server)
    settings["PYTHONPATH"] = os.pathsep.join(write_package(page, folder))
    lines: list[str] = []
    for block in blocks(page, "python"):
        lines += [] if _is_inside_a_hook(block) else block.splitlines()[len(lines) :]
    program = folder / "page.py"
    program.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = [block for block in blocks(page, "toml") if "[plugins." in block and "[project" not in block]
    (folder / "clippy.toml").write_text("\n".join(config), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", str(program)],
        cwd=folder, env=settings, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


def _settings(folder: Path, server: FakeServer) -> dict[str, str]:
    """The environment of a page's program: an empty home, and a provider on loopback."""
    home = folder / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT", "VIRTUAL_ENV") if name in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "OPENAI_API_KEY": "sk-none",
        "OPENAI_BACKUP_KEY": "sk-none",
        "OPENAI_BASE_URL": server.base_url,
        "ANTHROPIC_API_KEY": "sk-ant-none",
        "SENTRY_DSN": NOBODY,
        "ANTHROPIC_BASE_URL": server.origin,
        "CLIPPY_ROUTES__MAIN__BASE_URL": server.base_url,
    }


@pytest.mark.parametrize("page", [page for page in WITH_PYTHON if page != README], ids=_name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """In the order of the page, offline, in an empty home; what an example asserts is true."""
    with FakeServer(Reply("Hello yourself")) as server:
        run(page, tmp_path, server)


def test_the_readme_shows_every_entrance_and_each_one_answers(tmp_path: Path) -> None:
    """The examples for both SDKs, and for our own clients plain and streamed, print the provider's answer."""
    with FakeServer(Reply("Hello yourself")) as server:
        printed = run(README, tmp_path, server)
    assert printed == "Hello yourself\n" * 3 + "Hello yourself" * 2 + "\n" + "Hello yourself"


def test_the_cache_of_the_guide_stores_only_what_it_can_read_again(tmp_path: Path) -> None:
    """An answer beyond what load_entry takes leaves no file, and one below it is a hit."""
    [block] = [block for block in blocks(GUIDE, "python") if "class FolderCache" in block]
    names: dict[str, Any] = {}
    exec(compile(block, GUIDE.name, "exec"), names)
    routes = {"main": {"base_url": "http://fake.test/v1", "key": "none", "model": "m"}}
    for length, calls in ((MAX_BYTES // 2, 1), (MAX_BYTES, 2)):
        provider, folder = FakeProvider(Reply("a" * length)), tmp_path / str(length)
        host = clippy_core.Host([names["FolderCache"](path=folder)], config={"routes": routes})
        with host, clippy_core.Client(host, provider.client()) as client:
            assert [len(client.chat("Hi").text) for _ in range(2)] == [length, length]
        assert provider.calls == calls
        assert len([*folder.glob("*")]) == 2 - calls


@pytest.mark.parametrize("page", WITH_TOML, ids=_name)
def test_the_configuration_of_a_page_is_accepted(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of TOML are a pyproject.toml or a configuration without a fault, with the plugins that are installed."""
    for name in ("OPENAI_API_KEY", "OPENAI_BACKUP_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-none")
    for name in ("GATEWAY_KEY_SHOP", "GATEWAY_KEY_BACKEND", "METRICS_TOKEN"):
        monkeypatch.setenv(name, f"{name}-of-no-gateway")
    monkeypatch.setenv("SENTRY_DSN", NOBODY)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for folder in write_package(page, tmp_path):
        monkeypatch.syspath_prepend(folder)
    rescan()
    for number, block in enumerate(blocks(page, "toml")):
        table = tomllib.loads(block)
        if "project" in table:
            assert all(group.partition(".")[0] == "clippy" for group in table["project"]["entry-points"])
            continue
        if set(table) == {"tool"} and "clippy" not in table["tool"]:
            continue  # what another tool reads
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        host = clippy_core.Host.from_config(file)
        assert set(table.get("plugins", {})) <= set(host.plugins)
    monkeypatch.undo()
    rescan()


def test_the_package_of_the_guide_works_when_it_is_installed(tmp_path: Path) -> None:
    """Its own tests pass, and the command line lists it as loaded, with nothing but the files that the guide shows."""
    path = write_package(GUIDE, tmp_path)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT", "VIRTUAL_ENV") if name in os.environ}
    env = {**kept, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(path)}

    def call(*arguments: str) -> str:
        run = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    assert "2 passed" in call("pytest", "-q", "-p", "no:cacheprovider")
    listed = json.loads(call("clippy_core.cli", "plugins", "list", "--json"))
    found = next(plugin for plugin in listed if plugin["name"] == "mask-words")
    assert (found["status"], found["warnings"]) == ("loaded", [])
    assert found["hooks"] == ["on_chunk", "on_response"]


def test_the_guide_shows_every_file_of_its_package_but_empty_ones() -> None:
    """The tree at its beginning is the list of the files below it."""
    text = GUIDE.read_text(encoding="utf-8")
    tree = text.partition("```\nclippy-mask-words/\n")[2].partition("```")[0]
    named = [line.split()[0] for line in tree.splitlines() if "(empty" not in line]
    assert named == list(files(GUIDE))


def test_the_way_from_scaffold_to_grade_is_as_the_guide_shows_it(tmp_path: Path) -> None:
    """Every line works, and the grade is the one that stands there; the install is its signposts: no index is asked."""
    section = GUIDE.read_text(encoding="utf-8").partition("## From scaffold to grade")[2]
    lines = section.partition("```sh\n")[2].partition("```")[0].splitlines()
    site = tmp_path / "site"
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT", "VIRTUAL_ENV") if name in os.environ}
    env = {
        **kept,
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(site), str(tmp_path / "clippy-shout/src")]),
    }
    printed = {}
    for line in lines:
        if line == 'python -m pip install -e "clippy-shout[test]"':
            info = site / "clippy_shout-0.1.0.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clippy-shout\nVersion: 0.1.0\n")
            (info / "entry_points.txt").write_text("[clippy]\nshout = clippy_shout:Shout\n")
            continue
        words = line.removeprefix("python -m ").replace("clippy ", "clippy_core.cli ", 1).split()
        run = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        printed[line] = run.stdout
        assert run.returncode == 0, run.stdout + run.stderr
    assert "shout" in printed["clippy plugins list"]
    assert "shout" in printed["clippy hooks"]
    assert "shout: B (14 of 33 checks not applicable; graded on" in printed["clippy doctor"]
