"""What the file looks like inside."""

from __future__ import annotations

from clippy_sqlite import Schema

# Keys, values and names are UTF-8 as bytes: whatever Python calls a text comes back, and no collation has a say.
# ``ends`` is unix seconds; what has ended is as good as gone, and is swept out by the index on it.  A use is ``held``
# until it is settled.
_VERSION_1 = (
    "CREATE TABLE kept (key BLOB PRIMARY KEY, value BLOB NOT NULL, ends REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE counters (key BLOB PRIMARY KEY, total REAL NOT NULL, ends REAL NOT NULL) WITHOUT ROWID",
    "CREATE TABLE uses (key BLOB NOT NULL, id BLOB NOT NULL, amount REAL NOT NULL, ends REAL NOT NULL,"
    " held INTEGER NOT NULL, PRIMARY KEY (key, id)) WITHOUT ROWID",
    "CREATE TABLE leases (key BLOB NOT NULL, holder BLOB NOT NULL, ends REAL NOT NULL,"
    " PRIMARY KEY (key, holder)) WITHOUT ROWID",
    "CREATE INDEX kept_by_end ON kept (ends)",
    "CREATE INDEX counters_by_end ON counters (ends)",
    "CREATE INDEX uses_by_end ON uses (ends)",
    "CREATE INDEX leases_by_end ON leases (ends)",
)

SCHEMA = Schema(application=int.from_bytes(b"clps", "big"), migrations=(_VERSION_1,))
