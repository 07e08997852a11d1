"""``host.invalidate``: every cache is told, whoever else is there."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from calling import Records
from clippy_hookspecs import PluginError, Scope, Selector, hookimpl

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
class ToldLater(Told):
    """The same for a cache that awaits."""

    @hookimpl
    async def cache_invalidate(self, selector: Selector) -> None:
        self.told.append(selector)


@define(eq=False)
class Watch:
    """Sees every event."""

    kinds: list[str] = field(factory=list)

    @hookimpl
    def observe(self, event: Any, ctx: Any) -> None:
        self.kinds.append(event.kind)


def failures(host: clippy_core.Host, **selected: Any) -> list[tuple[str, str]]:
    """Plugin and sentence of each cache that could not drop."""
    with pytest.raises(ExceptionGroup, match="caches did not drop what they were told to") as caught:
        host.invalidate(**selected)
    assert all(isinstance(error, PluginError) for error in caught.value.exceptions)
    return [(error.plugin, str(error)) for error in caught.value.exceptions if isinstance(error, PluginError)]


@pytest.mark.parametrize("cache", [Told, ToldLater])
@pytest.mark.parametrize("beside", [None, Records, Watch])
def test_an_invalidation_reaches_every_cache_beside_plugins_that_record(
    beside: type[Any] | None, cache: type[Told]
) -> None:
    """It belongs to no request, so it is in no trace and no event; a cache that fails stops no other."""
    failing, working = Told(fails=True), cache()
    others = {} if beside is None else {"beside": beside()}
    with clippy_core.Host({"a": failing, "b": working, **others}) as host:
        failures(host, tag="t", scope=Scope(user="ada"))
    assert failing.told == working.told == [Selector(None, "t", Scope(user="ada"))]


def test_who_asks_learns_of_each_cache_that_could_not_drop() -> None:
    """One sentence for each, and its own exception as the cause; whoever deletes must know what is still there."""
    with clippy_core.Host({"a": Told(fails=True), "b": Told(), "c": Told(fails=True)}) as host:
        said = failures(host)
        assert [plugin for plugin, _ in said] == ["a", "c"]
        assert said[0][1] == "plugin a: cache_invalidate raised OSError; what it stored may still be there"
        assert host.faults.counts == {("a", "cache_invalidate"): 1, ("c", "cache_invalidate"): 1}


def test_a_cache_that_was_switched_off_is_named_too() -> None:
    """It is not called any more, and what it stored is still there."""
    cache = Told(fails=True)
    with clippy_core.Host({"a": cache}, config={"on_failure": {"a": "disable"}}) as host:
        failures(host)
        ((plugin, sentence),) = failures(host)
        assert (plugin, "switched off" in sentence, len(cache.told)) == ("a", True, 1)


def test_an_invalidation_that_every_cache_carried_out_raises_nothing() -> None:
    """Nor does one without any cache."""
    cache = Told()
    for plugins in ({"a": cache}, {}):
        with clippy_core.Host(plugins) as host:
            host.invalidate()
    assert cache.told == [Selector()]


@pytest.mark.parametrize("part", ["key_prefix", "tag_prefix"])
def test_a_prefix_that_is_empty_drops_nothing_and_is_refused(part: str) -> None:
    """``key_prefix=""`` fits every key: a variable that was never set must not drop everything."""
    cache = Told()
    host = clippy_core.Host([cache])
    with pytest.raises(ValueError, match=f"{part} is empty"):
        host.invalidate(**{part: ""})
    assert not cache.told
