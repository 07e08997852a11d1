"""A file that many threads and processes add whole lines to, and that is set aside when it has grown."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import Literal

from attrs import define, field

from .forks import follow_forks

Fsync = Literal["none", "each"]
_PAUSES = (0.0, 0.0001, 0.001, 0.004)
"""Seconds after which a line is looked at again that seems to be cut."""

if sys.platform != "win32":
    import fcntl


@define(eq=False)
class AppendFile:
    """Adds lines to ``path``, each with one ``write`` in append mode, which the system does not interleave.

    When the file would grow beyond ``max_bytes`` it becomes ``path.1``, the older ones move up, and ``keep`` of them
    stay.  Every process notices by the file's inode that another has done so.  The file has mode 0600 and a folder
    that is made for it 0700.  After a fork the child opens the file anew.

    ``begins`` is what lines of ours begin with, in one of these ways, a 0 standing for any digit: a file whose first
    line does not is somebody else's, at a wrong path, and is refused with an OSError before anything is changed.
    """

    path: Path
    max_bytes: int = 64 * 1024 * 1024
    keep: int = 5
    fsync: Fsync = "none"
    begins: tuple[bytes, ...] = ()
    head: bytes = b""
    _name: str = field(init=False, repr=False)
    _fd: int = field(init=False, default=-1, repr=False)
    _inode: tuple[int, int] = field(init=False, default=(0, 0), repr=False)
    _regular: bool = field(init=False, default=True, repr=False)
    _torn: bool = field(init=False, default=False, repr=False)
    _end: int = field(init=False, default=0, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)

    @_name.default
    def _as_text(self) -> str:
        return str(self.path)

    def __attrs_post_init__(self) -> None:
        follow_forks(self)

    def open(self) -> None:
        """Open the file now, to learn early whether it can be written.  Raises OSError."""
        with self._lock:
            self._open()

    def trial(self) -> OSError | None:
        """Why it cannot be written, tried out: a file and folders that are made for that are removed again."""
        made = [one for one in (self.path, *self.path.parents) if not one.exists()]
        try:
            self.open()
        except OSError as error:
            return error
        finally:
            self.close()
            for one in made:
                with suppress(OSError):  # it was not made, or is somebody else's by now
                    if one != self.path:
                        one.rmdir()
                    elif not one.stat().st_size:
                        one.unlink()
        return None

    def append(self, line: bytes) -> None:
        """Add *line*, or some of them: it ends with a newline.  Raises OSError when it was not written whole."""
        with self._lock:
            size = self._current()
            if self._regular and size and size + len(line) > self.max_bytes:
                self._rotate(len(line))
                size = self._current()
            first = self._regular and not size
            if self._regular and size != self._end:  # another process added to it
                self._torn = self._ends_torn(size)
            # A line that was cut by a full disk or a killed process ends here; readers skip it.
            data = self.head + line if first else b"\n" + line if self._torn else line
            written = os.write(self._fd, data)
            self._torn, self._end = written < len(data) and (written > 0 or self._torn), size + written
            if written < len(data):
                # A file with half a head would never be read again.  With more in it, it has a head of another process.
                if first and self.head and os.fstat(self._fd).st_size == written:
                    os.ftruncate(self._fd, 0)
                    self._torn, self._end = False, 0
                raise OSError(28, "no space left on device: the record was cut", str(self.path))
            if self.fsync == "each" and self._regular:
                os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; another line opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def _current(self) -> int:
        """The size of the file at ``path``, which is open afterwards."""
        if self._fd >= 0:
            try:
                found = os.stat(self._name)  # noqa: PTH116 - one call for each record: without a Path in between
            except FileNotFoundError:
                self._close()
            else:
                if (found.st_dev, found.st_ino) == self._inode:
                    return found.st_size
                self._close()
        return self._open()

    def _open(self) -> int:
        """Open the file if it is not open; its size."""
        if self._fd < 0:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            self._fd = os.open(self.path, flags, 0o600)
        found = os.fstat(self._fd)
        self._inode = (found.st_dev, found.st_ino)
        self._regular = stat.S_ISREG(found.st_mode)
        if self._regular:
            if self.begins and found.st_size:
                self._refuse_foreign()
            self._keep_private(found)
            self._torn, self._end = self._ends_torn(found.st_size), found.st_size
        return found.st_size

    def _ends_torn(self, size: int) -> bool:
        """Whether the last line was cut: another process may be about to write the rest of its own, since the system
        lets the file grow by a page at a time."""
        for pause in _PAUSES:
            if not size or self._bytes_at(size - 1, 1) == b"\n":
                return False
            sleep(pause)
            size = os.fstat(self._fd).st_size
        return size > 0 and self._bytes_at(size - 1, 1) != b"\n"

    def _refuse_foreign(self) -> None:
        """Close the file and raise unless it is blank or its first line is ours, as far as that was written."""
        first = self._bytes_at(0, 256).lstrip(b"\0 \t\r\n").partition(b"\n")[0]
        if not any(_begins_so(first, begin) for begin in self.begins):
            self._close()
            raise OSError(17, "its first line is none of ours: it is another file and left as it is", str(self.path))

    def _keep_private(self, found: os.stat_result) -> None:
        """An older file of ours may be readable for others; prompts may not."""
        if sys.platform != "win32" and stat.S_IMODE(found.st_mode) & 0o077 and found.st_uid == os.geteuid():
            os.fchmod(self._fd, 0o600)

    def _bytes_at(self, place: int, count: int) -> bytes:
        if sys.platform == "win32":
            os.lseek(self._fd, place, os.SEEK_SET)
            return os.read(self._fd, count)
        return os.pread(self._fd, count, place)

    def _rotate(self, coming: int) -> None:
        """Set the file aside, unless another process is doing it; then this line still fits behind the limit."""
        with held(self.path) as alone:
            if not alone:
                return
            if self._current() + coming <= self.max_bytes:
                return  # another process was faster
            older = [self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self.keep + 1)]
            # A process that was killed here left a gap: what lies beyond it has moved up already.
            gap = next((number for number, one in enumerate(older) if not one.exists()), self.keep - 1)
            for number in range(gap, 0, -1):
                older[number - 1].replace(older[number])
            self._close()
            self.path.replace(older[0])
            self._open()

    def after_fork(self) -> None:
        """In a new child: a thread of the parent may have held the lock, and the descriptor is the parent's."""
        self._lock = threading.Lock()
        self._close()


def _begins_so(line: bytes, begin: bytes) -> bool:
    """Whether *line*, as far as it was written, begins as *begin* does, in which 0 is any digit."""
    return all(found in (b"0123456789" if said == 48 else (said,)) for found, said in zip(line, begin, strict=False))


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Whether this process alone sets the file at *path* aside, or puts another in its place, until the block ends.

    Never waits: a killed or stopped holder must not stop an audit.
    """
    if sys.platform == "win32":
        # An open file cannot be renamed there; only a lone process gets this far, and its rename decides.
        yield True
        return
    fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.geteuid() == 0:  # at the file of somebody else, who could not set it aside any more
            with suppress(OSError):
                found = path.stat()
                os.fchown(fd, found.st_uid, found.st_gid)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
