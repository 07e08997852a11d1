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
from .contract_version import mismatch, said_by

if TYPE_CHECKING:  # its import costs as much as a host without plugins, so it waits for the first scan
    import importlib_metadata

log = logging.getLogger("clippy")


COMMANDS = f"{PROJECT}.commands"
"""The group of entry points that say which commands a distribution's plugins add."""
_GROUPS = (PROJECT, COMMANDS)
_UNSAID = "0.1.1"
"""The last contract that knew no such group."""


@frozen
class Found:
    """An installed plugin by its entry point; ``version`` and ``requires`` are its distribution's.

    So are ``commands``, the command-line commands that its metadata tells of: names, and where their help stands.
    """

    name: str
    distribution: str
    version: str
    entry_point: importlib_metadata.EntryPoint
    requires: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()

    @property
    def tells_commands(self) -> bool:
        """Whether those are all: of a plugin made for an older contract it is known once it was imported."""
        return bool(self.commands) or mismatch(self.requires, _UNSAID) is not None

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
    entries = [*_entry_points()]
    commands: dict[int, list[tuple[str, str]]] = {}  # by distribution, which its entries share
    for entry in entries:
        if entry.group == COMMANDS:
            commands.setdefault(id(entry.dist), []).append((entry.name, entry.value))
    plugins = [entry for entry in entries if entry.group == PROJECT]
    found = [_describe(entry, tuple(commands.get(id(entry.dist), ()))) for entry in plugins]
    # Two entries alike are one: a distribution may be listed by two finders.
    unlike = {(plugin.name, plugin.entry_point.value, plugin.distribution): plugin for plugin in found}
    return tuple(sorted(unlike.values(), key=lambda plugin: (plugin.name, plugin.distribution)))


def _entry_points() -> Iterable[importlib_metadata.EntryPoint]:
    import importlib_metadata

    try:
        return [entry for entry in importlib_metadata.entry_points() if entry.group in _GROUPS]
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
                entries += [entry for entry in distribution.entry_points if entry.group in _GROUPS]
            seen.add(name)
        except Exception as error:
            where = distribution.locate_file("")
            log.warning("passing over a distribution in %s, its metadata is broken: %s", where, error)
    return entries


def _describe(entry: importlib_metadata.EntryPoint, commands: tuple[tuple[str, str], ...]) -> Found:
    name = version = ""
    requires: tuple[str, ...] = ()
    try:
        if entry.dist is not None:
            name, version, requires = said_by(entry.dist)
    except Exception as error:
        log.debug("the metadata of the distribution of plugin %s cannot be read: %s", entry.name, error)
    return Found(entry.name, name or "unknown", version or "unknown", entry, requires, commands)
