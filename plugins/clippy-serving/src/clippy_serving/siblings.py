"""Several processes that serve one address: a secret that all of them know, and how one asks the others.

A request reaches whichever process takes the connection, so what a page shows or does may be another one's affair.
They speak over unix sockets in a folder that only their user can enter; the supervisor makes it and removes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import secrets
import shutil
import struct
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from attrs import define, field

from .listening import NoAddress, listen

Answering = Callable[[bytes], Awaitable[bytes]]

log = logging.getLogger("clippy.serving")

_KNOWN_TO_ALL: Final = "secret"
_MOST_ASKED: Final = 16 * 1024 * 1024
_MOST_ANSWERED: Final = 256 * 1024 * 1024
_PATIENCE: Final = 10.0
"""Seconds in which a question must be whole."""
_LENGTH: Final = struct.Struct(">Q")
_ANSWERED: Final = b"+"


@define(eq=False)
class Siblings:
    """The ``count`` processes at one address, as one of them knows them.

    ``place`` is which of them this process is, from 0; None is their supervisor, whom nobody asks.  A process that is
    started in the place of one that died has its place.  ``secret`` is known to all of them and to nobody else.
    """

    folder: Path
    count: int
    place: int | None
    secret: bytes = field(repr=False)
    _answering: dict[str, Answering] = field(factory=dict, init=False, repr=False)
    _server: asyncio.Server | None = field(default=None, init=False, repr=False)

    @classmethod
    @contextmanager
    def founded(cls, count: int) -> Iterator[Siblings]:
        """For the supervisor: a folder for *count* processes, until this ends.  Raises OSError where none can be."""
        import fcntl  # no system without it has workers

        folder = Path(tempfile.mkdtemp(prefix="clippy-"))
        # What cleans up folders of old files leaves one alone that somebody holds a lock on (systemd-tmpfiles).
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_SH)
            (folder / _KNOWN_TO_ALL).touch(mode=0o600)
            (folder / _KNOWN_TO_ALL).write_bytes(secret := secrets.token_bytes(32))
            yield cls(folder, count, None, secret)
        finally:
            os.close(held)
            shutil.rmtree(folder, ignore_errors=True)

    @classmethod
    def joined(cls, folder: Path, count: int, place: int) -> Siblings:
        """For the process in *place*.  Raises OSError for a folder that is gone."""
        return cls(folder, count, place, (folder / _KNOWN_TO_ALL).read_bytes())

    @property
    def others(self) -> tuple[int, ...]:
        """The places of the other processes."""
        return tuple(place for place in range(self.count) if place != self.place)

    def derived(self, what: str) -> bytes:
        """32 bytes for one purpose, the same in each of the processes."""
        return hmac.digest(self.secret, what.encode(), "sha256")

    def is_first(self, name: str, keep: float) -> bool:
        """Whether no process has asked this about *name* before.  It is remembered for *keep* seconds at least.

        What cannot be written down is taken for the second time, and said.
        """
        known = time.time() - keep
        for old in self.folder.glob("once-*"):
            try:
                if old.stat().st_mtime < known:
                    old.unlink()
            except OSError:
                pass  # another process was quicker
        file = self.folder / f"once-{hashlib.sha256(name.encode()).hexdigest()}"
        try:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        except OSError as error:
            log.warning(
                "no one-time link can be used, since none can be noted as used; start the server anew: %s", error
            )
            return False
        return True

    def held(self, name: str) -> IO[str]:
        """What only one of the processes has at a time: a file, empty at first, in which it may write for the next one.

        Waits, in a thread of the caller's, until nobody else has it; whoever has it gives it back by closing the file,
        or by ending in whatever way.  Raises OSError where the folder is gone.
        """
        import fcntl

        file = (self.folder / f"held-{name}").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file

    def abandoned(self) -> None:
        """The supervisor has ended without an end of its own: nobody else removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- asking and answering -----------------------------------------------------------------------------------------

    def answer(self, what: str, answering: Answering) -> None:
        """Have *answering* called with what another process says when it asks *what*, in the server's event loop."""
        self._answering[what] = answering

    async def open(self) -> None:
        """Begin to answer, in this event loop, if there is anything to answer.

        Where that cannot be, it is said, and the others go without this process.
        """
        if self.place is None or not self._answering:
            return
        try:
            opened = listen("", 0, self._socket(self.place))
        except NoAddress as error:
            log.warning("the other workers cannot ask this one, and their pages do not show it: %s", error)
            return
        self._server = await asyncio.start_unix_server(self._connected, sock=opened)

    async def close(self) -> None:
        """Answer no more."""
        server, self._server = self._server, None
        if server is not None and self.place is not None:
            server.close()
            self._socket(self.place).unlink(missing_ok=True)

    async def ask(self, place: int, what: str, said: bytes, within: float) -> bytes | None:
        """What the process in *place* answers; None if there is no answer within so many seconds.

        One that was busy so long does not do then what nobody waits for any more.
        """
        until = time.monotonic() + within  # the clock is the machine's, so the other one's as well
        try:
            async with asyncio.timeout(within):
                reader, writer = await asyncio.open_unix_connection(self._socket(place))
                try:
                    _write(writer, json.dumps([self._key(), what, until]).encode() + b"\n" + said)
                    answer = await _read(reader, _MOST_ANSWERED)
                finally:
                    writer.close()
        except (OSError, EOFError, TimeoutError):
            return None
        return answer[1:] if answer[:1] == _ANSWERED else None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head, _, said = (await _read(reader, _MOST_ASKED)).partition(b"\n")
            key, what, until = json.loads(head)
            if hmac.compare_digest(str(key), self._key()) and time.monotonic() < until:
                _write(writer, _ANSWERED + await self._answering[what](said))
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass  # whoever asked has left
        except Exception:
            log.exception("a question of another worker could not be answered")
        finally:
            writer.close()

    def _socket(self, place: int) -> Path:
        return self.folder / f"{place}.sock"

    def _key(self) -> str:
        return self.derived("siblings").hex()


def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(_LENGTH.pack(len(message)))
    writer.write(message)


async def _read(reader: asyncio.StreamReader, most: int) -> bytes:
    """A whole message.  Raises EOFError for one that breaks off or is longer than *most*."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > most:
        raise EOFError
    return await reader.readexactly(length)
