"""A plugin that holds something open."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field
from clippy_hookspecs import hookimpl


@define(eq=False)
class Plugin:
    """Has a folder of its own while its host is open."""

    _folder: Path | None = field(init=False, repr=False, default=None)

    @property
    def folder(self) -> Path:
        """The folder.  Raises RuntimeError while no host is open."""
        if self._folder is None:
            raise RuntimeError("there is a folder only while the host is open")
        return self._folder

    @hookimpl
    @contextmanager
    def lifespan(self) -> Iterator[None]:
        """Make the folder when the host opens, and remove it when the host closes."""
        with tempfile.TemporaryDirectory() as folder:
            self._folder = Path(folder)
            try:
                yield
            finally:
                self._folder = None
