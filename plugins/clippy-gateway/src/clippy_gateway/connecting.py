"""aiohttp's connections to providers, on which nothing is read as an answer but what was asked for, in time."""

from __future__ import annotations

from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

_connect: Any = aiohttp.TCPConnector.connect
_feed: Any = ResponseHandler.feed_data


class Protocol(ResponseHandler):
    """Waits for an answer behind a head that is none as long as it did for that one; aiohttp would for ever."""

    _early = False

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Called with each head and the body behind it; as aiohttp's own, which stops its clock after this one."""
        _feed(self, data, size)
        self._early = 100 <= data[0].code < 200 and data[0].code != 101  # not the answer yet (RFC 9110 section 15.2)
        if self._early:
            self._loop.call_soon(self._wait_on)

    def _wait_on(self) -> None:
        if self._early and self.transport is not None:
            self.start_timeout()


class Connector(aiohttp.TCPConnector):
    """Gives no connection again on which a provider said what nobody asked.

    That would be read as the answer to the next request, and may be what another caller asked (RFC 9112 section 9.2).
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        kind: type[ResponseHandler] = Protocol
        self._factory = partial(kind, loop=self._loop)

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
        """As aiohttp's own."""
        while True:
            connection = await _connect(self, req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                return connection
            connection.close()
