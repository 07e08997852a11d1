"""Sockets that listen, opened by who starts the server: an address that is taken is the caller's error, at once."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen
from clippy_hookspecs import ClippyError

log = logging.getLogger("clippy.serving")

_BACKLOG = 2048
_PATIENCE = 2.0
"""Seconds in which another server has surely taken its socket."""

_FOR_PORTS: dict[int | None, str] = {
    errno.EADDRINUSE: "another process has this port: end it, or choose another one; port 0 takes any that is free",
    errno.EACCES: "this user may not have this port: choose one from 1024 on",
    errno.EADDRNOTAVAIL: "this machine has no such address: 127.0.0.1 is for itself alone, 0.0.0.0 are all that it has",
}
_FOR_PATHS: dict[int | None, str] = {
    errno.EADDRINUSE: "another process listens there, or a file has this path: choose another one",
    errno.EACCES: "this user may not write in this folder",
    errno.ENOENT: "the folder is not there: make it first",
}


class NoAddress(ClippyError, OSError):
    """An address that cannot be had; says which, why, and what to do."""

    def __str__(self) -> str:
        return str(self.args[1])


@frozen
class SocketFile:
    """The file of a unix socket that listens, for whoever opened it to remove at the end.

    A server that drains listens no more, so another one may have its path by then: what is there is removed only if it
    is still this one.
    """

    path: Path
    mark: tuple[int, int, int]

    @classmethod
    def of(cls, path: str | Path) -> SocketFile:
        """The one that is at *path* now, just opened.  Raises OSError if there is none."""
        return cls(Path(path), _mark(Path(path)))

    def remove(self) -> None:
        """Remove it, if it is there.  One that cannot be removed is told in the log, as nobody could do more."""
        try:
            with suppress(FileNotFoundError):
                if _mark(self.path) == self.mark:
                    self.path.unlink()
        except OSError as error:
            log.warning(
                "the socket at %s stays: %s; remove it, or leave it to the next server", self.path, error.strerror
            )


def _mark(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns  # not st_ctime_ns, which its mode changes as well


def listen(host: str, port: int, uds: str | Path | None) -> socket.socket:
    """A listening socket at *uds*, else at *host* and *port*.  Raises NoAddress."""
    try:
        return _unix(Path(uds)) if uds is not None else _tcp(host, port)
    except (OSError, OverflowError, UnicodeError) as error:
        where = str(uds) if uds is not None else f"{host}:{port}"
        number = error.errno if isinstance(error, OSError) else None
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, (socket.gaierror, UnicodeError)):
            what = "no address is known by this name: give one of this machine's, such as 127.0.0.1"
        else:
            what = (_FOR_PATHS if uds is not None else _FOR_PORTS).get(number, "")
        raise NoAddress(number, f"cannot listen at {where}: {why}{what and '; '}{what}") from error


def _tcp(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it; asyncio sets it on each, granian does not.  A second piece of a stream would wait for
        # the caller's delayed acknowledgement of the first, 40 ms on Linux (RFC 896, RFC 1122 4.2.3.2).
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.bind((address[0], port, *address[2:]))  # getaddrinfo makes some other port of one beyond 65535
        opened.listen(_BACKLOG)
    except (OSError, OverflowError):
        opened.close()
        raise
    return opened


def _unix(path: Path) -> socket.socket:
    """A socket that only this user can open.  One that a dead process left behind is taken over, a file is not."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _alone(path.parent):
            _take(opened, path)
    except OSError:
        opened.close()
        raise
    return opened


def _take(opened: socket.socket, path: Path) -> None:
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
        path.unlink()
    opened.bind(str(path))
    path.chmod(0o600)
    opened.listen(_BACKLOG)  # nobody could connect before the mode was right


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """While no other server takes a socket in *folder*.

    Of two that find the same dead one the second would remove what the first has just made, which then listens where
    nobody comes.  A lock on the folder leaves nothing behind; where none is to be had, it is done without.
    """
    held = -1
    try:
        with suppress(OSError, ImportError):  # a folder that may not be read; a system without such locks
            held = os.open(folder, os.O_RDONLY)
            _lock(held)
        yield
    finally:
        if held >= 0:
            os.close(held)


def _lock(held: int) -> None:
    import fcntl

    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
