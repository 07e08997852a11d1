"""``pytest --clippy-plugin NAME``: the suites that fit an installed plugin as pytest's items, and their report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from .contracts.base import Check, NotApplicable, Result, run_check
from .grading import RULE, Grade, Subject, grade_of, store, subject

_RESULT = pytest.StashKey[Result]()


class CheckItem(pytest.Item):
    """One check of one suite, for one plugin."""

    def __init__(self, *, check: Check, subject: Subject, **more: Any) -> None:
        super().__init__(**more)
        self.check, self.subject = check, subject

    def runtest(self) -> None:
        """Run the check; raises what it raises, and pytest's own for one that does not fit."""
        result = run_check(self.check)
        self.stash[_RESULT] = result
        if result.error is not None:
            raise result.error
        if result.status == "not applicable":
            raise NotApplicable(result.reason)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A sentence for what a check found; a traceback for what nobody expected."""
        if isinstance(excinfo.value, AssertionError):
            return f"{self.check.proves}\n\n{excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """Where pytest says that it is."""
        return self.subject.name, None, f"{self.check.suite.__name__}::{self.check.name}"


@define(eq=False)
class Grading:
    """The pytest plugin of a run that grades *names*."""

    names: tuple[str, ...]
    subjects: list[Subject] = field(factory=list)
    items: list[CheckItem] = field(factory=list)
    grades: list[Grade] = field(factory=list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """The checks take the place of whatever was found."""
        try:
            self.subjects = [subject(name) for name in self.names]
        except LookupError as error:
            raise pytest.UsageError(str(error)) from error
        self.items = [
            CheckItem.from_parent(
                session,
                name=check.name,
                nodeid=f"{one.name}::{suite.__name__}::{check.name}",
                check=check,
                subject=one,
            )
            for one in self.subjects
            for suite, checks in one.checks.items()
            for check in checks
        ]
        items[:] = self.items

    def pytest_report_collectionfinish(self) -> list[str]:
        """What is run in place of tests that were collected."""
        counts = {one.name: sum(map(len, one.checks.values())) for one in self.subjects}
        return [f"grading {name}: {count} checks" for name, count in counts.items()]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Grade what was run; a grade of all of a plugin's checks is kept for ``clippy doctor``."""
        for one in self.subjects:
            mine = [item for item in self.items if item.subject is one]
            results = [item.stash[_RESULT] for item in mine if _RESULT in item.stash]
            grade = grade_of(one, results, complete=len(results) == len(mine))
            self.grades.append(grade)
            if grade.complete:
                store(grade)
        file = session.config.getoption("--clippy-report")
        if file:
            documents = [grade.document() for grade in self.grades]
            Path(file).write_text(json.dumps(documents, indent=2) + "\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The report."""
        for grade in self.grades:
            terminalreporter.section(f"clippy plugin {grade.name} {grade.version}")
            for line in grade.lines():
                terminalreporter.line(line)
        if self.grades:
            terminalreporter.line("")
            terminalreporter.line(RULE)
