"""A process of its own that makes calls clean and writes them: the program's interpreter is left to the program.

It reads frames from its standard input, each its length in four bytes and what :mod:`clippy_recorder.framing` writes:
first what it needs to know, then calls.  After each it says on its standard output, in a line of JSON, what it lost.
It ends when its input does: whatever became of the program, what was handed over is written.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from .batches import write
from .developing import develop
from .files import Appender
from .framing import read
from .handing import unpacked

READY = b'\n"ready"\n'
"""In a line of its own, also behind what a ``sitecustomize`` of the environment printed without ending it."""


def main() -> None:
    """Write what comes; for ``python -c``, with pipes for standard input and output."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # meant for the program, which ends us by ending
        signal.signal(name, signal.SIG_IGN)
    frames = _frames(sys.stdin.buffer)
    (path, level, secrets, max_bytes, keep), _ = next(frames)
    said = _line_of_its_own()
    _say(said, READY)
    developed = partial(develop, level=level, literals=tuple(secrets))
    with closing(Appender(Path(path), max_bytes, keep)) as file:
        for calls, bodies in frames:
            packs = [(request_id, bodies[number]) for request_id, number in calls]
            losses = write(file, lambda data: developed(unpacked(data)), packs)
            told = [(one.count, _why(one.why, one.error), one.passing) for one in losses]
            _say(said, json.dumps(told).encode("ascii") + b"\n")


def _frames(source: BinaryIO) -> Iterator[Any]:
    while len(head := source.read(4)) == 4:
        size = int.from_bytes(head, "big")
        data = source.read(size)
        if len(data) < size:  # the program was killed while it handed this over
            return
        yield read(data)


def _line_of_its_own() -> int:
    """What standard output was; what anything else prints, or printed and is not out yet, goes nowhere."""
    said = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    return said


def _say(said: int, line: bytes) -> None:
    with suppress(OSError):  # nobody is left who could be told; what was handed over is written all the same
        os.write(said, line)


def _why(why: str, error: BaseException | None) -> str:
    return why if error is None else f"{why}: {type(error).__name__}"  # what it says may be what was said
