"""The suite that every plugin must pass, with the socket and without."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clippy_stream import StreamController

from clippy_core.testing import PluginContract


class TestStreamController(PluginContract):
    def make(self) -> StreamController:
        return StreamController()


class TestStreamControllerWithItsSocket(PluginContract):
    @pytest.fixture(autouse=True)
    def _short(self) -> Iterator[None]:
        # A unix socket's address has room for a hundred characters, less than a test's own folder may take.
        with tempfile.TemporaryDirectory(prefix="c") as folder:
            self.short = Path(folder) / "s"
            yield

    def make(self) -> StreamController:
        return StreamController(control=True, folder=self.short)
