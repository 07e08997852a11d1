"""What SQLite raises, and whether it means that the file is broken."""

from __future__ import annotations

import sqlite3

from .schema import DamagedFile

FAILURES = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's functions raise: the second when the message quotes damaged text that is not UTF-8."""

_OF_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)


def error_code(error: BaseException) -> int:
    """SQLite's primary result code, 0 if the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_damage(error: BaseException) -> bool:
    """Whether *error* says that the file's content is broken, and not that it cannot be reached.

    SQLITE_ERROR and SQLITE_CONSTRAINT are among them: our statements are right, so a file that they do not fit is not
    what we wrote.
    """
    return error_code(error) in _OF_DAMAGE or isinstance(error, (DamagedFile, UnicodeDecodeError))


def reason_of(error: BaseException) -> str:
    """What to log: for damage not SQLite's message, which quotes the damaged place; that may be somebody's prompt."""
    if isinstance(error, DamagedFile) or not is_damage(error):
        return str(error)
    return "not a database" if error_code(error) == sqlite3.SQLITE_NOTADB else "malformed"
