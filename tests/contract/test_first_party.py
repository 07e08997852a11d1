"""Every plugin that we ship passes the suites that fit it, as any third-party plugin must."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

import pytest
from attrs import define, field
from clippy_audit import AuditLog
from clippy_breaker import CircuitBreaker
from clippy_cache_memory import MemoryCache
from clippy_cache_sqlite import SqliteCache
from clippy_context_window import ContextWindow
from clippy_errors import ErrorClassifier
from clippy_fallback import Fallback
from clippy_hookspecs import RequestContext, TextFilter
from clippy_retry import RetryPolicy
from clippy_telemetry_log import LogTelemetry
from clippy_telemetry_sentry import SentryTelemetry
from planted_cache import FileCache

from clippy_core.state_memory import MemoryStateStore
from clippy_core.testing import (
    CacheContract,
    ObserverContract,
    PluginContract,
    RetryPolicyContract,
    StateStoreContract,
    TextFilterContract,
)
from clippy_core.testing.contracts.fitting import SUITES
from clippy_core.testing.grading import subject

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


NOBODY = "http://key@127.0.0.1:9/1"
"""A DSN of a port where nobody listens."""


@define(eq=False)
class Hide(TextFilter):
    """Hides a word, however an answer is cut: what a redactor has to do."""

    word: str = field(default="secret", metadata={"doc": "what is hidden"})

    def filter(self, text: str, final: bool, ctx: RequestContext) -> tuple[str, str]:
        text = text.replace(self.word, "[hidden]")
        if final:
            return text, ""
        longest = min(len(self.word) - 1, len(text))
        held = next((n for n in range(longest, 0, -1) if self.word.startswith(text[-n:])), 0)
        return text[: len(text) - held], text[len(text) - held :]


class TestMemoryCache(CacheContract):
    def make(self) -> MemoryCache:
        return MemoryCache()


class TestSqliteCache(CacheContract):
    def make(self) -> SqliteCache:
        return SqliteCache(path=self.folder / "cache.db")


@define(eq=False)
class Packed(FileCache):
    """A cache that compresses what it keeps, and counts what that takes."""

    def _put(self, db: sqlite3.Connection, key: str, row: tuple[Any, ...]) -> None:
        super()._put(db, key, (*row[:-1], zlib.compress(row[-1], 9)))

    def _find(self, db: sqlite3.Connection, key: str, now: float) -> Any:
        found = super()._find(db, key, now)
        try:
            return found and (found[0], zlib.decompress(found[1]), found[2])
        except (zlib.error, TypeError):
            return found[0], None, None


class TestCacheThatCompresses(CacheContract):
    """It is no fault of a cache that more fits within its bytes."""

    def make(self) -> Packed:
        return Packed(path=str(self.folder / "packed.db"))


class TestRetryPolicy(RetryPolicyContract):
    def make(self) -> RetryPolicy:
        return RetryPolicy()


class TestPatientRetryPolicy(RetryPolicyContract):
    """With other settings it keeps the same promises."""

    def make(self) -> RetryPolicy:
        return RetryPolicy(attempts=3, base=5.0, cap=60.0, max_wait=600.0, deadline=3000.0)


class TestMemoryStateStore(StateStoreContract):
    def make(self) -> MemoryStateStore:
        return MemoryStateStore(self.clock)


class TestHide(TextFilterContract):
    texts = ("secretsecret", "secre", "sesecret", "a secret and a secr")

    def make(self) -> Hide:
        return Hide()


class TestAuditLog(ObserverContract):
    def make(self) -> AuditLog:
        return AuditLog(path=self.folder / "audit.jsonl")


class TestDetailedAuditLog(ObserverContract):
    def make(self) -> AuditLog:
        return AuditLog(path=self.folder / "audit.jsonl", level="detailed")


class TestLogTelemetry(ObserverContract):
    def make(self) -> LogTelemetry:
        return LogTelemetry()


class TestLogTelemetryAsPlugin(PluginContract):
    def make(self) -> LogTelemetry:
        return LogTelemetry()


class TestSentryTelemetry(ObserverContract):
    """Where nobody takes what it sends; how much it may send is not what is looked at."""

    def make(self) -> SentryTelemetry:
        return SentryTelemetry(dsn=NOBODY, burst=1000, most_per_minute=1000)


class TestSentryTelemetryOfEveryEnd(ObserverContract):
    def make(self) -> SentryTelemetry:
        ends = ("failed", "refused", "cancelled", "abandoned")
        return SentryTelemetry(dsn=NOBODY, burst=1000, most_per_minute=1000, outcomes=ends)


class TestSentryTelemetryAsPlugin(PluginContract):
    def make(self) -> SentryTelemetry:
        return SentryTelemetry(dsn=NOBODY)


class TestAuditLogAsPlugin(PluginContract):
    def make(self) -> AuditLog:
        return AuditLog()


class TestCircuitBreakerAsPlugin(PluginContract):
    def make(self) -> CircuitBreaker:
        return CircuitBreaker()


class TestMemoryCacheAsPlugin(PluginContract):
    def make(self) -> MemoryCache:
        return MemoryCache()


class TestSqliteCacheAsPlugin(PluginContract):
    def make(self) -> SqliteCache:
        return SqliteCache()


class TestContextWindowAsPlugin(PluginContract):
    def make(self) -> ContextWindow:
        return ContextWindow()


class TestErrorClassifierAsPlugin(PluginContract):
    def make(self) -> ErrorClassifier:
        return ErrorClassifier()


class TestFallbackAsPlugin(PluginContract):
    def make(self) -> Fallback:
        return Fallback()


class TestConfiguredFallbackAsPlugin(PluginContract):
    """With something to do it is as good a citizen."""

    def make(self) -> Fallback:
        return Fallback(routes=("main",), stale=60.0, static="sorry")


class TestRetryPolicyAsPlugin(PluginContract):
    def make(self) -> RetryPolicy:
        return RetryPolicy()


class TestHideAsPlugin(PluginContract):
    def make(self) -> Hide:
        return Hide()


FITTING = {
    "audit": {PluginContract, ObserverContract},
    "breaker": {PluginContract},
    "cache-memory": {PluginContract, CacheContract},
    "cache-redis": {PluginContract},
    "cache-sqlite": {PluginContract, CacheContract},
    "context-window": {PluginContract},
    "dedup": {PluginContract},
    "errors": {PluginContract},
    "fallback": {PluginContract},
    "retry": {PluginContract, RetryPolicyContract},
    "telemetry-log": {PluginContract, ObserverContract},
    "telemetry-sentry": {PluginContract, ObserverContract},
    "state-sqlite": {PluginContract, StateStoreContract},
}


@pytest.mark.parametrize("name", FITTING)
def test_a_plugin_is_graded_by_the_suites_that_fit_it(name: str) -> None:
    """By its hooks, by what it offers and by whether it only looks; of the others the report says why not."""
    graded = subject(name)
    chosen: set[Any] = {suite.__base__ for suite in graded.checks}
    assert chosen == FITTING[name]
    assert set(graded.misfits) == {suite.__name__ for suite in set(SUITES) - chosen}
    assert all(graded.misfits.values())
