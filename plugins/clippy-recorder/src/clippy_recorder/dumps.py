"""Files of clippy-stream-debug as calls: what one stream brought, without the request.

Such a file begins with ``{"v": 1, "id": ..., "model": ..., "time": ..., "lost": ...}``; every other line is what
happened ``at`` microseconds later: attempt, head, bytes in base64, chunk_in, chunk_out, closed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from .exchange import Attempt, Exchange
from .reading import StrangeRecording, exchange_of

VERSION = 1
_LONGEST = 64 * 1024 * 1024


def is_dump(path: Path) -> bool:
    """Whether *path* begins as a file of clippy-stream-debug does.  Raises OSError."""
    with path.open("rb") as file:
        try:
            head = json.loads(file.readline(4096))
        except (ValueError, RecursionError):
            return False
    return isinstance(head, dict) and {"v", "id", "lost"} <= head.keys()


def from_dump(path: Path) -> Exchange:
    """The stream in a file of clippy-stream-debug.  Raises StrangeRecording for a line that is none of it, OSError."""
    with path.open("rb") as file:
        number = 0
        try:
            head, told = json.loads(file.readline(_LONGEST)), []
            if head["v"] != VERSION:
                raise StrangeRecording(f"version {head['v']!r}; this reads version {VERSION}")
            while line := file.readline(_LONGEST):
                number += 1
                told.append(json.loads(line))
            return _exchange(head, told)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = f"{type(error).__name__}: {error}"
            raise StrangeRecording(f"{path}, line {number + 1}: not of a recorded stream ({why})") from error


def _exchange(head: Mapping[str, Any], lines: list[Mapping[str, Any]]) -> Exchange:
    """By way of a recording's own document, which is read without trusting it."""
    attempts: list[dict[str, Any]] = []
    pieces: list[dict[str, Any]] = []
    for line in lines:
        at, kind = line["at"], line["kind"]
        if kind == "attempt":
            attempts.append({"number": line["number"], "at": at})
        elif kind == "bytes":
            pieces.append({"at": at, "kind": kind, "data": {"base64": line["data"]}})
        elif kind in ("chunk_in", "chunk_out"):
            pieces.append({"at": at, "kind": kind, "chunk": line["chunk"]})
        elif kind == "head" and attempts:
            attempts[-1] |= {"head_at": at, "answer": {"headers": line["headers"], "status": line["status"]}}
        elif kind == "closed" and attempts:
            attempts[-1] |= {"ended_at": at, "state": line["state"]}
    told = {"id": head["id"], "model": head["model"], "began": head["time"], "lost": head["lost"], "stream": True}
    exchange = exchange_of({**told, "attempts": attempts, "pieces": pieces})
    last = exchange.attempts[-1] if exchange.attempts else Attempt(1, "", 0)
    pieces_sized = tuple(evolve(one, size=len(one.data or one.chunk.get("delta") or "")) for one in exchange.pieces)
    return evolve(
        exchange,
        state={"ok": "answered", "error": "failed", "cancelled": "cancelled"}.get(last.state, "running"),  # type: ignore[arg-type]
        status=None if last.answer is None else last.answer.status,
        duration=last.ended_at,
        first_token=next((one.at for one in exchange.pieces if one.chunk.get("delta")), None),
        pieces=pieces_sized,
    )
