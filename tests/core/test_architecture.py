"""What the sources must look like: which way dependencies point, what must not be there, how long a file may be."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "clippy_core"
CONTRACT = ROOT / "hookspecs" / "src" / "clippy_hookspecs"
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
"""Among them libraries that several plugins are built on: distributions without an entry point."""
SDKS = {"openai", "anthropic", "google", "mistralai", "ollama", "litellm", "langchain_openai", "pydantic_ai", "cohere"}
PICKLES = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}

LONGEST = 400
"""Lines of a source file (style.md 3.6)."""
LONGEST_PIPELINE = 700
"""The way of a request is one file, so that it can be read from top to bottom."""


def _sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


IMPORTED = [path for path in _sources(CORE) if not path.match("scaffold/test_*.py")]
"""The core without the tests that ``clippy new-plugin`` hands out, which are read as text and never imported."""
ALL = _sources(CORE, CONTRACT, *(plugin / "src" for plugin in PLUGINS))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def _imports(path: Path) -> tuple[tuple[str, int, bool], ...]:
    """The absolute imports in *path*: top-level name, line, and whether importing the file is enough to run it."""
    return tuple(_found_imports(path))


def _found_imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    tree = _tree(path)
    lazy = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, (ast.FunctionDef, ast.AsyncFunctionDef)) or _only_for_types(block)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node.lineno, id(node) not in lazy
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], node.lineno, id(node) not in lazy


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _import_names(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("src/*/__init__.py")}


PLUGIN_NAMES = set().union(*(_import_names(plugin) for plugin in PLUGINS))


def _declared(project: Path) -> set[str]:
    """The import names of the distributions that a pyproject.toml names as dependencies, its optional ones included."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    wanted = [
        *table["dependencies"],
        *(one for extra in table.get("optional-dependencies", {}).values() for one in extra),
    ]
    names = {_normal(requirement) for requirement in wanted}
    return {imported for imported, distributions in _installed().items() if names & distributions}


@functools.cache
def _installed() -> dict[str, set[str]]:
    """The distributions that bring each import name; of our own, which are installed editable, by their folders."""
    found = {
        imported: {_normal(distribution) for distribution in distributions}
        for imported, distributions in importlib.metadata.packages_distributions().items()
    }
    found |= {imported: {plugin.name} for plugin in PLUGINS for imported in _import_names(plugin)}
    return {**found, "clippy_hookspecs": {"clippy-hookspecs"}, "clippy_core": {"clippy-core"}}


def _normal(requirement: str) -> str:
    end = next((i for i, letter in enumerate(requirement) if not (letter.isalnum() or letter in "-_.")), None)
    return requirement[:end].lower().replace("_", "-").replace(".", "-")


def _entries(plugin: Path) -> dict[str, str]:
    """The plugins that a distribution brings; none if it is a library."""
    project = tomllib.loads((plugin / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entries: dict[str, str] = project.get("entry-points", {}).get("clippy", {})
    return entries


def _undeclared(sources: list[Path], own: set[str], project: Path) -> list[str]:
    """Imports that fail in an environment with nothing but the distribution's own dependencies."""
    allowed = own | _declared(project) | set(sys.stdlib_module_names)
    return [
        f"{_name(path)}:{line} imports {name}"
        for path in sources
        for name, line, always in _imports(path)
        if always and name not in allowed
    ]


# --- dependencies point one way --------------------------------------------------------------------------------------


def test_the_contract_needs_pluggy_and_attrs_and_nothing_else() -> None:
    """A plugin that depends on the contract gets no HTTP library, no host and no framework with it."""
    allowed = {"pluggy", "attrs", "attr", "clippy_hookspecs", *sys.stdlib_module_names}
    found = [
        f"{_name(path)}:{line} {name}"
        for path in _sources(CONTRACT)
        for name, line, _ in _imports(path)
        if name not in allowed
    ]
    assert [] == found


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_imports_the_contract_and_what_it_declares(plugin: Path) -> None:
    """No plugin imports the host; another plugin only as an ordinary dependency."""
    declared = _declared(plugin / "pyproject.toml")
    assert "clippy_hookspecs" in declared or not _entries(plugin)
    assert "clippy_core" not in declared
    undeclared = _undeclared(_sources(plugin / "src"), _import_names(plugin), plugin / "pyproject.toml")
    # A module of commands is imported by the command line alone, which brings click.
    assert [] == [one for one in undeclared if not ("commands.py" in one and one.endswith(" click"))]
    core = [_name(path) for path in _sources(plugin / "src") for name, _, _ in _imports(path) if name == "clippy_core"]
    assert [] == core


def test_the_core_imports_no_plugin_and_no_sdk() -> None:
    """Features come through entry points and SDKs are recognised by what they are made of."""
    found = [
        f"{_name(path)}:{line} imports {name}"
        for path in _sources(CORE)
        for name, line, _ in _imports(path)
        if name in PLUGIN_NAMES | SDKS
    ]
    assert [] == found


@pytest.mark.parametrize(
    ("project", "sources", "own"),
    [
        (ROOT / "pyproject.toml", IMPORTED, {"clippy_core"}),
        (ROOT / "hookspecs" / "pyproject.toml", _sources(CONTRACT), {"clippy_hookspecs"}),
    ],
    ids=["clippy-core", "clippy-hookspecs"],
)
def test_what_is_imported_is_declared(project: Path, sources: list[Path], own: set[str]) -> None:
    """An import that only works because something else brings the package breaks when that something stops."""
    assert [] == _undeclared(sources, own, project)


@pytest.mark.parametrize("module", ["pipeline", "streaming", "routes"])
def test_the_pipeline_has_no_colour(module: str) -> None:
    """What waits is the runtime's affair: the way of a request neither knows an event loop nor a thread nor a clock."""
    coloured = {"anyio", "asyncio", "trio", "sniffio", "threading", "time", "concurrent"}
    assert set() == {name for name, _, _ in _imports(CORE / f"{module}.py")} & coloured


def test_no_feature_has_a_name_in_the_core() -> None:
    """No plugin's distribution or package is named in the core's code; its documentation may use one as an example."""
    names = {plugin.name for plugin in PLUGINS} | PLUGIN_NAMES
    found = [
        f"{_name(path)}:{node.lineno} {node.value!r}"
        for path in _sources(CORE)
        for node in _texts_of_code(_tree(path))
        if any(name in node.value for name in names)
    ]
    assert [] == found


def _texts_of_code(tree: ast.Module) -> Iterator[Any]:
    """String constants that are no documentation."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node


# --- what must not be there ------------------------------------------------------------------------------------------


def test_there_is_no_async_generator() -> None:
    """They leak when they are closed early; only asynccontextmanager, which drives its own to the end, may have one."""
    found = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in ALL
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.AsyncFunctionDef) and _yields(node) and not _is_context_manager(node)
    ]
    assert [] == found


def _yields(function: ast.AsyncFunctionDef) -> bool:
    """Whether it yields itself, which a function inside it may."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def _is_context_manager(function: ast.AsyncFunctionDef) -> bool:
    return any("asynccontextmanager" in ast.unparse(decorator) for decorator in function.decorator_list)


def test_nothing_is_pickled_or_evaluated() -> None:
    """What is read back from a file can be anybody's, so nothing read can name code."""
    found = [
        f"{_name(path)}:{line} imports {name}" for path in ALL for name, line, _ in _imports(path) if name in PICKLES
    ]
    found += [
        f"{_name(path)}:{node.lineno} calls {node.func.id}"
        for path in ALL
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec")
    ]
    assert [] == found


def test_no_failure_disappears() -> None:
    """A handler for every exception that does nothing hides a fault from everybody."""
    found = [
        f"{_name(path)}:{node.lineno}"
        for path in ALL
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ExceptHandler)
        and _catches_all(node)
        and all(isinstance(one, ast.Pass) for one in node.body)
    ]
    assert [] == found


def _catches_all(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    )


# --- how it reads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL, ids=_name)
def test_a_source_file_is_one_idea(path: Path) -> None:
    """It says what it is for, and it is short enough to be read."""
    assert ast.get_docstring(_tree(path)), "the module has no docstring"
    longest = LONGEST_PIPELINE if path == CORE / "pipeline.py" else LONGEST
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= longest, f"{lines} lines"


def test_what_is_public_is_documented() -> None:
    """Every public class and function says what it is for."""
    found = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in ALL
        for node in _tree(path).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and not node.name.startswith("_")
        and not any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
        and not ast.get_docstring(node)
    ]
    assert [] == found


def test_every_setting_says_what_it_is() -> None:
    """The settings of a plugin are documented where they are declared, because docs and messages come from there."""
    found = []
    for plugin in PLUGINS:
        for value in _entries(plugin).values():
            module, _, name = value.partition(":")
            cls = getattr(importlib.import_module(module), name)
            found += [
                f"{name}.{attribute.name}"
                for attribute in cls.__attrs_attrs__
                if attribute.init and not attribute.metadata.get("doc")
            ]
    assert [] == found


@functools.cache
def _with_all() -> list[str]:
    """Read as text, for every worker collects these and parsing all sources would take it ten seconds."""
    return [
        ".".join(path.with_suffix("").relative_to(_base(path)).parts).removesuffix(".__init__")
        for path in ALL
        if re.search(r"^__all__\b[^\n=]*=", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def _base(path: Path) -> Path:
    return next((folder for folder in path.parents if folder.name == "src"), ROOT)


@pytest.mark.parametrize("module", _with_all())
def test_all_lists_what_is_there(module: str) -> None:
    """``__all__`` names exist, once each."""
    imported = importlib.import_module(module)
    assert [] == [name for name in imported.__all__ if not hasattr(imported, name)]
    assert len(imported.__all__) == len(set(imported.__all__))


PACKAGES = [module for module in _with_all() if not module.startswith("clippy_core.") and "." not in module]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_complete(package: str) -> None:
    """What a package's front page defines, or gathers, without an underscore is in ``__all__``."""
    imported = importlib.import_module(package)
    assert imported.__file__ is not None
    body = _tree(Path(imported.__file__)).body
    offered = {node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))}
    if not offered:  # a front page that only gathers; one with code in it also imports for its own use
        gathered = [node for node in body if isinstance(node, ast.ImportFrom) and node.level > 0]
        offered = {alias.asname or alias.name for node in gathered for alias in node.names}
    public = {name for name in offered if not name.startswith("_")}
    assert set() == public - set(imported.__all__)


@pytest.mark.parametrize("package", ["clippy_core", "clippy_core.testing"])
def test_what_the_core_promises_can_be_imported(package: str) -> None:
    """The names of these packages are imported on first use; each of them is where the table says."""
    core = importlib.import_module(package)
    assert sorted(core._HOME) == sorted(core.__all__)
    assert [] == [name for name in core.__all__ if getattr(core, name).__module__.split(".")[0] != "clippy_core"]
