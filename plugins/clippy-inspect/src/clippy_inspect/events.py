"""Live data for the pages: server-sent events that say which requests changed, never what is in them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Final

from attrs import define, field
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_serving import reply, text_reply

from .view import Page, Source, View

_PACE: Final = 0.2  # seconds between two events: a page renders no faster than one can read
_PING: Final = 15.0
_MOST_READERS: Final = 64


@define(eq=False)
class Changes:
    """The ids of what changed since the last piece, as one event; a comment when nothing did for a while.

    Made and read in the server's event loop; the source may call from any thread.
    """

    source: Source
    _ids: dict[str, None] = field(factory=dict, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    _woken: asyncio.Event = field(factory=asyncio.Event, init=False, repr=False)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False, repr=False)
    _begun: bool = field(default=False, init=False)
    _leave: Callable[[], None] = field(init=False, repr=False)
    closed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._leave = self.source.subscribe(self._changed)

    async def next(self) -> bytes | None:
        if self.closed:
            return None
        if not self._begun:
            self._begun = True
            return b"retry: 1000\n: here\n\n"
        try:
            async with asyncio.timeout(_PING):
                await self._woken.wait()
        except TimeoutError:
            return b": still here\n\n"
        await asyncio.sleep(_PACE)
        with self._lock:
            self._woken.clear()
            ids, self._ids = list(self._ids), {}
        return f"event: changed\ndata: {json.dumps(ids)}\n\n".encode("ascii")

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            self._leave()

    def _changed(self, changed: str) -> None:
        with self._lock:
            first = not self._ids
            self._ids[changed] = None
        if first:
            try:
                self._loop.call_soon_threadsafe(self._woken.set)
            except RuntimeError:
                pass  # the loop has ended, and so has every reader in it


def pages(view: View) -> list[Page]:
    """The routes of this module: the stream of events."""
    readers: set[Changes] = set()

    async def events(request: RawRequest) -> RawReply:
        readers.difference_update([one for one in readers if one.closed])
        if len(readers) >= _MOST_READERS:
            return text_reply(503, f"{_MOST_READERS} pages are open already.\n")
        changes = Changes(view.source)
        readers.add(changes)
        return reply(200, changes, "text/event-stream", endless=True)

    return [("GET", "/api/events", events)]
