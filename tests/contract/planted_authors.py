"""Plugins as authors wrote them from the pages: sound ones that a suite blamed, and broken ones that it passed."""

from __future__ import annotations

import queue
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

from attrs import define, evolve, field
from clippy_hookspecs import (
    AuditRecord,
    ErrorInfo,
    Event,
    RequestContext,
    Scope,
    Selector,
    StashKey,
    TextFilter,
    hookimpl,
)
from planted_cache import InMemory
from planted_retry import Policy
from planted_text import could_become

# --- observers that keep no ids ---------------------------------------------------------------------------------------


@define(eq=False)
class Tokens:
    """Counts the tokens of each model, and keeps nothing of a single request."""

    observes_only: ClassVar[bool] = True
    tokens: Counter[str] = field(init=False, factory=Counter)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        if record.usage is not None and record.attempts:
            with self._lock:
                self.tokens[record.model or "unknown"] += record.usage.total


@define(eq=False)
class Events:
    """Counts what happens inside."""

    observes_only: ClassVar[bool] = True
    events: Counter[str] = field(init=False, factory=Counter)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @hookimpl
    def observe(self, event: Event) -> None:
        with self._lock:
            self.events[event.kind] += 1


@define(eq=False)
class Reporter:
    """Hands reports of failed requests to a thread, which has nowhere to send them until it is told."""

    observes_only: ClassVar[bool] = True
    url: str = field(default="", metadata={"doc": "where reports are posted; without it nothing is sent"})
    _waiting: queue.Queue[str | None] = field(init=False, factory=queue.Queue, repr=False)

    @hookimpl
    @contextmanager
    def lifespan(self) -> Iterator[None]:
        waiting: queue.Queue[str | None] = queue.Queue()
        self._waiting = waiting
        sender = threading.Thread(target=lambda: list(iter(waiting.get, None)), daemon=True)
        sender.start()
        yield
        waiting.put(None)
        sender.join()

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        if self.url and record.outcome == "failed":
            self._waiting.put(record.id)


# --- caches -----------------------------------------------------------------------------------------------------------


@define(eq=False)
class EqualScopes(InMemory):
    """Drops what was stored for exactly this scope: what a tenant's users had asked stays when the tenant leaves."""

    def _covers(self, asked: Scope, scope: Scope) -> bool:
        return asked == scope

    @hookimpl
    async def cache_invalidate(self, selector: Selector) -> None:
        with self._lock:
            for key, (_, _, _, tags, scope, model) in list(self._kept.items()):
                whatever_scope = evolve(selector, scope=None)
                if whatever_scope.names(key, tags, scope, model) and (
                    selector.scope is None or self._covers(selector.scope, scope)
                ):
                    del self._kept[key]


@define(eq=False)
class NobodyIsEverybody(EqualScopes):
    """Takes the scope of calls without one for that of all, and drops everybody's answers with theirs."""

    def _covers(self, asked: Scope, scope: Scope) -> bool:
        return asked == Scope() or Selector(scope=asked).names("", (), scope)


@define(eq=False)
class EmptyIsUnsaid(EqualScopes):
    """Takes an empty name for one that was not said."""

    def _covers(self, asked: Scope, scope: Scope) -> bool:
        said = Scope(asked.tenant or None, asked.user or None, asked.session or None)
        return scope == Scope() if asked == Scope() else Selector(scope=said).names("", (), scope)


# --- retry policies ---------------------------------------------------------------------------------------------------

_WAITED = StashKey[float]("patience.waited")


@define(eq=False)
class Patience(Policy):
    """Waits so many seconds in all for one request, each time at random, so that equal requests are tried unequally."""

    patience: float = field(default=20.0, metadata={"doc": "seconds that one request may wait in all"})
    _rng: random.Random = field(init=False, factory=random.SystemRandom, repr=False)

    def _random(self) -> float:
        return random.random()

    def _own_wait(self, ctx: RequestContext) -> float:
        return self._random() * min(self.cap, self.base * 2.0 ** min(max(ctx.route_attempt, 1) - 1, 30))

    def _may(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        return ctx.route_attempt < 50

    def _wait(self, error: ErrorInfo, ctx: RequestContext) -> float | None:
        wait = Policy._wait(self, error, ctx)
        if wait is None or self._waited(ctx) + wait > self.patience:
            return None
        self._note(ctx, self._waited(ctx) + wait)
        return wait

    def _waited(self, ctx: RequestContext) -> float:
        return ctx.stash.setdefault(_WAITED, float)

    def _note(self, ctx: RequestContext, waited: float) -> None:
        ctx.stash[_WAITED] = waited


@define(eq=False)
class PatienceOfItsOwn(Patience):
    """Has a source of randomness that nobody can seed."""

    def _random(self) -> float:
        return self._rng.random()


@define(eq=False)
class RarelyLess(Patience):
    """Has a patience that is nearly always enough for all of its attempts."""

    patience: float = field(default=13.0, metadata={"doc": "seconds that one request may wait in all"})

    def _may(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        return ctx.route_attempt < 6

    def _random(self) -> float:
        return self._rng.random()


@define(eq=False)
class PatienceForAll(Patience):
    """Keeps what was waited on itself: when one request has used it up, nobody is helped any more."""

    _spent: float = field(init=False, default=0.0)

    def _may(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        return self._spent < self.patience

    def _waited(self, ctx: RequestContext) -> float:
        return self._spent

    def _note(self, ctx: RequestContext, waited: float) -> None:
        self._spent = waited


@define(eq=False)
class OneLessAfterwards(Policy):
    """Takes an attempt away from everybody once a request was given up, and waits at random."""

    _given_up: bool = field(init=False, default=False)

    def _may(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        may = ctx.route_attempt < 5 - self._given_up
        self._given_up |= not may
        return may


# --- text filters -----------------------------------------------------------------------------------------------------


@define(eq=False)
class Splits(TextFilter):
    """Replaces a word, and holds back only what came behind the last one."""

    word: str = field(default="aab", metadata={"doc": "what is replaced"})
    instead: str = field(default="aa", metadata={"doc": "what stands in its place"})

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        *before, rest = text.split(self.word)
        cut = len(rest) - (0 if final else could_become(rest, self.word))
        return self.instead.join([*before, rest[:cut]]), rest[cut:]


@define(eq=False)
class ReadsItsOwn(Splits):
    """Replaces the word first, and takes the end of what it put there for the beginning of another."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        text = text.replace(self.word, self.instead)
        cut = len(text) - (0 if final else could_become(text, self.word))
        return text[:cut], text[cut:]


@define(eq=False)
class ReadsItsOwnPattern(TextFilter):
    """The same with a pattern, which no setting names."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        text = re.sub(r"h[u]nter\d", "h", text)
        cut = len(text) - (0 if final else could_become(text, "hunter2"))
        return text[:cut], text[cut:]


@define(eq=False)
class UntilNothingIsLeft(Splits):
    """Replaces also what it makes itself, whole and streamed: it holds what could still become a word."""

    word: str = field(default="secret", metadata={"doc": "what is replaced"})
    instead: str = field(default="s", metadata={"doc": "what stands in its place"})

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        while self.word in text:
            text = text.replace(self.word, self.instead)
        cut = len(text) - (0 if final else could_become(text, self.word))
        return text[:cut], text[cut:]


PLANTED: dict[str, dict[str, Callable[..., object]]] = {
    "CacheContract": {
        "keeps the answers of a tenant's users": EqualScopes,
        "takes calls without a scope for everybody's": NobodyIsEverybody,
        "takes an empty name for none": EmptyIsUnsaid,
    },
    "RetryPolicyContract": {
        "has one patience for all requests": PatienceForAll,
        "tries less after a request that was given up": OneLessAfterwards,
    },
    "TextFilterContract": {
        "reads again what it put in": ReadsItsOwn,
        "reads again the letter it put in": partial(ReadsItsOwn, "secret", "s"),
        "reads again what it put in for a pattern": ReadsItsOwnPattern,
    },
}

SOUND: dict[str, Callable[..., object]] = {}

ALSO_SOUND: dict[str, dict[str, Callable[..., object]]] = {
    "ObserverContract": {"counts tokens": Tokens, "counts events": Events, "has nowhere to report to": Reporter},
    "RetryPolicyContract": {
        "has a patience in seconds": Patience,
        "has a patience in seconds, and its own dice": PatienceOfItsOwn,
        "has a patience that rarely ends": RarelyLess,
    },
    "TextFilterContract": {
        "splits at the word": Splits,
        "splits at the word, and puts in its beginning": partial(Splits, "secret", "s"),
        "splits at a word that overlaps itself": partial(Splits, "abab", "ab"),
        "replaces until nothing is left": UntilNothingIsLeft,
    },
}
