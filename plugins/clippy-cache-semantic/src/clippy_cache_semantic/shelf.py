"""Vectors of one partition in one growing matrix, searched whole.

Up to some 10^5 vectors one product of matrix and vector takes less time than the embedding of the question, and finds
the nearest for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]
_FIRST = 16


def unit(numbers: Sequence[float]) -> Vector:
    """*numbers* as a vector of length 1.  Raises ValueError if they are none: empty, all 0 or not finite."""
    vector: Vector = np.asarray(numbers, dtype=np.float32)
    length = float(np.linalg.norm(vector)) if vector.ndim == 1 and vector.size else 0.0
    if not 0 < length < float("inf"):
        raise ValueError("an embedding must be a row of finite numbers that are not all 0")
    return np.asarray(vector / np.float32(length), dtype=np.float32)


class Shelf:
    """Keys and their vectors.  Not safe for threads: whoever calls holds a lock."""

    def __init__(self, width: int) -> None:
        self.keys: list[str] = []
        self._row: dict[str, int] = {}
        self._rows: npt.NDArray[Any] = np.empty((_FIRST, width), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self._rows.shape[1])

    def put(self, key: str, vector: Vector) -> None:
        """Add *key*, or give it another vector."""
        row = self._row.get(key)
        if row is None:
            row = len(self.keys)
            if row == len(self._rows):
                grown = np.empty((2 * row, self.width), dtype=np.float32)
                grown[:row] = self._rows
                self._rows = grown
            self.keys.append(key)
            self._row[key] = row
        self._rows[row] = vector

    def drop(self, key: str) -> None:
        """Forget *key*, if it is here: the last row takes its place."""
        row = self._row.pop(key, None)
        if row is None:
            return
        last = self.keys.pop()
        if last != key:
            self.keys[row] = last
            self._row[last] = row
            self._rows[row] = self._rows[len(self.keys)]

    def near(self, vector: Vector, threshold: float, most: int) -> list[tuple[str, float]]:
        """Keys whose cosine with *vector* is at least *threshold*, with it: the nearest first, at most *most*."""
        if vector.size != self.width:
            return []
        # Not by BLAS: its threads wait for each other where other work has the cores, for longer than this takes.
        found = np.einsum("ij,j->i", self._rows[: len(self.keys)], vector)
        rows = np.flatnonzero(found >= threshold)
        rows = rows[np.argsort(-found[rows], kind="stable")][:most]
        return [(self.keys[row], float(found[row])) for row in rows]
