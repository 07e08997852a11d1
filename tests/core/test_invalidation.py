"""``host.invalidate``: every cache is told, whoever else is there."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from calling import Records
from clippy_hookspecs import Scope, Selector, hookimpl

import clippy_core


@define(eq=False)
class Told:
    """A cache that remembers what it was told to drop, and may fail at it."""

    fails: bool = False
    told: list[Selector] = field(factory=list)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        self.told.append(selector)
        if self.fails:
            raise OSError("disk")


@define(eq=False)
class Watch:
    """Sees every event."""

    kinds: list[str] = field(factory=list)

    @hookimpl
    def observe(self, event: Any, ctx: Any) -> None:
        self.kinds.append(event.kind)


@pytest.mark.parametrize("beside", [None, Records, Watch])
def test_an_invalidation_reaches_every_cache_beside_plugins_that_record(beside: type[Any] | None) -> None:
    """It belongs to no request, so it is in no trace and no event; a cache that fails stops no other."""
    failing, working = Told(fails=True), Told()
    others = {} if beside is None else {"beside": beside()}
    with clippy_core.Host({"a": failing, "b": working, **others}) as host:
        host.invalidate(tag="t", scope=Scope(user="ada"))
    assert failing.told == working.told == [Selector(None, "t", Scope(user="ada"))]
