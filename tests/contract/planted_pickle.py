"""A plugin whose fault is pickle: apart from the others, whose modules do not import it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define
from clippy_hookspecs import Host, hookimpl
from planted_plugin import Desk


@define(eq=False)
class Pickles(Desk):
    """Writes its counts as a pickle, and runs whatever code lies there when it opens."""

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        if self.path is not None and Path(self.path).exists():
            self._counts.update(pickle.loads(Path(self.path).read_bytes()))
        yield
        if self.path is not None:
            self._write(self.path)

    def _write(self, path: str) -> None:
        Path(path).write_bytes(pickle.dumps(self.counts()))
