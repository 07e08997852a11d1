"""To do something as soon as a module has been imported, in a program that does not know of us.

Only the standard library: ``clippy run`` loads this when an interpreter starts, whatever it is started for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Then = Callable[[ModuleType], None]


class ImportWatch:
    """A finder that finds a module as those behind it do, and calls *wanted(name)*'s function when it was imported.

    Where *wanted* says None nothing is different.  The module itself is as it would be without us, its loader included.
    """

    def __init__(self, wanted: Callable[[str], Then | None]) -> None:
        self._wanted = wanted

    def start(self) -> None:
        """Watch from now on; what was imported already counts as imported now."""
        sys.meta_path.insert(0, self)
        for name, module in list(sys.modules.items()):
            then = self._wanted(name)
            if then is not None and isinstance(module, ModuleType):
                then(module)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        then = self._wanted(name)
        if then is None or self not in sys.meta_path:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec: ModuleSpec | None = finder.find_spec(name, path, target)
            if spec is not None:
                loader: Any = None if spec.loader is None else _Loader(spec.loader, then)
                spec.loader = loader
                return spec
        return None


class _Loader:
    """A module's own loader, with one thing more to do at the end."""

    def __init__(self, loader: Any, then: Then) -> None:
        self._loader, self._then = loader, then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._then(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
