"""Taking old calls out of a recording, also one that a program is adding to."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import tempfile
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from time import sleep
from typing import BinaryIO

from clippy_lines import held

from .files import check_head
from .reading import StrangeRecording
from .rows import APPLICATION, BUSY, OLDEST

_PAUSE = 0.1
"""Seconds between two looks at what others do with a file."""
_LOOKS = 50
_QUIET = 3
"""Looks in which nothing was added: whoever had the old file in hand has added to it, or looks at its path again."""


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
        with closing(_opened(path)) as database:
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


def _opened(path: Path) -> sqlite3.Connection:
    # mode=rw: one that is moved away just now is not made anew, as nobody's and for everybody's eyes
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=BUSY, isolation_level=None)


def _lines(path: Path, keep: int | None, before: float | None) -> tuple[int, int]:
    """A new file takes the place of the old one; who has that open notices, and goes on in the new one."""
    with path.open("rb") as file:  # nothing is made beside what is no recording
        check_head(path, file.readline())
    with _left_in_place(path), path.open("rb") as file:
        check_head(path, file.readline())
        began = list(_began(file))
        wanted = [number for number, at in enumerate(began) if at is not None and (before is None or at >= before)]
        if keep is not None:
            wanted = sorted(wanted, key=lambda number: (began[number], number))[max(0, len(wanted) - keep) :]
        file.seek(0)
        late = _replaced(path, file, len(began), {*wanted})
    return sum(at is not None for at in began) - len(wanted), len(wanted) + late


@contextmanager
def _left_in_place(path: Path) -> Iterator[None]:
    """While no program sets the file aside: it goes on beyond its limit meanwhile."""
    for _ in range(_LOOKS):
        with held(path) as alone:
            if alone:
                yield
                return
        sleep(_PAUSE)
    raise OSError(errno.EAGAIN, "somebody else sets it aside or takes calls out of it; try again", str(path))


def _began(file: BinaryIO) -> Iterator[float | None]:
    """When the call of each line that is left in *file* began; None for one that is no call."""
    for line in file:
        try:
            at = float(json.loads(line)["began"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            if not line.endswith(b"\n"):  # it is being written
                return
            yield None
        else:
            yield at


def _replaced(path: Path, file: BinaryIO, count: int, wanted: Container[int]) -> int:
    """Put a file with the *wanted* of *count* lines of *file*, and what was added to it, in its place; how many that
    were."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        try:
            new.write(file.readline())
            for number in range(count):
                line = file.readline()
                if number in wanted:
                    new.write(line if line.endswith(b"\n") else line + b"\n")
            new.flush()
            found = os.fstat(file.fileno())
            if os.name == "posix" and os.geteuid() == 0:  # its program may be somebody else's
                os.fchown(new.fileno(), found.st_uid, found.st_gid)
            if not os.path.samestat(found, path.stat()):
                raise OSError(errno.EAGAIN, "it was set aside or moved away meanwhile; try again", str(path))
            with Path(new.name).open("ab", buffering=0) as added:
                Path(new.name).replace(path)
                return _followed(file, added)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def _followed(file: BinaryIO, added: RawIOBase) -> int:
    """Add what is still written to *file* by who had looked which one it is before, in whole lines; how many."""
    rest, lines, quiet = b"", 0, 0
    for _ in range(_LOOKS):
        more = file.read()
        whole, end, rest = (rest + more).rpartition(b"\n")
        if end:
            added.write(whole + end)
            lines += whole.count(b"\n") + 1
        quiet = 0 if more else quiet + 1
        if quiet == _QUIET and not rest:
            break
        sleep(_PAUSE)
    return lines
