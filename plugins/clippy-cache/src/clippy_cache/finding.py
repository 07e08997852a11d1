"""Which stored answers are meant: the caches that can say what they keep, and the one answer that a key names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from clippy_hookspecs import CacheEntry, CacheListing, Selector, StoredEntry

from .keeping import keeps
from .visible import visible

MANY = 100_000
"""Entries of a cache that are counted, at most."""


def listings_of(host: Any, *, may_be_none: bool = False) -> tuple[list[tuple[str, CacheListing]], list[str]]:
    """The caches that can list what they keep, and the names of those that cannot.  Raises ClickException for none."""
    caches = {name: plugin for name, plugin in host.plugins.items() if keeps(plugin)}
    found = [(name, plugin) for name, plugin in caches.items() if isinstance(plugin, CacheListing)]
    mute = [name for name in caches if name not in dict(found)]
    if not found and not may_be_none:
        what = f"{', '.join(mute)} cannot" if mute else "no active cache can"
        raise click.ClickException(f"{what} list what is kept; `clippy plugins list` shows what is active")
    return found, mute


def say_mute(names: Iterable[str]) -> None:
    """Name the caches that cannot list."""
    for name in names:
        click.echo(visible(f"{name} cannot list what it keeps"), err=True)


def one_entry(host: Any, key: str) -> tuple[str, StoredEntry, CacheEntry]:
    """The one entry whose key begins so.  Raises ClickException for none, and for several."""
    listings, mute = listings_of(host)
    for name, listing, one in _fitting(listings, key):
        entry = listing.stored_entry(one.key)
        if entry is not None:
            return name, one, entry
    say_mute(mute)
    raise click.ClickException(f"{_none(key)}; see `clippy cache list`")


def whole_key(listings: list[tuple[str, CacheListing]], mute: Iterable[str], key: str) -> str:
    """The key of the one answer whose key begins so.  Raises ClickException for none, and for several.

    Where a cache cannot list, a key that no other cache knows is taken for a whole one: it may be kept there.
    """
    found = _fitting(listings, key, ", or name all of them by --key-prefix")
    if found:
        return found[0][2].key
    if not mute:
        raise click.ClickException(f"{_none(key)}; see `clippy cache list`, or name all that begin so by --key-prefix")
    return key


def _none(key: str) -> str:
    return f"there is no stored answer whose key begins with {visible(key)}"


def _fitting(
    listings: list[tuple[str, CacheListing]], key: str, or_else: str = ""
) -> list[tuple[str, CacheListing, StoredEntry]]:
    """Where the answer is kept whose key begins so, none or more caches.  Raises ClickException for several answers."""
    selector = Selector(key_prefix=key)
    found = [(name, listing, one) for name, listing in listings for one in listing.stored(selector, MANY)]
    keys = {one.key for _, _, one in found}
    if len(keys) > 1:
        raise click.ClickException(f"{len(keys)} keys begin with {visible(key)}; give more of one{or_else}")
    return found
