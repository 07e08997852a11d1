"""``clippy new-plugin``: for every hook a package that works, whose tests pass at once and can fail."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import define
from click.testing import CliRunner
from clippy_hookspecs import POLICIES
from hypothesis import given, settings
from hypothesis import strategies as st

from clippy_core.cli import command_line
from clippy_core.cli.new_plugin import contract_requirement
from clippy_core.cli.package import Package
from clippy_core.plugin_check import ARGUMENTS, check_class

Run = Callable[..., Any]
ONE_HOOK = {f"only-{hook.replace('_', '-')}": (hook,) for hook in POLICIES}
SEVERAL = {
    "every-hook": tuple(POLICIES),
    "backwards": tuple(reversed(POLICIES)),
    "answer": ("pre_request",),  # a class of this name is the contract's
    "a": ("on_error", "classify_error"),
    "a-name-with-thirty-letters-ab1": ("on_chunk", "on_error", "on_response", "cache_store"),
}
NAMES = {**ONE_HOOK, **SEVERAL}


@define(frozen=True)
class Made:
    """A package that was made."""

    name: str
    hooks: tuple[str, ...]
    path: Path

    @property
    def package(self) -> str:
        return "clippy_" + self.name.replace("-", "_")

    @property
    def source(self) -> Path:
        return self.path / "src" / self.package / "__init__.py"

    @property
    def project(self) -> dict[str, Any]:
        return tomllib.loads((self.path / "pyproject.toml").read_text())

    @property
    def cls(self) -> type[Any]:
        """The plugin, as its entry point names it."""
        (target,) = self.project["project"]["entry-points"]["clippy"].values()
        spec = importlib.util.spec_from_file_location(self.package, self.source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert target.partition(":")[0] == self.package
        found: type[Any] = getattr(module, target.partition(":")[2])
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """A package for every hook alone, and some for several."""
    return make_all(tmp_path_factory.mktemp("made"))


def make_all(folder: Path) -> dict[str, Made]:
    """Every package, by the command."""
    for name, hooks in NAMES.items():
        options = [word for hook in hooks for word in ("--hook", hook)]
        result = CliRunner().invoke(command_line(), ["new-plugin", name, "--path", str(folder), *options])
        assert result.exit_code == 0, result.output
    return {name: Made(name, hooks, folder / f"clippy-{name}") for name, hooks in NAMES.items()}


def outcomes(made: dict[str, Made]) -> dict[str, list[str]]:
    """PASSED and FAILED by package: their tests, run in one process that has nothing but the packages.

    Without the contract suites that some bring: those take four fifths of the time, and .ci/scaffolds runs them.
    """
    path = os.pathsep.join(str(one.source.parents[1]) for one in made.values())
    options = ["-q", "-rA", "-p", "no:cacheprovider", "--import-mode=importlib", "--tb=no", "-c", os.devnull]
    options.append("-k not TestContract")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(str(one.path / "tests") for one in made.values())],
        env={**os.environ, "PYTHONPATH": path, "CLIPPY_PLUGINS": "off"}, capture_output=True, text=True, timeout=300,
        check=False, cwd=next(iter(made.values())).path.parent,
    )  # fmt: skip
    found: dict[str, list[str]] = {name: [] for name in made}
    for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR) .*?clippy-([a-z0-9-]+)/tests/", ran.stdout, re.MULTILINE):
        found[name].append(outcome)
    assert sum(map(len, found.values())) >= len(made), ran.stdout + ran.stderr
    return found


def test_the_tests_of_a_package_pass_before_it_is_installed(made: dict[str, Made]) -> None:
    """With its own settings, as the guide says: write it, and run pytest on it."""
    package = next(iter(made.values())).path
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", package.name], cwd=package.parent,
        env={**os.environ, "CLIPPY_PLUGINS": "off"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


# --- what is made ----------------------------------------------------------------------------------------------------


def test_its_tests_pass_at_once(made: dict[str, Made]) -> None:
    """There are some, and none fails."""
    assert {name: set(found) for name, found in outcomes(made).items()} == {name: {"PASSED"} for name in NAMES}


def test_its_tests_fail_when_the_hook_does_nothing(tmp_path: Path) -> None:
    """For every hook: a test that cannot fail would teach nothing."""
    broken = {name: one for name, one in make_all(tmp_path).items() if name in ONE_HOOK}
    for one in broken.values():
        (hook,) = one.hooks
        result = "nullcontext()" if hook == "lifespan" else "None"
        source = one.source.read_text()
        cls = re.search(r"^class (\w+)", source, re.MULTILINE)[1]  # type: ignore[index]
        nothing = f"def {hook}(self, {', '.join(ARGUMENTS[hook])}):\n    return {result}\n"
        imports = "from contextlib import nullcontext\nfrom clippy_hookspecs import hookimpl\n"
        one.source.write_text(f"{source}\n\n{imports}\n@hookimpl\n{nothing}\n{cls}.{hook} = {hook}\n")
    untouched = [name for name, found in outcomes(broken).items() if "FAILED" not in found]
    assert untouched == []


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract_and_implements_what_was_asked(made: dict[str, Made], name: str) -> None:
    """No fault and no warning, and a hook more only where half of it would be wrong."""
    checked = check_class(made[name].cls)
    assert (checked.faults, checked.warnings) == ((), ())
    assert set(made[name].hooks) <= set(checked.implementations)
    more = set(checked.implementations) - set(made[name].hooks)
    assert more <= {"cache_lookup", "cache_store", "cache_invalidate", "on_response"}


@pytest.mark.parametrize("name", NAMES)
def test_it_depends_on_the_contract_alone(made: dict[str, Made], name: str) -> None:
    """Its distribution, its import name and its entry are the plugin's name; the host is only for its tests."""
    project = made[name].project["project"]
    assert project["name"] == f"clippy-{name}"
    assert project["dependencies"] == ["clippy-hookspecs>=0.1.2,<0.2"]
    assert project["optional-dependencies"] == {"test": ["clippy-core[testing]"]}
    assert list(project["entry-points"]["clippy"]) == [name]
    assert (made[name].source.parent / "py.typed").exists()
    tree = ast.parse(made[name].source.read_text())
    always = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in always}
    foreign = {str(one).partition(".")[0] for one in names} - set(sys.stdlib_module_names)
    assert foreign <= {"attrs", "clippy_hookspecs"}


@pytest.mark.parametrize("name", NAMES)
def test_its_readme_lists_its_settings(made: dict[str, Made], name: str) -> None:
    """As they are, each documented; the failure policy names every hook."""
    text = (made[name].path / "README.md").read_text()
    settings = [field for field in attrs.fields(made[name].cls) if field.init]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [field.name for field in settings]
    assert all(field.metadata["doc"] for field in settings)
    policy = text.partition("**Failure policy.**")[2]
    assert [hook for hook in check_class(made[name].cls).implementations if f"`{hook}`" not in policy] == []


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        ("only-cache-store", "CacheContract"),
        ("only-on-error", "RetryPolicyContract"),
        ("only-on-chunk", "TextFilterContract"),
        ("only-audit", "ObserverContract"),
        ("only-observe", "ObserverContract"),
        ("only-pre-request", None),
        ("every-hook", None),
    ],
)
def test_its_tests_bring_the_contract_suite_that_fits_it(made: dict[str, Made], name: str, suite: str | None) -> None:
    """Where it does one thing; its README says how all suites are run on it once it is installed."""
    tests = (made[name].path / "tests" / f"test_{made[name].package}.py").read_text()
    assert re.findall(r"^class TestContract\((\w+)\):", tests, re.MULTILINE) == ([suite] if suite else [])
    assert f"\npython -m pytest --clippy-plugin {name}\n" in (made[name].path / "README.md").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_it_says_that_it_only_looks_where_it_does(made: dict[str, Made], name: str) -> None:
    """A recorder is no part of a cache key; one that does something else beside may be."""
    assert getattr(made[name].cls, "observes_only", False) is (name in {"only-audit", "only-observe"})


def test_it_reads_as_ruff_writes(made: dict[str, Made]) -> None:
    """Formatted, and without a complaint, by the configuration that the package brings and by ours."""
    folder = next(iter(made.values())).path.parent
    ruff = [sys.executable, "-m", "ruff"]
    for words in (
        ["check"],
        ["format", "--check"],
        ["check", "--ignore", "S101,D107", "--select", "A,ARG001,C4,D1,PIE,S,TC010"],
    ):
        ran = subprocess.run(
            [*ruff, *words, "--no-cache", "."], cwd=folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout


def test_the_command_says_what_it_made_and_what_to_do_next(run: Run, tmp_path: Path) -> None:
    """Also why there is more than was asked for."""
    result = run("new-plugin", "clippy-redis", "--hook", "cache_lookup")
    assert result.exit_code == 0
    first, second, install, test = result.stdout.splitlines()
    assert first == "clippy-redis: Redis implements cache_lookup, cache_store, cache_invalidate"
    assert second.split()[:2] == ["cache_store,", "cache_invalidate"]
    assert 'python -m pip install -e "clippy-redis[test]"' in install, "pytest is not in every environment"
    assert "python -m pytest clippy-redis" in test
    assert (tmp_path / "work" / "clippy-redis" / "pyproject.toml").exists()


def test_without_a_hook_it_looks_at_requests(run: Run) -> None:
    """The simplest thing that a plugin does."""
    assert run("new-plugin", "shout").stdout.startswith("clippy-shout: Shout implements pre_request\n")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Cache Redis", "did you mean cache-redis?"),
        ("cache_redis", "did you mean cache-redis?"),
        ("clippy_redis", "did you mean redis?"),
        ("2fast", "did you mean fast?"),
        ("-x", "No such option"),
        ("../away", "did you mean away?"),
        ("über", "is no name for a plugin"),
        ("", "is no name for a plugin"),
        ("clippy-", "is no name for a plugin"),
        ("a--b", "did you mean a-b?"),
        ("x" * 31, "choose a shorter name"),
        ("core", "is a package of ours"),
        ("clippy-hookspecs", "is a package of ours"),
        ("off", "switches all plugins off"),
        ("retry", "is installed and has a plugin retry"),
    ],
)
def test_a_bad_name_is_refused_with_a_better_one(run: Run, tmp_path: Path, name: str, sentence: str) -> None:
    """Exit code 2, and nothing is made."""
    result = run("new-plugin", name)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(("hook", "sentence"), [("on_chunks", "did you mean on_chunk?"), ("x", "the hooks are audit")])
def test_an_unknown_hook_is_refused(run: Run, tmp_path: Path, hook: str, sentence: str) -> None:
    """With the one that was meant, or all of them."""
    result = run("new-plugin", "shout", "--hook", "audit", "--hook", hook)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert list((tmp_path / "work").iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(run: Run, tmp_path: Path) -> None:
    """Whatever it is."""
    (tmp_path / "work" / "clippy-shout").write_text("mine")
    (tmp_path / "work" / "clippy-link").symlink_to("nowhere")
    for name in ("shout", "link"):
        result = run("new-plugin", name)
        assert result.exit_code == 1
        assert "is there already; choose another name" in result.stderr
    assert (tmp_path / "work" / "clippy-shout").read_text() == "mine"
    assert run("new-plugin", "other", "--path", "missing").exit_code == 2


# --- names -----------------------------------------------------------------------------------------------------------


TAKEN = ("none", "true", "request", "retry", "exception", "trial", "path", "any", "counter", "iterator")


@pytest.mark.parametrize("name", TAKEN)
def test_a_class_is_never_called_like_something_else(name: str) -> None:
    """Neither a keyword, a builtin, a name of the contract nor one that its modules import."""
    assert Package(name, tuple(POLICIES), "").cls == f"{name.capitalize()}Plugin"


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(POLICIES)), min_size=1, unique=True))
def test_any_choice_of_hooks_is_one_valid_class(hooks: Sequence[str]) -> None:
    """Every hook that was chosen once, in the order of the contract; no field and no method twice."""
    package = Package("some-plugin", hooks, "")
    assert set(hooks) <= set(package.implemented)
    files = package.files()
    (cls,) = [
        node for node in ast.parse(files["src/clippy_some_plugin/__init__.py"]).body if isinstance(node, ast.ClassDef)
    ]
    methods = [node.name for node in cls.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    fields = [
        node.target.id for node in cls.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert len(methods + fields) == len(set(methods + fields))
    tests = ast.parse(files["tests/test_clippy_some_plugin.py"]).body
    defined = [node.name for node in tests if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert len(defined) == len(set(defined))
    said = [method for method in methods if method in POLICIES]
    if "filter" not in methods:
        assert [hook for hook in package.implemented if hook not in said] == []


@pytest.mark.parametrize(
    ("version", "requirement"),
    [("0.1.2", ">=0.1.2,<0.2"), ("0.9", ">=0.9,<0.10"), ("1.4.2rc1", ">=1.4,<2"), (None, ">=0.1,<0.2")],
)
def test_the_requirement_is_of_the_contract_that_is_installed(version: str | None, requirement: str) -> None:
    """From this version on, for it was tried with no older one, and below the next that may break it."""
    assert contract_requirement(version) == f"clippy-hookspecs{requirement}"
