"""What plugins that keep a SQLite file have in common: many processes share it, and it may break at any moment.

A library and no plugin: :class:`SqliteFile` makes, checks, opens and replaces a file, :class:`Readers` read it from any
thread, :class:`Schema` says what is in it, and :func:`follow_forks` closes it while the process is forked.
"""

from __future__ import annotations

from .failures import FAILURES, error_code, is_damage, reason_of
from .file import SqliteFile
from .forks import follow_forks
from .readers import Readers
from .schema import DamagedFile, Schema, StrangeFile

__all__ = [
    "FAILURES",
    "DamagedFile",
    "Readers",
    "Schema",
    "SqliteFile",
    "StrangeFile",
    "error_code",
    "follow_forks",
    "is_damage",
    "reason_of",
]
