"""Watching imports: something is done when a module was imported, and the module is as it would be."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from clippy_core.import_watch import ImportWatch


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ModuleType]]:
    """What was imported while ``watched_*`` is watched."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    found: list[ModuleType] = []
    ImportWatch(lambda name: found.append if name.startswith("watched_") else None).start()
    yield found
    for name in [name for name in sys.modules if name.startswith(("watched_", "other_"))]:
        del sys.modules[name]


def test_a_watched_module_is_told_of_once_when_it_is_complete(seen: list[ModuleType], tmp_path: Path) -> None:
    """After its code has run, and by none of the later imports; again when it is made anew."""
    (tmp_path / "watched_a.py").write_text("import other_b\nX = 1\n")
    (tmp_path / "other_b.py").write_text("")
    module = importlib.import_module("watched_a")
    importlib.import_module("watched_a")
    assert seen == [module]
    assert module.X == 1
    importlib.reload(module)
    assert seen == [module, module]


def test_a_watched_module_has_its_own_loader(seen: list[ModuleType], tmp_path: Path) -> None:
    """What reads sources, or data of a package, asks the loader that belongs to it."""
    for name in ("watched_a", "other_b"):
        (tmp_path / f"{name}.py").write_text("")
    watched, other = importlib.import_module("watched_a"), importlib.import_module("other_b")
    assert type(watched.__loader__) is type(other.__loader__)
    assert watched.__spec__ is not None
    assert watched.__spec__.loader is watched.__loader__
    assert watched.__loader__.get_source("watched_a") == ""  # type: ignore[union-attr]


def test_a_module_that_is_not_there_or_fails_is_not_told_of(seen: list[ModuleType], tmp_path: Path) -> None:
    """The program gets the error that it would get."""
    (tmp_path / "watched_bad.py").write_text("raise ValueError('its own')\n")
    with pytest.raises(ModuleNotFoundError, match="No module named 'watched_none'"):
        importlib.import_module("watched_none")
    with pytest.raises(ValueError, match="its own"):
        importlib.import_module("watched_bad")
    assert seen == []


def test_what_was_imported_before_counts_as_imported_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something in the environment may be faster than we are."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    found: list[ModuleType] = []
    ImportWatch(lambda name: found.append if name == "json" else None).start()
    assert found == [sys.modules["json"]]
