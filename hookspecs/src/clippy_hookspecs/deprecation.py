"""How something goes away without breaking a plugin that was written for it.

A hook, an argument of a hook, a setting and a public name can be deprecated: they work until the version that removes
them, and whoever still uses them is told once, with the place and what to write instead.

=========  ==================================================================================================
what       where it is said
=========  ==================================================================================================
hook       ``@hook(..., former={"old_name": Deprecation(...)})``, or ``deprecated=`` where nothing replaces it
argument   ``@hook(..., arguments={"old_name": Deprecation(...)})``
setting    ``field(metadata={"former": {"old_name": Deprecation(...)}})`` on the one that replaces it, or
           ``field(metadata={"deprecated": Deprecation(...)})`` on one that goes without replacement
name       ``__getattr__ = former_names(__name__, {"OLD_NAME": Deprecation(...)})`` in its module
=========  ==================================================================================================
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from attrs import frozen


@frozen
class Deprecation:
    """Since which version of its distribution, in which it is removed, and what to write instead.

    For something that was only renamed ``instead`` is the new name, and what used the old one gets that.
    """

    since: str
    removed_in: str
    instead: str

    def sentence(self, what: str, distribution: str) -> str:
        """``the hook x (a.py:3) is deprecated since clippy-hookspecs 0.1.1 and removed in 0.2; write y``."""
        until = f"is deprecated since {distribution} {self.since} and removed in {self.removed_in}"
        return f"{what} {until}; write {self.instead}"


@frozen
class NameUse:
    """Who still uses a former name: the module that asked for it, and where."""

    name: str
    module: str
    place: str
    sentence: str


_uses: dict[tuple[str, str, str], NameUse] = {}
_lock = threading.Lock()


def name_uses(package: str) -> tuple[NameUse, ...]:
    """The uses of former names in *package* and the modules below it, in this process so far."""
    with _lock:
        return tuple(use for use in _uses.values() if f"{use.module}.".startswith(f"{package}."))


def former_names(module: str, names: Mapping[str, Deprecation]) -> Callable[[str], Any]:
    """The ``__getattr__`` of *module*, which gives for each former name what its ``instead`` is called there.

    Each place that asks is told once by a DeprecationWarning and noted for :func:`name_uses`.
    """

    def get(name: str) -> Any:
        deprecation = names.get(name)
        if deprecation is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _tell(module, name, deprecation)
        return getattr(sys.modules[module], deprecation.instead)

    return get


def _tell(module: str, name: str, deprecation: Deprecation) -> None:
    frame = _asker()
    asker, file = frame.f_globals.get("__name__", "?"), frame.f_code.co_filename
    place = f"{file.replace(chr(92), '/').rpartition('/')[2]}:{frame.f_lineno}"
    sentence = deprecation.sentence(f"{module}.{name} ({place})", module.partition(".")[0].replace("_", "-"))
    key = (name, asker, place)
    with _lock:
        if key in _uses:
            return
    warnings.warn_explicit(sentence, DeprecationWarning, file, frame.f_lineno, asker)
    with _lock:
        _uses[key] = NameUse(name, asker, place, sentence)


def _asker() -> FrameType:
    """The frame whose code names the attribute; an import of it has frames of importlib between."""
    frame = sys._getframe(3)  # noqa: SLF001
    while frame.f_back is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame
