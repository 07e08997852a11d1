"""A process of its own that makes calls clean and writes them: the program's interpreter is left to the program.

It reads frames (:mod:`clippy_recorder.framing`) from its standard input: first what it needs to know, then how many
calls follow, and they.  After these it says on its standard output, in a line of JSON, what it lost of them, and goes
on with the next.  It ends when its input does: whatever became of the program, what was handed over is written.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from .batches import write
from .developing import develop
from .files import Appender
from .framing import next_of
from .handing import id_of, tape_of

READY = b'\n"ready"\n'
"""In a line of its own, also behind what a ``sitecustomize`` of the environment printed without ending it."""


def main() -> None:
    """Write what comes; for ``python -c``, with pipes for standard input and output."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # meant for the program, which ends us by ending
        signal.signal(name, signal.SIG_IGN)
    source = sys.stdin.buffer
    if (first := next_of(source)) is None:
        return
    (path, level, secrets, max_bytes, keep), _ = first
    said = _line_of_its_own()
    _say(said, READY)
    developed = partial(develop, level=level, literals=tuple(secrets))
    with closing(Appender(Path(path), max_bytes, keep)) as file:
        while (begun := next_of(source)) is not None:
            calls = [frame for _ in range(begun[0]) if (frame := next_of(source)) is not None]
            named = [(id_of(told), (told, bodies)) for told, bodies in calls]
            losses = write(file, lambda call: developed(tape_of(*call)), named)
            told = [(one.count, _why(one.why, one.error), one.passing) for one in losses]
            _say(said, json.dumps(told).encode("ascii") + b"\n")


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
