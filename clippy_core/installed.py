"""Which plugins are installed: their entry points, read once and not imported."""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen
from clippy_hookspecs import PROJECT

from .config_names import env_form

if TYPE_CHECKING:  # its import costs as much as a host without plugins, so it waits for the first scan
    import importlib_metadata

log = logging.getLogger("clippy")


@frozen
class Found:
    """An installed plugin by its entry point; ``version`` and ``requires`` are its distribution's."""

    name: str
    distribution: str
    version: str
    entry_point: importlib_metadata.EntryPoint
    requires: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """The module that the entry point names, as an import writes it."""
        return self.entry_point.value.partition("[")[0].partition(":")[0].strip()


_lock = threading.RLock()  # a signal handler that reloads may find its own thread in here


def _in_child() -> None:
    """A forked child has its own lock: a thread of the parent may have been reading."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

_found: tuple[Found, ...] | None = None


def scan() -> tuple[Found, ...]:
    """The installed plugins, sorted by name; read on the first call of the process."""
    global _found
    with _lock:
        if _found is None:
            _found = _read()
        return _found


def rescan() -> tuple[Found, ...]:
    """The installed plugins, read anew: for programs that install while they run."""
    global _found
    importlib.invalidate_caches()  # of importlib_metadata as well: it remembers what folders hold
    with _lock:
        _found = _read()
        return _found


def _read() -> tuple[Found, ...]:
    found = [_describe(entry) for entry in _entry_points()]
    # Two entries alike are one: a distribution may be listed by two finders.
    unlike = {(plugin.name, plugin.entry_point.value, plugin.distribution): plugin for plugin in found}
    return tuple(sorted(unlike.values(), key=lambda plugin: (plugin.name, plugin.distribution)))


def _entry_points() -> Iterable[importlib_metadata.EntryPoint]:
    import importlib_metadata

    try:
        return importlib_metadata.entry_points(group=PROJECT)
    except Exception as error:
        log.warning("an installed distribution has broken metadata (%s); looking at each by itself", error)
        return _one_by_one()


def _one_by_one() -> list[importlib_metadata.EntryPoint]:
    import importlib_metadata

    entries: list[importlib_metadata.EntryPoint] = []
    seen: set[str] = set()
    for distribution in importlib_metadata.distributions():
        try:
            name = env_form(distribution.name)
            if name not in seen:  # the first on the path is the one that is imported
                entries += distribution.entry_points.select(group=PROJECT)
            seen.add(name)
        except Exception as error:
            where = distribution.locate_file("")
            log.warning("passing over a distribution in %s, its metadata is broken: %s", where, error)
    return entries


def _describe(entry: importlib_metadata.EntryPoint) -> Found:
    name = version = ""
    requires: tuple[str, ...] = ()
    try:
        if entry.dist is not None:
            metadata = entry.dist.metadata  # once: each property of a distribution parses the file anew
            name, version = str(metadata.get("Name") or ""), str(metadata.get("Version") or "")
            requires = tuple(entry.dist.requires or ())
    except Exception as error:
        log.debug("the metadata of the distribution of plugin %s cannot be read: %s", entry.name, error)
    return Found(entry.name, name or "unknown", version or "unknown", entry, requires)
