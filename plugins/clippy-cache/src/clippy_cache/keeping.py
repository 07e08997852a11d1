"""Which plugins are caches, and where they keep answers."""

from __future__ import annotations

from pathlib import Path

from attrs import fields_dict, has


def keeps(plugin: object) -> bool:
    """Whether *plugin* is a cache that is in use: it looks up and stores, and does not wait for its settings."""
    if not callable(getattr(plugin, "cache_store", None)) or not callable(getattr(plugin, "cache_lookup", None)):
        return False
    return not getattr(plugin, "idle", None)


def kept_where(name: str, plugin: object) -> str:
    """A cache's name, with the whole path of its file if it has a setting ``path``."""
    path = getattr(plugin, "path", None)
    made_by = type(plugin)
    if path is None and has(made_by) and "path" in (settings := fields_dict(made_by)):
        by_default = settings["path"].metadata.get("unset")
        path = by_default() if callable(by_default) else None
    return f"{name} ({path.expanduser().absolute()})" if isinstance(path, Path) else name
