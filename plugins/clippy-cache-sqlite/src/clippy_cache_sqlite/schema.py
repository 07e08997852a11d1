"""What the file looks like inside."""

from __future__ import annotations

from clippy_sqlite import Schema

# ``size`` is that of ``value``; ``checksum`` is the CRC-32 of key and value.  Tags are one JSON string a line, and each
# part of the scope is JSON too, so that "not said" (null) and "" are two things.  ``id`` grows with every store and is
# therefore the order in which entries are evicted.
_VERSION_1 = (
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, expires REAL NOT NULL,"
    " size INTEGER NOT NULL, checksum INTEGER NOT NULL, tenant TEXT NOT NULL, user TEXT NOT NULL,"
    " session TEXT NOT NULL, tags TEXT NOT NULL, value BLOB NOT NULL)",
    "CREATE INDEX entries_by_expires ON entries (expires, size)",
    "CREATE TABLE totals (bytes INTEGER NOT NULL)",
    "CREATE TRIGGER count_insert AFTER INSERT ON entries BEGIN UPDATE totals SET bytes = bytes + new.size; END",
    "CREATE TRIGGER count_delete AFTER DELETE ON entries BEGIN UPDATE totals SET bytes = bytes - old.size; END",
    "INSERT INTO totals VALUES (0)",
)

# The model that the request named, "" for one that names none or was stored before there was this column.
_VERSION_2 = ("ALTER TABLE entries ADD COLUMN model TEXT NOT NULL DEFAULT ''",)

SCHEMA = Schema(application=int.from_bytes(b"clpy", "big"), migrations=(_VERSION_1, _VERSION_2))
