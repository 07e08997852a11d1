"""What the commands ask of the caches of a host, of which one may be out of reach while the others answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from attrs import asdict, define, field
from clippy_hookspecs import CacheEntry, CacheListing, PluginError, Selector, StoredEntry

from .keeping import keeps


@define(eq=False)
class Listing:
    """A cache that can list what it keeps.  ``failure`` says why it could not, since when it is not asked any more."""

    name: str
    cache: CacheListing = field(repr=False)
    failure: str = ""

    def stored(self, selector: Selector, limit: int) -> Sequence[StoredEntry]:
        """What is kept and fits, latest first; nothing from a cache that cannot be asked."""
        if self.failure:
            return []
        try:
            return self.cache.stored(selector, limit)
        except Exception as error:  # a cache is anybody's: whatever it raises, the others are still to be asked
            self.failure = _said(error)
            return []

    def stored_entry(self, key: str) -> CacheEntry | None:
        """The entry of this key; None from a cache that cannot be asked."""
        if self.failure:
            return None
        try:
            return self.cache.stored_entry(key)
        except Exception as error:
            self.failure = _said(error)
            return None


def listings_of(host: Any) -> tuple[list[Listing], list[str]]:
    """The caches that can list what they keep, and the names of those that never can."""
    caches = {name: plugin for name, plugin in host.plugins.items() if keeps(plugin)}
    found = [Listing(name, plugin) for name, plugin in caches.items() if isinstance(plugin, CacheListing)]
    return found, [name for name, plugin in caches.items() if not isinstance(plugin, CacheListing)]


def silent(listings: Iterable[Listing], mute: Iterable[str]) -> Iterator[str]:
    """A line for each cache that could not be asked, and for each that cannot list."""
    for one in listings:
        if one.failure:
            yield f"{one.name} cannot be asked now: {one.failure}"
    for name in mute:
        yield f"{name} cannot list what it keeps"


def dropped(host: Any, selectors: Iterable[Selector]) -> dict[str, str]:
    """Tell every cache to drop what *selectors* name; which of them could not, and why."""
    failures: dict[str, str] = {}
    for selector in selectors:
        try:
            host.invalidate(**asdict(selector, recurse=False))
        except* PluginError as group:
            for error in group.exceptions:
                if isinstance(error, PluginError):
                    cause = error.__cause__
                    failures.setdefault(error.plugin, str(error) if cause is None else _said(cause))
    return failures


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
