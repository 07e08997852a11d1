"""Who is in which flight now, and how many were handed what another had asked for: for people to look at."""

from __future__ import annotations

import os
import threading

from attrs import define, field
from clippy_hookspecs import AuditRecord, RequestContext, StashKey, StatusTable

COLUMNS = ("in the air", "joined", "handed over", "asked for themselves")
FLIGHT = "flight"
"""The host's reason in the provenance of an answer that another request got."""
_KEY = StashKey[str]("dedup.key")


@define(eq=False)
class Aboard:
    """Counts; from any thread, and in a forked child anew: its parent's requests are not its own."""

    _keys: dict[str, str] = field(init=False, factory=dict, repr=False)
    _handed_over: int = field(init=False, default=0)
    _asked: int = field(init=False, default=0)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)
    _process: int = field(init=False, factory=os.getpid)

    def boards(self, key: str, ctx: RequestContext) -> None:
        """A request joins the flight of *key*, or begins it."""
        self._follow_forks()
        ctx.stash[_KEY] = key
        with self._lock:
            self._keys[ctx.id] = key

    def leaves(self, record: AuditRecord, ctx: RequestContext) -> None:
        """A request is over, with or without what its flight brought."""
        if ctx.stash.get(_KEY) is None:
            return
        self._follow_forks()
        given = record.provenance is not None and record.provenance.reason == FLIGHT
        with self._lock:
            self._keys.pop(record.id, None)
            self._handed_over += given
            self._asked += not given

    def table(self) -> StatusTable:
        """One line: flights, requests in them beside those that lead, and the sums of those that are over."""
        self._follow_forks()
        with self._lock:
            flights = len(set(self._keys.values()))
            row = (flights, len(self._keys) - flights, self._handed_over, self._asked)
        return StatusTable("flights", COLUMNS, (row,))

    def _follow_forks(self) -> None:
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
            self._keys, self._handed_over, self._asked = {}, 0, 0
