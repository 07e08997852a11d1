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

from attrs import evolve, frozen

if TYPE_CHECKING:
    from ..discovery import Discovered, Plugin


Level = Literal["wrong", "note"]


@frozen
class Finding:
    """One thing that doctor found; *wrong* ends it with exit code 1, a *note* may be meant."""

    level: Level
    about: str
    what: str


@frozen
class _Misplaced:
    """Two plugins that should stand the other way round, *first* outside of *second*; one line mends all there are."""

    level: Level
    about: str
    what: str
    first: Plugin
    second: Plugin
    setting: str = ""
    """The hook whose own list is to be written; without one the default list is, unless the hook has a list already."""
    or_else: str = ""


def order_findings(discovered: Discovered) -> list[Finding]:
    """Everything that looks wrong about the order of the active plugins.

    What is said about one setting proposes one line for it, which mends all that was found there: of two lines for the
    same setting the second would undo the first.
    """
    own = discovered.order.hooks
    found = [
        evolve(one, setting=one.about) if isinstance(one, _Misplaced) and one.about in own else one
        for rule in RULES
        for one in rule(discovered)
    ]
    misplaced = [one for one in found if isinstance(one, _Misplaced)]
    lines = {
        setting: _line(discovered, setting, [one for one in misplaced if one.setting == setting])
        for setting in {one.setting for one in misplaced}
    }
    return [
        Finding(one.level, one.about, f"{one.what}; write {lines[one.setting]}{one.or_else}")
        if isinstance(one, _Misplaced)
        else one
        for one in found
    ]


def _line(discovered: Discovered, setting: str, misplaced: list[_Misplaced]) -> str:
    """A list with which none of *misplaced* is found; all that the user's own list names stays in it.

    Two rules that contradict each other have no such list; the one asked first then wins.
    """
    said = discovered.order.of(setting)
    hooks = [setting] if setting else list(dict.fromkeys(one.about for one in misplaced))
    chain = [plugin.name for hook in hooks for plugin in discovered.chain(hook)]
    wanted = {name for one in misplaced for name in (one.first.name, one.second.name)}
    left = [name for name in dict.fromkeys((*said, *chain)) if name in wanted or name in said]
    pairs = [(one.first.name, one.second.name) for one in misplaced]
    names: list[str] = []
    while left:
        free = [name for name in left if all(name != second for _, second in pairs)]
        names.append(free[0] if free else pairs[0][0])
        left.remove(names[-1])
        pairs = [pair for pair in pairs if names[-1] not in pair]
    listed = ", ".join(f'"{name}"' for name in names)
    return f"order.{setting} = [{listed}]" if setting else f"order = [{listed}], outermost first"


def _fallback_inside_retry(discovered: Discovered) -> Iterator[_Misplaced]:
    """on_error asks innermost first: a fallback inside of a retry decides before anything is repeated."""
    for outer, inner in _pairs(discovered, "on_error"):
        if "Retry" in _returns(outer, "on_error") and _goes_elsewhere(inner):
            what = f"{inner.name} stands inside of {outer.name} and is asked first: it answers or switches routes"
            yield _Misplaced("wrong", "on_error", f"{what} before anything is repeated", inner, outer)


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


def _answer_before_guard(discovered: Discovered) -> Iterator[_Misplaced]:
    """An Answer ends pre_request: who stands further in is not asked."""
    for outer, inner in _pairs(discovered, "pre_request"):
        if "Answer" in _returns(outer, "pre_request") and _only_looks(inner, "pre_request") and not _observes(inner):
            what = f"{outer.name} may answer before {inner.name} is asked, which neither changes nor answers requests"
            yield _Misplaced("wrong", "pre_request", f"{what} and so is a limit or a guard", inner, outer)


def _reader_before_change(discovered: Discovered) -> Iterator[_Misplaced]:
    """What takes something out of requests stands outside of what keeps what it sees of them."""
    for outer, inner in _pairs(discovered, "pre_request"):
        reads = getattr(outer.object, "reads_content", False) and "audit" not in outer.hooks
        if reads and _only_looks(outer, "pre_request") and "Request" in _returns(inner, "pre_request"):
            what = f"{outer.name} reads content and sees each request before {inner.name} changes it"
            yield _Misplaced("wrong", "pre_request", what, inner, outer)


def _record_before_settling(discovered: Discovered) -> Iterator[_Misplaced]:
    """Plugins that settle go first in audit, one that records says trylast (the contract's own rule)."""
    for outer, inner in _pairs(discovered, "audit"):
        settles = {"pre_request", "pre_attempt"} & set(inner.hooks) and not _observes(inner)
        if _observes(outer) and settles:
            what = f"{outer.name} records before {inner.name} settles"
            yield _Misplaced("note", "audit", what, inner, outer, "audit", f", or say trylast in {outer.name}")


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


RULES: tuple[Callable[[Discovered], Iterator[Finding | _Misplaced]], ...] = (
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
