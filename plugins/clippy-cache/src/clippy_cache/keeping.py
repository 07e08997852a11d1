"""Which plugins are caches."""

from __future__ import annotations


def keeps(plugin: object) -> bool:
    """Whether *plugin* is a cache that is in use: it looks up and stores, and does not wait for its settings."""
    hooks = all(callable(getattr(plugin, hook, None)) for hook in ("cache_lookup", "cache_store"))
    return hooks and not getattr(plugin, "idle", None)
