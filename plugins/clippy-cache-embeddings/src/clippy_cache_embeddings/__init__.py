"""Answers embeddings requests input by input: what was answered before is not sent again."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any
from weakref import WeakSet

from attrs import define, evolve, field, frozen
from attrs.validators import ge
from cachetools import Cache, LRUCache
from clippy_hookspecs import (
    Answer,
    Headers,
    Json,
    Request,
    RequestContext,
    Response,
    Scope,
    Selector,
    StashKey,
    hookimpl,
)
from clippy_hookspecs.stored import body_decoders

from .answers import Around, Item, take_apart

__all__ = ["EmbeddingsCache"]

_ABOUT_THE_CALL = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-length", "content-type", "date", "expect", "host"),
        *("idempotency-key", "keep-alive", "transfer-encoding", "user-agent", "x-request-id", "x-client-request-id"),
        *("traceparent", "tracestate", "baggage"),
    }
)
"""Headers that say how a call travels and not who asks for what.  All others are part of who may see an answer."""

_SIGNED = ("content-digest", "signature-input")
"""Headers of a request whose body is signed (RFC 9530, RFC 9421)."""

_SECRET = os.urandom(32)
"""Digests are of credentials too: without this nobody can tell from one what it is of."""


@frozen(eq=False)
class _Kept:
    """A vector as it came; ``model`` is the one that was asked, times are unix seconds, ``size`` bytes."""

    item: Item
    model: str
    around: Around
    since: float
    expires: float
    size: int
    scope: Scope


@frozen(eq=False)
class _Plan:
    """What became of a request: the digest of each of its inputs, what was kept of them, and what was sent."""

    whole: Request
    wanted: Sequence[bytes]
    kept: Mapping[bytes, _Kept]
    sent: Sequence[bytes]


_PLAN = StashKey[_Plan]("cache-embeddings.plan")


def _size(kept: _Kept) -> int:
    return kept.size


@define(eq=False)
class EmbeddingsCache:
    """Keeps the vector of each input of an embeddings request, and sends only the inputs that it has none of.

    Exact: an input is the same if its JSON is, and everything else that is asked and who asks.  Waits for a ``ttl``,
    since a program that reads ``usage`` sees what was really sent.
    """

    ttl: float = field(
        default=0.0, validator=ge(0), metadata={"doc": "Seconds a vector is given again; 0: nothing is done."}
    )
    max_bytes: int = field(
        default=64 * 1024 * 1024,
        validator=ge(0),
        metadata={"doc": "Bytes of vectors kept, as they came; the least recently used goes first."},
    )
    _kept: LRUCache[bytes, _Kept] = field(init=False, repr=False)
    _lock: threading.Lock = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._begin()
        _caches.add(self)

    def _begin(self) -> None:
        self._kept = LRUCache(self.max_bytes, getsizeof=_size)
        self._lock = threading.Lock()

    @property
    def idle(self) -> str:
        """Why it does nothing."""
        return "" if self.ttl else "no ttl is set"

    @hookimpl
    def pre_request(self, request: Request, ctx: RequestContext) -> Request | Answer | None:
        """Leave out the inputs whose vectors are kept, and those that are asked twice; answer if none is left."""
        inputs = _inputs(request)
        if inputs is None:
            return None
        wanted = _digests(request, inputs, ctx)
        control, now = ctx.cache_control, ctx.clock.time()
        oldest = -math.inf if control.max_age is None else now - control.max_age
        kept = self._find(wanted, now, oldest) if control.lookup else {}
        missing = {key: value for key, value in zip(wanted, inputs, strict=True) if key not in kept}
        if not missing:
            return Answer(_answer(request, [kept[key] for key in wanted]), f"{len(wanted)} inputs were answered before")
        ctx.stash[_PLAN] = _Plan(request, wanted, kept, tuple(missing))
        if len(missing) == len(wanted):
            return None
        return evolve(request, params={**request.params, "input": list(missing.values())})

    @hookimpl(inline=True)
    async def on_response(self, response: Response, ctx: RequestContext) -> Response | None:
        """Keep the new vectors, and put the kept ones back in their places.

        If the answer is none to what was sent, or comes from another model than what was kept, all is asked anew.
        """
        plan = ctx.stash.get(_PLAN)
        if plan is None:
            return None
        untouched, provenance = len(plan.sent) == len(plan.wanted), ctx.provenance
        by_plugin = provenance is not None and provenance.source == "plugin"
        parts = None if response.raw is None else take_apart(response.raw, len(plan.sent))
        if parts is None:
            return None if untouched or by_plugin else await _anew(plan, response, ctx)
        if any(kept.around.model != parts.around.model for kept in plan.kept.values()):
            self._forget(plan.kept)
            return await _anew(plan, response, ctx)
        new = dict(zip(plan.sent, parts.items, strict=True))
        if not by_plugin and ctx.cache_control.store:
            age = 0.0 if provenance is None or provenance.age is None else provenance.age
            self._keep(new, parts.unasked, plan.whole.model, ctx.clock.time() - age, ctx)
        if untouched:
            return None
        items = [new[key] if key in new else plan.kept[key].item for key in plan.wanted]
        return _with_body(response, parts.around.body(items), response)

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        """Drop what was stored for a scope or a model, or everything; nothing here has a key or a tag of its own."""
        with self._lock:
            # Cache's own lookup, not LRUCache's: to look at a vector for this is not to use it.
            found = [(key, Cache.__getitem__(self._kept, key)) for key in self._kept]
            for key, kept in found:
                if selector.names("", (), kept.scope, kept.model):
                    del self._kept[key]

    def _find(self, keys: Sequence[bytes], now: float, oldest: float) -> dict[bytes, _Kept]:
        """What is kept since *oldest* and not over, of the model that answered last: those of two do not compare."""
        with self._lock:
            known = {key: kept for key in keys if (kept := self._kept.get(key)) is not None}
        found = {key: kept for key, kept in known.items() if kept.since >= oldest and now < kept.expires}
        if not found:
            return found
        newest = max(found.values(), key=lambda kept: kept.expires).around.model
        return {key: kept for key, kept in found.items() if kept.around.model == newest}

    def _keep(self, new: Mapping[bytes, Item], around: Around, model: str, since: float, ctx: RequestContext) -> None:
        asked = ctx.cache_control.ttl
        expires = since + (self.ttl if asked is None else min(self.ttl, asked))
        beside = len(around.before) + len(around.after)
        with self._lock:
            for key, item in new.items():
                size = len(item.before) + len(item.after) + beside
                if size <= self.max_bytes:
                    self._kept[key] = _Kept(item, model, around, since, expires, size, ctx.scope)

    def _forget(self, kept: Mapping[bytes, _Kept]) -> None:
        with self._lock:
            for key, one in kept.items():
                if self._kept.get(key) is one:
                    del self._kept[key]


def _inputs(request: Request) -> list[Json] | None:
    """Each input of an embeddings request: a text, or a list of tokens; None for what is none."""
    if request.endpoint.name != "embeddings" or request.api not in body_decoders or request.stream:
        return None
    if request.headers.get("authorization", "").startswith("AWS4-") or any(map(request.headers.get, _SIGNED)):
        return None  # what is signed cannot be changed
    given: Any = request.params.get("input")
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        return None
    return [given] if all(type(token) is int for token in given) else given


def _digests(request: Request, inputs: Sequence[Json], ctx: RequestContext) -> list[bytes]:
    """A digest of each input with all else that can change its vector, and with who may see it.

    Fields are left out by name, as in the host's own keys: one that appears tomorrow counts.
    """
    headers = [(name.lower(), value) for name, value in request.headers.pairs]
    around = [
        [ctx.scope.tenant, ctx.scope.user, ctx.account, ctx.route.name, request.url, request.query, request.model],
        sorted(pair for pair in headers if not (pair[0] in _ABOUT_THE_CALL or pair[0].startswith("x-stainless-"))),
        {name: value for name, value in request.params.items() if name != "input"},
    ]
    start = blake2b(_json(around), key=_SECRET, digest_size=32)
    keys = []
    for value in inputs:
        digest = start.copy()
        digest.update(b"\0" + _json(value))
        keys.append(digest.digest())
    return keys


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


async def _anew(plan: _Plan, response: Response, ctx: RequestContext) -> Response:
    """The answer to the whole request, which stands for *response*."""
    whole = await ctx.ask(plan.whole)
    return whole if whole.raw is None else _with_body(whole, whole.raw, response)


def _with_body(head: Response, body: bytes, instead_of: Response) -> Response:
    """An answer with the head of *head*, of the call that *instead_of* answers."""
    return Response.undecoded(
        body_decoders[head.api],
        body,
        api=head.api,
        status=head.status,
        headers=head.headers.without("content-length"),
        provenance=instead_of.provenance,
        extensions=instead_of.extensions,
    )


def _answer(request: Request, kept: Sequence[_Kept]) -> Response:
    body = kept[0].around.body([one.item for one in kept])
    headers = Headers({"content-type": "application/json"})
    return Response.undecoded(body_decoders[request.api], body, api=request.api, headers=headers)


_caches: WeakSet[EmbeddingsCache] = WeakSet()


def _after_fork_in_child() -> None:
    # Another thread may have held a lock, or been half-way through a store, when the process was forked without it.
    for cache in _caches:
        cache._begin()  # noqa: SLF001 (a method for this function)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
