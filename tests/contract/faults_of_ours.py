"""Broken variants of plugins, and their sound twins, by the suite that has to tell them apart."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from attrs import define, evolve, field
from clippy_cache_memory import MemoryCache
from clippy_hookspecs import (
    AuditRecord,
    CacheEntry,
    ErrorInfo,
    Request,
    RequestContext,
    Reservation,
    Retry,
    Selector,
    TextFilter,
    hookimpl,
)
from clippy_retry import RetryPolicy

from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import VirtualClock

# --- caches -----------------------------------------------------------------------------------------------------------


@define(eq=False)
class ForeverCache(MemoryCache):
    """Forgets nothing by time."""

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        timeless = evolve(self, ttl=1e12)
        timeless._kept, timeless._lock = self._kept, self._lock
        MemoryCache.cache_store(timeless, key, entry, request, ctx)


@define(eq=False)
class ShortKeyCache(MemoryCache):
    """Looks at the beginning of a key."""

    @hookimpl
    def cache_lookup(self, key: str, request: Request, ctx: RequestContext) -> CacheEntry | None:
        return MemoryCache.cache_lookup(self, key[:32], request, ctx)

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        MemoryCache.cache_store(self, key[:32], entry, request, ctx)


@define(eq=False)
class SubstringTagCache(MemoryCache):
    """Takes part of a tag for the tag."""

    @hookimpl
    def cache_invalidate(self, selector: Selector) -> None:
        with self._lock:
            tags = {tag for kept in self._kept.values() for tag in kept.tags}
        wanted = [tag for tag in tags if selector.tag is not None and selector.tag in tag]
        for tag in wanted or [selector.tag]:
            MemoryCache.cache_invalidate(self, Selector(selector.key, tag, selector.scope))


@define(eq=False)
class EventlessCache(MemoryCache):
    """Keeps the body and forgets the recorded stream."""

    @hookimpl
    def cache_store(self, key: str, entry: CacheEntry, request: Request, ctx: RequestContext) -> None:
        MemoryCache.cache_store(self, key, evolve(entry, events=()), request, ctx)


# --- retry policies ---------------------------------------------------------------------------------------------------


@define(eq=False)
class HastyPolicy(RetryPolicy):
    """Comes back a little before the server allows."""

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        decision = RetryPolicy.on_error(self, error, ctx)
        return Retry(decision.after * 0.9) if decision and error.retry_after else decision


@define(eq=False)
class StubbornPolicy(RetryPolicy):
    """Repeats whatever fails."""

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        return RetryPolicy.on_error(self, evolve(error, retryable=True, category="transient", should_retry=True), ctx)


@define(eq=False)
class ForgetfulPolicy(RetryPolicy):
    """Counts the attempts of all requests together."""

    failed: int = field(init=False, default=0)

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        self.failed += 1
        return RetryPolicy.on_error(self, error, ctx) if self.failed < 20 else None


# --- text filters -----------------------------------------------------------------------------------------------------


@define(eq=False)
class Hide(TextFilter):
    """Hides a word."""

    word: str = field(default="secret", metadata={"doc": "what is hidden"})

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        text = text.replace(self.word, "[hidden]")
        if final:
            return text, ""
        longest = min(len(self.word) - 1, len(text))
        held = next((n for n in range(longest, 0, -1) if self.word.startswith(text[-n:])), 0)
        return text[: len(text) - held], text[len(text) - held :]


@define(eq=False)
class HideWithinPieces(Hide):
    """Finds the word only where it comes in one piece."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        return text.replace(self.word, "[hidden]"), ""


@define(eq=False)
class HideAndLose(Hide):
    """Forgets what it holds when a block ends."""

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        out, held = Hide.filter(self, text, False, ctx)
        return (out, "") if final else (out, held)


@define(eq=False)
class HideInOnePlace(Hide):
    """Holds the text of all requests in one place."""

    kept: str = field(init=False, default="")

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        out, self.kept = Hide.filter(self, self.kept + text, final, ctx)
        return out, ""


# --- state stores -----------------------------------------------------------------------------------------------------


class RacingStore(MemoryStateStore):
    """Reads and writes in two steps."""

    async def add(self, key: str, amount: float, ttl: float) -> float:
        before = await super().add(key, 0, ttl)
        time.sleep(0.0001)  # noqa: ASYNC251 (it is meant to be bad)
        self._counters[key] = (before + amount, self._counters[key][1])
        return before + amount


class GenerousStore(MemoryStateStore):
    """Gives a refund as often as it is asked for."""

    async def refund(self, reservation: Reservation) -> None:
        uses = self._uses[reservation.key]
        uses.held.pop(reservation.id, None) or (uses.held and uses.held.popitem())


class EternalStore(MemoryStateStore):
    """Lets every addition make a counter live longer."""

    async def add(self, key: str, amount: float, ttl: float) -> float:
        total = await super().add(key, amount, ttl)
        self._counters[key] = (total, self._until(ttl))
        return total


# --- observers --------------------------------------------------------------------------------------------------------


@define(eq=False)
class Notes:
    """Notes the id and the outcome of each request."""

    observes_only: ClassVar[bool] = True
    lines: list[str] = field(init=False, factory=list)

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        self.lines.append(f"{record.id} {record.outcome}")


@define(eq=False)
class SlowNotes(Notes):
    """Sleeps for each record."""

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        time.sleep(0.05)
        Notes.audit(self, record)


@define(eq=False)
class HappyNotes(Notes):
    """Leaves out what did not end well."""

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        if record.error is None and record.outcome not in ("cancelled", "refused"):
            Notes.audit(self, record)


@define(eq=False)
class FailureNotes(Notes):
    """Notes the requests that failed, which is all it is there for."""

    outcomes: tuple[str, ...] = field(default=("failed",))

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        if record.outcome in self.outcomes:
            Notes.audit(self, record)


@define(eq=False)
class PlainFailureNotes(FailureNotes):
    """Leaves out the streams that broke."""

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord) -> None:
        if not record.stream:
            FailureNotes.audit(self, record)


@define(eq=False)
class KeptOutcomes(HappyNotes):
    """Has a list by the name of the setting, which is empty at first, and leaves out what did not end well."""

    outcomes: list[str] = field(init=False, factory=list)


@define(eq=False)
class HoardingNotes(Notes):
    """Keeps every request."""

    requests: list[Request] = field(init=False, factory=list)

    @hookimpl
    def pre_request(self, request: Request) -> None:
        self.requests.append(request)


# --- plugins in general -----------------------------------------------------------------------------------------------


@define(eq=False)
class Counts:
    """Counts requests."""

    count: int = field(init=False, default=0)
    _lock: Any = field(init=False, factory=threading.Lock, repr=False)

    @hookimpl
    def pre_request(self, request: Request) -> None:
        with self._lock:
            self.count += 1


@define(eq=False)
class CountsForAll(Counts):
    """Counts the requests of all hosts together."""

    totals: ClassVar[dict[str, int]] = {}

    @hookimpl
    def pre_request(self, request: Request) -> None:
        self.totals["requests"] = self.totals.get("requests", 0) + 1


@define(eq=False)
class CountsMessages(Counts):
    """Takes every request for a conversation."""

    @hookimpl
    def pre_request(self, request: Request) -> None:
        self.count += len(request.messages[-1].text)


@define(eq=False)
class CountsInPickles(Counts):
    """Keeps its count as a pickle."""

    kept: bytes = field(init=False, default=b"")

    @hookimpl
    def pre_request(self, request: Request) -> None:
        self.kept = pickle.dumps(self.count)


@define(eq=False)
class TakesPlaces(Counts):
    """Takes a place for each attempt and gives it back only when an answer was complete."""

    @hookimpl
    def pre_attempt(self, ctx: RequestContext) -> None:
        ctx.leases += 1

    @hookimpl
    def on_response(self, ctx: RequestContext) -> None:
        ctx.leases -= 1


PLANTED: dict[str, dict[str, Callable[[], object]]] = {
    "CacheContract": {
        "an answer lives for ever": ForeverCache,
        "keys are cut": ShortKeyCache,
        "part of a tag is the tag": SubstringTagCache,
        "recorded streams are dropped": EventlessCache,
    },
    "RetryPolicyContract": {
        "it comes back too early": HastyPolicy,
        "it repeats everything": StubbornPolicy,
        "requests share one count": ForgetfulPolicy,
    },
    "TextFilterContract": {
        "a word that is cut is not found": HideWithinPieces,
        "held text is lost": HideAndLose,
        "requests share what is held": HideInOnePlace,
    },
    "StateStoreContract": {
        "additions race": lambda: RacingStore(VirtualClock()),
        "refunds are not counted": lambda: GenerousStore(VirtualClock()),
        "counters never end": lambda: EternalStore(VirtualClock()),
    },
    "ObserverContract": {
        "it sleeps": SlowNotes,
        "it leaves failures out": HappyNotes,
        "it leaves failures out, and has a list of outcomes": KeptOutcomes,
        "it records failures, and leaves streams out": PlainFailureNotes,
        "it keeps requests": HoardingNotes,
    },
    "PluginContract": {
        "hosts share a count": CountsForAll,
        "it expects messages": CountsMessages,
        "it pickles": CountsInPickles,
        "it keeps places of broken requests": TakesPlaces,
    },
}

SOUND: dict[str, Callable[[], object]] = {
    "CacheContract": MemoryCache,
    "RetryPolicyContract": RetryPolicy,
    "TextFilterContract": Hide,
    "StateStoreContract": lambda: MemoryStateStore(VirtualClock()),
    "ObserverContract": Notes,
    "PluginContract": Counts,
}

ALSO_SOUND: dict[str, dict[str, Callable[[], object]]] = {
    "ObserverContract": {
        "it records failures only": FailureNotes,
        "it records what was refused": lambda: FailureNotes(outcomes=("refused",)),
    },
}
