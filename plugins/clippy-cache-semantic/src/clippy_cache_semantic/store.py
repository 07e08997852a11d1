"""The answers that are kept, found by their exact words or by their meaning; the oldest goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from attrs import define, field
from clippy_hookspecs import Scope, Selector

from .reading import Reading

if TYPE_CHECKING:
    from .shelf import Shelf, Vector


@define(eq=False)
class Kept:
    """One kept answer: ``blob`` is a stored entry, ``expires`` unix seconds.

    ``threshold`` is the cosine that this one asks for, raised when it was given wrongly.
    """

    key: str
    partition: str
    normal: str
    reading: Reading
    vector: Vector | None
    blob: bytes
    expires: float
    scope: Scope
    tags: tuple[str, ...]
    model: str
    threshold: float = 0.0

    @property
    def size(self) -> int:
        """Bytes, roughly: the answer, the vector and the words with what was read in them."""
        return len(self.blob) + (0 if self.vector is None else self.vector.nbytes) + 8 * len(self.normal) + 500


@define(eq=False)
class Store:
    """Kept answers within a number and a sum of bytes.  Any thread may call any method."""

    max_entries: int
    max_bytes: int
    bytes: int = field(init=False, default=0)
    _kept: OrderedDict[str, Kept] = field(init=False, factory=OrderedDict)
    _by_words: dict[tuple[str, str], str] = field(init=False, factory=dict)
    _shelves: dict[str, Shelf] = field(init=False, factory=dict)
    _lock: threading.RLock = field(init=False, factory=threading.RLock)

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, kept: Kept) -> None:
        """Keep *kept* in place of one with its key or its words; what no longer fits goes, the oldest first."""
        if kept.size > self.max_bytes or not self.max_entries:
            return
        with self._lock:
            self.drop(kept.key)
            if (same := self._by_words.get((kept.partition, kept.normal))) is not None:
                self.drop(same)
            self._kept[kept.key] = kept
            self._by_words[kept.partition, kept.normal] = kept.key
            self.bytes += kept.size
            if kept.vector is not None:
                shelf = self._shelves.get(kept.partition)
                if shelf is None or shelf.width != kept.vector.size:
                    from .shelf import Shelf  # numpy is there: it made the vector

                    # Another embedder: what the one before it made is found by its words alone.
                    shelf = self._shelves[kept.partition] = Shelf(kept.vector.size)
                shelf.put(kept.key, kept.vector)
            while len(self._kept) > self.max_entries or self.bytes > self.max_bytes:
                self.drop(next(iter(self._kept)))

    def drop(self, key: str) -> bool:
        """Forget what is kept for *key*; whether there was something."""
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is None:
                return False
            self.bytes -= kept.size
            del self._by_words[kept.partition, kept.normal]
            if (shelf := self._shelves.get(kept.partition)) is not None:
                shelf.drop(key)
                if not len(shelf):
                    del self._shelves[kept.partition]
            return True

    def get(self, key: str) -> Kept | None:
        """What is kept for *key*."""
        return self._kept.get(key)

    def same_words(self, partition: str, normal: str, now: float) -> Kept | None:
        """What is kept for these words and not over at *now*."""
        key = self._by_words.get((partition, normal))
        kept = None if key is None else self._kept.get(key)
        return self._fresh(kept, now)

    def near(self, partition: str, vector: Vector, threshold: float, most: int, now: float) -> list[tuple[Kept, float]]:
        """What is kept for the nearest questions and not over at *now*, with the cosine; the nearest first."""
        with self._lock:
            shelf = self._shelves.get(partition)
            found = [] if shelf is None else shelf.near(vector, threshold, most)
            kept = [(self._fresh(self._kept.get(key), now), cosine) for key, cosine in found]
        return [(one, cosine) for one, cosine in kept if one is not None and cosine >= one.threshold]

    def drop_selected(self, selector: Selector) -> None:
        """Forget what *selector* names; the parts that it gives must all fit."""
        with self._lock:
            for key in [
                key for key, kept in self._kept.items() if selector.names(key, kept.tags, kept.scope, kept.model)
            ]:
                self.drop(key)

    def _fresh(self, kept: Kept | None, now: float) -> Kept | None:
        if kept is not None and not now < kept.expires:
            self.drop(kept.key)
            return None
        return kept
