"""Which plugins are caches, and where they keep answers."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import evolve, fields_dict, has
from clippy_hookspecs import CacheListing, Selector


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


def selectors_of(selector: Selector, listings: Iterable[CacheListing], limit: int) -> list[Selector]:
    """*selector* for each model that its ``model`` fits as a pattern: caches know models by their names only.

    Looks at the latest *limit* answers of each cache.  Itself where it has no pattern; empty where no model fits.
    """
    pattern = selector.model
    if pattern is None or not {*pattern} & {*"*?["}:
        return [selector]
    anyone = evolve(selector, model=None)
    models = {one.model for listing in listings for one in listing.stored(anyone, limit)}
    fitting = sorted(name for name in models if name and (name == pattern or fnmatchcase(name, pattern)))
    return [evolve(selector, model=name) for name in fitting]
