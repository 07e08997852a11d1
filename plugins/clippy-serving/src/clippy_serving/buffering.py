"""h11's reader, which bounds what it buffers by itself."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .patience import Patient

_H11: Any = H11Protocol


class Buffering(Patient, _H11):  # type: ignore[misc]
    """Patient, and nothing else."""

    def has_begun(self) -> bool:
        """Whether some of a head has come, and not the whole of it."""
        return bool(self.conn.trailing_data[0])
