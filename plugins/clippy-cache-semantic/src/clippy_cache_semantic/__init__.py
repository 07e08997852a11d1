"""Answers a question that was asked before in other words, where all before it is the same and no guard objects.

Two tiers: the same words in another dress, and a near embedding whose text says the same as far as rules can tell.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING
from weakref import WeakSet

from attrs import define, evolve, field
from attrs.validators import and_, ge, gt, in_, le
from clippy_hookspecs import (
    CacheEntry,
    CorruptEntry,
    Embedder,
    MatchVerifier,
    Request,
    RequestContext,
    Selector,
    StashKey,
    StatusTable,
    dump_entry,
    hookimpl,
    load_entry,
)

from .counts import (
    BEFORE,
    DROPPED,
    GONE,
    MOST_SHADOWED,
    REMEMBERED,
    Hit,
    Report,
    SemanticStatistics,
    Shadowed,
    shadowed,
    table_of,
    unknown,
)
from .guards import PROFILES, difference
from .question import Question, question_of
from .reading import Reading
from .store import Kept, Store

if TYPE_CHECKING:
    from .shelf import Vector

__all__ = ["Hit", "Report", "SemanticCache", "SemanticStatistics", "Shadowed"]

logger = logging.getLogger("clippy.cache-semantic")

CANDIDATES = 8
"""Neighbours that are looked at: the nearest may be what a guard tells apart from the question, the next its equal."""


@define(eq=False)
class _Asked:
    """What was found out about a question when it was looked up, for when its answer is stored."""

    question: Question
    reading: Reading
    vector: Vector | None = None
    shadowed: tuple[Kept, Hit] | None = None


_ASKED = StashKey[_Asked]("cache-semantic.asked")


@define(eq=False)
class SemanticCache:
    """Answers a question that was asked before in other words, where everything before it is the same.

    Needs an ``Embedder`` for its second tier; without one it still knows the same words in another dress.
    """

    mode: str = field(
        default="off",
        validator=in_(("off", "shadow", "serve")),
        metadata={"doc": "off; shadow: only count what would have been answered; serve: answer."},
    )
    profile: str = field(
        default="strict",
        validator=in_(tuple(PROFILES)),
        metadata={
            "doc": "strict: all guards; balanced: those for numbers, units, times, negations and opposites; verifier:"
            " only the MatchVerifier service, which where one is offered is asked after the guards of the others too."
        },
    )
    threshold: float = field(
        default=0.6,
        validator=and_(gt(0), le(1)),
        metadata={"doc": "The least cosine of two questions for which the guards are asked."},
    )
    ttl: float = field(default=3600.0, validator=ge(0), metadata={"doc": "Seconds an answer is given again."})
    max_entries: int = field(default=10_000, validator=ge(0), metadata={"doc": "Answers kept in all."})
    max_bytes: int = field(
        default=64 * 1024 * 1024, validator=ge(0), metadata={"doc": "Bytes of answers and vectors kept in all."}
    )
    max_chars: int = field(
        default=600,
        validator=ge(1),
        metadata={"doc": "Characters of a question; a longer one is neither kept nor answered here."},
    )
    content: bool = field(
        default=False,
        metadata={
            "doc": "The pairs of shadow mode have their questions; in memory only, never logged; for development."
        },
    )
    _store: Store = field(init=False, repr=False)
    _shadowed: deque[Shadowed] = field(init=False, repr=False)
    _hits: OrderedDict[str, Hit | None] = field(init=False, repr=False)
    _counts: Counter[str] = field(init=False, repr=False)
    _vetoes: Counter[str] = field(init=False, repr=False)
    _lock: threading.Lock = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.mode != "off":  # rather now than in the first request
            from . import shelf  # noqa: F401
        self._begin()
        _caches.add(self)

    def _begin(self) -> None:
        self._store = Store(self.max_entries, self.max_bytes)
        self._hits, self._counts, self._vetoes = OrderedDict(), Counter(), Counter()
        self._shadowed = deque(maxlen=MOST_SHADOWED)
        self._lock = threading.Lock()

    @property
    def idle(self) -> str:
        """Why it does nothing."""
        return "mode is off: set it to shadow to measure, to serve to answer" if self.mode == "off" else ""

    # Innermost: a cache that knows the very request is asked before, and is right for certain.
    @hookimpl(trylast=True)
    async def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        """The answer to a question that says the same; in shadow mode none, only a note of what it would have been."""
        if ctx.stale_within > 0:
            return None
        asked = self._asked(request, ctx)
        if asked is None:
            return None
        self._count("lookups")
        found = await self._find(asked, ctx)
        if found is None:
            return None
        kept, hit = found
        try:
            entry = load_entry(kept.blob)
        except CorruptEntry:
            self._store.drop(kept.key)
            return None
        self._count(hit.tier)
        self._remember(ctx.id, hit)
        if self.mode == "shadow":
            asked.shadowed = kept, hit
            return None
        return evolve(
            entry, note="the same words" if hit.tier == "words" else f"the same meaning, {hit.similarity:.3f}"
        )

    @hookimpl
    async def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        """Keep the provider's answer under its question."""
        asked = self._asked(request, ctx)
        if asked is None or entry.response.raw is None or entry.response.status != 200:
            return
        if asked.shadowed is not None:
            self._compare(asked, *asked.shadowed, entry, ctx.id)
        expires = min(math.inf if entry.expires_at is None else entry.expires_at, entry.stored_at + self.ttl)
        if not ctx.clock.time() < expires:
            return
        if asked.vector is None:
            asked.vector = await self._embedded(asked.reading, ctx)
        question, reading = asked.question, asked.reading
        self._store.put(
            Kept(
                key,
                question.partition,
                reading.normal,
                reading,
                asked.vector,
                dump_entry(entry),
                expires,
                ctx.scope,
                entry.tags,
                request.model,
            )
        )

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        """Drop what *selector* names; the parts that it gives must all fit."""
        self._store.drop_selected(selector)

    def report_wrong_hit(self, id: str) -> Report:  # noqa: A002 (what a request's id is called everywhere)
        """Say that the answer to the request with this id, or what is kept under this key, was wrong.

        An answer found by its words is dropped.  One found by its meaning asks for more from now on, half-way between
        the similarity that misled it and 1; reported a second time, it is dropped.  After vCache (arXiv 2502.03771),
        which learns a threshold for each prompt.  The report is true if that changed anything, and says why it did not.
        """
        with self._lock:
            known, hit = id in self._hits, self._hits.get(id)
            if hit is not None:
                self._hits[id] = None
        kept = self._store.get(id if hit is None else hit.key)
        if kept is None:
            return GONE if hit is not None else BEFORE if known else unknown(id)
        self._count("reported")
        if hit is None or hit.tier == "words" or kept.threshold:
            self._store.drop(kept.key)
            return DROPPED
        kept.threshold = (1.0 + hit.similarity) / 2
        return Report(
            "stricter", f"it is given again from a similarity of {kept.threshold:.3f} on, and dropped next time"
        )

    def hit_of(self, request_id: str) -> Hit | None:
        """How the request of this id was answered here, or would have been in shadow mode; None if it was not."""
        with self._lock:
            return self._hits.get(request_id)

    def shadowed(self) -> tuple[Shadowed, ...]:
        """The questions that would have been answered in shadow mode, at most the newest 256, the newest last."""
        with self._lock:
            return tuple(self._shadowed)

    async def status_tables(self) -> tuple[StatusTable, ...]:
        """What shadow mode would have answered, pair by pair, so that one can judge before it serves."""
        return (table_of(self.shadowed()),) if self.mode == "shadow" else ()

    def statistics(self) -> SemanticStatistics:
        """What was counted so far."""
        with self._lock:
            counts, vetoes = self._counts.copy(), dict(self._vetoes)
        names = ("lookups", "words", "meaning", "equal", "near", "other", "reported")
        return SemanticStatistics(vetoes=vetoes, **{name: counts[name] for name in names})

    def _asked(self, request: Request, ctx: RequestContext) -> _Asked | None:
        question = question_of(request, ctx.partition, self.max_chars)
        if question is None:
            return None
        before = ctx.stash.get(_ASKED)
        if before is not None and before.question == question:
            return before
        asked = ctx.stash[_ASKED] = _Asked(question, Reading(question.text))
        return asked

    async def _find(self, asked: _Asked, ctx: RequestContext) -> tuple[Kept, Hit] | None:
        now, partition = ctx.clock.time(), asked.question.partition
        kept = self._store.same_words(partition, asked.reading.normal, now)
        if kept is not None:
            return kept, Hit(kept.key, "words", 1.0)
        asked.vector = await self._embedded(asked.reading, ctx)
        if asked.vector is None:
            return None
        for kept, cosine in self._store.near(partition, asked.vector, self.threshold, CANDIDATES, now):
            why = await self._difference(asked.reading, kept.reading, ctx)
            if why is None:
                return kept, Hit(kept.key, "meaning", cosine)
            with self._lock:
                self._vetoes[why] += 1
        return None

    async def _difference(self, asked: Reading, stored: Reading, ctx: RequestContext) -> str | None:
        """What tells two questions apart: a guard's name, or the word of whoever offers a verifier."""
        if (why := difference(asked, stored, PROFILES[self.profile])) is not None:
            return why
        verifier = ctx.services.get(MatchVerifier, None)
        if verifier is None:
            return None if PROFILES[self.profile] else "no verifier"
        return None if await verifier.same(asked.text, stored.text, ctx) else "verifier"

    async def _embedded(self, reading: Reading, ctx: RequestContext) -> Vector | None:
        """The question's vector, without what surrounds the question; None if nobody can make one."""
        embedder = ctx.services.get(Embedder, None)
        if embedder is None:
            return None
        from .shelf import unit  # numpy, of which a cache that is off has no use

        (numbers,) = await embedder.embed([reading.normal])
        return unit(numbers)

    def _compare(self, asked: _Asked, kept: Kept, hit: Hit, entry: CacheEntry, request_id: str) -> None:
        """Note what the provider said to a question that would have been answered with what is kept."""
        asked.shadowed = None
        texts = (asked.question.text, kept.reading.text) if self.content else ()
        pair = shadowed(request_id, hit, load_entry(kept.blob), entry, *texts)
        self._count(pair.answers)
        with self._lock:
            self._shadowed.append(pair)

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _remember(self, request_id: str, hit: Hit) -> None:
        with self._lock:
            self._hits[request_id] = hit
            while len(self._hits) > REMEMBERED:
                self._hits.popitem(last=False)


_caches: WeakSet[SemanticCache] = WeakSet()


def _after_fork_in_child() -> None:
    # Another thread may have held a lock, or been half-way through a store, when the process was forked without it.
    for cache in _caches:
        cache._begin()  # noqa: SLF001 (a method for this function)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
