"""The command line.  Nothing here imports an HTTP library before a command needs one."""

from __future__ import annotations

import logging
import sys

import click

from .output import place_of, visible
from .root import CommandLine, command_line

__all__ = ["CommandLine", "command_line", "main"]


class SafeLines(logging.StreamHandler):  # type: ignore[type-arg]
    """The host's log on stderr, one safe line each.  A command that runs for long may give it a formatter."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*, and of what failed its kind and where."""
        error = record.exc_info[1] if record.exc_info else None
        said = f"{record.getMessage()}{f': {place_of(error)}' if error is not None else ''}"
        if self.formatter is None:
            line = f"{record.levelname.lower()}: {said}"
        else:  # without the traceback: its lines would be more than one, and may hold a key
            bare = {"msg": said, "args": None, "exc_info": None, "exc_text": None, "stack_info": None}
            line = self.formatter.format(logging.makeLogRecord({**record.__dict__, **bare}))
        click.echo(visible(line), err=True)


def main() -> None:
    """The entry point ``clippy``; ends the process."""
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding cannot show is written out, instead of ending the command with a traceback.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    logging.getLogger("clippy").addHandler(SafeLines())
    command_line()(prog_name="clippy")
