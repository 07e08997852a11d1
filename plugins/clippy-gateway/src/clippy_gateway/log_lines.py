"""What ``clippy serve`` says beside the access log: a line with time, level and logger, or an object of JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str)

Format = Literal["text", "json"]


class LogLines(logging.Formatter):
    """A record as one line.  Without a time for a journal, which writes its own; in JSON there always is one,
    and the fields that a plugin of ours gave it (``clippy_...``)."""

    def __init__(self, form: Format, timed: bool = True) -> None:
        super().__init__()
        self.form, self._timed = form, timed

    def format(self, record: logging.LogRecord) -> str:
        """*record* as one line, without a newline at its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
        level, said = record.levelname.lower(), record.getMessage()
        if self.form == "json":
            ours = {name: value for name, value in record.__dict__.items() if name.startswith("clippy_")}
            return _ENCODER.encode({"time": at, "level": level, "logger": record.name, "message": said, **ours})
        return f"{at + ' ' if self._timed else ''}{level} {record.name}: {said}"


def in_journal(environ: Mapping[str, str], fd: int = 2) -> bool:
    """Whether *fd* goes to systemd's journal, as JOURNAL_STREAM says by its device and inode."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def begin(form: Format) -> None:
    """Have what the command logs written so from now on; a handler with a form of its own keeps that."""
    lines = LogLines(form, timed=not in_journal(os.environ))
    for handler in logging.getLogger("clippy").handlers:
        if handler.formatter is None:
            handler.setFormatter(lines)


def tell(text: str) -> None:
    """Say *text* on standard error: alone in its line for who looks at a terminal, else as a line of the log."""
    import click

    for handler in logging.getLogger("clippy").handlers:
        lines = handler.formatter
        if isinstance(lines, LogLines) and (lines.form == "json" or not sys.stderr.isatty()):
            handler.handle(logging.LogRecord("clippy.gateway", logging.INFO, __file__, 0, text, None, None))
            return
    click.echo(text, err=True)
