"""A Sentry server on loopback: takes envelopes and keeps them, at once or when it is told to."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field


@define(eq=False)
class SentryEndpoint:
    """What has arrived: whole envelopes as bytes, and the events in them.

    While ``open`` is not set nobody gets an answer, and what came is in ``waiting``.
    """

    port: int = 0
    envelopes: list[bytes] = field(factory=list)
    waiting: int = 0
    open: threading.Event = field(factory=threading.Event)

    @property
    def dsn(self) -> str:
        return f"http://public-key@127.0.0.1:{self.port}/7"

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in the order in which they came."""
        return [event for envelope in self.envelopes for event in _events(envelope)]


def _events(envelope: bytes) -> Iterator[dict[str, Any]]:
    """As in https://develop.sentry.dev/sdk/envelopes/: a header, then for each item a header with its length."""
    _, _, rest = envelope.partition(b"\n")
    while rest.strip():
        line, _, rest = rest.partition(b"\n")
        head = json.loads(line)
        length = head.get("length", rest.find(b"\n") if b"\n" in rest else len(rest))
        payload, rest = rest[:length], rest[length:].removeprefix(b"\n")
        if head["type"] == "event":
            yield json.loads(payload)


@contextmanager
def sentry_endpoint(*, slow: bool = False) -> Iterator[SentryEndpoint]:
    """A server for the time of the block; a slow one answers nobody until its ``open`` is set."""
    endpoint = SentryEndpoint()
    if not slow:
        endpoint.open.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            endpoint.waiting += 1
            endpoint.open.wait(60)
            endpoint.envelopes.append(body)
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.open.set()
        server.shutdown()
        server.server_close()
        thread.join()
