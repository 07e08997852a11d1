"""The fake provider as a loopback HTTP/1.1 server, for everything that brings its own HTTP."""

from __future__ import annotations

import json
import math
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable

from attrs import define, field

from .http1 import BadRequest, Peer
from .play import Break, Play, Send, Wait
from .provider import FakeProvider
from .script import Act, Script
from .seen import SeenRequest


def _provider(given: FakeProvider | Script | Act | None) -> FakeProvider:
    return given if isinstance(given, FakeProvider) else FakeProvider(given)


@define(eq=False)
class FakeServer:
    """A :class:`FakeProvider` (or a script for one) on 127.0.0.1 and a free port, between ``with`` and its end::

        with FakeServer([Fault.status(503), Reply("Hello")]) as server:
            client = OpenAI(api_key="none", base_url=server.base_url)

    It keeps connections alive, streams with chunked transfer coding, one chunk for each event, resets with a real RST,
    and waits in real time, whatever the provider's clock.  It stops by itself after ``max_requests`` requests or
    ``lifetime`` seconds; its threads are daemons.  With ``tls``, a server-side context, it speaks HTTPS.  A request for
    an absolute address is answered like any other, so that it can stand in for an HTTP proxy.

    Its records follow a moment after what a client sees: a call may return before its answer counts as completed.
    Leaving the ``with`` block raises what the script raised, if it did: the client only saw a 500.
    """

    provider: FakeProvider = field(factory=FakeProvider, converter=_provider)
    max_requests: int = 10_000
    lifetime: float = 600.0
    tls: ssl.SSLContext | None = None
    port: int = field(init=False, default=0)
    failures: list[Exception] = field(init=False, factory=list)
    _listener: socket.socket = field(init=False, repr=False)
    _closed_port: socket.socket = field(init=False, repr=False)
    _wake: tuple[socket.socket, socket.socket] = field(init=False, repr=False)
    _threads: list[threading.Thread] = field(init=False, factory=list, repr=False)
    _open: set[socket.socket] = field(init=False, factory=set, repr=False)
    _lock: threading.Lock = field(init=False, factory=threading.Lock, repr=False)
    _stopping: bool = field(init=False, default=False, repr=False)

    # --- what tests ask ---------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What an OpenAI client takes as ``base_url``."""
        return f"{self.origin}/v1"

    @property
    def anthropic_url(self) -> str:
        """What an Anthropic client takes as ``base_url``."""
        return self.origin

    @property
    def refusing_url(self) -> str:
        """An OpenAI ``base_url`` where every connection is refused."""
        return f"http://127.0.0.1:{self._closed_port.getsockname()[1]}/v1"

    @property
    def requests(self) -> list[SeenRequest]:
        """What was asked, in order."""
        return self.provider.requests

    @property
    def calls(self) -> int:
        """How many requests arrived."""
        return self.provider.calls

    @property
    def counters(self) -> Counter[str]:
        """See :class:`FakeProvider`."""
        return self.provider.counters

    @property
    def closed_early(self) -> list[int]:
        """The requests whose client left before the end.  Seen when the server next sends or waits."""
        return self.provider.closed_early

    # --- life -------------------------------------------------------------------------------------------------------

    def __enter__(self) -> FakeServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is None and self.failures:
            raise self.failures[0]

    def start(self) -> None:
        """Listen.  Raises OSError when that is not possible, RuntimeError the second time: a server runs once."""
        if self.port:
            raise RuntimeError("this server was started before; make a new one, with the same provider if need be")
        self._listener, self._closed_port, self._wake = socket.socket(), socket.socket(), socket.socketpair()
        self._closed_port.bind(("127.0.0.1", 0))
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        self._spawn(self._accept)

    def stop(self) -> None:
        """Close every connection and wait for the threads, at most two seconds.  Twice is the same as once."""
        if not self.port:
            return
        self._halt()
        end = time.monotonic() + 2
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        for held in (self._listener, self._closed_port, *self._wake):
            held.close()

    def _halt(self) -> None:
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
            self._wake[0].send(b".")
            for client in self._open:
                _shut(client)

    def _spawn(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True, name="fake provider")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        end = time.monotonic() + self.lifetime
        while not self._stopping:
            ready, _, _ = select.select([self._listener, self._wake[1]], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                self._halt()
            elif self._listener in ready and not self._stopping:
                client, _ = self._listener.accept()
                self._spawn(self._connection, client, self.provider.connect())
        self._listener.close()

    # --- one connection ---------------------------------------------------------------------------------------------

    def _connection(self, client: socket.socket, number: int) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls is not None:
                client.settimeout(60.0)  # for the handshake
                client = self.tls.wrap_socket(client, server_side=True)
            with self._lock:
                if self._stopping:
                    return
                self._open.add(client)
            peer = Peer(client)
            while self._exchange(peer, number) and not self._stopping:
                pass
        except OSError:
            pass  # the client left, or stop() closed the connection: nothing is owed to anybody
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()

    def _exchange(self, peer: Peer, number: int) -> bool:
        """Serve one request; whether another may follow."""
        try:
            asked = peer.read_request()
        except BadRequest as error:
            peer.send(_error(error.status, error.message))
            return False
        if asked is None:
            return False
        url = asked.target if asked.target.startswith("http") else f"{self.origin}{asked.target}"
        try:
            seen, play = self.provider.receive(
                asked.method, url, asked.headers, asked.body, number, asked.head, asked.raw
            )
        except Exception as error:  # the script's own fault: told to the client here, to the test on leaving
            self.failures.append(error)
            peer.send(_error(500, f"the script failed: {error!r}"))
            return False
        more = self._perform(peer, seen, play) and asked.keep_alive
        if seen.number >= self.max_requests:
            self._halt()
        return more

    def _perform(self, peer: Peer, seen: SeenRequest, play: Play) -> bool:
        """Do what *play* says; whether the connection is still good."""
        head = "".join(f"{name}: {value}\r\n" for name, value in play.headers)
        opening = Send(f"HTTP/1.1 {play.status} {play.reason}\r\n{head}\r\n".encode("latin-1"))
        try:
            for act in (*play.before, opening, *play.body):
                if isinstance(act, Break):
                    self.provider.disconnect(seen, "broken")
                    return _break(peer, act)
                if not peer.wait(act.seconds if isinstance(act, Wait) else 0.0):
                    self.provider.disconnect(seen, "closed_early")
                    return False
                if act is opening:
                    peer.send(opening.data)
                elif isinstance(act, Send):
                    peer.send(b"%x\r\n%s\r\n" % (len(act.data), act.data) if play.chunked else act.data)
                    self.provider.hand_over(seen)
        except OSError:
            self.provider.disconnect(seen, "closed_early")
            return False
        # Recorded before the last bytes: who has read them may ask at once.  And who has the terminal event may leave.
        self.provider.disconnect(seen, "completed")
        if play.chunked and seen.method != "HEAD":
            peer.send(b"0\r\n\r\n")
        return True


def _break(peer: Peer, act: Break) -> bool:
    # A pause, or the client's kernel may throw away with the RST what its program has not read yet.
    time.sleep(0.01)
    if act.how == "connect_timeout":
        peer.wait(math.inf)
    if act.how in ("reset", "refuse"):
        peer.reset()
    else:
        peer.hang_up()
    return False


def _error(status: int, message: str) -> bytes:
    body = json.dumps({"error": {"message": message, "type": "fake_provider_error"}}).encode()
    head = f"HTTP/1.1 {status} Error\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + body


def _shut(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the client was faster
