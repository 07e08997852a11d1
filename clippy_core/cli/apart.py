"""Hosts apart from the user's programs: their files go with a folder, and they talk to no other process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from attrs import frozen

from ..config import Config, read_config
from ..config_structure import setting_fields
from ..discovery import Plugin, discover

if TYPE_CHECKING:
    from clippy_hookspecs import Clock

    from ..host import Host

_FOLDERS = ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
_REACHES = frozenset({"url", "dsn", "port"})
"""Settings that say where another process is, or where one can reach the plugin."""
_ONLY_READ = "file"
"""By its name a setting for a file of the user's that is read: a list of prices."""


@frozen
class Apart:
    """A host, its clock, and the names of the plugins of the configuration that are left out of it with the reason."""

    host: Host
    clock: Clock
    left_out: Mapping[str, str]


@contextmanager
def homeless(folder: Path) -> Iterator[None]:
    """Whatever looks for the user's folders finds *folder*."""
    before = {name: os.environ.get(name) for name in _FOLDERS}
    os.environ.update(dict.fromkeys(_FOLDERS, str(folder)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def elsewhere(
    config: Config, plugins: Sequence[Plugin], folder: Path, *, unnamed: bool = False
) -> dict[str, dict[str, str]]:
    """Settings that put each file that the configuration names into *folder*, by its name, for that may say its form.

    With *unnamed* also those that it does not name, for hosts that find the same folders of a user: with the first of
    the endings that the setting's metadata names as ``suffixes``.
    """
    folder.mkdir()
    tables: dict[str, dict[str, str]] = {}
    for plugin in plugins:
        for attribute in setting_fields(type(plugin.object)):
            key = attribute.alias or attribute.name
            named = config.table(plugin.name).get(key)
            written = Path in (attribute.type, *get_args(attribute.type)) and key != _ONLY_READ
            if written and (named is not None or (unnamed and attribute.default is None)):
                ending = next(iter(attribute.metadata.get("suffixes", ())), "")
                name = ending if named is None else Path(str(named)).name
                place = folder / f"{plugin.name}-{key}-{name}"
                tables.setdefault(plugin.name, {})[key] = str(place)
    return tables


@contextmanager
def host_apart(path: Path | None, routes: Mapping[str, Any], live: bool = False) -> Iterator[Apart]:
    """The host of the configuration in *path*, with empty stores; unless *live*, on a clock on which waits are over at
    once.

    It finds the user's folders empty while it is made and used.  Plugins that talk to other processes are left out:
    what they share with production cannot be put elsewhere.  Of *routes* those are used that the configuration lacks.
    Raises ConfigError.
    """
    from ..host import Host
    from ..testing import VirtualClock

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        config = read_config(path)
        with homeless(folder):
            loaded = discover(config).loaded
            left_out = {one.name: reason for one in loaded if (reason := _reaches(one)) is not None}
            kept = [one for one in loaded if one.name not in left_out]
            tables = elsewhere(config, kept, folder / "files")
            lacking = {name: one for name, one in routes.items() if name not in config.tree.get("routes", {})}
            told = {"routes": lacking, "allow": [one.name for one in kept], "plugins": tables, "trace": False}
            clock = None if live else VirtualClock()
            with Host(None, config=read_config(path, overrides=told), clock=clock) as host:
                yield Apart(host, host.clock, left_out)


def _reaches(plugin: Plugin) -> str | None:
    if plugin.idle or {*plugin.implementations} <= {"register_commands"}:
        return None
    names = {attribute.alias or attribute.name for attribute in setting_fields(type(plugin.object))}
    found = sorted(names & _REACHES)
    return f"it talks to other processes (its setting {found[0]})" if found else None
