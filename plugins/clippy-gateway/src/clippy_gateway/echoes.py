"""A provider that repeats what it was sent must not hand the caller the provider's key."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

Pair = tuple[bytes, bytes]

_CREDENTIALS = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key", "ocp-apim-subscription-key"})
_SHORTEST = 8
"""Characters below which a text is no key: it would be found everywhere."""


def keys_in(headers: Sequence[tuple[str, str]]) -> tuple[bytes, ...]:
    """The keys in the headers of a request that leaves."""
    return _keys(tuple([value for name, value in headers if name.lower() in _CREDENTIALS]))


@lru_cache(maxsize=256)
def _keys(values: tuple[str, ...]) -> tuple[bytes, ...]:
    bare = [value.rpartition(" ")[2] for value in values]
    return tuple(key.encode("latin-1", "replace") for key in bare if len(key) >= _SHORTEST)


def without_keys(fields: Sequence[Pair], keys: Sequence[bytes]) -> Sequence[Pair]:
    """*fields* without those that have one of *keys* in their value, a ``location`` with the key in it among them."""
    together = b"\n".join([value for _, value in fields])
    if not any(key in together for key in keys):
        return fields
    return [pair for pair in fields if not any(key in pair[1] for key in keys)]
