"""A provider on loopback whose answer is as long as one likes, and that knows how far it got in sending it."""

from __future__ import annotations

import json
import socket
import sys
import threading
from typing import Any

from attrs import define, field

EVENT_BYTES = 8192
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nconnection: close\r\n\r\n"


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    """One event of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    said = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


@define(eq=False)
class Flood:
    """Streams at least *size* bytes to whoever posts; ``sent`` counts what the kernel has taken of them.

    ``gone`` is set when a client left before its end.  ``GET /sent`` tells the count to another process.
    """

    size: int
    event_bytes: int = EVENT_BYTES
    sent: int = 0
    gone: threading.Event = field(factory=threading.Event)
    _listener: socket.socket = field(factory=socket.socket, repr=False)

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as ``base_url``."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __enter__(self) -> Flood:
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as asked:
            line, length = asked.readline(), 0
            while (header := asked.readline()) not in (b"\r\n", b""):
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            asked.read(length)
            if line.startswith(b"GET"):
                client.sendall(_HEAD % b"text/plain" + b"%d" % self.sent)
                return
            try:
                self._pour(client)
            except OSError:
                self.gone.set()

    def _pour(self, client: socket.socket) -> None:
        client.sendall(_HEAD % b"text/event-stream" + event({"role": "assistant", "content": ""}))
        words = "so many words " * (self.event_bytes // 14)
        body = event({"content": words})
        while self.sent < self.size:
            client.sendall(body)
            self.sent += len(body)
        client.sendall(event({}, "stop") + b"data: [DONE]\n\n")


def main(arguments: Any = None) -> None:
    """``python flood.py BYTES [EVENT_BYTES]``: print the base URL and serve until standard input ends."""
    size, *rest = map(int, arguments or sys.argv[1:])
    with Flood(size, *rest) as flood:
        sys.stdout.write(flood.base_url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
