"""Ports for servers that must be told theirs before they listen."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress


def free_port() -> int:
    """One that nobody gets meanwhile: Linux gives those from 32,768 on to whoever asks for any, and to connections.

    Also 10,000 higher, where the nodes of a Redis cluster talk to each other.
    """
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = 12_000 + secrets.randbelow(10_000)
            probe.bind(("127.0.0.1", port))
            return port
