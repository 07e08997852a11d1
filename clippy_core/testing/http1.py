"""One client's HTTP/1.1 connection, read and written by hand, so that every byte and every way of ending it is ours."""

from __future__ import annotations

import math
import socket
import ssl
import struct

from attrs import define, field, frozen

_HEAD_LIMIT = 1 << 16
_BODY_LIMIT = 64 << 20


class BadRequest(Exception):
    """Bytes that are no HTTP/1.1 request, or more of them than we take; ``status`` is the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status, self.message = status, message


@frozen
class Head:
    """A parsed request: ``head`` and ``raw`` are its exact bytes, ``body`` is without transfer coding."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    head: bytes
    body: bytes
    raw: bytes
    keep_alive: bool


@define(eq=False)
class Peer:
    """The connection to one client."""

    socket: socket.socket
    _buffer: bytearray = field(init=False, factory=bytearray)

    def read_request(self) -> Head | None:
        """The next request, None when the client has closed.  Raises BadRequest and OSError."""
        self.socket.settimeout(None)
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise BadRequest(431, "the request's head is too long")
            if not self._fill():
                return None
        head = self._take(end + 4)
        line, *lines = head[:-4].split(b"\r\n")
        words = line.decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(400, f"not an HTTP/1.1 request line: {line[:80]!r}")
        headers = tuple(_header(text) for text in lines)
        named = {name.lower(): value for name, value in headers}
        if named.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if named.get("transfer-encoding", "").lower() == "chunked":
            body, raw = self._chunks()
        else:
            size = named.get("content-length", "0")
            if not (size.isascii() and size.isdigit()):
                raise BadRequest(400, f"not a content-length: {size[:40]!r}")
            body = raw = self._exactly(int(size))
        keep = words[2] != "HTTP/1.0" and named.get("connection", "").lower() != "close"
        return Head(words[0], words[1], headers, head, body, head + raw, keep)

    def _chunks(self) -> tuple[bytes, bytes]:
        body, raw = bytearray(), bytearray()
        while True:
            line = self._line()
            raw += line
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise BadRequest(400, f"not a chunk size: {line[:40]!r}") from None
            if size == 0:
                while (line := self._line()) != b"\r\n":
                    raw += line
                return bytes(body), bytes(raw + line)
            piece = self._exactly(size + 2)
            raw += piece
            body += piece[:-2]
            if len(body) > _BODY_LIMIT:
                raise BadRequest(413, "the request's body is too long")

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _HEAD_LIMIT or not self._fill():
                raise BadRequest(400, "a line of the chunked body has no end")
        return self._take(end + 2)

    def _exactly(self, size: int) -> bytes:
        if size > _BODY_LIMIT:
            raise BadRequest(413, "the request's body is too long")
        while len(self._buffer) < size:
            if not self._fill():
                raise ConnectionResetError("the client closed the connection amid its request")
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _fill(self) -> bool:
        data = self.socket.recv(1 << 16)
        self._buffer += data
        return bool(data)

    def wait(self, seconds: float) -> bool:
        """Wait so long; False as soon as the client has closed the connection."""
        self.socket.settimeout(None if math.isinf(seconds) else seconds)
        try:
            return self._fill()  # bytes of a next request: let them lie, and wait no longer
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False

    def send(self, data: bytes) -> None:
        """Send *data*; blocks while the client does not read.  Raises OSError when it is gone."""
        self.socket.settimeout(None)
        self.socket.sendall(data)

    def reset(self) -> None:
        """End the connection with a TCP RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def hang_up(self) -> None:
        """End the connection in order."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client was faster
        self.socket.close()


def _header(line: bytes) -> tuple[str, str]:
    name, found, value = line.decode("latin-1").partition(":")
    if not found or not name or name != name.strip():
        raise BadRequest(400, f"not a header line: {line[:80]!r}")
    return name, value.strip()
