"""Which suites fit an installed plugin, what grade their results make, and where grades are kept."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs
from attrs import field, frozen

from ..config_names import did_you_mean
from ..installed import Found, scan

RULE = (
    "A: every check that applies passed, and in each suite at least half of the vital ones apply.  "
    "B: every vital check that applies, and nine of ten of all.  C: every vital check that applies.  "
    "D: one vital check failed.  F: several did, or the plugin cannot be made."
)
SCHEMA = 2


@frozen
class Subject:
    """An installed plugin to be graded: the checks of each suite that fits it, and why the others do not."""

    found: Found
    code: str
    checks: Mapping[Any, Sequence[Any]]
    misfits: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name under which the plugin is installed."""
        return self.found.name


@frozen
class SuiteResult:
    """What became of one suite: counts, and the reasons for what failed and what did not apply, by check.

    ``shown`` says that at least half of its vital checks applied, so that it tells something.
    """

    name: str
    about: str
    passed: int
    failed: Mapping[str, str]
    not_applicable: Mapping[str, str]
    shown: bool = True


@frozen
class Grade:
    """What a plugin was graded: ``code`` is a digest of its sources, ``complete`` that all of its checks were run."""

    name: str
    distribution: str
    version: str
    code: str
    letter: str
    time: str
    complete: bool
    suites: tuple[SuiteResult, ...] = ()
    misfits: Mapping[str, str] = field(factory=dict)

    @property
    def unfit(self) -> int:
        """How many checks did not apply."""
        return sum(len(suite.not_applicable) for suite in self.suites)

    @property
    def checks(self) -> int:
        """How many checks there were."""
        return self.unfit + sum(suite.passed + len(suite.failed) for suite in self.suites)

    def document(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            "schema": SCHEMA,
            **{name: getattr(self, name) for name in ("name", "distribution", "version", "code", "time", "complete")},
            "grade": self.letter,
            "rule": RULE,
            "checks": self.checks,
            "not applicable": self.unfit,
            "suites": {
                suite.name: {
                    "passed": suite.passed,
                    "failed": dict(suite.failed),
                    "not applicable": dict(suite.not_applicable),
                }
                for suite in self.suites
            },
            "does not fit": dict(self.misfits),
        }

    def lines(self) -> list[str]:
        """The report, for people."""
        width = max([len(suite.name) for suite in self.suites] + [len(name) for name in self.misfits] + [5])
        lines = [f"{'suite':{width}}  passed  failed  not applicable"]
        for suite in self.suites:
            counts = f"{suite.passed:6}  {len(suite.failed):6}  {len(suite.not_applicable):14}"
            lines.append(f"{suite.name:{width}}  {counts}  {suite.about}")
        lines += [f"{name:{width}}  does not fit: {why}" for name, why in self.misfits.items()]
        for suite in self.suites:
            lines += [f"failed: {suite.name}.{check}: {why}" for check, why in suite.failed.items()]
            lines += [f"not applicable: {suite.name}.{check}: {why}" for check, why in suite.not_applicable.items()]
        if not self.complete:
            return [*lines, "not all of its checks were run: no grade"]
        for suite in self.suites:
            if not suite.shown:
                why = "more than half of its vital checks did not apply, so this is no A"
                lines.append(f"{suite.name}: {why}: try it with settings with which it does something")
        unfit = unfit_of(self.unfit, self.checks)
        return [*lines, f"grade {self.letter}{unfit and ', '}{unfit}"]


def unfit_of(unfit: int, checks: int) -> str:
    """How much did not apply, in words; "" for nothing."""
    return f"{unfit} of {checks} checks not applicable" if unfit else ""


def subject(name: str) -> Subject:
    """The installed plugin *name*.  Raises LookupError, with the names that there are."""
    found = next((one for one in scan() if one.name == name), None)
    if found is None:
        names = [one.name for one in scan()]
        raise LookupError(f"no plugin called {name} is installed{did_you_mean(name, names, 'there are')}")
    from .contracts.base import checks_of, suite_for
    from .contracts.fitting import SUITES

    try:
        cls = found.entry_point.load()
    except Exception as error:
        raise LookupError(f"plugin {name} cannot be imported: {type(error).__name__}: {error}") from error
    checks, misfits = {}, {}
    for suite, misfit in SUITES.items():
        why = misfit(cls)
        if why:
            misfits[suite.__name__] = why
        else:
            fitted = suite_for(suite, lambda self: cls())
            checks[fitted] = tuple(checks_of(fitted))
    return Subject(found, code_of(found), checks, misfits)


def grade_of(one: Subject, results: Sequence[Any], *, complete: bool) -> Grade:
    """The grade that *results* make."""
    suites = []
    for suite in one.checks:
        mine = [result for result in results if result.check.suite is suite]
        by = {
            status: {result.check.name: result.reason for result in mine if result.status == status}
            for status in ("failed", "not applicable")
        }
        passed = sum(result.status == "passed" for result in mine)
        suites.append(
            SuiteResult(suite.__name__, suite.about, passed, by["failed"], by["not applicable"], _shown(mine))
        )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Grade(
        one.name,
        one.found.distribution,
        one.found.version,
        one.code,
        letter_of(results) if complete else "",
        now,
        complete,
        tuple(suites),
        one.misfits,
    )


def letter_of(results: Sequence[Any]) -> str:
    """A to F, as :data:`RULE` says."""
    failed = [result for result in results if result.status == "failed"]
    passed = sum(result.status == "passed" for result in results)
    vital = sum(result.check.vital for result in failed)
    suites = {result.check.suite for result in results}
    shown = all(_shown([result for result in results if result.check.suite is suite]) for suite in suites)
    if not failed and passed and shown:
        return "A"
    if not vital:
        return "B" if passed >= 9 * len(failed) and passed else "C"
    return "D" if vital == 1 else "F"


def _shown(results: Sequence[Any]) -> bool:
    """Whether at least half of the vital checks of a suite applied, by its *results*."""
    applied: list[bool] = [result.status != "not applicable" for result in results if result.check.vital]
    return 2 * sum(applied) >= len(applied)


# --- where grades are kept --------------------------------------------------------------------------------------------


def _file(name: str) -> Path:
    return platformdirs.user_cache_path("clippy") / "grades" / f"{name}.json"


def store(grade: Grade) -> None:
    """Keep a grade in the user's cache folder."""
    file = _file(grade.name)
    for folder in (file.parent.parent, file.parent):  # parents that mkdir makes beside have the mode of the umask
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(grade.document(), indent=2) + "\n", encoding="utf-8")


def stored(name: str) -> dict[str, Any] | None:
    """The document of the newest grade of a plugin; None if there is none that can be read."""
    try:
        document = json.loads(_file(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(document, dict) and document.get("schema") == SCHEMA
    return document if known and all(isinstance(document.get(key), str) for key in ("grade", "code", "time")) else None


def code_of(found: Found) -> str:
    """A digest of a plugin's sources, which are not imported; "" where they cannot be found."""
    module = found.entry_point.value.partition(":")[0].strip()
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return ""
    roots = [Path(place) for place in spec.submodule_search_locations or ()]
    if spec.origin is None and rest:  # a namespace: only the plugin's part of it
        roots = [root / rest[0] for root in roots]
    files = [file for root in roots for file in sorted(root.rglob("*.py"))]
    if not roots and spec.origin:
        files = [Path(spec.origin)]
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16] if files else ""
