"""The model with its vocabulary, on one core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from .model import MiniLM
from .wordpiece import WordPiece

MODEL, VOCABULARY = "all-MiniLM-L6-v2-int8.safetensors", "vocab.txt"


class Engine:
    """Token ids and vectors.  Vectors are made by one thread at a time: whoever calls holds a lock."""

    def __init__(self, data: Path) -> None:
        words = (data / VOCABULARY).read_text("utf-8").removesuffix("\n").split("\n")
        self.ids = WordPiece({word: number for number, word in enumerate(words)}).ids
        self._model = MiniLM(data / MODEL)
        self._threads = ThreadpoolController()

    def vectors(self, ids: Sequence[Sequence[int]]) -> list[memoryview[float]]:
        """One vector for each list of ids, all of one length; each with memory of its own.

        Matrices this small are slower on several cores than on one, many times so where others use those cores.  The
        limit is the process's, not the thread's: other work of numpy has one core for these milliseconds as well.
        """
        with self._threads.limit(limits=1, user_api="blas"):
            made = self._model.vectors(ids)
        return [memoryview(row.tobytes()).cast("f") for row in made]
