"""The oldest contract that is supported: its plugin still runs, and nothing that it could rely on is gone.

``oldest/`` is a package, kept as it was written for clippy-hookspecs 0.1.0, with the snapshot of that contract.
``.ci/clean_room`` also installs it as a wheel beside the newest core.
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from clippy_hookspecs import FORMER_NAMES, POLICIES

import clippy_core
from clippy_core.contract_version import CONTRACT, TAKES, core_fault, mismatch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OLDEST = HERE / "oldest"
MEANT = {
    "ChunkKind = 'start' | 'text' | 'reasoning' | 'refusal' | 'tool_call' | 'usage' | 'finish' | 'ping' | 'error' | "
    "'done' | 'other' | 'stop' | 'end'": "restart came, and only after a plugin decided Restart",
    "ErrorDecision = Retry | Switch | Answer | Restart | Continue": "Stale came; who returns the others is as right",
    "class Headers(Mapping) > attribute pairs": "a property now, read as before; nobody could set it",
    "class Request  (frozen, by value) > classmethod undecoded(cls, decoder: Callable[[Request], Mapping[str, Any]], "
    "raw: bytes, **known: Any) -> Request": "for the host's wire modules; its arguments have their names now",
    "class Response  (frozen, by value) > classmethod undecoded(cls, decoder: Callable[[Response], Mapping[str, Any]], "
    "raw: bytes, **known: Any) -> Response": "for the host's wire modules; its arguments have their names now",
    "class RawRequest  (frozen, by value) > body: bytes = b''": "left out of its repr now: it holds prompts",
    "class Flow(Protocol) > def cancel(self, reason: str = 'cancelled') -> None": "who cancels may be said, too",
    "EventKind = 'attempt' | 'head' | 'bytes' | 'chunk_in' | 'chunk_out' | 'hook' | 'closed'": "request came",
}
"""Lines of the oldest contract that changed and break no plugin, each with the reason."""


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def oldest() -> Iterator[ModuleType]:
    """The plugin's module, read as it lies there; it asks for a name that was changed since."""
    with pytest.warns(DeprecationWarning, match="UNKNOWN"):
        module = load("clippy_oldest", OLDEST / "src" / "clippy_oldest" / "__init__.py")
    yield module
    del sys.modules["clippy_oldest"]


def test_the_plugin_for_the_oldest_contract_runs_unchanged(oldest: ModuleType) -> None:
    """Every hook, in the documented order: on a retried call, a hit, a stream, an invalidation; its service is used."""
    program = load("oldest_program", OLDEST / "program.py")
    program.run(clippy_core.Host({"oldest": oldest.Oldest()}))


def test_the_plugin_for_the_oldest_contract_implements_every_hook_of_it(oldest: ModuleType) -> None:
    """So that none can break unseen."""
    then = [
        line.partition("(")[0]
        for line in snapshot()
        if "(" in line and " > " not in line and " " not in line.partition("(")[0]
    ]
    assert set(then) - {"class"} <= {name for name in vars(oldest.Oldest) if not name.startswith("_")}
    assert len(then) >= 17


# --- versions --------------------------------------------------------------------------------------------------------


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]  # type: ignore[no-any-return]


def test_the_core_says_which_contracts_it_takes_as_its_dependency_does() -> None:
    """One sentence in two places is the same sentence."""
    (dependency,) = [one for one in project(ROOT)["dependencies"] if one.startswith(CONTRACT)]
    assert dependency == CONTRACT + TAKES


def test_the_oldest_plugin_is_for_the_oldest_contract_and_may_be_installed_with_the_newest() -> None:
    """What it requires includes the version of the snapshot and the one in this repository."""
    newest = project(ROOT / "hookspecs")["version"]
    oldest = snapshot()[0].rpartition(" ")[2]
    assert (oldest, newest) == ("0.1.0", newest)
    for version in (oldest, newest):
        assert mismatch(project(OLDEST)["dependencies"], version) is None
    assert mismatch([CONTRACT + TAKES], newest) is None


@pytest.mark.parametrize(("installed", "fits"), [("0.1.0", False), ("0.1.1", True), ("0.1.9", True), ("0.2", False)])
def test_a_contract_that_the_core_does_not_take_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, installed: str, fits: bool
) -> None:
    """The installer prevents it; one that was told not to is answered with both versions."""
    monkeypatch.setattr("clippy_core.contract_version.installed_contract", lambda: installed)
    fault = core_fault()
    assert (fault is None) == fits
    if fault is not None:
        assert CONTRACT + TAKES in fault
        assert installed in fault
        with pytest.raises(clippy_core.config.ConfigError, match="needs clippy-hookspecs"):
            clippy_core.Host.from_config()


def test_nothing_deprecated_outlives_its_version() -> None:
    """Who raises the version of the contract to the one that removes something removes it."""
    newest = project(ROOT / "hookspecs")["version"]
    told = [*FORMER_NAMES.items()]
    for policy in POLICIES.values():
        told += [*policy.former.items(), *policy.arguments.items()]
        told += [("hook", policy.deprecated)] if policy.deprecated else []
    for name, said in told:
        assert mismatch([f"{CONTRACT}<{said.removed_in}"], newest) is None, name
        assert mismatch([f"{CONTRACT}>={said.since}"], newest) is None, name


# --- what was promised -----------------------------------------------------------------------------------------------


def snapshot() -> list[str]:
    return qualified((OLDEST / "contract.txt").read_text(encoding="utf-8"))


def qualified(text: str) -> list[str]:
    """The lines of a snapshot; an indented one with the line that it belongs to before it."""
    lines: list[str] = []
    above = ""
    for line in text.splitlines():
        if not line.startswith(" "):
            above = line
            lines += [line] if line else []
        else:
            lines.append(f"{above} > {line.strip()}")
    return lines


def breaks(old: list[str], new: list[str]) -> list[str]:
    """The lines of *old* that a plugin may rely on and that *new* does not keep.

    New lines break nobody, but for a field that must be given, or one that stands before others.
    """
    there = set(new)
    former = set(FORMER_NAMES) | {name for policy in POLICIES.values() for name in policy.former}
    gone = [
        line
        for line in old
        if line not in there and not line.startswith("#") and line.partition(" ")[0] not in former and line not in MEANT
    ]
    for head in {line.partition(" > ")[0] for line in old if line.startswith("class ")} & there:
        before, after = (_positions(head, lines) for lines in (old, new))
        if after[: len(before)] != before:
            gone.append(f"{head}: its fields were {', '.join(before)}")
        required = [line for line in new if line.startswith(f"{head} > ") and _must_be_given(line) and line not in old]
        gone += [f"{line} must be given" for line in required]
    return gone


def _positions(head: str, lines: list[str]) -> list[str]:
    inner = [line.partition(" > ")[2] for line in lines if line.startswith(f"{head} > ")]
    return [one.partition(":")[0] for one in inner if one.partition(":")[0].isidentifier() and "not in init" not in one]


def _must_be_given(line: str) -> bool:
    inner = line.partition(" > ")[2]
    return inner.partition(":")[0].isidentifier() and ":" in inner and " = " not in inner and "(Protocol)" not in line


def test_nothing_of_the_oldest_contract_is_gone() -> None:
    """Hooks, arguments, policies, fields and their order, defaults, errors: what was renamed still has its old name."""
    newest = qualified((HERE / "contract.txt").read_text(encoding="utf-8"))
    assert [] == breaks(snapshot(), newest)
    assert [] == [line for line in MEANT if line in newest or line not in snapshot()]  # an excuse for nothing


OLD = "f(a: A) -> B\n    all, on failure skip\nclass C  (frozen, by value)\n    x: int\n    y: str = ''\nWORD = 1\n"


@pytest.mark.parametrize(
    ("new", "broken"),
    [
        (OLD, False),
        (OLD + "class D\n    z: int\n", False),
        (OLD.replace("    y: str = ''\n", "    y: str = ''\n    z: int = 0\n"), False),
        (OLD.replace("    y: str = ''\n", "    z: int = 0\n    y: str = ''\n"), True),
        (OLD.replace("    y: str = ''\n", "    y: str = ''\n    z: int\n"), True),
        (OLD.replace("    y: str = ''\n", ""), True),
        (OLD.replace("f(a: A)", "f(b: A)"), True),
        (OLD.replace("skip", "raise"), True),
        (OLD.replace("WORD = 1\n", ""), True),
        (OLD.replace("frozen", "mutable"), True),
    ],
)
def test_what_breaks_a_plugin_is_found(new: str, broken: bool) -> None:
    """And what only adds is not."""
    assert bool(breaks(qualified(OLD), qualified(new))) == broken
