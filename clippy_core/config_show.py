"""The configuration as text: what settings a class has, and what each is and who set it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Set
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, get_args

import attrs
import orjson
from attrs import frozen

from .config import Config, Order
from .config_names import is_secret, type_text
from .config_structure import setting_fields
from .config_values import Faults, ReferredText, Secret, as_bool, as_path, plain

HIDDEN = "'***'"


@frozen
class SettingInfo:
    """One field of a settings class, for docs and ``--help``: ``default`` as TOML, ``required`` when it has none."""

    name: str
    type: str
    default: str
    doc: str = ""
    required: bool = False


@frozen
class Row:
    """One line of ``clippy config show``: path, as TOML and as JSON (secrets hidden), and the source that set it."""

    path: str
    value: str
    origin: str
    data: Any = None


def settings_of(cls: type[Any]) -> tuple[SettingInfo, ...]:
    """The settings of an attrs class, in order.  Raises NameError for the name of an unknown type."""
    return tuple(
        SettingInfo(
            attribute.alias or attribute.name,
            type_text(attribute.type),
            "" if attribute.default is attrs.NOTHING else shown(attribute.name, default_of(attribute)),
            str(attribute.metadata.get("doc", "")),
            attribute.default is attrs.NOTHING,
        )
        for attribute in setting_fields(cls)
    )


def default_of(attribute: attrs.Attribute[Any]) -> Any:
    """The default of a field; None where only an instance can make it."""
    default: Any = attribute.default
    if not isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return default
    return None if default.takes_self else default.factory()


def rows(config: Config, classes: Mapping[str, type[Any]] | None = None) -> tuple[Row, ...]:
    """Every setting in force: the host's, then those of the plugins.

    *classes* by plugin name add the defaults of what no source has set.  A reference ``{env = "NAME"}`` is shown as
    such; what it stands for is not looked up.
    """
    given = {".".join(path): value for path, value in _leaves(config.tree)}
    settings = {attribute.alias: attribute for attribute in setting_fields(type(config.host))}
    for name, cls in (classes or {}).items():
        settings |= {f"plugins.{name}.{attribute.alias}": attribute for attribute in setting_fields(cls)}
    found = {
        path: _row(path, _in_force(settings.get(path), value), config.origin(path)) for path, value in given.items()
    }
    defaults = list(_defaults(type(config.host), ""))
    for name, cls in (classes or {}).items():
        defaults += _defaults(cls, f"plugins.{name}.")
    for row in defaults:
        if row.path not in found and not any(path.startswith(row.path + ".") for path in given):
            found[row.path] = row
    return tuple(sorted(found.values(), key=lambda row: (row.path.startswith("plugins."), row.path)))


def _defaults(cls: type[Any], prefix: str) -> Iterator[Row]:
    for attribute in setting_fields(cls):
        path, default = f"{prefix}{attribute.alias or attribute.name}", default_of(attribute)
        if isinstance(default, Order):
            yield Row(path, "[]", "default", [])
        elif attrs.has(type(default)):
            yield from _defaults(type(default), f"{path}.")
        elif default is not attrs.NOTHING:
            in_force = attribute.metadata.get("unset")
            yield _row(path, in_force() if default is None and in_force else _in_force(attribute, default), "default")


def _in_force(attribute: attrs.Attribute[Any] | None, value: Any) -> Any:
    """A text that its class keeps out of its repr as a secret; a yes or no as such, however the environment writes it.

    And a file where its plugin looks for it.
    """
    if attribute is None or value is None or isinstance(value, Mapping):
        return value
    if attribute.repr is False and isinstance(value, str) and value:  # a url may hold a password
        return Secret(value)
    try:
        if attribute.type is bool:
            return as_bool(value, bool)
        if Path in (attribute.type, *get_args(attribute.type)):
            place, convert = as_path(value, Path), attribute.converter
            return convert(place) if callable(convert) and not isinstance(convert, attrs.Converter) else place
    except Faults:  # told elsewhere, with all others
        pass
    return value


def _row(path: str, value: Any, origin: str) -> Row:
    return Row(path, shown(path, value), origin, _as_json(path, value))


def _leaves(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        reference = isinstance(value, Mapping) and set(value) == {"env"}
        if isinstance(value, Mapping) and value and not reference:
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def shown(path: str, value: Any) -> str:
    """*value* as TOML, hidden where the name of its path says that it is a secret."""
    value = value if isinstance(value, ReferredText) else plain(value)
    reference = isinstance(value, Mapping) and set(value) == {"env"}
    empty = value is None or value == "" or (isinstance(value, (Mapping, list, tuple)) and not value)
    if is_secret(path) and not reference and not empty:
        return HIDDEN
    return _toml(value, path)


def _as_json(path: str, value: Any) -> Any:
    """*value* as JSON has it, hidden as :func:`shown` does; what JSON has no type for is its text."""
    value = value.value if isinstance(value, Enum) else value
    value = value if isinstance(value, ReferredText) else plain(value)
    if shown(path, value) == HIDDEN:
        return HIDDEN.strip("'")
    if attrs.has(type(value)):
        value = {one.name: getattr(value, one.name) for one in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return {str(key): _as_json(f"{path}.{key}", item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_as_json(path, item) for item in (sorted(value, key=str) if isinstance(value, Set) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _toml(value: Any, path: str) -> str:
    if isinstance(value, (Secret, ReferredText)):
        return HIDDEN
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return _toml(value.value, path)
    if isinstance(value, (str, PurePath)):
        return orjson.dumps(str(value).encode("utf-8", "replace").decode()).decode()
    if attrs.has(type(value)):
        value = {attribute.name: getattr(value, attribute.name) for attribute in attrs.fields(type(value))}
        value = {name: item for name, item in value.items() if item is not None}
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {shown(f'{path}.{key}', item)}" for key, item in value.items())
        return f"{{{inner}}}"
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return f"[{', '.join(_toml(item, path) for item in items)}]"
    return str(value)
