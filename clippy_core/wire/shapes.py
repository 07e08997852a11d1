"""Looks at JSON of unknown shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from clippy_hookspecs import Json

_ONLY_DICTS = {dict}


def without(value: Mapping[str, Json], *names: str) -> dict[str, Any]:
    """The fields of *value* that have none of *names*."""
    return {name: item for name, item in value.items() if name not in names}


def objects(value: Json) -> TypeGuard[list[dict[str, Json]]]:
    """Whether *value* is a non-empty list of objects."""
    if not isinstance(value, list) or not value:
        return False
    return {*map(type, value)} == _ONLY_DICTS or all(isinstance(item, dict) for item in value)
