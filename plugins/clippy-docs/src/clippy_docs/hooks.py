"""hooks.md: the reference of the hooks, from their specifications and policies."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence

from clippy_hookspecs import POLICIES, HookPolicy, specs

from . import text

INTRODUCTION = """\
The hooks in the order in which they are called, and which of the installed plugins implement them. A hook is a method
marked `@hookimpl`; it may name fewer arguments than there are. The types are in [Values](values.md)."""

COMBINE = {
    "fold": "fold: each plugin gets what the one before returned; None leaves it",
    "first": "first: the first result that is not None counts, the others are not asked",
    "all": "all: everyone is called, also when one fails; what is returned is ignored",
}
FAILURE = {
    "raise": "raise: the work ends with an error that names plugin, version and hook",
    "skip": "skip: as if the plugin had returned None; logged once, then counted",
}
ANSWERS_FOR_ITSELF = {
    "cache_invalidate": (
        "raise, by `host.invalidate`",
        "raise: `host.invalidate` raises an ExceptionGroup when all have been told, whatever `on_failure` says; "
        "`disable` also switches the plugin off",
    )
}
"""Hooks of which no request waits to be saved, so that their policy does not tell what a failure does: short, long."""
ORDER = {
    "outer first": "outermost plugin first: the way in",
    "inner first": "innermost plugin first: the way out",
}
PARTS = {
    "lifespan": "The life of the host",
    "pre_request": "The way in",
    "classify_error": "When an attempt ends",
    "on_chunk": "The way out",
    "audit": "The record",
}
"""The first hook of each part, and the part's title, as in ``specs.py``."""


def hooks_page(
    by_hook: Mapping[str, Sequence[str]],
    introduction: str = INTRODUCTION,
    whose: str = "implemented by",
    by: str = "clippy docs build",
) -> str:
    """The page; *by_hook* are the links to those that implement each, under the head *whose*."""
    overview = text.table(
        ("hook", "for", "combine", "a failure", "order"),
        (
            (text.reference(name, text.HOOKS), _purpose(name), policy.combine, _failure(name, policy)[0], policy.order)
            for name, policy in POLICIES.items()
        ),
    )
    sections = [
        line for name, policy in POLICIES.items() for line in _section(name, policy, whose, by_hook.get(name, ()))
    ]
    return text.page("Hooks", "clippy_hookspecs.specs", introduction, overview, sections, by=by)


def _purpose(name: str) -> str:
    purpose = text.documentation(getattr(specs, name)).partition("\n\n")[0]
    return text.prose(purpose).rstrip(".").partition(": ")[0]


def _section(name: str, policy: HookPolicy, whose: str, links: Sequence[str]) -> Iterator[str]:
    function = getattr(specs, name)
    purpose, _, rest = text.documentation(function).partition("\n\n")
    if name in PARTS:
        yield f"## {PARTS[name]}"
        yield ""
    yield f"### {name}"
    yield ""
    yield f"**{text.prose(purpose, text.HOOKS)}**"
    yield ""
    for statement in text.sentences(rest):
        yield text.prose(statement, text.HOOKS)
        yield ""
    signature = inspect.signature(function)
    arguments = [
        f"`{one.name}`: {text.annotation(one.annotation, text.HOOKS)}" for one in signature.parameters.values()
    ]
    rows = [
        ("arguments", "; ".join(arguments)),
        ("returns", text.annotation(signature.return_annotation, text.HOOKS)),
        ("results", _results(name, policy)),
        ("order", ORDER[policy.order]),
        ("written as", _written_as(name, policy)),
        ("a failure", _failure(name, policy)[1]),
        (whose, ", ".join(links) or "nobody yet"),
    ]
    yield from text.table(("", name), rows)


def _failure(name: str, policy: HookPolicy) -> tuple[str, str]:
    return ANSWERS_FOR_ITSELF.get(name, (policy.on_failure, FAILURE[policy.on_failure]))


def _results(name: str, policy: HookPolicy) -> str:
    if name == "lifespan":
        return "all: every context manager is entered, and left in reverse"
    return COMBINE[policy.combine]


def _written_as(name: str, policy: HookPolicy) -> str:
    if name == "lifespan":
        return "`def`; the context manager it returns may be async"
    return "`def` or `async def`" if policy.may_await else "`def`"
