"""What the file looks like inside, how an older one becomes a new one, and how a strange one is told apart."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = int.from_bytes(b"clpy", "big")
"""Says in the file's header that it is ours, so that another program's database is never touched."""

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

MIGRATIONS = (_VERSION_1,)
"""MIGRATIONS[n] makes a file of version n one of version n + 1."""
VERSION = len(MIGRATIONS)
_NEWEST_PLAUSIBLE = 1000


class DamagedFile(Exception):
    """The file is ours and its inside is not what we wrote."""


class StrangeFile(Exception):
    """The file belongs to another program or to a newer version of this one: it is left alone."""


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the file behind *connection*, 0 for an empty one.

    Raises :class:`DamagedFile` or :class:`StrangeFile` (or sqlite3.DatabaseError) for anything else.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = {sql for (sql,) in connection.execute("SELECT CAST(sql AS BLOB) FROM sqlite_master WHERE sql IS NOT NULL")}
    ours = application == APPLICATION_ID
    if not found and not application and not version:
        return 0
    if ours and 0 < version <= VERSION and found == _objects(version):
        return int(version)
    if ours and VERSION < version < _NEWEST_PLAUSIBLE and found != _objects(VERSION):
        raise StrangeFile(f"was written by a newer version of this plugin (schema {version}, {VERSION} is known here)")
    if not ours and not found & _objects(VERSION):
        raise StrangeFile("is a database of another program")
    raise DamagedFile("its schema is not the one that was written")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file of *version* to the present one, whole or not at all."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _objects(version: int) -> set[bytes]:
    statements = {statement for step in MIGRATIONS[:version] for statement in step}
    return {statement.encode() for statement in statements if statement.startswith("CREATE ")}
