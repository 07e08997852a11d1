"""docs/plan.md: every name of the plan has a row, what a row names is there, and what it calls planned is not."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!name in|---)(.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
NAMES = re.findall(
    r"\w+",
    """
    StreamController useStreamController StreamProgress StreamMonitor StreamMetrics StreamDebugger
    ErrorClassifier ErrorCategory RetryPolicy ExponentialBackoffRetry CircuitBreaker RecoveryStrategies onError
    CacheManager CacheBackend MemoryCacheBackend LocalStorageCacheBackend IndexedDBCacheBackend CacheStrategies
    CacheStats ContextPriorityManager ContextPriority ContextOptimizer ContextCompressor ConversationSummarizer
    ContextMiddleware AIDebugger RequestInspector ConversationReplay PerformanceProfiler RateLimiter UsageTracker
    AuditLogger AuditLogBackend ValidationMiddleware SecurityMiddleware TestUtilities createTestProvider
    mockStreamingResponse MockScenarios PerformanceBenchmark runBenchmark LoadTesting
    """,
)
"""The names of classes and functions in the plan, in its order."""


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_plan_has_its_row(name: str) -> None:
    """And the row says who does it: a class, a hook, or the distribution that is planned."""
    done_by = [row[2] for row in ROWS if re.search(rf"\b{name}\b", row[0])]
    assert done_by
    assert all("`" in cell for cell in done_by)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:clippy_\w+|docs|benchmarks)(?:\.\w+)+)`", PAGE))))
def test_what_a_row_names_is_there(path: str) -> None:
    """Under that name, from that module."""
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"planned: `([\w-]+)`", PAGE))))
def test_what_is_planned_is_not_there(name: str) -> None:
    """When it comes, its row names the class instead."""
    assert not (ROOT / "plugins" / name).exists(), f"plugins/{name} is there: name its class in docs/plan.md"


def test_every_plugin_is_in_the_plan() -> None:
    """What this repository brings is there for something that was asked; a library is there for plugins."""
    plugins = [
        path.parent for path in ROOT.glob("plugins/*/pyproject.toml") if "entry-points" in path.read_text("utf-8")
    ]
    packages = [path.parent.name for plugin in plugins for path in plugin.glob("src/*/__init__.py")]
    assert [] == [name for name in packages if f"`{name}." not in PAGE]
