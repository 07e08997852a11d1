"""Readers that stop reading: told from slow ones by what the system still holds for them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

try:
    from fcntl import ioctl
    from termios import TIOCOUTQ
except ImportError:  # Windows: only what waits in the transport is seen there
    ioctl = None  # type: ignore[assignment]

_LOOKS = 4
"""Looks at the same amount, after which nothing moves: somebody is cut off a quarter of the time late at most."""


class Stall:
    """Calls *cut* when a reader takes nothing of what waits for it at *transport* for so many *seconds*.

    Between ``begin`` and ``end`` nothing may be added to what waits.  What the transport holds says too little: it
    gets rid of some only when a third of the system's own buffer is free again, a megabyte and more.
    """

    def __init__(self, transport: Any, seconds: float, cut: Callable[[], None]) -> None:
        self._transport, self._every, self._cut = transport, seconds / _LOOKS, cut
        self._timer: asyncio.TimerHandle | None = None
        self._left, self._looks = (0, 0), 0

    def begin(self) -> None:
        """Something waits, and nothing is added to it."""
        if self._timer is None:
            self._left, self._looks = self._waiting(), 0
            self._timer = asyncio.get_running_loop().call_later(self._every, self._look)

    def end(self) -> None:
        """Nothing waits any more, or there is nobody to wait for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        left = self._waiting()
        self._looks = self._looks + 1 if left == self._left else 0
        if self._looks == _LOOKS:
            self._timer = None
            self._cut()
            return
        self._left = left
        self._timer = asyncio.get_running_loop().call_later(self._every, self._look)

    def _waiting(self) -> tuple[int, int]:
        """Bytes that wait here, and those that the system has sent to nobody or that nobody has confirmed."""
        return self._transport.get_write_buffer_size(), _in_the_system(self._transport.get_extra_info("socket"))


def reset(transport: Any) -> None:
    """Close *transport* and drop what waits, also in the system, which would keep megabytes for minutes otherwise."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # it is closed already
    transport.abort()


def _in_the_system(connection: Any) -> int:
    """Bytes in the system's buffer of *connection*, 0 where it does not say (man 7 tcp: SIOCOUTQ)."""
    if ioctl is None or connection is None:
        return 0
    try:
        return int(struct.unpack("i", ioctl(connection.fileno(), TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0
