"""What is asked of every plugin, of one that has its setting."""

from __future__ import annotations

from clippy_cache_embeddings import EmbeddingsCache

from clippy_core.testing import PluginContract


class TestEmbeddingsCache(PluginContract):
    """The suite of all plugins."""

    def make(self) -> EmbeddingsCache:
        return EmbeddingsCache(ttl=60.0)
