"""What is installed, as a plugin's command is told of it, which may not import the core."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from ..config_names import env_form, is_secret, type_text
from ..config_structure import setting_fields
from ..config_values import Secret
from ..plugin_check import check_class

if TYPE_CHECKING:
    from ..discovery import Discovered, Plugin

_WRONG, _RAISED = "its settings are wrong: ", "raised while it was made: "
_PLAIN = (str, bool, int, float, Path, Enum)


@frozen
class InstalledSetting:
    """A setting as a configuration writes it; never what the configuration of this machine says.

    ``default`` is as it would stand there, "" where there is none to show: ``shown`` says why (*required*, *none*,
    *secret*, or *made* for what the plugin makes when it starts), and is *default* otherwise.
    """

    name: str
    type: str
    default: str
    shown: str
    environment: str
    doc: str
    unit: str = ""


@frozen
class InstalledHook:
    """A hook that a plugin implements: the function itself, and how it wants to be called."""

    name: str
    method: Any
    wishes: tuple[str, ...] = ()


@frozen
class InstalledPlugin:
    """A plugin and what became of it; ``cls`` is None where it was not imported, and ``reason`` says why."""

    name: str
    distribution: str
    version: str
    status: str
    summary: str = ""
    reason: str = ""
    idle: bool = False
    warnings: tuple[str, ...] = ()
    cls: Any = None
    hooks: tuple[InstalledHook, ...] = ()
    settings: tuple[InstalledSetting, ...] = ()


def catalogue(discovered: Discovered) -> tuple[InstalledPlugin, ...]:
    """Every installed plugin, whatever became of it, a to z."""
    return tuple(_described(plugin) for plugin in discovered.plugins)


def _described(plugin: Plugin) -> InstalledPlugin:
    what = InstalledPlugin(
        plugin.name, plugin.distribution, plugin.version, plugin.status, _summary(plugin.distribution),
        _reason(plugin), bool(plugin.idle), plugin.warnings,
    )  # fmt: skip
    if plugin.cls is None:
        return what
    try:
        return of_class(what, plugin.cls)
    except Exception as error:  # what its class says of itself cannot be read: it is listed with that
        reason = f"{what.reason}; " if what.reason else ""
        return attrs.evolve(what, reason=f"{reason}its class cannot be read: {type(error).__name__}: {error}")


def _reason(plugin: Plugin) -> str:
    """Why it is not active, without what the configuration says: values may be secrets, and pages are handed on."""
    if plugin.object is None and plugin.cls is not None:
        for marker in (_WRONG, _RAISED):
            before, found, after = plugin.reason.partition(marker)
            if found:
                kind = after.partition(":")[0].split(";")[0] if marker is _RAISED else "clippy config check says which"
                return f"{before}{found}{kind}"
    return plugin.reason


def of_class(what: InstalledPlugin, cls: Any) -> InstalledPlugin:
    """*what*, with the hooks and settings of its class.  Nothing of it runs but factories of defaults."""
    found = check_class(cls).implementations
    hooks = []
    for name, one in found.items():
        method = inspect.getattr_static(cls, one.method)
        marks = (("tryfirst", one.tryfirst), ("trylast", one.trylast))
        wishes = [word for word, said in marks if said]
        wishes += ["inline"] if getattr(method, "clippy_inline", False) else []
        hooks.append(InstalledHook(name, method, tuple(wishes)))
    settings = tuple(_setting(what.name, field) for field in setting_fields(cls))
    return attrs.evolve(what, cls=cls, hooks=tuple(hooks), settings=settings)


def _setting(plugin: str, field: Any) -> InstalledSetting:
    name = field.alias or field.name
    kind = type_text(field.type)
    default, shown = _default(field, is_secret(name) or "Secret" in str(field.type))
    variable = f"CLIPPY_{env_form(plugin).upper()}__{env_form(name).upper()}"
    said = {key: str(field.metadata.get(key, "")) for key in ("doc", "unit")}
    return InstalledSetting(name, kind, default, shown, variable, said["doc"], said["unit"])


def _default(field: Any, secret: bool) -> tuple[str, str]:
    value: Any = field.default
    if value is attrs.NOTHING:
        return "", "required"
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        try:
            value, again = (None, 0) if value.takes_self else (value.factory(), value.factory())
            if not (_is_plain(value) and value == again):
                return "", "made"  # a place in somebody's home, a number drawn: not the same everywhere
        except Exception:
            return "", "made"  # it wants what only a running plugin has
    if value is None or value == "":
        return ('""', "default") if value == "" else ("", "none")
    if (secret and value) or isinstance(value, Secret):
        return "", "secret"
    return (_written(value), "default") if _is_plain(value) else ("", "made")


def _is_plain(value: Any) -> bool:
    if isinstance(value, Secret):
        return False
    if isinstance(value, Mapping):
        return all(_is_plain(one) for pair in value.items() for one in pair)
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, _PLAIN)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not isinstance(value, Enum):
        return f'"{value}"'
    if isinstance(value, (set, frozenset)):  # their order changes from process to process
        return f"[{', '.join(sorted(map(repr, value)))}]"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(repr, value))}]"
    return str(value)


def _summary(distribution: str) -> str:
    import importlib_metadata

    try:
        return str(importlib_metadata.metadata(distribution).get("Summary") or "")
    except Exception:  # not installed as one, or broken metadata: there is nothing to say of it
        return ""
