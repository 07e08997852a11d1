"""The audit's line, written out: for :mod:`benchmarks.floor`."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from clippy_audit import redact

from benchmarks.floor_steps import FILES, REDACTED


class _Texts(dict[str, str]):
    """Short texts without their secrets: "the process keeps the last thousand short texts with what became of them"."""

    def __missing__(self, text: str) -> str:
        self[text] = redact(text)
        return self[text]


class AuditFile:
    """One line for each record, in its file before the caller has the answer (README of clippy-audit)."""

    def __init__(self, path: Path, last: int) -> None:
        self.last, self.path = last, str(path)
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        found = os.fstat(self.file)
        self.identity = found.st_dev, found.st_ino
        self.boot, self.numbers = os.urandom(8).hex(), itertools.count(1)
        self.texts = _Texts()

    def write(self, record: Any) -> None:
        """The fields of the level ``standard``.

        From REDACTED on "every text is redacted" that a caller, a provider or a setting has a say in (names of plugins
        are at the start, the id is made here), a record is "JSON in plain ASCII" of a length, and ``time`` is a text.
        From FILES on "a file that another process has set aside is noticed by its inode", and one that has grown to
        ``max_bytes`` is set aside.
        """
        usage, (attempt,), redacted = record.usage, record.attempts, self.last >= REDACTED
        model, route, url, end, moment = record.model, record.route, record.url, record.finish_reason, record.time
        if redacted:
            known = self.texts
            model, route, url, end = known[model], known[route], known[url], known[end]
            moment = datetime.fromtimestamp(moment, UTC).isoformat()
        line = {
            "v": 1, "time": moment, "boot": self.boot, "seq": next(self.numbers), "id": record.id,
            "outcome": record.outcome, "api": record.api, "method": record.method, "model": model,
            "stream": record.stream, "route": route, "status": record.status, "duration": record.duration,
            "attempts": 1, "usage": {"input": usage.input, "output": usage.output},
            "provenance": {"source": record.provenance.source, "route": route}, "url": url, "finish_reason": end,
            "first_token": record.first_token,
            "attempt_list": [
                {"number": 1, "route": route, "status": attempt.status, "waited": 0.0, "duration": attempt.duration}
            ],
            "trace": [
                {"plugin": one.plugin, "hook": one.hook, "action": one.action, "ns": one.ns, "calls": one.calls}
                for one in record.trace
            ],
        }  # fmt: skip
        data = orjson.dumps(line) + b"\n"
        if redacted:
            assert data.isascii()
            assert b"\x7f" not in data
            assert len(data) <= 262144
        if self.last >= FILES:
            found = os.stat(self.path)  # noqa: PTH116 - without a Path in between
            assert (found.st_dev, found.st_ino) == self.identity
            assert found.st_size + len(data) <= 64 * 1024 * 1024
        assert os.write(self.file, data) == len(data)
