"""A Redis server for a measurement: on a free port of 127.0.0.1, in memory, ended with the measurement."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATIENCE = 20.0


class Missing(Exception):
    """Something that a measurement needs is not installed; says what."""


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[int]:
    """The port of a server that listens.  Raises :class:`Missing`."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise Missing("neither redis-server nor valkey-server is installed (Debian: apt-get install redis-server)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    where = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no")
    process = subprocess.Popen([program, *where, *options], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + _PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{program} does not start")
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait(_PATIENCE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
