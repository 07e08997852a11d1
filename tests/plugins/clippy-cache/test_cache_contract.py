"""The suite that every plugin must pass."""

from pathlib import Path

from clippy_cache import CachePolicy
from clippy_cache.plans import Rule

from clippy_core.testing import PluginContract


class TestAsInstalled(PluginContract):
    def make(self) -> CachePolicy:
        return CachePolicy(keep_statistics=Path(self.folder) / "statistics.db")


class TestWithEverySetting(PluginContract):
    def make(self) -> CachePolicy:
        return CachePolicy(
            ttl=60.0,
            max_temperature=2.0,
            tools=False,
            max_bytes=10_000,
            share="tenant",
            tags=("a",),
            rules=(Rule(model="m*", ttl=5.0), Rule(route="r", store=False)),
            keep_statistics=False,
        )
