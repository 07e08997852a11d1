"""The records of every call, made fast: see :func:`clippy_hookspecs.blocks.draft`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from clippy_hookspecs import (
    AuditRecord,
    CacheEntry,
    Event,
    HookCall,
    Outcome,
    Provenance,
    RawReply,
    RawRequest,
    RouteInfo,
    Scope,
)
from clippy_hookspecs.blocks import draft, maker
from clippy_hookspecs.records import AttemptRecord

Source = Literal["provider", "cache", "plugin"]

new_attempt, new_record, new_scope = maker(AttemptRecord), maker(AuditRecord), maker(Scope)
new_entry, new_outcome = maker(CacheEntry), maker(Outcome)
new_reply, new_raw_request = maker(RawReply), maker(RawRequest)
route_info = lru_cache(maxsize=256)(RouteInfo)
"""Of the same few addresses; nothing in one changes."""
begun_call, begun_event, _Provenance = draft(HookCall), draft(Event), draft(Provenance)


def new_provenance(
    source: Source,
    by: str | None,
    route: str | None,
    age: float | None = None,
    stale: bool = False,
    reason: str | None = None,
) -> Provenance:
    """``Provenance`` of an answer; by hand as well."""
    value: Any = _Provenance()
    value.source, value.by, value.route = source, by, route
    value.age, value.stale, value.reason = age, stale, reason
    value.__class__ = Provenance
    return value  # type: ignore[no-any-return]  # it is one now


def new_call(plugin: str, hook: str, action: str, ns: int, at: int) -> HookCall:
    """``HookCall`` of one call.  By hand, since a record has one for every plugin in every hook."""
    value: Any = begun_call()
    value.plugin, value.hook, value.action, value.ns, value.calls, value.at = plugin, hook, action, ns, 1, at
    value.__class__ = HookCall
    return value  # type: ignore[no-any-return]  # it is one now
