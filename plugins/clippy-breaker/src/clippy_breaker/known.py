"""What a process knows of the breakers of a route: what it last saw in the store, and what it has not written there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Protocol
from urllib.parse import urlsplit

from attrs import define, field

from .record import HEALTHY, Record, load

MOST_ROUTES = 1024
"""Routes of which a process remembers what it saw; a program may call any number of addresses."""


class Store(Protocol):
    """The part of a StateStore that breakers need."""

    async def get(self, key: str) -> str | None: ...
    async def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool: ...
    async def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool: ...
    async def release(self, key: str, holder: str) -> None: ...


@define(eq=False)
class Known:
    """One route.  ``shown`` is what people call it, ``key`` its key in the store.

    Successes are written with the next failure: while all is well nothing is.  ``_well`` holds their times, by the name
    of the breaker, with the epoch they belong to.
    """

    shown: str
    window: int
    key: str = field(init=False)
    seen: tuple[str | None, Record] = field(default=(None, HEALTHY), init=False)
    """What was last read or written, as text and as what it means; one value, so that no thread mixes two."""
    _well: dict[str, tuple[int, deque[float]]] = field(factory=dict, init=False)

    @key.default
    def _of_the_route(self) -> str:
        return f"breaker:{digest(self.shown)}"

    def place_of_probe(self, name: str) -> str:
        """The key of the place that a probe of the breaker of that name takes."""
        return f"{self.key}:probe:{digest(name)}"

    @property
    def record(self) -> Record:
        """The breakers as they were last seen."""
        return self.seen[1]

    def see(self, text: str | None) -> Record:
        """The breakers that *text* is, which was just read or written."""
        before, record = self.seen
        if text != before:
            record = load(text)
            self.seen = text, record
        return record

    def keep_success(self, name: str, epoch: int, now: float) -> None:
        """An attempt went well, and nothing needs to be written."""
        since, times = self._well.get(name, (-1, None))
        if times is None or since != epoch:
            if len(self._well) > len(self.record.machines):
                self._well = {key: kept for key, kept in self._well.items() if not key or key in self.record.machines}
            times = deque(maxlen=self.window)
            self._well[name] = (epoch, times)
        times.append(now)

    def take_successes(self, name: str, epoch: int) -> list[float]:
        """The successes to be written, oldest first.  No other thread writes them too: there is no lock."""
        taken: list[float] = []
        since, times = self._well.get(name, (-1, None))
        if times is None or since != epoch:
            return taken
        try:
            while True:
                taken.append(times.popleft())
        except IndexError:
            return taken


@define(eq=False)
class Place:
    """Where breakers are kept: in the store that others share, or in this process alone.

    ``now`` is the clock that all who share it go by.
    """

    now: Callable[[], float]
    window: int
    _routes: dict[str, Known] = field(factory=dict)

    @property
    def routes(self) -> tuple[Known, ...]:
        """Those that were called; any thread may ask."""
        return tuple(self._routes.copy().values())

    def known(self, api: str, base_url: str) -> Known:
        """What is known here of a route."""
        name = shown(api, base_url)
        found = self._routes.get(name)
        if found is None:
            if len(self._routes) >= MOST_ROUTES:
                self._routes.clear()
            found = self._routes.setdefault(name, Known(name, self.window))
        return found


def digest(text: str) -> str:
    """What stands for *text* in a key: of one length, and of letters that every store takes."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


@lru_cache(maxsize=MOST_ROUTES)
def shown(api: str, base_url: str) -> str:
    """A route in words, without credentials: its wire API and the origin of its address."""
    parts = urlsplit(base_url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else base_url
    return f"{api or 'other'} at {origin.lower()}" if origin else api or "other"
