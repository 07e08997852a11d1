"""What is asked of every plugin."""

from __future__ import annotations

from clippy_embed_minilm import MiniLMEmbedder

from clippy_core.testing import PluginContract


class TestMiniLMEmbedder(PluginContract):
    """The suite of all plugins."""

    def make(self) -> MiniLMEmbedder:
        return MiniLMEmbedder()
