"""Cache entries as bytes and back: JSON, never pickle, so a file that somebody else wrote can at worst be a miss."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .errors import CorruptEntry
from .types import CacheEntry, Headers, Response

SCHEMA = 1
MAX_BYTES = 64 * 1024 * 1024
"""Larger blobs are refused before they are parsed."""

_FIELDS = {"schema", "api", "status", "headers", "body", "events", "stored_at", "expires_at", "tags", "origin"}

body_decoders: dict[str, Callable[[Response], Mapping[str, Any]]] = {}
"""How the body of each wire API is read, by its name; filled by the host's wire modules, all pure functions."""


def dump_entry(entry: CacheEntry) -> bytes:
    """*entry* as UTF-8 JSON.  Raises ValueError if its response has no body or the body is not text."""
    response = entry.response
    if response.raw is None:
        raise ValueError("only an answer in its wire form can be stored; this one was changed by a plugin")
    value = {
        "schema": SCHEMA,
        "api": response.api,
        "status": response.status,
        "headers": [list(pair) for pair in response.headers.pairs],
        "body": response.raw.decode(),
        "events": [event.decode() for event in entry.events],
        "stored_at": entry.stored_at,
        "expires_at": entry.expires_at,
        "tags": list(entry.tags),
        "origin": entry.origin,
    }
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def load_entry(blob: bytes, max_bytes: int = MAX_BYTES) -> CacheEntry:
    """The entry in *blob*.

    Raises :class:`~clippy_hookspecs.CorruptEntry` for anything that :func:`dump_entry` does not write: other formats,
    other schemas, missing or surplus fields, wrong types, NaN, more than *max_bytes*.  Nothing in a blob names code.
    """
    if len(blob) > max_bytes:
        raise CorruptEntry(f"the entry has {len(blob)} bytes, {max_bytes} are allowed")
    try:
        value = json.loads(blob.decode(), parse_constant=_no_constant)
        return _entry(value)
    except CorruptEntry:
        raise
    # ValueError: not UTF-8, not JSON, an integer of thousands of digits, a lone surrogate; RecursionError: too deep.
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptEntry(f"not a stored entry: {type(error).__name__}") from error


def _entry(value: Any) -> CacheEntry:
    if not isinstance(value, dict) or value.get("schema") != SCHEMA or isinstance(value["schema"], bool):
        raise CorruptEntry("not a stored entry of this schema")
    if value.keys() != _FIELDS:
        raise CorruptEntry(f"its fields are wrong: {sorted(value.keys() ^ _FIELDS)[:5]}")
    api, status = _typed(value, "api", str), _typed(value, "status", int)
    if not 100 <= status <= 599:
        raise CorruptEntry("status is not an HTTP status")
    headers = _typed(value, "headers", list)
    if not all(isinstance(h, list) and len(h) == 2 and all(isinstance(part, str) for part in h) for h in headers):
        raise CorruptEntry("headers are not pairs of strings")
    expires_at = value["expires_at"]
    return CacheEntry(
        response=Response.undecoded(
            _decode,
            _typed(value, "body", str).encode(),
            api=api,
            status=status,
            headers=Headers((name, text) for name, text in headers),
        ),
        events=tuple(event.encode() for event in _strings(value, "events")),
        stored_at=_seconds(value["stored_at"]),
        expires_at=None if expires_at is None else _seconds(expires_at),
        tags=_strings(value, "tags"),
        origin=_typed(value, "origin", str),
    )


def _decode(response: Response) -> Mapping[str, Any]:
    if response.api not in body_decoders:
        raise CorruptEntry(f"no wire module reads {response.api!r}: is a host imported?")
    return body_decoders[response.api](response)


def _typed(value: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    found = value[name]
    if not isinstance(found, kind) or isinstance(found, bool):
        raise CorruptEntry(f"{name} is {type(found).__name__}, expected {kind.__name__}")
    return found


def _strings(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _typed(value, name, list)
    if not all(isinstance(item, str) for item in found):
        raise CorruptEntry(f"{name} holds something that is not a string")
    return tuple(found)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CorruptEntry("a time is not a finite number of seconds")
    return float(value)


def _no_constant(name: str) -> NoReturn:
    raise CorruptEntry(f"{name} is not JSON")
