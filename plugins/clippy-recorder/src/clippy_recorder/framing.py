"""JSON with bytes in it, as one process hands it to another.

A line of JSON in which each of them is a number, a line with the length of each, and they.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


def written(told: Any) -> bytes:
    """*told*, for :func:`read`; bytes that are in it twice are written once.

    Raises TypeError for what JSON has not.
    """
    numbers: dict[bytes, int] = {}

    def number(value: Any) -> int:
        if not isinstance(value, bytes):
            raise TypeError(f"a {type(value).__name__} cannot be handed to another process")
        return numbers.setdefault(value, len(numbers))

    try:
        text = orjson.dumps(told, default=number)
    except TypeError:  # half a letter, an integer beyond 64 bits
        text = json.dumps(told, default=number).encode("ascii")
    sizes = b" ".join([b"%d" % len(body) for body in numbers])
    return b"\n".join((text, sizes, b"".join(numbers)))


def read(data: bytes) -> tuple[Any, list[bytes]]:
    """What was :func:`written`: the JSON, and the bytes by their numbers."""
    text, sizes, rest = data.split(b"\n", 2)
    bodies, begin = [], 0
    for size in map(int, sizes.split()):
        bodies.append(rest[begin : begin + size])
        begin += size
    try:
        return orjson.loads(text), bodies
    except ValueError:
        return json.loads(text), bodies
