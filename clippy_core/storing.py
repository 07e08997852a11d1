"""What a request's cache control means for its keys, for what is found and for what is stored of its answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from attrs import evolve
from clippy_hookspecs import CacheEntry, ErrorInfo, Headers, Request, Response, Stale

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
    scope, fingerprint, share = ctx.scope, settings.fingerprint, ctx.share
    if share != "caller":
        scope, auth, fingerprint = keys.shared_with(share, scope, auth, fingerprint)
    key, ctx.partition, ctx.key_parts = keys.cache_keys(request, scope, auth, ctx.route, fingerprint, settings.salt)
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


def lateness(decision: Stale, ctx: Context) -> float:
    """Seconds past its time that an answer may be: what a plugin says, and no more than the request allows."""
    control = ctx.cache_control
    allowed = math.inf if control.max_stale is None else control.max_stale
    return min(decision.within, allowed) if control.lookup else 0.0


_UNITS = {"retry-after": 1, "retry-after-ms": 1000, "x-ms-retry-after-ms": 1000}
"""Headers that say how long to wait, and how many of their units are a second."""
_LENGTH = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,15})?\Z")
"""A length of time; a longer number is a moment (unix seconds), as some servers write it."""


def waited(failure: Response, info: ErrorInfo, seconds: float) -> tuple[Response, ErrorInfo]:
    """A stored failure, and what was judged of it when it came, *seconds* later: that much of a wait is over.

    RFC 9110, section 10.2.3: a number counts from when the answer came; a date stays what it is.
    """
    left = tuple((name, _left(name.lower(), value, seconds)) for name, value in failure.headers.pairs)
    wait = None if info.retry_after is None else max(0.0, info.retry_after - seconds)
    return retouch(failure, headers=Headers(left)), evolve(info, retry_after=wait)


def _left(name: str, value: str, seconds: float) -> str:
    """A header's value, less what is over of a wait; rounded up, so that nobody comes too early."""
    if name not in _UNITS or not _LENGTH.match(value.strip()):
        return value
    return str(math.ceil(max(0.0, float(value) - seconds * _UNITS[name])))


def to_store(entry: CacheEntry, ctx: Context, now: float, *, failed: bool) -> CacheEntry:
    """What caches get to keep of an answer, or of a failure; *now* is unix seconds."""
    answer = entry.response
    control = ctx.cache_control
    lives = control.negative_ttl if failed else control.ttl
    clean = retouch(answer, headers=keys.storable_headers(answer.headers, ctx.share), extensions={})
    expires = None if lives is None or math.isinf(lives) else now + lives
    return new_entry(clean, entry.events, now, expires, control.tags, ctx.id)


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
