"""What a request's cache control means for its keys, for what is found and for what is stored of its answer."""

from __future__ import annotations

from functools import partial
from typing import TypeGuard

from clippy_hookspecs import CacheEntry, Request

from . import keys
from .records import new_entry
from .request_context import Context
from .settings import Settings
from .untouched import retouch


def make_key(request: Request, ctx: Context, auth: str, settings: Settings) -> str | None:
    """The key of *request* on its present route; its context learns the partition and what the key is made of."""
    control = ctx.cache_control
    scope, auth, fingerprint = keys.shared_with(control.share, ctx.scope, auth, settings.fingerprint)
    key, ctx.partition = keys.cache_keys(request, scope, auth, ctx.route, fingerprint)
    ctx.key_parts = partial(keys.key_fields, request, scope, auth, ctx.route, fingerprint, settings.salt)
    return key


def usable(found: CacheEntry | None, ctx: Context) -> TypeGuard[CacheEntry]:
    """Whether what the caches gave answers the request."""
    oldest = ctx.cache_control.max_age
    return found is not None and (oldest is None or ctx.clock.time() - found.stored_at <= oldest)


def to_store(entry: CacheEntry, ctx: Context, now: float, *, failed: bool) -> CacheEntry:
    """What caches get to keep of an answer, or of a failure; *now* is unix seconds."""
    answer = entry.response
    control = ctx.cache_control
    lives = control.negative_ttl if failed else control.ttl
    clean = retouch(answer, headers=keys.storable_headers(answer.headers), extensions={})
    return new_entry(clean, entry.events, now, None if lives is None else now + lives, control.tags, ctx.id)
