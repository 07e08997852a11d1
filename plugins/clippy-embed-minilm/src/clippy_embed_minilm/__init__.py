"""Sentence embeddings without a network, a framework or a download: all-MiniLM-L6-v2 in the package, run by numpy."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from attrs import define, field
from attrs.validators import and_, ge, le
from cachetools import LRUCache
from clippy_hookspecs import Embedder, ServiceRegistry, hookimpl

if TYPE_CHECKING:
    from .engine import Engine

__all__ = ["MiniLMEmbedder"]

DATA = Path(__file__).parent
BATCH = 256
"""Tokens that are worked on at once: about what makes a core busy; more makes others wait."""

_BESIDE = 200
"""Bytes that a kept vector takes beside its numbers, roughly."""


def _size(vector: memoryview[float]) -> int:
    return vector.nbytes + _BESIDE


@define(eq=False)
class MiniLMEmbedder:
    """Offers the ``Embedder`` service: 384 numbers for a text, close for texts that say the same.

    English first: the model knows other languages badly.  One core at a time; the model is read when it is first asked.
    """

    max_tokens: int = field(
        default=256,
        validator=and_(ge(8), le(256)),
        metadata={"doc": "Tokens of a text that are read; what comes after them does not count."},
    )
    max_bytes: int = field(
        default=16 * 1024 * 1024,
        validator=ge(0),
        metadata={"doc": "Bytes of vectors kept, some 1700 each; the least recently used goes first."},
    )
    # Any: the host evaluates these annotations, where a memoryview has no parameter and the engine is not imported yet.
    _kept: LRUCache[bytes, Any] = field(init=False, repr=False)
    _kept_lock: threading.Lock = field(init=False, repr=False)
    _engine: Any = field(init=False, default=None, repr=False)
    _engine_lock: threading.Lock = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._begin()
        _embedders.add(self)

    def _begin(self) -> None:
        self._kept = LRUCache(self.max_bytes, getsizeof=_size)
        self._kept_lock, self._engine_lock = threading.Lock(), threading.Lock()

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        """Offer the embedder."""
        services.offer(Embedder, self)

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """A vector for each text: 384 float32 of length 1 as a read-only memoryview, which numpy takes without a copy.

        Of a text longer than ``max_tokens`` (some 200 English words by default) only the beginning counts.
        Any thread; one text at a time is worked on.  Raises OSError or ValueError if the model's file cannot be read.
        """
        keys = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        found = self._look_up(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            found |= self._work_out(missing)
        return [found[key] for key in keys]

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, memoryview[float]]:
        with self._kept_lock:
            kept = ((key, self._kept.get(key)) for key in keys)
            return {key: vector for key, vector in kept if vector is not None}

    def _work_out(self, missing: dict[bytes, str]) -> dict[bytes, memoryview[float]]:
        with self._engine_lock:
            self._engine = engine = self._engine or _read(DATA)
        ids = {key: engine.ids(text, self.max_tokens) for key, text in missing.items()}
        found: dict[bytes, memoryview[float]] = {}
        for batch in _batches(ids):
            # Between batches others get their turn; meanwhile they may have worked out what is wanted here.
            with self._engine_lock:
                there = self._look_up(batch)
                wanted = [key for key in batch if key not in there]
                made = dict(zip(wanted, engine.vectors([ids[key] for key in wanted]), strict=True)) if wanted else {}
                self._keep(made)
            found |= there | made
        return found

    def _keep(self, made: dict[bytes, memoryview[float]]) -> None:
        with self._kept_lock:
            for key, vector in made.items():
                if _size(vector) <= self.max_bytes:
                    self._kept[key] = vector


def _read(data: Path) -> Engine:
    from .engine import Engine  # numpy takes longer to import than all of clippy: when it is first needed

    return Engine(data)


def _batches(ids: dict[bytes, list[int]]) -> Iterator[list[bytes]]:
    """Texts of equal length go together, so that nothing has to be filled up and masked."""
    alike: defaultdict[int, list[bytes]] = defaultdict(list)
    for key, tokens in ids.items():
        alike[len(tokens)].append(key)
    for length, keys in alike.items():
        step = max(1, BATCH // length)
        for begin in range(0, len(keys), step):
            yield keys[begin : begin + step]


_embedders: WeakSet[MiniLMEmbedder] = WeakSet()


def _after_fork_in_child() -> None:
    # Another thread may have held a lock, or been half-way through keeping a vector, when the process was forked.
    for embedder in _embedders:
        embedder._begin()  # noqa: SLF001 (a method for this function)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
