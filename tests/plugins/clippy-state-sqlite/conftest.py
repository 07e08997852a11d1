"""Files of a test's own, opened once or several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from state_called import Called

from clippy_core.testing import VirtualClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "state.db"


@pytest.fixture
def opens(path: Path) -> Iterator[Callable[..., Called]]:
    """Opens the file as another process would; all by one clock."""
    opened: list[Called] = []
    clock = VirtualClock()

    def one(where: Path = path, **more: Any) -> Called:
        opened.append(Called(where, clock, **more))
        return opened[-1]

    yield one
    for called in opened:
        called.close()


@pytest.fixture
def store(opens: Callable[..., Called]) -> Called:
    return opens()
