"""Which of uvicorn's readers of HTTP reads, and with which limits."""

from __future__ import annotations

import logging

from .limits import Limits
from .patience import Note, Patient

_log = logging.getLogger("clippy.serving.http")


def http_protocol(limits: Limits, note: Note | None = None) -> type[Patient]:
    """httptools' reader where that is installed, else h11's.  Without *note* refusals are logged."""
    told = {"limits": limits, "note": staticmethod(note or _log_it)}
    return type("Reader", (_reader(),), told)


def _reader() -> type[Patient]:
    try:
        import uvicorn.protocols.http.httptools_impl  # noqa: F401  # does it have httptools?
    except ImportError:
        from .buffering import Buffering

        return Buffering
    from .bounded import Bounded

    return Bounded


def _log_it(status: int, code: str) -> None:
    _log.warning("refused with %d %s before it was a request", status, code)
