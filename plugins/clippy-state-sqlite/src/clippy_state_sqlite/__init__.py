"""Shares limits, breakers and leases between the processes of one host, in one SQLite file and without a server.

Being installed it is the host's StateStore.  The file is made when something is first written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from attrs import define, field
from attrs.validators import ge
from clippy_hookspecs import Clock, Host, ServiceRegistry, StateStore, hookimpl

from .access import Access
from .store import SqliteStateStore

__all__ = ["SqliteState"]


def _default_path() -> Path:
    return platformdirs.user_state_path("clippy") / "state-sqlite.db"


@define(eq=False)
class SqliteState:
    """Offers a StateStore that all processes of one host share, in one SQLite file."""

    path: Path | None = field(
        default=None,
        metadata={
            "doc": "The file; by default state-sqlite.db in clippy's folder of the user's state.",
            "unset": _default_path,
        },
    )
    max_bytes: int = field(
        default=64 * 1024 * 1024, validator=ge(64 * 1024), metadata={"doc": "Bytes of the file; beyond it writes fail."}
    )
    busy_timeout: float = field(
        default=2.0,
        validator=ge(0),
        metadata={"doc": "Seconds a write waits for another process's lock on the file before it fails."},
    )
    _access: Access = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        path = (self.path or _default_path()).expanduser()
        self._access = Access(path, self.max_bytes)

    @hookimpl
    def register_services(self, services: ServiceRegistry) -> None:
        """Offers the store."""
        services.offer(StateStore, SqliteStateStore.on(self._access, self.busy_timeout))

    @hookimpl
    @contextmanager
    def lifespan(self, host: Host) -> Iterator[None]:
        """Goes by the host's clock, and closes the file with the last host."""
        self._access.start(host.services.get(Clock))
        try:
            yield
        finally:
            # In a process forked meanwhile the count has begun anew.
            self._access.stop()
