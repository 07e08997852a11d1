"""httptools' parser where a caller offers another protocol: the offer is ignored, as RFC 9110 section 7.8 allows."""

from __future__ import annotations

from typing import Any

_FRAMING = (b"content-length", b"transfer-encoding")


class Upgrading:
    """Feeds *protocol*, and goes on after a head with ``Upgrade``, at which the parser *stops* with an exception.

    httptools stops there and takes the message for one without a body, so a caller that merely offers HTTP/2 (Java's
    own client does so with every first request) would be answered as if it had sent nothing.
    """

    def __init__(self, protocol: Any, parser: Any, stops: type[Exception]) -> None:
        self._protocol, self._stops = protocol, stops
        self._use(parser)

    def _use(self, parser: Any) -> None:
        self._parser, self.get_method, self.get_http_version = parser, parser.get_method, parser.get_http_version
        self.should_upgrade, self.should_keep_alive = parser.should_upgrade, parser.should_keep_alive

    def feed_data(self, data: bytes) -> None:
        """As httptools' own; raises its errors."""
        while True:
            try:
                self._parser.feed_data(data)
                return
            except self._stops as stopped:
                data = data[stopped.args[0] :]
            if self._parser.get_method() == b"CONNECT":
                return  # it is refused, and what follows is none of ours
            self._read_on()

    def _read_on(self) -> None:
        """Read what follows as the body of the request whose head has just come; nobody has looked at it yet."""
        fields = self._protocol.cycle.scope["headers"]
        self._use(type(self._parser)(_Body(self._protocol)))
        self._protocol.reads_on()
        told = b"".join(b"%s: %s\r\n" % field for field in fields if field[0] in _FRAMING)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n" + told + b"\r\n")


class _Body:
    """Hears of the head that stands for another one's as little as it can, and hands the rest on."""

    def __init__(self, protocol: Any) -> None:
        self._protocol, self._first = protocol, True
        self.on_body = protocol.on_body

    def on_message_begin(self) -> None:
        if not self._first:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._first:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._first:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._first:
            self._protocol.on_headers_complete()

    def on_message_complete(self) -> None:
        self._first = False
        self._protocol.on_message_complete()
