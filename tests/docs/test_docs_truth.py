"""What the documentation says in tables is what the code does."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import attrs
import pytest
from clippy_hookspecs import POLICIES, specs

from clippy_core.plugin_check import check_class

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "clippy_core"
PLUGINS = sorted((ROOT / "plugins").glob("*/pyproject.toml"))
Row = list[str]


def table(text: str, first: str) -> list[Row]:
    """The rows of the table whose first column is headed *first*."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            next(lines)
            rows = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]])
            return rows
    raise AssertionError(f"there is no table of {first}")


def entries() -> dict[str, tuple[Path, type[Any]]]:
    """The plugins by name: where their distribution is, and their class."""
    found = {}
    for project in PLUGINS:
        table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        for name, value in table.get("entry-points", {}).get("clippy", {}).items():  # a library has none
            module, _, cls = value.partition(":")
            found[name] = (project.parent, getattr(importlib.import_module(module), cls))
    return found


ENTRIES = entries()


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENTRIES)
def test_a_readme_lists_the_settings_that_there_are(name: str) -> None:
    """Every setting, in the order of the class, with its default."""
    folder, cls = ENTRIES[name]
    settings = [field for field in attrs.fields(cls) if field.init]
    rows = table((folder / "README.md").read_text(encoding="utf-8"), "setting")
    assert [row[0].strip("`") for row in rows] == [field.alias for field in settings]
    for row, field in zip(rows, settings, strict=True):
        assert _is_default(row[1], field.default), (
            f"{field.name}: the README says {row[1]}, the class {field.default!r}"
        )


def _is_default(cell: str, default: Any) -> bool:
    """Whether a cell names a default: one code span is the value itself, words stand for None."""
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        default = default.factory()
    span = re.fullmatch(r"`([^`]*)`", cell)
    if span is None:
        whole_table = attrs.has(type(default))  # its own settings stand in the reference
        return default is None or whole_table or (isinstance(default, (tuple, list, dict)) and not default)
    try:
        value = tomllib.loads(f"value = {span[1]}")["value"]
    except tomllib.TOMLDecodeError:
        value = span[1]
    if isinstance(default, tuple):
        return bool(list(default) == value)
    if default is None:
        return str(value).lower() == "none"
    if isinstance(default, (bool, int, float)):
        return not isinstance(value, str) and bool(value == default)
    return str(value) == str(default)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_readme_says_what_the_plugin_is_for_and_what_happens_when_it_fails(name: str) -> None:
    """A purpose under the title, an install line, and the failure policy."""
    text = (ENTRIES[name][0] / "README.md").read_text(encoding="utf-8")
    title, _, rest = text.partition("\n")
    assert title == f"# {ENTRIES[name][0].name}"
    assert rest.strip().splitlines()[0].rstrip()
    assert "pip install" in text
    assert "fail" in text.lower()


# --- the README and the guide ----------------------------------------------------------------------------------------


def test_the_readme_lists_every_plugin_with_its_hooks() -> None:
    """What is in the box is what is in the folder."""
    rows = table((ROOT / "README.md").read_text(encoding="utf-8"), "plugin")
    said = {re.match(r"\[(.+?)\]", row[0])[1]: re.findall(r"`(\w+)`", row[2]) for row in rows}  # type: ignore[index]
    assert said == {
        name: [hook for hook in POLICIES if hook in check_class(cls).implementations]
        for name, (_, cls) in ENTRIES.items()
    }


def test_the_guide_lists_every_hook_as_it_is() -> None:
    """Name, arguments, how results combine, what a failure does, which way the chain runs; in calling order."""
    rows = table((ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8"), "hook")
    assert rows == [
        [
            f"`{name}({', '.join(inspect.signature(getattr(specs, name)).parameters)})`",
            policy.combine,
            "raise, by `host.invalidate`" if name == "cache_invalidate" else policy.on_failure,
            policy.order,
        ]
        for name, policy in POLICIES.items()
    ]


def test_plain_def_hooks_are_named() -> None:
    """The guide says which hooks may not await."""
    text = (ROOT / "docs" / "write-a-plugin.md").read_text(encoding="utf-8")
    plain = {name for name, policy in POLICIES.items() if not policy.may_await}
    assert plain == {name for name in POLICIES if name.startswith("register_")} | {"on_chunk", "observe"}
    assert "`on_chunk`, `observe` and `register_*` are `def`" in text


def test_no_page_installs_our_packages_from_an_index() -> None:
    """They are not published: every install line names a path, or somebody else's package."""
    ours = {project.parent.name for project in PLUGINS} | {"clippy", "clippy-core", "clippy-hookspecs"}
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("plugins/*/README.md"),
    ]
    for page in pages:
        for line in page.read_text(encoding="utf-8").splitlines():
            if "pip install" in line:
                words = line.partition("pip install")[2].partition("&&")[0].replace('"', " ").replace("'", " ").split()
                assert not ours & {re.split(r"[\[=<>~;]", word)[0] for word in words}, f"{page.name}: {line}"


def test_the_readme_names_the_two_commands() -> None:
    """The commands that a stranger runs first, and one line for Pythons that refuse a global pip."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python3 -m pip install uv && python3 -m uv run clippy demo\n" in text
    assert "\npython3 -m uv run pytest -n auto --dist worksteal\n" in text
    assert "python3 -m venv .venv" in text


def test_the_line_without_uv_installs_what_the_tests_need() -> None:
    """What the development group has, which is what uv installs, and every package of the repository."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [line] = [line for line in text.splitlines() if line.startswith("python -m pip install -c constraints.txt")]
    words = line.partition("constraints.txt ")[2]
    assert words.startswith("-e hookspecs -e . $(printf -- '-e %s ' plugins/*) ")
    group = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["dev"]
    needed = {re.split(r"[\[=<>~;]", requirement)[0] for requirement in group}
    # clippy-core is the dot, plugins are in the folder, httpx2 is an extra, and a virtual environment has pip.
    others = {name for name in needed if not name.startswith("clippy-")} - {"pip"}
    assert set(words.partition("plugins/*) ")[2].split()) == others | {"httpx2"}


# --- architecture ----------------------------------------------------------------------------------------------------


def _defined(path: Path) -> set[str]:
    """The functions, classes and methods of a file, methods with their class."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{one.name}"
                for one in node.body
                if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))
            }
    return found


def test_the_way_of_a_request_names_functions_that_exist() -> None:
    """Each step of docs/architecture.md is where it says."""
    rows = table((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), "step")
    assert len(rows) > 12
    for row in rows:
        file = CORE / "pipeline.py"
        for word in re.findall(r"`([^`]+)`", row[1]):
            if word.endswith(".py"):
                file = CORE / word
            else:
                assert word in _defined(file), f"{file.name} has no {word}"


def test_every_hook_of_a_request_has_its_step() -> None:
    """No hook is called at a place that the page does not show."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    way = text.partition("## The way of one request")[2].partition("## Two colours")[0]
    elsewhere = {"lifespan", "register_services", "register_commands", "register_routes", "cache_invalidate", "observe"}
    assert [] == [name for name in POLICIES if name not in elsewhere and f"`{name}`" not in way]


def test_the_table_of_files_is_complete() -> None:
    """Every file of the core and of the contract has its idea, and no idea is of a file that is gone."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = table(text, "file")
    named = [word for row in rows for word in re.findall(r"`([^`]+)`", row[0])]
    there = [path.name for path in CORE.glob("*.py")] + [f"{path.parent.name}/" for path in CORE.glob("*/__init__.py")]
    assert sorted(named) == sorted(name for name in there if name != "__init__.py")
    after = text.partition("A stored entry, the values and the hooks are in")[2].partition("\n\n")[0]
    contract = {path.name for path in (ROOT / "hookspecs" / "src" / "clippy_hookspecs").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py)`", after)) == contract


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_fits_on_a_page(page: Path) -> None:
    """At most forty lines: the question, what was decided, why, at what price, instead of what."""
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert text.startswith(f"# {int(page.name[:3])}. ")
    for part in ("**Question.**", "**Decision.**", "**Why.**", "**Price.**", "**Instead of.**"):
        assert part in text


def test_the_index_has_every_decision_under_its_title() -> None:
    """Once each; and no two have the same number."""
    text = (ROOT / "docs" / "decisions" / "index.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\* \[(.+)\]\((.+)\)$", text, re.MULTILINE))
    titles = {page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# "): page.name for page in DECISIONS}
    assert listed == titles
    numbers = [page.name[:3] for page in DECISIONS]
    assert len(set(numbers)) == len(numbers)
