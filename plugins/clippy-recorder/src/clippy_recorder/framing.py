"""A line of JSON with bytes behind it, as one process hands it to another.

The line is a list of two: how long each of the bodies behind it is, and whatever is told, which knows them by their
numbers.  Nothing is copied into a piece of its own: who sends it gives the system a list of buffers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

import orjson

_OTHER = b" "
"""Begins a line that orjson could not write, and would read otherwise: a great integer as a float."""
Frame = tuple[bytes, ...]
"""The line, with its end, and the bodies."""


def framed(told: Any, bodies: Sequence[bytes] = ()) -> Frame:
    """*told* and *bodies*, for :func:`opened` and :func:`next_of`.  Raises TypeError for what JSON has not."""
    said = [len(body) for body in bodies], told
    try:
        line = orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a letter, an integer beyond 64 bits
        line = _OTHER + json.dumps(said).encode("ascii") + b"\n"
    return line, *bodies


def opened(frame: Frame) -> tuple[Any, Sequence[bytes]]:
    """What was :func:`framed`."""
    line, *bodies = frame
    _, told = _parsed(line)
    return told, bodies


def next_of(source: BinaryIO) -> tuple[Any, Sequence[bytes]] | None:
    """The same of what comes next from *source*; None where it ends, be it in the middle of a frame."""
    line = source.readline()
    if not line.endswith(b"\n"):
        return None
    sizes, told = _parsed(line)
    bodies = [source.read(size) for size in sizes]
    return None if sum(map(len, bodies)) < sum(sizes) else (told, bodies)


def _parsed(line: bytes) -> Any:
    return json.loads(line) if line.startswith(_OTHER) else orjson.loads(line)
