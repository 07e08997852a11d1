"""What a file looks like inside, how an older one becomes a new one, and how a strange one is told apart."""

from __future__ import annotations

import functools
import sqlite3
from contextlib import closing

from attrs import frozen

_NEWEST_PLAUSIBLE = 1000


class DamagedFile(Exception):
    """The file is ours and its inside is not what we wrote."""


class StrangeFile(Exception):
    """The file belongs to another program or to a newer version of this one: it is left alone."""


@frozen
class Schema:
    """What is in the files of one plugin.

    ``application`` is a number in the file's header that says whose it is, so that nobody else's database is touched.
    ``migrations[n]`` are the statements that make a file of version n one of version n + 1.
    """

    application: int
    migrations: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> int:
        """The version that is written."""
        return len(self.migrations)

    def version_of(self, connection: sqlite3.Connection) -> int:
        """The version of the file behind *connection*, 0 for an empty one.

        Raises :class:`DamagedFile` or :class:`StrangeFile` (or sqlite3.DatabaseError) for anything else.
        """
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        found = _told(connection)
        ours = application == self.application
        if not found and not application and not version:
            return 0
        if ours and 0 < version <= self.version and found == self._objects(version):
            return int(version)
        if ours and self.version < version < _NEWEST_PLAUSIBLE and found != self._objects(self.version):
            what = f"was written by a newer version of this plugin (schema {version}, {self.version} is known here)"
            raise StrangeFile(what)
        if not ours and not found & self._objects(self.version):
            raise StrangeFile("is a database of another program, so it is left as it is; name another file")
        raise DamagedFile("its schema is not the one that was written")

    def claim(self, connection: sqlite3.Connection) -> None:
        """Look, within a transaction that is to write, whether the file is still of the present version.

        Another program may have brought it up since it was opened.  Raises as :meth:`version_of`.
        """
        if connection.execute("PRAGMA user_version").fetchone() != (self.version,):
            self.version_of(connection)

    def migrate(self, connection: sqlite3.Connection, version: int) -> None:
        """Bring a file of *version* to the present one, whole or not at all."""
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statements in self.migrations[version:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {self.application}")
            connection.execute(f"PRAGMA user_version = {self.version}")

    def _objects(self, version: int) -> frozenset[bytes]:
        return _objects(self.migrations[:version])


def _told(connection: sqlite3.Connection) -> frozenset[bytes]:
    """The statements that make what is in the file, as SQLite keeps them."""
    query = "SELECT CAST(sql AS BLOB) FROM sqlite_master WHERE sql IS NOT NULL"
    return frozenset(sql for (sql,) in connection.execute(query))


@functools.cache
def _objects(migrations: tuple[tuple[str, ...], ...]) -> frozenset[bytes]:
    """What a file holds after *migrations*: found by doing them, since SQLite writes a changed table its own way."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statements in migrations:
            for statement in statements:
                connection.execute(statement)
        return _told(connection)
