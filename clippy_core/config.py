"""The configuration of one host: argument over environment over file over default.

The file is ``clippy.toml`` or the ``[tool.clippy]`` table of ``pyproject.toml``, the nearest from the working directory
upwards, or the one that CLIPPY_CONFIG names::

    disable = ["audit"]

    [order]                                # outermost first; with no list for a hook just order = [...]
    default = ["cache-memory", "cache-sqlite"]
    on_error = ["fallback", "retry"]

    [plugins.cache-sqlite]
    ttl = 60.0

    [routes.main]
    api = "openai.chat"
    key = {env = "OPENAI_API_KEY"}

The environment says the same as ``CLIPPY_CACHE_SQLITE__TTL=60`` and ``CLIPPY_ORDER='["cache-memory"]'``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

import attrs
from attrs import field, frozen
from clippy_hookspecs import POLICIES, ConfigError

from . import config_sources as sources
from .config_host import HOOKS, AuditConfig, Deadlines, Failure, HostConfig, Order, RouteConfig, order_table
from .config_names import did_you_mean
from .config_values import Secret
from .contract_version import CONTRACT
from .deprecations import former_settings, renamed, setting_sentences
from .installed import scan

__all__ = [
    "AuditConfig",
    "Config",
    "Deadlines",
    "HostConfig",
    "Order",
    "RouteConfig",
    "Secret",
    "config_of",
    "in_the_files_shape",
    "load_config",
    "read_config",
]

T = TypeVar("T")
_KEYS = tuple(attribute.name for attribute in attrs.fields(HostConfig))
_FORMER = former_settings(HostConfig)
_TABLES: dict[str, Collection[str] | None] = {
    "order": ("default", *HOOKS),
    "deadlines": tuple(attribute.name for attribute in attrs.fields(Deadlines)),
    "audit": tuple(attribute.name for attribute in attrs.fields(AuditConfig)),
    "on_failure": None,
    "routes": None,
}


@attrs.define(eq=False)
class Config:
    """What the sources say.  ``faults`` is empty where :func:`load_config` made it; ``file`` is the one it read.

    ``deprecated`` has a sentence for each of the host's settings that stands there by a former name.
    """

    host: HostConfig
    tree: Mapping[str, Any] = field(repr=False)
    origins: Mapping[tuple[str, ...], str] = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    file: Path | None = None
    faults: tuple[str, ...] = ()
    deprecated: tuple[str, ...] = ()

    @property
    def tables(self) -> tuple[str, ...]:
        """The plugins that have a table, whatever source it came from."""
        return tuple(sorted(self.tree.get("plugins", {})))

    def table(self, plugin: str) -> Mapping[str, Any]:
        """The settings of *plugin* as they were given: references not looked up, texts of the environment not read."""
        table = self.tree.get("plugins", {}).get(plugin, {})
        return MappingProxyType(table) if isinstance(table, dict) else MappingProxyType({})

    def origin(self, path: str) -> str:
        """Which source set ``plugins.cache-sqlite.ttl`` or ``order``; for a table all of them; ``default`` for none."""
        found = {
            origin: None
            for parts, origin in self.origins.items()
            if (name := ".".join(parts)) == path or name.startswith(path + ".") or path.startswith(name + ".")
        }
        return ", ".join(found) or "default"

    def structure(self, cls: type[T], plugin: str) -> T:
        """The plugin *cls* with its settings.  Raises :class:`~clippy_hookspecs.ConfigError` with every fault."""
        from .config_structure import structure

        table = renamed(cls, self.table(plugin), f"plugins.{plugin}", self.origin)
        if not any((attribute.alias or attribute.name) == "on_failure" for attribute in attrs.fields(cast("Any", cls))):
            table.pop("on_failure", None)  # the host's, see HostConfig.on_failure
        return structure(cls, table, f"plugins.{plugin}", environ=self.environ, origin=self._source)

    def deprecated_settings(self, cls: type[Any], plugin: str, distribution: str) -> list[str]:
        """A sentence for each setting of *plugin*, whose settings are those of *cls*, that will not work for ever."""
        return list(setting_sentences(cls, self.table(plugin), f"plugins.{plugin}", self._source, distribution))

    def _source(self, path: str) -> str:
        origin = self.origin(path)
        return "" if origin == "default" else origin


def load_config(
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    cwd: str | os.PathLike[str] | None = None,
    known: Collection[str] | None = None,
) -> Config:
    """The configuration, as :func:`read_config` reads it.  Raises ConfigError with every fault if there is one."""
    config = read_config(path, environ, overrides, cwd=cwd, known=known)
    if config.faults:
        raise ConfigError(config.faults)
    return config


def read_config(
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    cwd: str | os.PathLike[str] | None = None,
    known: Collection[str] | None = None,
) -> Config:
    """The configuration with its faults beside it; a host setting that is wrong has its default.

    *overrides* has the shape of the file.  *known* are the plugins' names, by default those installed: the environment
    cannot write ``cache-sqlite``, so its ``CACHE_SQLITE`` is looked up among them.  Plugins' own settings are checked
    when they are made (:func:`~clippy_core.discovery.discover`).
    """
    environ = os.environ if environ is None else environ
    reading = sources.Reading()
    sources.read_file(reading, path, environ, None if cwd is None else Path(cwd))
    over = sources.Reading()
    over.add_table(overrides or {}, "argument")
    said = [setting.path for setting in (*reading.settings, *over.settings)]
    plugins = {found.name for found in scan()} if known is None else set(known)
    plugins |= {parts[1] for parts in said if len(parts) > 1 and parts[0] == "plugins"}
    routes = {parts[1] for parts in said if len(parts) > 1 and parts[0] == "routes"}
    names = sources.Names({key: _TABLES.get(key, ()) for key in (*_KEYS, *_FORMER)}, plugins, routes)
    sources.read_environment(reading, environ, names, over.settings)
    reading.settings += over.settings
    return _judge(reading, environ)


def in_the_files_shape(plugins: Mapping[str, object] | Sequence[object] | None) -> bool:
    """Whether *plugins* is what a file says of them, names or tables of settings, and not plugins themselves."""
    told = plugins.values() if isinstance(plugins, Mapping) else plugins
    return bool(told) and all(isinstance(one, (str, Mapping)) for one in told or ())


def config_of(table: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """A configuration that is exactly *table*: no file, and of the environment only what ``{env = "NAME"}`` names.

    Raises ConfigError with every fault.
    """
    reading = sources.Reading()
    reading.add_table(table, "argument")
    config = _judge(reading, os.environ if environ is None else environ)
    if config.faults:
        raise ConfigError(config.faults)
    return config


def _judge(reading: sources.Reading, environ: Mapping[str, str]) -> Config:
    deprecated = _present_names(reading)
    tree, origins = sources.merge(reading.settings)
    config = Config(HostConfig(), tree, origins, environ, reading.file, deprecated=deprecated)
    faults = [*reading.faults, *_bad_tables(config)]
    config.host = _host(config, faults)
    config.faults = tuple(faults)
    return config


def _present_names(reading: sources.Reading) -> tuple[str, ...]:
    """Give the host's settings, and hooks in ``order``, their present names; a sentence for each former one."""
    told = []
    hooks = {former: (name, said) for name, policy in POLICIES.items() for former, said in policy.former.items()}
    for index, setting in enumerate(reading.settings):
        head, *below = setting.path
        if head in _FORMER:
            present, said = _FORMER[head]
            told.append(said.sentence(f"the setting {head} ({setting.origin})", "clippy-core"))
            reading.settings[index] = setting._replace(path=(present, *below))
        elif head == "order" and below and below[0] in hooks:
            present, said = hooks[below[0]]
            told.append(said.sentence(f"the hook {below[0]} ({setting.origin}: order.{below[0]})", CONTRACT))
            reading.settings[index] = setting._replace(path=("order", present, *below[1:]))
    return tuple(told)


def _bad_tables(config: Config) -> list[str]:
    if not config.tree:
        return []
    from .config_structure import sentence

    return [
        sentence(config.origin(f"plugins.{name}"), f"plugins.{name}", f"expected a table, got {table!r}")
        for name, table in config.tree.get("plugins", {}).items()
        if not isinstance(table, dict)
    ]


def _host(config: Config, faults: list[str]) -> HostConfig:
    """The host's settings key by key, so that a wrong one leaves the others standing."""
    if not config.tree:  # as in most programs, which then need nothing that reads values
        return HostConfig()
    from .config_structure import sentence, structure

    given: dict[str, Any] = {}
    for key, value in config.tree.items():
        try:
            if key == "order":
                lists = structure(order_table(), value, key, environ=config.environ, origin=config.origin, lasting=True)
                own = {hook: getattr(lists, hook) for hook in HOOKS if getattr(lists, hook) is not None}
                given[key] = Order(lists.default, own)
            elif key in _KEYS:
                one = structure(HostConfig, {key: value}, environ=config.environ, origin=config.origin, lasting=True)
                given[key] = getattr(one, key)
            elif key != "plugins":
                hint = did_you_mean(key, (*_KEYS, "plugins"), "the settings are")
                table = "; a plugin's settings stand in [plugins.NAME]" if isinstance(value, dict) else ""
                faults.append(sentence(config.origin(key), key, f"unknown setting{hint}{table}"))
        except ConfigError as error:
            faults.extend(error.faults)
            if key == "locked":
                given[key] = True  # who meant to lock, and slipped, does not get everything
    given["on_failure"] = {**given.get("on_failure", {}), **_on_failure(config, faults)}
    return HostConfig(**given)


@frozen
class _OwnTable:
    """What the host reads in a plugin's table."""

    on_failure: Failure | None = None


def _on_failure(config: Config, faults: list[str]) -> dict[str, Failure]:
    """``on_failure`` as it stands in the plugins' own tables; it wins over the host's table of the same name."""
    from .config_structure import structure

    found: dict[str, Failure] = {}
    for name in config.tables:
        own = {key: value for key, value in config.table(name).items() if key == "on_failure"}
        try:
            said = structure(_OwnTable, own, f"plugins.{name}", environ=config.environ, origin=config.origin)
            if said.on_failure is not None:
                found[name] = said.on_failure
        except ConfigError as error:
            faults.extend(error.faults)
    return found
