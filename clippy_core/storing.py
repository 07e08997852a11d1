"""What a request's cache control means for its keys, for what is found and for what is stored of its answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from clippy_hookspecs import CacheEntry, ErrorInfo, Request, Response

from . import keys
from .records import new_entry
from .request_context import Context
from .settings import Settings
from .untouched import retouch

EVER = math.inf
"""For ``stale_within``: whatever a cache still keeps."""

Fits = Callable[[CacheEntry, Context], bool]
"""Whether an entry that a cache gave is what it was asked for."""


def make_key(request: Request, ctx: Context, auth: str, settings: Settings) -> str | None:
    """The key of *request* on its present route; its context learns the partition and what the key is made of."""
    scope, auth, fingerprint = keys.shared_with(ctx.share, ctx.scope, auth, settings.fingerprint)
    key, ctx.partition = keys.cache_keys(request, scope, auth, ctx.route, fingerprint)
    ctx.key_parts = partial(keys.key_fields, request, scope, auth, ctx.route, fingerprint, settings.salt)
    return key


def usable(found: CacheEntry, ctx: Context) -> bool:
    """Whether an entry is as young as the request asks for."""
    oldest = ctx.cache_control.max_age
    return oldest is None or ctx.clock.time() - found.stored_at <= oldest


def answers(found: CacheEntry, ctx: Context) -> bool:
    """Whether an entry holds an answer, and no failure."""
    return found.response.status < 400


def answers_late(found: CacheEntry, ctx: Context) -> bool:
    """Whether an entry can stand in for a provider that fails."""
    return answers(found, ctx) and usable(found, ctx)


def to_store(entry: CacheEntry, ctx: Context, now: float, *, failed: bool) -> CacheEntry:
    """What caches get to keep of an answer, or of a failure; *now* is unix seconds."""
    answer = entry.response
    control = ctx.cache_control
    lives = control.negative_ttl if failed else control.ttl
    clean = retouch(answer, headers=keys.storable_headers(answer.headers, ctx.share), extensions={})
    return new_entry(clean, entry.events, now, None if lives is None else now + lives, control.tags, ctx.id)


def concerns_others(info: ErrorInfo, ctx: Context) -> bool:
    """Whether a failure may reach whoever else the answer may.

    Where credentials are not in the key, what was refused may be another's key, quota or access, and say whose.
    """
    personal = info.scope == "key" or 400 <= (info.status or 0) < 500
    return ctx.share == "caller" or not personal


def keeps_failure(told: object, info: ErrorInfo, ctx: Context) -> bool:
    """Whether a failure is to be stored.  An error under a good status would be taken for an answer."""
    wanted = ctx.cache_control.negative_ttl > 0 and concerns_others(info, ctx)
    return wanted and isinstance(told, Response) and told.status >= 400
