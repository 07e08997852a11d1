"""A suite that cannot fail proves nothing: each one catches the broken variants, and lets their sound twins pass."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import faults_of_ours
import faults_of_sharing
import planted
import planted_authors
import pytest

from clippy_core import testing
from clippy_core.testing import Contract, VirtualClock
from clippy_core.testing.contracts.base import Result, checks_of, run_check, suite_for

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


MODULES = [faults_of_ours, faults_of_sharing, planted, planted_authors]
PLANTED = [
    pytest.param(suite, what, factory, id=f"{suite}: {what}")
    for module in MODULES
    for suite, variants in module.PLANTED.items()
    for what, factory in variants.items()
]
SOUND = [
    pytest.param(suite, factory, id=f"{suite} of {module.__name__}")
    for module in MODULES
    for suite, factory in module.SOUND.items()
]
SOUND += [
    pytest.param(suite, factory, id=f"{suite} of {module.__name__}, {what}")
    for module in MODULES
    for suite, variants in getattr(module, "ALSO_SOUND", {}).items()
    for what, factory in variants.items()
]


def _make(factory: Callable[..., Any]) -> Callable[[Contract], Any]:
    """How a suite makes what *factory* makes: with the suite's folder, and on the suite's clock."""

    def make(case: Contract) -> Any:
        if "clock" in inspect.signature(factory).parameters:
            return factory(clock=case.clock)
        made = factory()
        if attrs.has(type(made)) and "path" in {one.alias for one in attrs.fields(type(made)) if one.init}:
            made = attrs.evolve(made, path=case.folder / "planted")
        for clock in _values(made):
            if isinstance(clock, VirtualClock):
                case.clock = clock
        return made

    return make


def _values(made: object) -> list[object]:
    slots = [name for cls in type(made).__mro__ for name in getattr(cls, "__slots__", ())]
    return [*getattr(made, "__dict__", {}).values(), *(getattr(made, name, None) for name in slots)]


_LONG = ("at_every_await", "with_and_without", "memory", "processes", "killed", "forked", "two_hosts", "every_colour")
"""Checks that take long, above all with a plugin that sleeps: a fault that another one finds need not wait for them."""


def _stems(text: str) -> set[str]:
    """The longer words of *text*, whatever their ends."""
    return {word[:5] for word in re.findall(r"[a-z]{4,}", text)}


def _results(suite: str, factory: Callable[..., Any], about: str = "") -> Iterator[Result]:
    """Of each check; first of those whose names speak of what the fault is *about*, for one of them will find it."""
    checks = checks_of(suite_for(getattr(testing, suite), _make(factory)))
    for check in sorted(checks, key=lambda check: _order(check.name, about)):
        yield run_check(check)


def _order(name: str, about: str) -> tuple[int, bool]:
    return -len(_stems(name) & _stems(about)), any(word in name for word in _LONG)


@pytest.mark.parametrize(("suite", "what", "factory"), PLANTED)
def test_a_planted_fault_is_caught(suite: str, what: str, factory: Callable[..., Any]) -> None:
    """At least one check of its suite fails, and says why."""
    failed = next((result for result in _results(suite, factory, what) if result.status == "failed"), None)
    assert failed is not None, f"no check of {suite} fails"
    assert failed.reason


@pytest.mark.parametrize(("suite", "factory"), SOUND)
def test_a_sound_twin_passes(suite: str, factory: Callable[..., Any]) -> None:
    """What is not broken is not blamed: no check fails, and most of them apply."""
    results = list(_results(suite, factory))
    assert [] == [(result.check.name, result.reason) for result in results if result.status == "failed"]
    assert sum(result.status == "passed" for result in results) > len(results) / 2


def test_every_suite_has_planted_faults() -> None:
    """Three broken variants at least, and a sound one, for each suite that the kit offers."""
    suites = {name for name in testing.__all__ if name.endswith("Contract") and name != "Contract"}
    for suite in suites:
        assert sum(param.values[0] == suite for param in PLANTED) >= 3, suite
        assert any(param.values[0] == suite for param in SOUND), suite
