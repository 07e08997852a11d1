"""The file in which programs keep their counts, and of the newest stored answers what they were made of.

Whatever stands in it is taken for what anybody may have written: wrong types, names and sizes are left out.
Everything here raises; :mod:`clippy_cache.ledger` decides what a failure means.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen
from clippy_hookspecs.blocks import maker
from clippy_sqlite import Schema, SqliteFile

logger = logging.getLogger("clippy.cache")

MOST_DAYS = 400
MOST_STORED = 10_000
_LONGEST = 1024 * 1024
_MOST_FIELDS = 10_000
_LONGEST_NAME = 200
_TIMEOUT = 2.0
SECONDS_A_DAY = 86400

# ``day`` counts from 1970-01-01 in UTC; the names of counts are those of ``Books``.  ``id`` grows with every store.
_VERSION_1 = (
    "CREATE TABLE counts (day INTEGER NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, PRIMARY KEY (day, name))"
    " WITHOUT ROWID",
    "CREATE TABLE stored (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, at REAL NOT NULL, model TEXT NOT NULL,"
    " fields TEXT NOT NULL)",
)
SCHEMA = Schema(application=int.from_bytes(b"clpc", "big"), migrations=(_VERSION_1,))

_ADD = (
    "INSERT INTO counts (day, name, value) VALUES (?, ?, ?)"
    " ON CONFLICT (day, name) DO UPDATE SET value = value + excluded.value"
)
_STORE = "INSERT OR REPLACE INTO stored (key, at, model, fields) VALUES (?, ?, ?, ?)"


@frozen
class StoredKey:
    """An answer that caches were given: its key, when (unix seconds), for which model, and the parts of its key.

    ``fields`` are digests by name, as of ``ctx.key_fields()``.
    """

    key: str
    at: float
    model: str
    fields: Mapping[str, str] = field(repr=False)


stored_key = maker(StoredKey)
"""One for every answer that is stored."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the file, made first if there is none.  Raises sqlite3.Error, OSError or StrangeFile."""
    file = SqliteFile(path, SCHEMA, "file of cache statistics", logger, _LONGEST, _TIMEOUT)
    connection = file.open()
    try:
        yield connection
    finally:
        file.close(connection)  # it may be another file by now


def write(connection: sqlite3.Connection, day: int, counts: Mapping[str, float], stored: Iterable[StoredKey]) -> None:
    """Add to the counts of *day* and note what was stored; old days and keys beyond the limit go."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_ADD, [(day, _writable(name), float(one)) for name, one in counts.items() if _sane(one)])
        connection.execute("DELETE FROM counts WHERE day <= ?", (day - MOST_DAYS,))
        rows = [(one.key, float(one.at), _writable(one.model), _object(one.fields)) for one in stored]
        if rows:
            connection.executemany(_STORE, rows)
            connection.execute("DELETE FROM stored WHERE id <= (SELECT max(id) FROM stored) - ?", (MOST_STORED,))


def read_counts(connection: sqlite3.Connection, since: int = 0) -> dict[str, float]:
    """The counts of all days from *since* on, added up."""
    found: dict[str, float] = {}
    for name, value in connection.execute("SELECT name, value FROM counts WHERE day >= ?", (since,)):
        text = _text(name)
        if text is not None and _sane(value):
            found[text] = found.get(text, 0.0) + value
    return found


def read_stored(connection: sqlite3.Connection) -> Iterator[StoredKey]:
    """What was stored, latest first."""
    rows = connection.execute("SELECT key, at, model, fields FROM stored ORDER BY id DESC LIMIT ?", (MOST_STORED,))
    for key, at, model, fields in rows:
        known, key_text, model_text = _fields(fields), _text(key), _text(model)
        if known is None or key_text is None or model_text is None:
            continue
        if isinstance(at, float) and math.isfinite(at) and abs(at) < 1e12:
            yield StoredKey(key_text, at, model_text, known)


def read_file(path: Path, since: int = 0) -> tuple[dict[str, float], list[StoredKey]]:
    """Everything in the file at *path*, nothing if there is none.  Raises as :func:`opened`."""
    if not path.exists():
        return {}, []
    with opened(path) as connection:
        return read_counts(connection, since), list(read_stored(connection))


def _writable(text: str) -> str:
    """A text of somebody else's as SQLite takes it, and short."""
    return text[:_LONGEST_NAME].encode("utf-8", "backslashreplace").decode()


def _object(fields: Mapping[str, str]) -> str:
    """*fields* as JSON, whose names and digests nearly always need no escapes.

    Where that is so they are only joined: to look at each of their characters is most of what json would do.
    """
    said = "".join(fields) + "".join(fields.values())
    if fields and not said.encode("utf-8", "surrogatepass").translate(None, _PLAIN):
        return '{"' + '", "'.join([f'{name}": "{digest}' for name, digest in fields.items()]) + '"}'
    return json.dumps(dict(fields))


_PLAIN = bytes(set(range(0x20, 0x7F)) - {*b'"\\'})


def _sane(value: Any) -> bool:
    """Whether it is a count, or a sum of tokens, dollars or seconds, and no nonsense."""
    return isinstance(value, (int, float)) and 0 <= value < 1e15


def _text(value: Any) -> str | None:
    """Texts come as bytes, which may be anything."""
    if not isinstance(value, bytes) or len(value) > 1000:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _fields(value: Any) -> dict[str, str] | None:
    if not isinstance(value, bytes):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or len(found) > _MOST_FIELDS:
        return None
    return found if all(isinstance(digest, str) for digest in found.values()) else None
