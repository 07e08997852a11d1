"""Answers repeated requests from one SQLite file."""

from attrs import define


@define(eq=False)
class SqliteCache:
    """Answers repeated requests from one SQLite file."""
