"""The suite that every plugin must pass."""

from clippy_dedup import Dedup

from clippy_core.testing import PluginContract


class TestDedup(PluginContract):
    def make(self) -> Dedup:
        return Dedup(when="always")
