"""Records as lines: JSON in plain ASCII, one physical line each, no longer than allowed; and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from clippy_hookspecs import Json

SMALLEST = 16384
"""Bytes a line must be allowed to have, so that the fields every record has always fit."""

BEGINS = b'{"v":'
"""What each line begins with, its schema's number: a file that begins otherwise is none of ours."""

_HEAVY = ("response", "request", "trace", "attempt_list")
_PIECE = 65536


def _read(piece: Any) -> Json:
    """What was written already, for an encoder that knows no such pieces.  Raises TypeError for anything else."""
    if isinstance(piece, orjson.Fragment):
        return json.loads(orjson.dumps(piece))
    raise TypeError(f"{type(piece).__name__} is no JSON value")


_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=_read)


def encode(head: dict[str, Json], body: dict[str, Any], max_bytes: int) -> bytes:
    """One line of at most *max_bytes*, with *head* first.  In *body* may stand pieces of JSON, as orjson.Fragment.

    Control characters, line separators and everything beyond ASCII are escaped, so a text cannot end the line, move a
    terminal's cursor or be read as another record; reading the JSON gives the same string again.  What does not fit is
    left out, the heaviest fields first, and named in ``omitted``.
    """
    line = written(head | body)
    if len(line) <= max_bytes:
        return line
    body, omitted = dict(body), []
    for name in _HEAVY:
        if name in body:
            del body[name]
            omitted.append(name)
            line = written(head | body | {"omitted": omitted})
            if len(line) <= max_bytes:
                return line
    return written(head | {name: _brief(value) for name, value in body.items()} | {"omitted": [*omitted, "long texts"]})


def in_ascii(value: Json) -> str:
    """*value* as JSON, with everything beyond ASCII escaped."""
    return _ENCODER.encode(value)


def written(fields: dict[str, Any]) -> bytes:
    """*fields* as a line, however long."""
    try:
        line = orjson.dumps(fields)
    except TypeError:  # a lone surrogate, an integer beyond 64 bits
        return _escaped(fields)
    # It is six times as fast, but escapes nothing beyond ASCII, nor the control character at its end.
    return line + b"\n" if line.isascii() and 0x7F not in line else _escaped(fields)


def _escaped(fields: dict[str, Any]) -> bytes:
    return in_ascii(fields).encode("ascii") + b"\n"


def _brief(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _brief(item) for key, item in value.items()}
    if isinstance(value, str) and len(value) > 50:
        return f"{value[:50]}[truncated: the first 50 of {len(value)} characters]"
    return value


def last_records(path: Path, count: int, keep: int) -> list[dict[str, Any]]:
    """The newest *count* records of *path* and of the files set aside from it, the oldest of them first.

    A line that is no record (one that a full disk cut) is passed over.
    """
    return list(islice(_newest_first(path, keep), count))[::-1]


def find_record(path: Path, beginning: str, keep: int) -> tuple[dict[str, Any] | None, int]:
    """The newest record of the requests whose id begins so, and how many requests these are; a whole id is one."""
    found, ids = None, set()
    for record in _newest_first(path, keep):
        id = record.get("id")  # noqa: A001 - the field's name
        if id == beginning:
            return record, 1
        if isinstance(id, str) and id.startswith(beginning):
            found = found or record
            ids.add(id)
    return found, len(ids)


def _newest_first(path: Path, keep: int) -> Iterator[dict[str, Any]]:
    for file in (path, *(path.with_name(f"{path.name}.{number}") for number in range(1, keep + 1))):
        if file.is_file():
            yield from _backwards(file)


def _backwards(file: Path) -> Iterator[dict[str, Any]]:
    """The records of one file from its end, read in pieces."""
    with file.open("rb") as source:
        position = source.seek(0, 2)
        rest: list[bytes] = []  # of the line whose beginning was not read yet, the last part first
        while position > 0:
            size = min(_PIECE, position)
            position -= size
            source.seek(position)
            first, *lines = source.read(size).split(b"\n")
            if lines:
                lines[-1] += b"".join(reversed(rest))
                rest = [first]
                yield from filter(None, map(_parse, reversed(lines)))
            else:
                rest.append(first)
        record = _parse(b"".join(reversed(rest)))
        if record is not None:
            yield record


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
