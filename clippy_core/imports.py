"""Importing plugins, and importing them anew once their files have changed under a program that runs.

Python keeps what it has imported.  A package that was installed over, or mended in place, has to be taken out of
``sys.modules`` before its new files are read; if they cannot be imported, the old modules go back, for who uses them.
Meanwhile importlib's own lock of the package is held: a function of the old code that imports from it waits.
"""

from __future__ import annotations

import importlib.util
import os
import site
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

try:
    from importlib._bootstrap import _ModuleLockManager  # type: ignore[attr-defined]
except ImportError:  # it is Python's own affair: without it old code may meet a package that is half imported
    _ModuleLockManager = nullcontext

lock_of: Callable[[str], AbstractContextManager[object]] = _ModuleLockManager
"""importlib's lock of a module: whoever imports from it meanwhile waits."""

Files = dict[str, tuple[int, int]]
"""What files were like: time of change (nanoseconds) and size (bytes) by path."""


class Seen:
    """A package as this process imported it, and what its files were like then."""

    def __init__(self, module: ModuleType, files: Files) -> None:
        self.files, self._module = files, weakref.ref(module)

    def is_imported(self, package: str) -> bool:
        """Whether it is this module that is imported now, and not another of its name."""
        module = self._module()
        return module is not None and module is sys.modules.get(package)


_lock = threading.RLock()  # replaced in a fork, where the thread that held it is not
_seen: dict[str, Seen] = {}
"""By package, what ``sys.modules`` is made of."""


class EntryPoint(Protocol):
    """What is needed of an entry point of importlib.metadata."""

    @property
    def module(self) -> str: ...

    @property
    def dist(self) -> Any: ...

    def load(self) -> Any: ...


def load(entry_point: EntryPoint) -> Any:
    """What *entry_point* names, as it was or is now imported."""
    with _lock:
        package = package_of(entry_point.module)
        seen = _seen.get(package)
        if seen is not None and seen.is_imported(package):
            return entry_point.load()
        files = _files(package)  # before they are read: what changes meanwhile is a change
        loaded = entry_point.load()
        if package in sys.modules:
            _seen[package] = Seen(sys.modules[package], files)
        return loaded


class Reimport:
    """Imports from the files as they are now, and can be undone as a whole."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[dict[str, ModuleType], Seen]] = {}
        self._anew: set[str] = set()
        self._path: list[str] = []

    def load(self, entry_point: EntryPoint) -> Any:
        """What *entry_point* names; its whole package is imported anew if any of its files has changed."""
        with _lock:
            if _spec(package_of(entry_point.module)) is None:
                self._follow_signposts(entry_point.dist)
        package = package_of(entry_point.module)
        with _lock, lock_of(package):
            seen = _seen.get(package)
            if package not in self._taken and seen is not None and seen.is_imported(package):
                now = _files(package)
                if now != seen.files:
                    _drop_stale_bytecode(seen.files, now)
                    self._taken[package] = _take_out(package), seen
            try:
                loaded = load(entry_point)
            except BaseException:
                if package not in self._anew:  # else another plugin of the package works with the new modules
                    self._put_back(package)
                raise
            self._anew.add(package)
            return loaded

    def undo(self) -> None:
        """Put back what was imported before."""
        with _lock:
            for package in [*self._taken]:
                with lock_of(package):
                    self._put_back(package)
            sys.path[:] = [place for place in sys.path if place not in self._path]

    def _follow_signposts(self, distribution: Any) -> None:
        """Read the ``.pth`` files of *distribution* as a start of Python would, which is when they are read.

        An editable installation has no more than these on the path, and this one is newer than this process.
        """
        before = {*sys.path}
        for file in getattr(distribution, "files", None) or ():
            if file.suffix == ".pth":
                place = Path(distribution.locate_file(file))
                site.addpackage(str(place.parent), place.name, None)
        self._path += [place for place in sys.path if place not in before]

    def _put_back(self, package: str) -> None:
        if package in self._taken:
            modules, seen = self._taken.pop(package)
            _take_out(package)
            sys.modules.update(modules)
            namespace, _, name = package.rpartition(".")
            if namespace:
                setattr(sys.modules[namespace], name, modules[package])
            _seen[package] = seen


def specs_of(module: str) -> list[tuple[str, ModuleSpec]]:
    """What an import of *module* finds for it and each package above it; importlib's own search imports parents."""
    found: list[tuple[str, ModuleSpec]] = []
    path: Any = None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        spec = next((one for finder in sys.meta_path if (one := _ask(finder, name, path)) is not None), None)
        if spec is None:
            return found
        found.append((name, spec))
        path = spec.submodule_search_locations
        if path is None:
            break
    return found


def _ask(finder: Any, name: str, path: Any) -> ModuleSpec | None:
    find = getattr(finder, "find_spec", None)
    return None if find is None else find(name, path)


def package_of(module: str) -> str:
    """The outermost package of *module* that has code of its own: a namespace is shared by many distributions."""
    parts = module.split(".")
    for end in range(1, len(parts)):
        name = ".".join(parts[:end])
        spec = _spec(name)
        if spec is None or spec.origin is not None:
            return name
    return module


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _files(package: str) -> Files:
    spec = _spec(package)
    if spec is None:
        return {}
    found: Files = {}
    for path in _paths(spec):
        try:
            now = path.stat()
        except OSError:
            continue
        found[str(path)] = now.st_mtime_ns, now.st_size
    return found


def _paths(spec: ModuleSpec) -> Iterator[Path]:
    if spec.submodule_search_locations is None:
        if spec.has_location and spec.origin:
            yield Path(spec.origin)
        return
    for location in spec.submodule_search_locations:
        for folder, folders, names in os.walk(location):
            if "__pycache__" in folders:
                folders.remove("__pycache__")
            yield from (Path(folder, name) for name in names)


def _take_out(package: str) -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
    return {name: sys.modules.pop(name) for name in names}


def _drop_stale_bytecode(before: Files, now: Files) -> None:
    """Bytecode is told from stale by the source's size and whole seconds: of a quick change it would not know."""
    for path, (changed, size) in now.items():
        was = before.get(path)
        if was is None or was == (changed, size) or was[1] != size or was[0] // 10**9 != changed // 10**9:
            continue
        if path.endswith(".py"):
            try:
                Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
            except OSError:
                pass  # where no bytecode can be deleted none was written by us


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
