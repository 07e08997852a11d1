"""The docstrings of the hooks are the reference: each answers the same five questions, in the same order."""

from __future__ import annotations

import inspect

import pytest
from clippy_hookspecs import POLICIES, specs

HOOKS = tuple(POLICIES)
WAITS = ("May await", "an async context manager may await")
WAITS_NOT = ("May not await.", "A plain ``def``")
STOPS = ("A failure ends ", "A failure stops ", "A failure on entering stops ")


def _paragraphs(hook: str) -> tuple[str, list[str]]:
    """What the hook is for, and the lines of everything else."""
    purpose, _, rest = (inspect.getdoc(getattr(specs, hook)) or "").partition("\n\n")
    return purpose, rest.splitlines()


def _line(lines: list[str], *words: str) -> int:
    """Where the first line is that has one of the *words*."""
    return next((number for number, line in enumerate(lines) if any(word in line for word in words)), -1)


@pytest.mark.parametrize("hook", HOOKS)
def test_it_says_what_it_is_for(hook: str) -> None:
    """One sentence, on a line of its own, that does not begin by repeating the name."""
    purpose, _ = _paragraphs(hook)
    assert purpose.endswith((".", "``.", ")."))
    assert "\n" not in purpose
    assert not purpose.lower().startswith((hook, "this hook", "hook"))


@pytest.mark.parametrize("hook", HOOKS)
def test_it_says_when_it_is_called_what_a_return_means_whether_it_awaits_and_what_a_failure_does(hook: str) -> None:
    """The other four answers, each beginning a line, in this order."""
    _, lines = _paragraphs(hook)
    called = _line(lines, "Called ")
    awaits = _line(lines, *WAITS, *WAITS_NOT)
    fails = _line(lines, "A failure ")
    assert called == 0
    assert called < awaits - 1, "nothing stands between when it is called and whether it awaits: what a return means"
    assert awaits < fails
    said = " ".join(lines[called + 1 : awaits])
    assert any(word in said for word in ("None", "return", "Return", "first ErrorInfo")), said


@pytest.mark.parametrize("hook", HOOKS)
def test_what_it_says_is_what_the_policy_does(hook: str) -> None:
    """Whether it may await, and whether a failure ends the work, is written the way the host was told."""
    _, lines = _paragraphs(hook)
    text, policy = " ".join(lines), POLICIES[hook]
    assert policy.may_await == any(word in text for word in WAITS)
    assert (policy.on_failure == "raise") == any(word in text for word in STOPS)


@pytest.mark.parametrize("hook", HOOKS)
def test_it_names_its_arguments_by_position_only(hook: str) -> None:
    """Arguments have names, types, no defaults: pluggy never passes an argument that has one (style.md section 2)."""
    parameters = inspect.signature(getattr(specs, hook)).parameters.values()
    assert parameters
    for parameter in parameters:
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        assert parameter.default is parameter.empty
        assert parameter.annotation is not parameter.empty
