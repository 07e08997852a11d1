"""Taking old calls out of a recording, also one that a program is adding to."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from .files import check_head
from .reading import StrangeRecording
from .rows import APPLICATION, BUSY, OLDEST


def prune(path: Path, keep: int | None = None, before: float | None = None) -> tuple[int, int]:
    """Take out of *path* all calls but the newest *keep*, and those that began before *before* (unix seconds).

    How many went and how many are left.  Lines that cannot be read go as well.  Raises StrangeRecording for what is no
    recording, OSError.
    """
    path = path.resolve()  # the new file takes the place of the calls, not of a link that leads to them
    with path.open("rb") as file:
        start = file.read(16)
    return _rows(path, keep, before) if start == b"SQLite format 3\0" else _lines(path, keep, before)


def _rows(path: Path, keep: int | None, before: float | None) -> tuple[int, int]:
    try:
        with closing(sqlite3.connect(path, timeout=BUSY, isolation_level=None)) as database:
            if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
                raise StrangeRecording(f"{path} is a SQLite file, and no recording")
            with database:
                database.execute("BEGIN IMMEDIATE")
                (all_,) = database.execute("SELECT count(*) FROM calls").fetchone()
                if before is not None:
                    database.execute("DELETE FROM calls WHERE began < ?", (before,))
                (left,) = database.execute("SELECT count(*) FROM calls").fetchone()
                if keep is not None and left > keep:
                    database.execute(OLDEST, (left - keep,))
                    left = keep
            with suppress(sqlite3.OperationalError):  # others read or write: the room is used for calls to come
                database.execute("VACUUM")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise OSError(5, f"SQLite: {error}") from error
    return all_ - left, left


def _lines(path: Path, keep: int | None, before: float | None) -> tuple[int, int]:
    """A new file takes the place of the old one; who has that open notices, and goes on in the new one."""
    with path.open("rb") as file:
        check_head(path, file.readline())
        began = list(_began(file))
        wanted = [number for number, at in enumerate(began) if at is not None and (before is None or at >= before)]
        if keep is not None:
            wanted = sorted(sorted(wanted, key=lambda number: (began[number], number))[max(0, len(wanted) - keep) :])
        file.seek(0)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
            try:
                new.write(file.readline())
                chosen = set(wanted)
                for number in range(len(began)):
                    line = file.readline()
                    if number in chosen:
                        new.write(line if line.endswith(b"\n") else line + b"\n")
                new.flush()
                Path(new.name).replace(path)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
        late = file.read()  # what was added to the old file meanwhile
    if late:
        with path.open("ab") as added:
            added.write(late)
    return len(began) - len(wanted), len(wanted) + late.count(b"\n")


def _began(file: BinaryIO) -> Iterator[float | None]:
    """When the call of each line that is left in *file* began; None for one that is no call."""
    for line in file:
        try:
            value = json.loads(line)
            yield float(value["began"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            yield None
