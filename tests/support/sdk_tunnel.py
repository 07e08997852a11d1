"""A proxy for HTTPS on loopback: it answers CONNECT and carries bytes that it cannot read."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

from attrs import define, field

_WAIT = 10.0
"""Seconds until a connection that says nothing is given up."""


@define(eq=False)
class Tunnel:
    """Listens on 127.0.0.1 inside a ``with`` and leads every CONNECT to ``target``, whatever name it asks for.

    ``refusing`` is the status for a proxy that lets nobody through.
    """

    target: int = 0
    refusing: int | None = None
    heads: list[bytes] = field(init=False, factory=list)
    """What clients said before the tunnel stood."""
    carried: bytearray = field(init=False, factory=bytearray)
    """What went from clients to the server, as the proxy saw it."""
    _listener: socket.socket = field(init=False, repr=False)
    _sockets: list[socket.socket] = field(init=False, factory=list, repr=False)
    _threads: list[threading.Thread] = field(init=False, factory=list, repr=False)

    @property
    def url(self) -> str:
        """What an HTTP client takes as its proxy."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Tunnel:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for held in (self._listener, *self._sockets):
            _shut(held)
        for thread in self._threads:
            thread.join(_WAIT)
        for held in (self._listener, *self._sockets):
            held.close()

    def _spawn(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True, name="tunnel")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the end of the with block
            client.settimeout(_WAIT)
            self._sockets.append(client)
            self._spawn(self._connection, client)

    def _connection(self, client: socket.socket) -> None:
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            piece = client.recv(1)  # no byte of what follows is ours
            if not piece:
                return
            head += piece
        self.heads.append(bytes(head))
        if self.refusing is not None:
            client.sendall(b"HTTP/1.1 %d Refused\r\ncontent-length: 0\r\n\r\n" % self.refusing)
            _shut(client)
            return
        server = socket.create_connection(("127.0.0.1", self.target), _WAIT)
        self._sockets.append(server)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._spawn(self._carry, server, client, bytearray())
        self._carry(client, server, self.carried)

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket, seen: bytearray) -> None:
        try:
            while data := source.recv(1 << 16):
                seen += data
                sink.sendall(data)
        except OSError:
            pass  # one side left: the other hears of it below
        _shut(source)
        _shut(sink)


def _shut(held: socket.socket) -> None:
    try:
        held.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already
