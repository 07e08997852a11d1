"""``host.invalidate`` reaches every cache, whoever else is installed."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import Event, Scope, Selector, hookimpl

from clippy_core.testing import Reply


@define(eq=False)
class Forgets:
    """A cache that only notes what it is told to forget."""

    told: list[Selector] = field(factory=list)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        self.told.append(selector)


@define(eq=False)
class Watches:
    """An observer of hook calls."""

    seen: list[Event] = field(factory=list)

    @hookimpl
    def observe(self, event: Event) -> None:
        self.seen.append(event)


def test_invalidation_is_no_request_and_works_beside_plugins_that_record_requests(sync_caller):
    """With an audit or an observer the calls of hooks are timed and traced, but here is no request to trace."""
    forgets, watches = Forgets(), Watches()
    sync_caller.start([forgets, watches], Reply("one"))
    sync_caller.host.invalidate(key="k", scope=Scope(user="ada"))
    sync_caller.host.invalidate()
    assert [Selector("k", None, Scope(user="ada")), Selector()] == forgets.told
    assert ([], []) == (watches.seen, sync_caller.records.records)
