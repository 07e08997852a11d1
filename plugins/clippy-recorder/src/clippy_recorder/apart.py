"""The program's side of the process that writes (:mod:`clippy_recorder.writing`): started, fed, heard, let go of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from .batches import Loss
from .framing import Frame, framed

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from clippy_recorder.writing import main; main()"
"""What is imported there is what would be imported here, wherever the program stands."""
_FLAGS = {
    "isolated": "-I", "ignore_environment": "-E", "no_user_site": "-s", "no_site": "-S", "safe_path": "-P",
    "dont_write_bytecode": "-B",
}  # fmt: skip
"""What the program's interpreter was told to leave alone, by the names of ``sys.flags``."""

_BUFFERS = 1000
"""Pieces that are given to the system at once; Linux takes 1024."""


class Ended(Exception):
    """The process is gone; ``unwritten`` are the calls of which it did not say that it wrote them."""

    def __init__(self, unwritten: list[Frame]) -> None:
        super().__init__("the process that writes recordings ended")
        self.unwritten = unwritten


def possible() -> bool:
    """Whether a process of its own is any use: it needs a processor beside the program's, and an interpreter to run.

    In a frozen program, or below uWSGI, ``sys.executable`` is the program itself: it would begin all that it does anew.
    """
    name = Path(sys.executable or "").name
    if os.name != "posix" or getattr(sys, "frozen", False) or not name.startswith(("python", "pypy")):
        return False
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) > 1


def _flags() -> list[str]:
    return [flag for name, flag in _FLAGS.items() if getattr(sys.flags, name, False)]


class Writer:
    """The process, for one thread of the program.  ``ready`` once it has said so; before that it is handed nothing."""

    def __init__(
        self, path: Path, level: str, secrets: tuple[str, ...], max_bytes: int | None = None, keep: int = 5
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this very interpreter
            [sys.executable, *_flags(), "-c", _PROGRAM, *(place for place in sys.path if isinstance(place, str))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, bufsize=0,
        )  # fmt: skip
        self._heard, self.ready = b"", False
        self._under_way: deque[Sequence[Frame]] = deque()
        os.set_blocking(self._output, False)
        self._send(framed((str(path), level, secrets, max_bytes, keep)))

    def hand(self, calls: Sequence[Frame]) -> None:
        """Give it some calls, to be written together.  Waits while the pipe is full.  Raises Ended."""
        self._under_way.append(calls)
        self._send([*framed(len(calls)), *(piece for call in calls for piece in call)])

    @property
    def owes(self) -> bool:
        """Whether it has not said yet what became of all that it was handed."""
        return bool(self._under_way)

    def hear(self) -> list[list[Loss]]:
        """What it has lost so far of each batch that it wrote, without waiting.  Raises Ended."""
        data = self._read()
        *lines, self._heard = (self._heard + data).split(b"\n")
        told = [self._told(line) for line in lines]
        return [losses for losses in told if losses is not None]

    def close(self) -> list[list[Loss]]:
        """Have it write the rest and end; what it lost of each batch.  Waits for that.  Raises Ended where it left some
        unwritten."""
        assert self._process.stdin is not None
        if not self.ready:
            self.end()
            return []
        self._process.stdin.close()
        os.set_blocking(self._output, True)
        losses: list[list[Loss]] = []
        try:
            while True:
                losses += self.hear()
        except Ended as ended:
            if ended.unwritten:
                raise
        return losses

    def abandon(self) -> None:
        """In a forked child: the process is the parent's, which would wait for our end of the pipe as well."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.returncode = 0  # not ours to wait for

    @property
    def _output(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _send(self, pieces: Sequence[bytes]) -> None:
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        try:
            for begin in range(0, len(pieces), _BUFFERS):
                some = pieces[begin : begin + _BUFFERS]
                went = os.writev(pipe, some)
                if went < sum(map(len, some)):  # a signal came
                    rest = memoryview(b"".join(some))[went:]
                    while rest:
                        rest = rest[os.write(pipe, rest) :]
        except OSError as error:
            raise self.end() from error

    def _read(self) -> bytes:
        try:
            data = os.read(self._output, 65536)
        except BlockingIOError:
            return b""
        if not data:
            raise self.end()
        return data

    def _told(self, line: bytes) -> list[Loss] | None:
        if not self.ready:  # before that a sitecustomize of the environment may print what it likes
            self.ready = line == b'"ready"'
            return None
        self._under_way.popleft()
        return [Loss(count, why, passing) for count, why, passing in json.loads(line)]

    def end(self) -> Ended:
        """End it at once."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.kill()
        self._process.wait()
        return Ended([call for calls in self._under_way for call in calls])
