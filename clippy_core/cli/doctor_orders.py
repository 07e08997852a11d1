"""``clippy doctor``: orders of plugins that look wrong, by a small table of rules.

The core knows no feature, so a plugin's part is read from what it declares: the hooks it implements, what they may
return by their annotations (``-> Retry | None`` repeats, ``-> Switch | None`` goes elsewhere), ``observes_only`` and
``reads_content``.  Of a plugin that declares nothing nothing is said.

Much cannot be out of order, because the pipeline fixes it: who calls is known before a cache is asked, a breaker's
pre_attempt and post_attempt see single attempts, a cache keeps what the provider sent before any plugin changed it, an
audit record holds the request as it was after pre_request.  What is left is the order inside of one hook; outermost
first: limits and guards, what changes requests, what answers them, fallback, retry.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from attrs import frozen

if TYPE_CHECKING:
    from ..discovery import Discovered, Plugin


Level = Literal["wrong", "note"]


@frozen
class Finding:
    """One thing that doctor found; *wrong* ends it with exit code 1, a *note* may be meant."""

    level: Level
    about: str
    what: str


def order_findings(discovered: Discovered) -> list[Finding]:
    """Everything that looks wrong about the order of the active plugins."""
    return [finding for rule in RULES for finding in rule(discovered)]


def _fallback_inside_retry(discovered: Discovered) -> Iterator[Finding]:
    """on_error asks innermost first: a fallback inside of a retry decides before anything is repeated."""
    for outer, inner in _pairs(discovered, "on_error"):
        if "Retry" in _returns(outer, "on_error") and _goes_elsewhere(inner):
            what = (
                f"{inner.name} stands inside of {outer.name} and is asked first: it answers or switches routes before "
            )
            yield Finding("wrong", "on_error", f"{what}anything is repeated; write {_order(inner, outer)}")


def _two_retries(discovered: Discovered) -> Iterator[Finding]:
    for outer, inner in _pairs(discovered, "on_error"):
        if "Retry" in _returns(outer, "on_error") and "Retry" in _returns(inner, "on_error"):
            what = f"{inner.name} and {outer.name} may both repeat: {outer.name} goes on where {inner.name} gives up"
            yield Finding("note", "on_error", f"{what}; keep one, or see that their attempts may add up")


def _retry_of_the_unknown(discovered: Discovered) -> Iterator[Finding]:
    repeats = [one.name for one in discovered.chain("on_error") if "Retry" in _returns(one, "on_error")]
    if repeats and not discovered.chain("classify_error"):
        what = f"{' and '.join(repeats)} may repeat, but no active plugin implements classify_error"
        yield Finding("note", "on_error", f"{what}, so that every failure of a provider is unknown and not retryable")


def _answer_before_guard(discovered: Discovered) -> Iterator[Finding]:
    """An Answer ends pre_request: who stands further in is not asked."""
    for outer, inner in _pairs(discovered, "pre_request"):
        if "Answer" in _returns(outer, "pre_request") and _only_looks(inner, "pre_request") and not _observes(inner):
            what = f"{outer.name} may answer before {inner.name} is asked, which neither changes nor answers requests"
            yield Finding("wrong", "pre_request", f"{what} and so is a limit or a guard; write {_order(inner, outer)}")


def _reader_before_change(discovered: Discovered) -> Iterator[Finding]:
    """What takes something out of requests stands outside of what keeps what it sees of them."""
    for outer, inner in _pairs(discovered, "pre_request"):
        reads = getattr(outer.object, "reads_content", False) and "audit" not in outer.hooks
        if reads and _only_looks(outer, "pre_request") and "Request" in _returns(inner, "pre_request"):
            what = f"{outer.name} reads content and sees each request before {inner.name} changes it"
            yield Finding("wrong", "pre_request", f"{what}; write {_order(inner, outer)}")


def _record_before_settling(discovered: Discovered) -> Iterator[Finding]:
    """Plugins that settle go first in audit, one that records says trylast (the contract's own rule)."""
    for outer, inner in _pairs(discovered, "audit"):
        settles = {"pre_request", "pre_attempt"} & set(inner.hooks) and not _observes(inner)
        if _observes(outer) and settles:
            what = f"{outer.name} records before {inner.name} settles; write {_order(inner, outer, 'audit')}"
            yield Finding("note", "audit", f"{what}, or say trylast in {outer.name}")


def _order_of_nobody(discovered: Discovered) -> Iterator[Finding]:
    active = {plugin.name: plugin for plugin in discovered.loaded}
    for hook, names in discovered.order.hooks.items():
        for name in names:
            if name in active and hook not in active[name].hooks:
                yield Finding("note", hook, f"order.{hook} names {name}, which does not implement it")


def _guard_that_may_fail(discovered: Discovered) -> Iterator[Finding]:
    """A half-changed request leaves when the failure of what changes it is skipped."""
    for plugin in discovered.chain("pre_request"):
        said = discovered.on_failure(plugin)
        if said in ("skip", "disable") and not _observes(plugin):
            what = f"a failure of {plugin.name} is skipped (on_failure = {said}), and the request leaves without it"
            yield Finding("note", "pre_request", f"{what}; pre_request otherwise ends a request that was not looked at")


RULES: tuple[Callable[[Discovered], Iterator[Finding]], ...] = (
    _fallback_inside_retry,
    _two_retries,
    _retry_of_the_unknown,
    _answer_before_guard,
    _reader_before_change,
    _record_before_settling,
    _order_of_nobody,
    _guard_that_may_fail,
)


# --- what a plugin declares ------------------------------------------------------------------------------------------


def _pairs(discovered: Discovered, hook: str) -> Iterator[tuple[Plugin, Plugin]]:
    """Every two plugins of a chain, the outer one first."""
    chain = discovered.chain(hook)
    for place, outer in enumerate(chain):
        for inner in chain[place + 1 :]:
            yield outer, inner


def _returns(plugin: Plugin, hook: str) -> frozenset[str]:
    """The types that a hook may return by its annotation, read as words: an import for type checkers is not there."""
    said = inspect.signature(plugin.method(hook)).return_annotation
    if said is inspect.Signature.empty:
        return frozenset()
    text = said if isinstance(said, str) else getattr(said, "__name__", "") if inspect.isclass(said) else str(said)
    words = frozenset(re.findall(r"\w+", "None" if said is None else text))
    return words | {"Retry", "Switch", "Answer"} if "ErrorDecision" in words else words


def _goes_elsewhere(plugin: Plugin) -> bool:
    words = _returns(plugin, "on_error")
    return bool(words & {"Switch", "Answer"}) and "Retry" not in words


def _only_looks(plugin: Plugin, hook: str) -> bool:
    return _returns(plugin, hook) == {"None"}


def _observes(plugin: Plugin) -> bool:
    return bool(getattr(plugin.object, "observes_only", False))


def _order(outer: Plugin, inner: Plugin, hook: str = "") -> str:
    names = f'["{outer.name}", "{inner.name}"]'
    return f"order.{hook} = {names}" if hook else f"order = {names}, outermost first"
