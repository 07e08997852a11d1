"""``with caching("no-store"):`` says what caches may do for all requests in a block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from .directives import NOTHING, Directives, parse

asked: ContextVar[Directives | None] = ContextVar("clippy-cache", default=None)
"""What the blocks say that the running code is in.  Each thread and task has its own."""

explained: ContextVar[list[tuple[str | None, Mapping[str, str]]] | None] = ContextVar("clippy-explain", default=None)
"""Where the key of a request that no cache answers is put, and its parts, by who only asks what became of it."""

uncounted: ContextVar[bool] = ContextVar("clippy-uncounted", default=False)
"""Whether requests are no program's: a command that fills caches would otherwise count as hits what it finds there."""


@contextmanager
def caching(
    directives: str = "",
    *,
    no_cache: bool = False,
    no_store: bool = False,
    only_if_cached: bool = False,
    max_age: float | None = None,
    ttl: float | None = None,
    stale_if_error: float | None = None,
    tags: str | Iterable[str] = (),
    join: bool | None = None,
) -> Iterator[None]:
    """Within the block caches do for every request what is asked for, in words as in ``X-Clippy-Cache`` or by name.

    An inner block adds to an outer one and wins over it, but for no-store, which nothing takes back.  Times are
    seconds.  Raises ValueError for what cannot be obeyed.
    """
    said = parse(directives)
    named = Directives(no_cache, no_store, only_if_cached, max_age, ttl, stale_if_error, tags, join)
    token = asked.set(named.within(said).within(asked.get() or NOTHING))
    try:
        yield
    finally:
        asked.reset(token)
