"""What the plugins are called that a program gives as objects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from .installed import Found


def names_of(given: Mapping[str, object] | Sequence[object], installed: Sequence[Found]) -> list[tuple[str, object]]:
    """Each plugin with its name: the mapping's, else :func:`name_of`."""
    if isinstance(given, Mapping):
        return list(given.items())
    return [(name_of(plugin, installed), plugin) for plugin in given]


def name_of(plugin: object, installed: Sequence[Found]) -> str:
    """The class attribute ``name`` if it has one, else the name it is installed under, else that of its class."""
    cls = plugin if inspect.isclass(plugin) else type(plugin)
    name = inspect.getattr_static(cls, "name", None)
    if isinstance(name, str) and name:
        return name
    entry = entry_of(cls, installed)
    return entry.name if entry else kebab(_own(cls, "__name__"))


def entry_of(cls: type[Any], installed: Sequence[Found]) -> Found | None:
    """The entry point that means *cls*; it may name the package that *cls* is imported into."""
    for one in installed:
        module, _, attribute = one.entry_point.value.partition("[")[0].partition(":")
        within = f"{_own(cls, '__module__')}.".startswith(f"{module.strip()}.")
        if within and attribute.strip() == _own(cls, "__qualname__"):
            return one
    return None


def _own(cls: type[Any], what: str) -> str:
    """What a class was made with, whatever its metaclass says or raises: a fault needs a name to be told with."""
    return str(vars(type)[what].__get__(cls))


def kebab(name: str) -> str:
    """``SqliteCache`` is ``sqlite-cache``, ``HTTPProbe`` is ``http-probe``."""
    letters = []
    for index, letter in enumerate(name):
        after_small = index > 0 and not name[index - 1].isupper()
        before_small = 0 < index < len(name) - 1 and name[index + 1].islower()
        if letter.isupper() and index > 0 and (after_small or before_small):
            letters.append("-")
        letters.append("-" if letter == "_" else letter.lower())
    return "-".join(part for part in "".join(letters).split("-") if part)
