"""Sockets that listen, opened by who starts the server: an address that is taken is the caller's error, at once."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

_BACKLOG = 2048


def listen(host: str, port: int, uds: str | Path | None) -> socket.socket:
    """A listening socket at *uds*, else at *host* and *port*.  Raises OSError, which names the address."""
    try:
        return _unix(Path(uds)) if uds is not None else _tcp(host, port)
    except OSError as error:
        where = str(uds) if uds is not None else f"{host}:{port}"
        raise OSError(error.errno, f"cannot listen at {where}: {error.strerror or error}") from error


def _tcp(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    opened = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share a port
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _unix(path: Path) -> socket.socket:
    """A socket that only this user can open.  One that a dead process left behind is taken over, a file is not."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and not _answers(path):
            path.unlink()
        opened.bind(str(path))
        path.chmod(0o600)
        opened.listen(_BACKLOG)  # nobody could connect before the mode was right
    except OSError:
        opened.close()
        raise
    return opened


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
