"""What a worker of a gateway tells its siblings for their pages, and does for who asked there."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from attrs import define, field
from clippy_hookspecs import Host
from clippy_recorder import Exchange
from clippy_recorder.documents import line
from clippy_serving.siblings import Siblings

from .brief import brief, unasked
from .dashboard import LOOKED_AT
from .pace import Pace
from .streams import acted
from .tables import table_as_json, tables_of
from .view import Source

log = logging.getLogger("clippy.inspect")

BATCH: Final = 8 * 1024 * 1024
"""Bytes of calls that are told at once; whoever wants more asks again, and may be in a hurry."""
_MOST_CHANGED: Final = 1000


@define(eq=False)
class Telling:
    """Answers the questions of :class:`clippy_inspect.together.Together`, each of which is bytes and brings bytes.

    What takes long is done in a thread, so that requests go on.
    """

    source: Source
    pace: Pace
    host: Callable[[], Host | None]
    _changed: OrderedDict[str, int] = field(factory=OrderedDict, init=False, repr=False)
    _untold: OrderedDict[str, None] = field(factory=OrderedDict, init=False, repr=False)
    _number: int = field(default=0, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def to(self, siblings: Siblings) -> None:
        """Answer *siblings* from when they are open."""
        siblings.answer("calls", self.calls)
        siblings.answer("call", self.call)
        siblings.answer("changed", self.changed)
        siblings.answer("act", self.act)
        siblings.answer("tables", self.tables)

    def heard(self, request_id: str) -> None:
        """Something happened to this request; from any thread."""
        with self._lock:
            self._number += 1
            self._changed[request_id] = self._number
            self._changed.move_to_end(request_id)
            if len(self._changed) > _MOST_CHANGED:
                self._changed.popitem(last=False)

    async def calls(self, asked: bytes) -> bytes:
        """Those calls that whoever asks does not know: a line of JSON about all of them, then a line for each.

        After those the ones that it knows and that may have gone on, in the order in which it names them, each with how
        many of its attempts it knows.  What runs is told in brief.
        """
        known, again = json.loads(asked)
        return await asyncio.to_thread(self._calls, frozenset(known), dict(again))

    def _calls(self, known: Collection[str], again: Mapping[str, int]) -> bytes:
        exchanges = self.source.latest(LOOKED_AT)
        wanted = {one.id: one for one in reversed(exchanges) if one.id not in known}
        for name in filter(wanted.__contains__, again):
            wanted[name] = wanted.pop(name)
        lines: list[bytes] = []
        size, more = 0, False
        for exchange in wanted.values():
            if size > BATCH:
                more = True
                break
            try:
                lines.append(line(_told(exchange, again.get(exchange.id))))
            except Exception as error:  # such as a price that a plugin tells as something else than a number
                self._say(exchange.id, error)
                continue
            size += len(lines[-1])
        flows = {one.id: self.source.flow(one.id) for one in exchanges if one.state == "running"}
        head = {
            "ids": [one.id for one in exchanges],
            "more": more,
            "flows": {name: flow.state for name, flow in flows.items() if flow is not None},
            "rates": [rate.per_second for rate in self.pace.rates()],
            "age": self.pace.age,
        }
        return json.dumps(head).encode() + b"\n" + b"".join(lines)

    def _say(self, request_id: str, error: Exception) -> None:
        """Once for each request: a page looks every few seconds."""
        if request_id not in self._untold:
            self._untold[request_id] = None
            log.warning("request %s is not shown by the other workers: %s", request_id, error)
        if len(self._untold) > LOOKED_AT:
            self._untold.popitem(last=False)

    async def call(self, asked: bytes) -> bytes:
        """All that is known of one call; null where it is not here."""
        found = self.source.find(json.loads(asked))
        return b"null" if found is None else await asyncio.to_thread(line, found)

    async def changed(self, asked: bytes) -> bytes:
        """What changed since the number that whoever asks was told; without one, or with that of another process, no
        more than the number."""
        since = json.loads(asked)
        with self._lock:
            now = self._number
            ids = [] if since is None else [name for name, number in self._changed.items() if number > since]
            if since is not None and since > now:
                ids = list(self._changed)
        return json.dumps([now, ids]).encode()

    async def act(self, asked: bytes) -> bytes:
        """The state of a stream after it was paused, resumed or cancelled; null where it is not here."""
        wanted, verb = json.loads(asked)
        flow = self.source.flow(wanted)
        return json.dumps(None if flow is None else acted(flow, verb)).encode()

    async def tables(self, asked: bytes) -> bytes:
        """How the plugins are doing here."""
        told: list[Any] = [table_as_json(name, table) for name, table in await tables_of(self.host())]
        return json.dumps(told, default=str).encode()


def _told(exchange: Exchange, attempts: int | None) -> Exchange:
    """*exchange* as a look is told it: of one that runs, in brief, and without what was asked if that is known."""
    if exchange.state != "running":
        return exchange
    return brief(exchange) if attempts is None else unasked(brief(exchange), attempts)
