"""Values of the contract as text, so that two of them can be laid side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
from clippy_hookspecs import CacheEntry, Headers, Request, Response

_LEFT_OUT = frozenset({"raw", "decoder", "endpoint", "extensions", "events"})
_DEEPEST = 40


def as_json(value: Any, depth: int = 0) -> Any:
    """A value of the contract as JSON: what is its default is left out, and bytes are told by their number."""
    if depth > _DEEPEST:
        return "..."
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, Headers):
        return [list(pair) for pair in value.pairs]
    if isinstance(value, Mapping):
        return {str(name): as_json(one, depth + 1) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(one, depth + 1) for one in value]
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if attrs.has(type(value)):
        return {type(value).__name__: _fields(value, depth + 1)} if depth else _fields(value, depth + 1)
    return f"a {type(value).__name__}"


def _fields(value: Any, depth: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for one in attrs.fields(type(value)):
        if one.name in _LEFT_OUT:
            continue
        now = getattr(value, one.name)
        if now in (None, "", (), False) or (isinstance(now, Mapping | Headers) and not now):
            continue
        told[one.name] = as_json(now, depth)
    return told


def as_text(value: Any, clean: Any) -> str:
    """*value* as indented JSON text without secrets, one item to a line; *clean* takes them out of a JSON value."""
    headers = isinstance(value, Request | Response)
    told = as_json(value)
    if headers and isinstance(told, dict) and "headers" in told:
        told["headers"] = [list(pair) for pair in told["headers"]]
    return json.dumps(clean(told), indent=1, ensure_ascii=False)


def whole(value: Any) -> bool:
    """Whether a hook's value can stand beside another one of its kind."""
    return isinstance(value, Request | Response | CacheEntry)
