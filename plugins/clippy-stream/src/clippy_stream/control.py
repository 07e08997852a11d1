"""The socket through which the command line reaches a process, and no other user does.

A line of JSON asks, ``{"do": "pause", "id": "..."}``; a line answers, ``{"streams": [...]}`` or ``{"error": "..."}``.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import socket
import stat
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import WeakSet

from attrs import define, field
from clippy_hookspecs import PluginError

log = logging.getLogger("clippy.stream")

PATIENCE = 2.0
"""Seconds for which an answer is waited for."""
LISTENING = 0.5
"""Seconds for which a question is: less, so that whoever stands behind one who says nothing is still answered."""
_LONGEST = 4 * 1024 * 1024
"""Bytes of an answer: some thousand streams."""
_LONGEST_QUESTION = 4096

Answer = Callable[[str, str], dict[str, Any]]
"""What to do (list, show, pause, resume, cancel) and the stream's id; raises LookupError with a sentence."""


class ControlError(PluginError):
    """The socket cannot be opened, or may not be trusted."""


def runtime_folder() -> Path:
    """Where the sockets of this user lie."""
    from platformdirs import user_runtime_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the session has no folder of its own; the one instead is looked at below
        return user_runtime_path("clippy", appauthor=False) / "streams"


@define(eq=False)
class Control:
    """Answers on a socket of this process while it is open, on a daemon thread."""

    folder: Path
    answer: Answer
    path: Path = field(init=False)
    _listener: socket.socket | None = field(init=False, default=None, repr=False)
    _wake: tuple[socket.socket, socket.socket] | None = field(init=False, default=None, repr=False)
    _thread: threading.Thread | None = field(init=False, default=None, repr=False)

    @path.default
    def _own(self) -> Path:
        return self.folder / f"{os.getpid()}-{uuid4().hex[:6]}.sock"

    def open(self) -> None:
        """Listen.  Raises :class:`ControlError`."""
        if not hasattr(socket, "AF_UNIX"):
            raise ControlError(
                "control = true needs unix sockets, which this system does not have; set control = false"
            )
        make_private(self.folder)
        draft = self.path.with_suffix(".new")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(draft))
            draft.chmod(0o600)
            listener.listen(8)
            draft.rename(self.path)  # who finds it finds somebody who listens: one that does not is taken for dead
        except OSError as error:
            listener.close()
            draft.unlink(missing_ok=True)
            why = error.strerror or error
            raise ControlError(
                f"cannot listen on {self.path} ({why}); set folder to a short path of your own"
            ) from error
        self._listener, self._wake = listener, socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(listener, self._wake[1]), daemon=True)
        self._thread.name = "clippy-streams"
        _OPEN.add(self)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._listener is None or self._wake is None or self._thread is None:
            return
        self.path.unlink(missing_ok=True)
        self._wake[0].send(b".")
        self._thread.join(2 * PATIENCE)
        self._let_go()

    def _let_go(self) -> None:
        """Close what is open; in a forked child the parent's own are not touched by that."""
        for one in (self._listener, *(self._wake or ())):
            if one is not None:
                one.close()
        self._listener = self._wake = self._thread = None

    def _serve(self, listener: socket.socket, wake: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(listener, selectors.EVENT_READ)
            ready.register(wake, selectors.EVENT_READ)
            while not any(key.fileobj is wake for key, _ in ready.select()):
                try:
                    client, _ = listener.accept()
                    with client:
                        self._converse(client)
                except OSError:
                    continue  # the other side left: it is owed nothing

    def _converse(self, client: socket.socket) -> None:
        client.settimeout(LISTENING)
        if not _same_user(client):
            return
        try:
            asked = json.loads(_line(client, _LONGEST_QUESTION))
            said = self.answer(str(asked["do"]), str(asked.get("id", "")))
        except LookupError as error:
            said = {"error": str(error.args[0]) if error.args else "unknown"}
        except (ValueError, TypeError, AttributeError, RecursionError):
            said = {"error": "ask with one line of JSON"}
        except OSError:
            raise
        except Exception as error:  # nobody would answer here any more, and the socket would say somebody does
            log.warning("a question about the streams could not be answered: %s", type(error).__name__)
            said = {"error": f"the process could not answer: {type(error).__name__}"}
        client.sendall(json.dumps(said).encode() + b"\n")


# --- the other side ---------------------------------------------------------------------------------------------------


def sockets(folder: Path) -> list[Path]:
    """The sockets of this user's processes.  Raises :class:`ControlError` for a folder that is somebody else's."""
    if not hasattr(socket, "AF_UNIX"):
        raise ControlError("there are no unix sockets on this system, so that no process can be reached")
    if not folder.exists():
        return []
    _check_private(folder)
    return sorted(folder.glob("*.sock"))


def ask(path: Path, what: str, request_id: str = "") -> dict[str, Any] | None:
    """What the process behind *path* answers; None if it is gone, and then its socket is removed.

    Raises :class:`ControlError` if it does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(PATIENCE)
        try:
            server.connect(str(path))
            if not _same_user(server):
                raise ControlError(f"{path} is another user's")
            server.sendall(json.dumps({"do": what, "id": request_id}).encode() + b"\n")
            said = json.loads(_line(server, _LONGEST))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return None
        except (OSError, ValueError) as error:
            raise ControlError(f"the process behind {path.name} does not answer ({error})") from error
    return said if isinstance(said, dict) else None


def _line(connection: socket.socket, longest: int) -> bytes:
    """One line.  Raises OSError when none comes, ValueError when it is too long or cut off."""
    data = b""
    while not data.endswith(b"\n"):
        some = connection.recv(65536)
        data += some
        if not some or len(data) > longest:
            raise ValueError("that was not one line")
    return data


# --- whose it is ------------------------------------------------------------------------------------------------------


def make_private(folder: Path) -> None:
    """Make *folder*, if need be, and see that nobody else can look into it.  Raises :class:`ControlError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ControlError(
            f"cannot make {folder} ({error.strerror or error}); set folder to one of your own"
        ) from error
    _check_private(folder)


def _check_private(folder: Path) -> None:
    found = folder.lstat()
    if sys.platform != "win32" and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid()):
        raise ControlError(f"{folder} is no folder of this user; set folder to one of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)


def _same_user(connection: socket.socket) -> bool:
    """Whether the other side is of our user, as far as the system tells; else the folder's mode has said so already."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.geteuid())


_OPEN: WeakSet[Control] = WeakSet()


def _in_child() -> None:
    """A forked child must not keep its parent's socket alive: nobody would answer there."""
    for control in list(_OPEN):
        control._let_go()  # noqa: SLF001 - of the same module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
