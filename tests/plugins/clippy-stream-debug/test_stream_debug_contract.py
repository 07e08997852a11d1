"""The suites that every plugin, and every one that only looks, must pass."""

from clippy_stream_debug import StreamDebugger

from clippy_core.testing import ObserverContract, PluginContract


class TestStreamDebugger(PluginContract):
    def make(self) -> StreamDebugger:
        return StreamDebugger(enabled=True)


class TestStreamDebuggerAsObserver(ObserverContract):
    def make(self) -> StreamDebugger:
        return StreamDebugger(enabled=True, streams=2, max_bytes=64 * 1024)
