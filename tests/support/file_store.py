"""A StateStore in a file for the processes of a test: a lock, a JSON object, and as slow as that is."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field


@define(eq=False)
class FileStore:
    """The part of a StateStore that breakers use.  Its ``async`` methods block, which a test may."""

    path: Path
    time: Callable[[], float] = field(default=time.time)

    @contextmanager
    def _open(self) -> Iterator[dict[str, Any]]:
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            held = json.loads(file.read() or "{}")
            yield held
            file.seek(0)
            file.truncate()
            file.write(json.dumps(held))
            file.flush()

    async def get(self, key: str) -> str | None:
        with self._open() as held:
            value, ends = held.get(key, (None, 0))
            return value if ends > self.time() else None

    async def swap(self, key: str, expected: str | None, value: str, ttl: float) -> bool:
        with self._open() as held:
            now, ends = held.get(key, (None, 0))
            if (now if ends > self.time() else None) != expected:
                return False
            held[key] = value, self.time() + ttl
            return True

    async def lease(self, key: str, holder: str, ttl: float, places: int = 1) -> bool:
        with self._open() as held:
            taken, ends = held.get(key, (None, 0))
            if taken not in (None, holder) and ends > self.time():
                return False
            held[key] = holder, self.time() + ttl
            return True

    async def release(self, key: str, holder: str) -> None:
        with self._open() as held:
            if held.get(key, (None, 0))[0] == holder:
                del held[key]
