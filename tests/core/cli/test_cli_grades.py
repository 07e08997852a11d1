"""The doctor shows what ``pytest --clippy-plugin`` left, and runs nothing itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clippy_core.testing.contracts.base import Result
from clippy_core.testing.grading import Subject, code_of, grade_of, store
from clippy_core.testing.grading import subject as installed

PLUGIN = """
    @define(eq=False)
    class Plugin:
        @hookimpl
        def pre_request(self, request):
            return None
"""


@pytest.fixture
def graded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]) -> Subject:
    """An installed plugin with a grade."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    install("limits", PLUGIN)
    one = installed("limits")
    store(grade_of(one, [], complete=True))
    return one


def _grade(run: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("doctor", "--json", only="limits").stdout)
    return document["grades"]["limits"]


def test_plugins_that_were_never_graded_share_a_line_that_says_how_and_are_listed_when_asked_for(
    run: Any, install: Any, tmp_path: Path
) -> None:
    """Being ungraded is nothing wrong, and most are."""
    install("limits", PLUGIN)
    result = run("doctor", only="limits", XDG_CACHE_HOME=str(tmp_path))
    assert (
        "  1 without a grade of the contract's tests here, which is no fault: for authors of plugins, "
        "python -m pytest --clippy-plugin NAME runs them\n" in result.stdout
    )
    assert "limits: not graded" not in result.stdout
    assert result.exit_code == 0
    listed = run("doctor", "--grades", only="limits", XDG_CACHE_HOME=str(tmp_path)).stdout
    assert "  limits: not graded: python -m pytest --clippy-plugin limits\n" in listed
    assert listed.count("not graded") == 1


def test_a_grade_is_shown_with_its_day(run: Any, graded: Subject) -> None:
    """For people and as JSON."""
    found = _grade(run)
    assert found["grade"] == "C"
    assert f"limits: C ({found['note']})" in run("doctor", only="limits").stdout


def test_a_grade_is_shown_with_how_much_did_not_apply(run: Any, graded: Subject) -> None:
    """A letter alone looks like more than was tried."""
    checks = [check for checks in graded.checks.values() for check in checks]
    results = [Result(check, "not applicable", "why") for check in checks[:2]]
    store(grade_of(graded, [*results, *(Result(check, "passed") for check in checks[2:])], complete=True))
    said = f"2 of {len(checks)} checks not applicable; graded on "
    assert _grade(run)["note"].startswith(said)
    assert f"limits: A ({said}" in run("doctor", only="limits").stdout


def test_a_grade_of_other_code_is_none(run: Any, graded: Subject, folder: Path) -> None:
    """Whoever changes a plugin has to grade it again."""
    (source,) = folder.glob("temporary_cli_plugin_*.py")
    source.write_text(source.read_text() + "\n# changed\n")
    assert code_of(graded.found) != graded.code
    found = _grade(run)
    assert found["grade"] is None
    assert "its code has changed: python -m pytest --clippy-plugin limits" in found["note"]
