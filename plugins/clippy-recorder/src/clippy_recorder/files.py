"""Recordings as files: JSON lines or SQLite, both with a format number, both of many processes.

A JSONL file begins with ``{"clippy_recording": 1}``; every other line is a call (:mod:`clippy_recorder.documents`).  A
line that is torn, because a process died or a disk was full, is passed over and counted.  A SQLite file has the format
number as its ``user_version``.  Nothing in either names code.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from .documents import line
from .exchange import Exchange
from .reading import StrangeRecording, exchange_of

FORMAT = 1
"""Raised when an older reader would misread what is written; readers take every number up to their own."""
_HEAD = "clippy_recording"
LONGEST = 64 * 1024 * 1024
"""Bytes of one line that are read."""
_APPLICATION = 0x436C5265  # "ClRe": SQLite's application_id, which says whose file it is
_BUSY = 5.0
_LONGEST_HEAD = 4096


def recording(exchanges: Iterable[Exchange]) -> bytes:
    """A whole recording in JSON lines."""
    return json.dumps({_HEAD: FORMAT}).encode() + b"\n" + b"".join(map(line, exchanges))


class Appender:
    """Appends calls to a file that only its owner can read.  Raises OSError; after one it may be used again.

    A file that is no recording, or one of a later format, is left as it is: a wrong path must not cost what is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._torn = False
        self._known = False
        self._database: sqlite3.Connection | None = None

    def append(self, *exchanges: Exchange) -> None:
        """Write some calls at once: all of them in a SQLite file, in lines as many as there is room for."""
        if self.path.suffix == ".sqlite":
            self._insert([(_storable(one.id), one.began, line(one)[:-1].decode("ascii")) for one in exchanges])
        elif exchanges:
            self._append_lines(exchanges)

    def trial(self) -> str | None:
        """Why nothing can be written there, None if it can; nothing is made or changed."""
        path = self.path
        if not path.exists():
            above = next(one for one in path.absolute().parents if one.exists())
            fine = path.absolute().parent == above and above.is_dir() and os.access(above, os.W_OK | os.X_OK)
            return None if fine else f"{path.parent} is no folder that this user may write into"
        try:
            with path.open("rb+") as file:
                head = file.read(_LONGEST_HEAD)
            if head and path.suffix == ".sqlite":
                with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                    _judge_owner(database)
            elif head:
                _check_head(path, head.partition(b"\n")[0])
        except OSError as error:
            return error.strerror or type(error).__name__
        except (sqlite3.Error, StrangeRecording) as error:
            return str(error)
        return None

    def _append_lines(self, exchanges: Sequence[Exchange]) -> None:
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(file).st_size
            if size and not self._known:
                self._look_at(file)
            lines = b"".join(map(line, exchanges)) if size else recording(exchanges)
            if size and (self._torn or os.pread(file, 1, size - 1) != b"\n"):
                lines = b"\n" + lines
            self._torn = True
            written = os.write(file, lines)
            if written < len(lines):
                raise OSError(28, "No space left on device: a line was cut short")
            self._torn, self._known = False, True
        finally:
            os.close(file)

    def _look_at(self, file: int) -> None:
        """Whether what is there is a recording that this version may add to."""
        try:
            _check_head(self.path, os.pread(file, _LONGEST_HEAD, 0).partition(b"\n")[0])
        except StrangeRecording as error:
            raise OSError(22, f"nothing is added to it: {error}") from error

    def _insert(self, rows: Sequence[tuple[str, float, str]]) -> None:
        try:
            if self._database is None:
                self._database = _open(self.path)
            with self._database as database:
                database.executemany("INSERT OR REPLACE INTO calls (id, began, document) VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            self.close()
            raise OSError(5, f"SQLite: {error}") from error

    def close(self) -> None:
        """Close the file."""
        database, self._database = self._database, None
        if database is not None:
            database.close()


def _storable(request_id: str) -> str:
    """An id as SQLite takes it: one from a file may hold half a character."""
    return request_id.encode("utf-8", "backslashreplace").decode()


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would make it readable for everybody
    database = sqlite3.connect(path, timeout=_BUSY, check_same_thread=False)
    try:
        _judge_owner(database)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(
            "CREATE TABLE IF NOT EXISTS calls (id TEXT PRIMARY KEY, began REAL NOT NULL, document TEXT NOT NULL)"
        )
        database.execute("CREATE INDEX IF NOT EXISTS calls_began ON calls (began)")
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute(f"PRAGMA user_version = {FORMAT}")
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


def _judge_owner(database: sqlite3.Connection) -> None:
    """Raises DatabaseError for what is no recording, or one of a later format."""
    owner = database.execute("PRAGMA application_id").fetchone()[0]
    others = database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name != 'calls'").fetchone()
    if owner not in (0, _APPLICATION) or (owner == 0 and others):
        raise sqlite3.DatabaseError("this is another program's database, and no recording")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise sqlite3.DatabaseError(f"the recording has format {version}, this version writes {FORMAT}")


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
            path.write_text(json.dumps({_HEAD: FORMAT}) + "\n", encoding="ascii")
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
        _check_head(path, head)
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


def _check_head(path: Path, line: bytes) -> None:
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
        with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=_BUSY)) as database:
            if database.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
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
