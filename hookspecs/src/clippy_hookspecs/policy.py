"""How the host calls a hook: how results combine, what a failure does, whether it may await.

The specs in :mod:`clippy_hookspecs.specs` carry these policies; the host compiles its chains from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, overload

import pluggy
from attrs import field, frozen

from .deprecation import Deprecation

F = TypeVar("F", bound=Callable[..., Any])

PROJECT = "clippy"
"""pluggy project name and entry-point group; both are the same, as people expect from pytest, llm and datasette."""

_spec = pluggy.HookspecMarker(PROJECT)
_impl = pluggy.HookimplMarker(PROJECT)

Combine = Literal["fold", "first", "all"]
OnFailure = Literal["raise", "skip"]
Order = Literal["outer first", "inner first"]


@frozen
class HookPolicy:
    """The rules of one hook.

    ``combine``: *fold* hands each implementation what the one before returned (None = unchanged), *first* stops at
    the first result that is not None, *all* calls everyone and drops the results.
    ``on_failure``: *raise* ends the request with a :class:`~clippy_hookspecs.PluginError`; *skip* goes on as if the
    plugin had returned None, logs it once and counts it.  A plugin or the configuration may override it.
    ``order``: the plugins form an onion.  What acts on the way in runs outermost first, what acts on the way out
    innermost first.
    ``former`` and ``arguments``: names that the hook and its arguments had before, which still work; an argument that
    goes without replacement stands there under its present name.  ``deprecated``: the whole hook goes.
    """

    combine: Combine
    on_failure: OnFailure
    may_await: bool = True
    order: Order = "outer first"
    former: Mapping[str, Deprecation] = field(factory=dict, hash=False)
    arguments: Mapping[str, Deprecation] = field(factory=dict, hash=False)
    deprecated: Deprecation | None = None


POLICIES: dict[str, HookPolicy] = {}
"""The policy of every hook by name, in calling order; filled by :func:`hook` while ``specs`` is imported."""


def hook(
    combine: Combine,
    on_failure: OnFailure,
    *,
    may_await: bool = True,
    order: Order = "outer first",
    former: Mapping[str, Deprecation] | None = None,
    arguments: Mapping[str, Deprecation] | None = None,
    deprecated: Deprecation | None = None,
) -> Callable[[F], F]:
    """Declare a hook specification with its policy."""

    def declare(function: F) -> F:
        policy = HookPolicy(combine, on_failure, may_await, order, former or {}, arguments or {}, deprecated)
        POLICIES[function.__name__] = policy
        return _spec(function)

    return declare


@overload
def hookimpl(function: F, /) -> F: ...
@overload
def hookimpl(
    *, tryfirst: bool = ..., trylast: bool = ..., inline: bool = ..., specname: str | None = ..., wrapper: bool = ...
) -> Callable[[F], F]: ...
def hookimpl(
    function: F | None = None,
    /,
    *,
    tryfirst: bool = False,
    trylast: bool = False,
    inline: bool = False,
    specname: str | None = None,
    wrapper: bool = False,
) -> F | Callable[[F], F]:
    """Mark a method as the implementation of a hook.

    ``tryfirst`` and ``trylast`` move it to the outside or the inside of the onion; the user's ``order`` wins over both.
    ``inline`` is for an ``async def`` that awaits nothing but ``ctx`` and services: a sync host then drives it in
    place instead of on its event-loop thread, which costs nothing and keeps the caller's thread.
    ``wrapper`` is pluggy's, for which there is no place around work that awaits: the host refuses it with a sentence.
    """

    def mark(method: F) -> F:
        method.clippy_inline = inline  # type: ignore[attr-defined]
        return _impl(method, tryfirst=tryfirst, trylast=trylast, specname=specname, wrapper=wrapper)

    return mark if function is None else mark(function)
