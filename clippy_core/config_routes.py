"""The routes that a plugin's settings name: whether the configuration has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_args, get_origin

import attrs

from .config_names import did_you_mean

if TYPE_CHECKING:
    from .config import Config


def unknown_routes(cls: type[Any], settings: object, name: str, config: Config) -> list[str]:
    """A fault for each route that the configuration does not have, in settings with ``names="routes"`` as metadata.

    *settings* are the plugin *name* itself or, where it could not be made for other faults, its table as it was given:
    these are then told together.
    """
    if not config.table(name):  # as of most plugins, whose settings then need no look
        return []
    known = set(config.tree.get("routes", ()))
    return [
        f"{config.origin(path)}: {path}: no route called {route} is configured{did_you_mean(route, known, 'there are')}"
        for path, route in dict.fromkeys(_named(cls, settings, f"plugins.{name}"))
        if route not in known
    ]


def _named(cls: type[Any], settings: object, path: str) -> Iterator[tuple[str, str]]:
    """Each route that is named, with the path of the setting; those of what a setting holds are looked at too."""
    for attribute in attrs.fields(cls):
        key = attribute.alias or attribute.name
        value = settings.get(key) if isinstance(settings, Mapping) else getattr(settings, attribute.name, None)
        if attribute.metadata.get("names") == "routes":
            yield from ((f"{path}.{key}", route) for route in _texts(value))
            continue
        for kind in (attribute.type, *get_args(attribute.type)):
            if isinstance(kind, type) and attrs.has(kind):
                for below, one in _held(attribute.type, value):
                    yield from _named(kind, one, f"{path}.{key}{below}")


def _held(kind: Any, value: object) -> list[tuple[str, object]]:
    """What stands in a setting of the type *kind*, with what its path has more: in a table of tables each of them."""
    origin = get_origin(kind)
    if isinstance(value, Mapping) and isinstance(origin, type) and issubclass(origin, Mapping):
        return [(f".{name}", one) for name, one in value.items()]
    return [("", value)]


def _texts(value: object) -> Iterator[str]:
    """The texts of a list, of a table, or of a table of lists; what is neither is another fault, told elsewhere."""
    if type(value) is str:
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
