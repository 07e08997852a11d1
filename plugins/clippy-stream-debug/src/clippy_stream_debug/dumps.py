"""Files of recorded streams: JSON lines, read without trusting them.

The first line is the head: ``v`` (1), ``id``, ``model``, ``time`` (unix seconds) and ``lost``, the number of records
that did not fit any more.  Every other line is what happened at ``at`` microseconds after the head: an ``attempt`` with
its ``number``; the ``head`` of an answer with its ``status`` and the ``headers`` that say how its body is to be read;
``bytes`` with ``data`` in base64, as they came from the connection, before any content-encoding was undone;
``chunk_in`` and ``chunk_out``, each with its ``chunk``; ``closed`` with the attempt's ``state``.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

VERSION = 1
KINDS = frozenset({"attempt", "head", "bytes", "chunk_in", "chunk_out", "closed"})


@frozen
class Line:
    """Something that happened ``at`` microseconds after the stream was asked for; ``what`` is what the kind says."""

    at: int
    kind: str
    what: Mapping[str, Any] = field(factory=dict)


@frozen
class Piece:
    """Bytes of an answer, and how many seconds after the piece before it (the first: after the head) they came."""

    wait: float
    data: bytes = field(repr=False)


@frozen
class Dump:
    """One recorded stream.  ``lost`` counts what was recorded first and did not fit; ``time`` is unix seconds."""

    id: str
    model: str
    time: float
    lost: int
    lines: tuple[Line, ...] = field(repr=False)

    @property
    def status(self) -> int:
        """The status of the last attempt's answer, 0 if there was none."""
        return int(next((line.what["status"] for line in reversed(self.lines) if line.kind == "head"), 0))

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers of that answer that say how its body is to be read."""
        found = next((line.what["headers"] for line in reversed(self.lines) if line.kind == "head"), ())
        return tuple((str(name), str(value)) for name, value in found)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The body of that answer as it came.  Raises ValueError if its beginning was lost."""
        if self.lost:
            raise ValueError(
                f"the first {self.lost} records of {self.id} did not fit, so that nothing whole can be replayed; "
                "raise max_bytes in [plugins.stream-debug]"
            )
        begin = max((place for place, line in enumerate(self.lines) if line.kind == "head"), default=len(self.lines))
        found: list[Piece] = []
        last = self.lines[begin].at if begin < len(self.lines) else 0
        for line in self.lines[begin:]:
            if line.kind == "bytes":
                found.append(Piece((line.at - last) / 1e6, line.what["data"]))
                last = line.at
        return tuple(found)


def write(path: Path, head: Mapping[str, Any], lines: Iterable[Line]) -> None:
    """Write a new file that only its owner can read.  Raises FileExistsError: nothing is overwritten."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(json.dumps({"v": VERSION, **head}) + "\n")
        for line in lines:
            what = dict(line.what)
            if line.kind == "bytes":
                what["data"] = base64.b64encode(what["data"]).decode("ascii")
            file.write(json.dumps({"at": line.at, "kind": line.kind, **what}) + "\n")


def load(path: str | os.PathLike[str]) -> Dump:
    """Read a file of :meth:`StreamDebugger.dump`.  Raises OSError, and ValueError with the line that is none of it."""
    with Path(path).open(encoding="utf-8") as file:
        number = 1
        try:
            head = json.loads(file.readline())
            if head["v"] != VERSION:
                raise ValueError(f"version {head['v']!r}; this reads version {VERSION}")
            lines = []
            for text in file:
                number += 1
                lines.append(_line(json.loads(text)))
            return Dump(str(head["id"]), str(head["model"]), float(head["time"]), int(head["lost"]), tuple(lines))
        except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
            why = f"{type(error).__name__}: {error}"
            raise ValueError(f"{Path(path).name}, line {number}: not of a recorded stream ({why})") from error


def replay(path: str | os.PathLike[str]) -> Iterator[Piece]:
    """The bytes of a recorded answer with their timing.  Raises as :func:`load`, and ValueError if some were lost."""
    return iter(load(path).pieces)


def _line(told: dict[str, Any]) -> Line:
    at, kind = told.pop("at"), told.pop("kind")
    if not isinstance(at, int) or kind not in KINDS:
        raise ValueError(f"at {at!r}, kind {kind!r}")
    if kind == "bytes":
        told["data"] = base64.b64decode(told["data"], validate=True)
    elif kind == "head":
        told = {"status": int(told["status"]), "headers": [(str(name), str(value)) for name, value in told["headers"]]}
    elif kind in ("chunk_in", "chunk_out") and not isinstance(told["chunk"], dict):
        raise ValueError("a chunk that is no object")
    return Line(at, kind, told)
