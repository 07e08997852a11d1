"""h11's reader, which bounds what it buffers by itself, and takes any version of HTTP for its own."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http import h11_impl

from .patience import Patient

_uvicorn: Any = h11_impl
_h11: Any = _uvicorn.h11  # it comes with uvicorn's reader, and is no dependency of ours


class Buffering(Patient, _uvicorn.H11Protocol):  # type: ignore[misc]
    """Patient, and strict."""

    conn: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.conn.__class__ = _OfOne

    def has_begun(self) -> bool:
        """Whether some of a head has come, and not the whole of it."""
        return bool(self.conn.trailing_data[0])


class _OfOne(_h11.Connection):  # type: ignore[misc]
    """Reads requests of HTTP/1."""

    def next_event(self) -> Any:
        """As h11's own."""
        event = super().next_event()
        if isinstance(event, _h11.Request) and event.http_version not in (b"1.0", b"1.1"):
            raise _h11.RemoteProtocolError("another HTTP")  # the reader answers 400
        return event
