"""The suite that every plugin must pass."""

from clippy_stream_monitor import StreamMonitor

from clippy_core.testing import PluginContract


class TestStreamMonitor(PluginContract):
    def make(self) -> StreamMonitor:
        return StreamMonitor()
