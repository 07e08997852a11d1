"""Settings by their former names, and telling about everything deprecated once.

How something is deprecated says :mod:`clippy_hookspecs.deprecation`; hooks and their arguments are looked at in
:mod:`clippy_core.plugin_check`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import attrs
from clippy_hookspecs import ConfigError, Deprecation

_told: set[str] = set()
_lock = threading.Lock()


def first_time(sentence: str) -> bool:
    """Whether this process has not said it before: many hosts are one program."""
    with _lock:
        new = sentence not in _told
        _told.add(sentence)
        return new


def former_settings(cls: type[Any]) -> dict[str, tuple[str, Deprecation]]:
    """The former names of the settings of *cls*, each with the present name."""
    return {
        former: (attribute.alias or attribute.name, said)
        for attribute in attrs.fields(cast("Any", cls))
        for former, said in attribute.metadata.get("former", {}).items()
    }


def renamed(cls: type[Any], table: Mapping[str, Any], path: str, origin: Callable[[str], str]) -> dict[str, Any]:
    """*table*, which stands at *path*, with the present names.

    Raises ConfigError where a setting stands there by both its names.
    """
    former = former_settings(cls)
    twice = [
        (f"{path}.{key}", f"{path}.{former[key][0]}") for key in table if key in former and former[key][0] in table
    ]
    if twice:
        raise ConfigError(
            [f"{origin(old)}: {old}: is the former name of {new} ({origin(new)}); keep that" for old, new in twice]
        )
    return {former[key][0] if key in former else key: value for key, value in table.items()}


def setting_sentences(
    cls: type[Any], table: Mapping[str, Any], path: str, origin: Callable[[str], str], distribution: str
) -> Iterator[str]:
    """What there is to say about *table*, whose settings are those of *cls*: former names, and what goes away."""
    former = {key: said for key, (_, said) in former_settings(cls).items()}
    for attribute in attrs.fields(cast("Any", cls)):
        if "deprecated" in attribute.metadata:
            former[attribute.alias or attribute.name] = attribute.metadata["deprecated"]
    for key in table:
        if key in former:
            where = ": ".join(part for part in (origin(f"{path}.{key}"), f"{path}.{key}") if part)
            yield former[key].sentence(f"the setting {key} ({where})", distribution)
