"""Recordings as files: JSON lines or SQLite, both with a format number, both of many processes.

A JSONL file begins with ``{"clippy_recording": 1}``; every other line is a call (:mod:`clippy_recorder.documents`).  A
line that is torn, because a process died or a disk was full, is passed over and counted.  A SQLite file has the format
number as its ``user_version``.  Nothing in either names code.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from clippy_lines import AppendFile

from .documents import line
from .exchange import Exchange
from .reading import StrangeRecording, exchange_of
from .rows import APPLICATION, BUSY, LONGEST, Rows

FORMAT = 1
"""Raised when an older reader would misread what is written; readers take every number up to their own."""
_HEAD = "clippy_recording"
_FIRST = json.dumps({_HEAD: FORMAT}).encode() + b"\n"
_LONGEST_HEAD = 4096


def recording(exchanges: Iterable[Exchange]) -> bytes:
    """A whole recording in JSON lines."""
    return _FIRST + b"".join(map(line, exchanges))


class Appender:
    """Appends calls to a file that only its owner can read.  Raises OSError; after one it may be used again.

    A file that is no recording, or one of a later format, is left as it is: a wrong path must not cost what is there.
    Lines are set aside at *max_bytes* as ``path.1`` and so on, of which *keep* stay; from a SQLite file the oldest
    calls go.  With None nothing goes.
    """

    def __init__(self, path: Path, max_bytes: int | None = None, keep: int = 5) -> None:
        self.path = path
        self._rows = Rows(path, max_bytes) if path.suffix == ".sqlite" else None
        self._lines = AppendFile(path, max_bytes or sys.maxsize, keep, begins=(_FIRST[:-1],), head=_FIRST)

    def append(self, *exchanges: Exchange) -> None:
        """Write some calls at once: all of them in a SQLite file, in lines as many as there is room for."""
        if self._rows is not None:
            self._rows.insert([(_storable(one.id), one.began, line(one)[:-1].decode("ascii")) for one in exchanges])
        elif exchanges:
            self._lines.append(b"".join(map(line, exchanges)))

    def trial(self) -> str | None:
        """Why nothing can be written there, tried out, None if it can; nothing is left of that."""
        if self._rows is not None:
            return self._rows.trial()
        error = self._lines.trial()
        return None if error is None else error.strerror or type(error).__name__

    def close(self) -> None:
        """Close the file."""
        self._lines.close()
        if self._rows is not None:
            self._rows.close()


def _storable(request_id: str) -> str:
    """An id as SQLite takes it: one from a file may hold half a character."""
    return request_id.encode("utf-8", "backslashreplace").decode()


def write(path: Path, exchanges: Iterable[Exchange]) -> int:
    """Write *exchanges* into a new file; how many they were.  Raises FileExistsError, OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(Appender(path)) as appender:
        count = 0
        for exchange in exchanges:
            appender.append(exchange)
            count += 1
        if count == 0 and path.suffix == ".sqlite":
            appender.append()  # its tables, so that it is a recording with nothing in it
        elif count == 0:
            path.write_bytes(_FIRST)
    return count


def read(path: str | os.PathLike[str], broken: list[int] | None = None) -> Iterator[Exchange]:
    """The calls in a file, in the order in which they were written (SQLite: in which they began).

    The numbers of lines that could not be read go into *broken*.  Raises StrangeRecording for what is no recording or
    one of a later format, OSError.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(16)
    yield from _read_database(path, broken) if start == b"SQLite format 3\0" else _read_lines(path, broken)


def _read_lines(path: Path, broken: list[int] | None) -> Iterator[Exchange]:
    with path.open("rb") as file:
        head = file.readline(_LONGEST_HEAD)
        check_head(path, head)
        number = 1
        while line := file.readline(LONGEST):
            number += 1
            if not line.strip():
                continue
            try:
                value = _parsed(line.decode())
                if isinstance(value, dict) and _HEAD in value:
                    _check(path, value[_HEAD])
                    continue
                yield exchange_of(value)
            except (UnicodeDecodeError, ValueError, RecursionError) as error:
                if isinstance(error, StrangeRecording) and "format" in str(error):
                    raise
                if broken is not None:
                    broken.append(number)


def check_head(path: Path, line: bytes) -> None:
    """Raise StrangeRecording unless *line*, the first one of *path*, is of a recording that this version reads."""
    try:
        value = _parsed(line.decode())
    except (UnicodeDecodeError, ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or _HEAD not in value:
        raise StrangeRecording(f'{path} is no recording: its first line is not {{"{_HEAD}": {FORMAT}}}')
    _check(path, value[_HEAD])


def _check(path: Path, number: Any) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= FORMAT:
        raise StrangeRecording(
            f"{path} has format {str(number)[:20]!r}; this version reads up to {FORMAT}: upgrade clippy-recorder"
        )


def _parsed(text: str) -> Any:
    return json.loads(text, parse_constant=_no_number)


def _no_number(word: str) -> Any:
    raise StrangeRecording(f"{word} is no number of JSON")


def _read_database(path: Path, broken: list[int] | None) -> Iterator[Exchange]:
    try:
        with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=BUSY)) as database:
            if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
                raise StrangeRecording(f"{path} is a SQLite file, and no recording")
            _check(path, database.execute("PRAGMA user_version").fetchone()[0])
            database.text_factory = bytes  # one that is torn is no reason to lose the others
            rows = database.execute("SELECT rowid, document FROM calls ORDER BY began, rowid")
            for number, text in rows:
                try:
                    yield exchange_of(_parsed(text.decode()))
                except (ValueError, TypeError, AttributeError, RecursionError):
                    if broken is not None:
                        broken.append(number)
    except sqlite3.Error as error:
        raise StrangeRecording(f"{path} cannot be read: {error}") from error


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path))
