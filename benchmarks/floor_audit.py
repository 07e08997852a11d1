"""The audit's line, written out: for :mod:`benchmarks.floor`.

It is put together from pieces that are remembered as JSON: two thirds of what it costs as dicts that orjson writes.
"""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from clippy_audit import redact

from benchmarks.floor_steps import FILES

_Call = tuple[str, str, str, int]


class _Texts(dict[str, bytes]):
    """Short texts without their secrets, as JSON: "the process keeps the last thousand short texts (up to 128
    characters) with what became of them".
    """

    def __missing__(self, text: str) -> bytes:
        self[text] = orjson.dumps(redact(text))
        return self[text]


class _Traces(dict[tuple[_Call, ...], list[bytes]]):
    """The trace as JSON, with room for the nanoseconds at every other place, by plugins, hooks and actions."""

    def __missing__(self, calls: tuple[_Call, ...]) -> list[bytes]:
        pieces, before = list[bytes](), b""
        for *names, count in calls:
            told = dict(zip(("plugin", "hook", "action"), map(redact, names), strict=True))
            pieces += (before + orjson.dumps(told)[:-1] + b',"ns":', b"")
            before = b',"calls":%d},' % count
        self[calls] = [*pieces, before[:-1] + b"]}\n"]
        return self[calls]


class AuditFile:
    """One line for each record, in its file before the caller has the answer (README of clippy-audit)."""

    def __init__(self, path: Path, last: int) -> None:
        self.last, self.path = last, str(path)
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        found = os.fstat(self.file)
        self.identity = found.st_dev, found.st_ino
        self.boot, self.numbers = os.urandom(8).hex().encode(), itertools.count(1)
        self.second, self.prefix = -1, b""
        self.texts, self.traces = _Texts(), _Traces()

    def write(self, record: Any) -> None:
        """The fields of the level ``standard``: "every text is redacted" (but the id, which is made here), times are
        "UTC, microseconds", a record is "JSON in plain ASCII" of a length.

        From FILES on "a file that another process has set aside is noticed by its inode", and one that has grown to
        ``max_bytes`` is set aside.
        """
        usage, (attempt,), known, moment = record.usage, record.attempts, self.texts, record.time
        second = int(moment)
        if second != self.second:
            self.second, self.prefix = second, datetime.fromtimestamp(second, UTC).isoformat()[:-6].encode()
        seq, status, duration, asked, told, first, code, took = orjson.dumps(
            [
                next(self.numbers), record.status, record.duration, usage.input, usage.output, record.first_token,
                attempt.status, attempt.duration,
            ]
        )[1:-1].split(b",")  # fmt: skip
        route = known[record.route]
        trace = self.traces[tuple([(one.plugin, one.hook, one.action, one.calls) for one in record.trace])].copy()
        trace[1::2] = orjson.dumps([one.ns for one in record.trace])[1:-1].split(b",")
        head = (
            b'{"v":1,"time":"', self.prefix, b".%06dZ" % int((moment - second) * 1e6), b'","boot":"', self.boot,
            b'","seq":', seq, b',"id":"', record.id.encode(), b'","outcome":', known[record.outcome],
            b',"api":', known[record.api], b',"method":', known[record.method], b',"model":', known[record.model],
            b',"stream":', b"true" if record.stream else b"false", b',"route":', route, b',"status":', status,
            b',"duration":', duration, b',"attempts":1,"usage":{"input":', asked, b',"output":', told,
            b'},"provenance":{"source":', known[record.provenance.source], b',"route":', route,
            b'},"url":', known[record.url], b',"finish_reason":', known[record.finish_reason],
            b',"first_token":', first, b',"attempt_list":[{"number":1,"route":', route, b',"status":', code,
            b',"waited":0.0,"duration":', took, b'}],"trace":[',
        )  # fmt: skip
        data = b"".join((*head, *trace))
        assert data.isascii()
        assert b"\x7f" not in data
        assert len(data) <= 262144
        if self.last >= FILES:
            found = os.stat(self.path)  # noqa: PTH116 - without a Path in between
            assert (found.st_dev, found.st_ino) == self.identity
            assert found.st_size + len(data) <= 64 * 1024 * 1024
        assert os.write(self.file, data) == len(data)
