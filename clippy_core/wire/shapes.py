"""Looks at JSON of unknown shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from clippy_hookspecs import Json

_ONLY_DICTS = {dict}


def without(value: Mapping[str, Json], *names: str) -> dict[str, Any]:
    """The fields of *value* that have none of *names*."""
    return {name: item for name, item in value.items() if name not in names}


def text_in(name: str, otherwise: str | None = None) -> Callable[[Mapping[str, Json]], str | None]:
    """What reads the field *name* of a body, *otherwise* if it is not text there."""

    def read(body: Mapping[str, Json]) -> str | None:
        value = body.get(name)
        return value if isinstance(value, str) else otherwise

    return read


def nothing(body: Mapping[str, Json]) -> tuple[()]:
    """What reads no answers beside the first, of APIs that have none."""
    return ()


def streams(body: Mapping[str, Json]) -> bool:
    """Whether a request asks for a stream."""
    return body.get("stream") is True


def plain_messages(body: Mapping[str, Json]) -> bool:
    """Whether all ``messages`` of *body* are one text each."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return False
    for message in messages:  # noqa: SIM110 - of two messages a generator takes twice as long
        if type(message) is not dict or type(message.get("content")) is not str:
            return False
    return True


def objects(value: Json) -> TypeGuard[list[dict[str, Json]]]:
    """Whether *value* is a non-empty list of objects."""
    if not isinstance(value, list) or not value:
        return False
    return {*map(type, value)} == _ONLY_DICTS or all(isinstance(item, dict) for item in value)
