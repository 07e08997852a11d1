"""The records of every call, made fast: see :func:`clippy_hookspecs.blocks.draft`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from clippy_hookspecs import (
    AuditRecord,
    CacheEntry,
    Event,
    HookCall,
    Outcome,
    Provenance,
    RawReply,
    RequestContext,
    RouteInfo,
    Scope,
)
from clippy_hookspecs.blocks import draft, maker
from clippy_hookspecs.records import AttemptRecord, EventKind

new_attempt, new_record, new_scope = maker(AttemptRecord), maker(AuditRecord), maker(Scope)
new_entry, new_outcome, new_provenance = maker(CacheEntry), maker(Outcome), maker(Provenance)
new_reply = maker(RawReply)
route_info = lru_cache(maxsize=256)(RouteInfo)
"""Of the same few addresses; nothing in one changes."""
_HookCall, _Event = draft(HookCall), draft(Event)


def new_call(plugin: str, hook: str, action: str, ns: int) -> HookCall:
    """``HookCall`` of one call.  By hand, since a record has one for every plugin in every hook."""
    value: Any = _HookCall()
    value.plugin, value.hook, value.action, value.ns, value.calls = plugin, hook, action, ns, 1
    value.__class__ = HookCall
    return value  # type: ignore[no-any-return]  # it is one now


def new_event(kind: EventKind, data: object, ctx: RequestContext, made: object = None) -> Event:
    """``Event`` of this moment; there are as many as hook calls."""
    value: Any = _Event()
    value.kind, value.at, value.data, value.value = kind, int(ctx.clock.now() * 1e9), data, made
    value.__class__ = Event
    return value  # type: ignore[no-any-return]  # it is one now
