"""Lines of the access log: as text for people, as JSON for machines, both plain ASCII; and standard error for them."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from .paths import shape

if TYPE_CHECKING:
    from .access import Line

_PIPE = 4096
"""Bytes that a pipe takes in one piece (PIPE_BUF), so that several workers may write to one."""
_AT = "0000-00-00T00:00:00.000Z"
BEGINS = tuple(
    [f"{_AT} {status} 0".encode() for status in ("000", "-")]
    + [f'{{"time":"{_AT}","{name}":"'.encode() for name in ("id", "key", "fingerprint", "method")]
)
"""How lines begin in either form, a 0 for any digit: what begins otherwise is another program's file."""
_PLAIN = re.compile(r"[!#-~]+\Z", re.ASCII)
_METHOD = re.compile(r"[A-Z]{1,20}\Z", re.ASCII)
_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))
_IN_TEXT = ("key", "fingerprint", "route", "model", "answering_model", "attempts", "cache")


def as_json(line: Line) -> bytes:
    """One object; what there is nothing to say of is left out."""
    told = fields(line)
    try:
        whole = orjson.dumps(told)
    except TypeError:  # half of a character (a lone surrogate), of which there is no UTF-8
        return _encoded(told).encode("ascii") + b"\n"
    return (whole if whole.isascii() and b"\x7f" not in whole else _encoded(told).encode("ascii")) + b"\n"


def as_text(line: Line) -> bytes:
    """Time, status, duration, method and path, then what else there is as NAME=VALUE."""
    told = fields(line)
    words = [told["time"], str(told.get("status", "-")), f"{told['duration']:.3f}s", told["method"], told["path"]]
    words += [f"{name}={_word(told[name])}" for name in _IN_TEXT if name in told]
    words.append(f"bytes={told['bytes_in']}+{told['bytes_out']}")
    if "input_tokens" in told:
        words.append(f"tokens={told['input_tokens']}+{told['output_tokens']}")
    words += [f"{name}={told[name]}" for name in ("refused", "end", "id") if name in told]
    return (" ".join(words) + "\n").encode("ascii")


def fields(line: Line) -> dict[str, Any]:
    """What is told of a request.  The path without what may name a person's thing, and without its query."""
    model, answering, given, got = line.used or (None, None, None, None)
    said = dict(line.headers)
    attempts = said.get(b"x-clippy-attempts", b"")
    told = {
        "time": f"{_second(int(line.at))}.{int(line.at * 1000) % 1000:03}Z",
        "id": line.id,
        "key": line.caller,
        "fingerprint": line.stranger,
        "method": line.method if _METHOD.match(line.method) else "*",
        "path": shape(line.path),
        "route": said.get(b"x-clippy-route", b"").decode("latin-1"),
        "model": model,
        "answering_model": answering,
        "status": line.status or None,
        "refused": line.refused,
        "attempts": int(attempts) if attempts.isdigit() else None,
        "cache": said.get(b"x-clippy-cache", b"").replace(b" ", b"").decode("latin-1"),
        "bytes_in": line.body,
        "bytes_out": line.sent,
        "input_tokens": given,
        "output_tokens": got,
        "first_byte": round(line.first - line.began, 6) if line.first else None,
        "duration": round(line.ended - line.began, 6),
        "end": None if line.whole else line.left or "broken",
    }
    return {name: value for name, value in told.items() if value is not None and value != ""}


@lru_cache(maxsize=8)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:19]


@lru_cache(maxsize=1024)
def _word(value: object) -> str:
    text = str(value)
    return text if _PLAIN.match(text) else _encoded(text)


def _encoded(value: object) -> str:
    """JSON of nothing but what ASCII can print: of its controls, JSON itself leaves DEL as it is."""
    return _ENCODER.encode(value).replace("\x7f", "\\u007f")


class StandardError:
    """Whole lines to standard error, as it is when they are written."""

    def append(self, lines: bytes) -> None:
        """Write *lines*, which end with a newline.  Raises OSError."""
        while lines:
            end = len(lines) if len(lines) <= _PIPE else lines.rfind(b"\n", 0, _PIPE) + 1 or _PIPE
            written = os.write(2, lines[:end])
            lines = lines[written:]

    def close(self) -> None:
        """It stays open: it is not ours."""
