"""The suite that every plugin must pass."""

from clippy_throttle import Throttle

from clippy_core.testing import PluginContract


class TestThrottle(PluginContract):
    def make(self) -> Throttle:
        return Throttle(tokens_per_second=1e6, coalesce="word")
