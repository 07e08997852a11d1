"""The suite that every plugin must pass."""

from clippy_cache_failures import CacheFailures

from clippy_core.testing import PluginContract


class TestWithItsSettings(PluginContract):
    def make(self) -> CacheFailures:
        return CacheFailures(stale_if_error=600.0, negative_ttl=30.0)
