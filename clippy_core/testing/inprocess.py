"""Transports that perform a play inside the process, for httpx and httpx2, plain and async.

The faults arrive as the module's own exceptions, with the words of its real transport.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from attrs import define, field

from .play import Action, Break, Play, Send
from .seen import SeenRequest

if TYPE_CHECKING:
    from .provider import Ending, FakeProvider

_REASONS = {"reset": "[Errno 104] Connection reset by peer", "refuse": "[Errno 111] Connection refused"}


def sync_transport(module: ModuleType, provider: FakeProvider) -> Any:
    """A ``module.BaseTransport`` in front of *provider*."""
    return _class(_Transport, module, "BaseTransport")(module, provider)


def async_transport(module: ModuleType, provider: FakeProvider) -> Any:
    """A ``module.AsyncBaseTransport`` in front of *provider*."""
    return _class(_AsyncTransport, module, "AsyncBaseTransport")(module, provider)


@functools.cache
def _class(behaviour: type[Any], module: ModuleType, interface: str) -> type[Any]:
    """*behaviour* as an implementation of the module's *interface*: the two modules' classes are not related."""
    return type(f"Fake{interface}", (behaviour, getattr(module, interface)), {})


@define(eq=False)
class _Exchange:
    """One request under way: where its play stands, and how it ended."""

    module: Any
    provider: FakeProvider
    seen: SeenRequest
    play: Play
    origin: str
    timeouts: dict[str, float | None]
    acts: list[Action] = field(init=False)
    at_head: bool = field(init=False, default=True)
    received: int = field(init=False, default=0)
    settled: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.acts = list(reversed(self.play.before))

    def start_body(self) -> None:
        """The head is over."""
        self.at_head = False
        self.acts = list(reversed(self.play.body))

    def next(self) -> Send | float | None:
        """The next piece, or seconds to wait, or None at the end.  Raises what the real transport would raise."""
        if not self.acts:
            if not self.at_head:
                self.settle("completed", keep=True)
            return None
        act = self.acts.pop()
        if isinstance(act, Break):
            self.settle("broken")
            raise self.broken(act)
        if isinstance(act, Send):
            self.received += len(act.data)
            self.provider.hand_over(self.seen)
            return act
        return act.seconds

    def broken(self, act: Break) -> Exception:
        """The module's exception for *act*."""
        if act.how == "connect_timeout":
            self.pass_time(self.timeouts.get("connect"))
            return self._error("ConnectTimeout", "timed out")
        if act.how != "hangup":
            return self._error("ConnectError" if act.how == "refuse" else "ReadError", _REASONS[act.how])
        if self.at_head:
            return self._error("RemoteProtocolError", "Server disconnected without sending a response.")
        size = sum(len(sent.data) for sent in self.play.body if isinstance(sent, Send))
        announced = next((value for name, value in self.play.headers if name == "content-length"), str(size))
        how = (
            "incomplete chunked read" if self.play.chunked else f"received {self.received} bytes, expected {announced}"
        )
        return self._error(
            "RemoteProtocolError", f"peer closed connection without sending complete message body ({how})"
        )

    def limit(self, seconds: float) -> tuple[float, Exception | None]:
        """How long a wait of *seconds* lasts for this client, and the exception that ends it."""
        patience = self.timeouts.get("read")
        if patience is not None and seconds > patience:
            return patience, self._error("ReadTimeout", "timed out")
        if math.isinf(seconds) and self.provider.clock is not None:
            # Nothing else could end it: virtual time passes only when somebody moves it.
            return 0.0, self._error("ReadTimeout", "timed out")
        return seconds, None

    def pass_time(self, seconds: float | None) -> bool:
        """Let virtual time pass; False when there is no virtual clock and somebody must really wait."""
        if self.provider.clock is None:
            return False
        self.provider.clock.advance(seconds or 0.0)
        return True

    def settle(self, how: Ending, *, keep: bool = False) -> None:
        """Record the end, once."""
        if not self.settled:
            self.settled = True
            self.provider.disconnect(self.seen, how, self.origin if keep else None)

    def close(self) -> None:
        """The client closes: early if a piece or a break was still to come."""
        self.settle("closed_early" if self.acts else "completed")

    def response(self, stream: Any) -> Any:
        """The module's response with *stream* as its body."""
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.play.headers]
        extensions = {"http_version": b"HTTP/1.1", "reason_phrase": self.play.reason.encode()}
        return self.module.Response(self.play.status, headers=headers, stream=stream, extensions=extensions)

    def _error(self, name: str, text: str) -> Exception:
        error: Exception = getattr(self.module, name)(text)
        return error


def _open(module: Any, provider: FakeProvider, request: Any, body: bytes) -> _Exchange:
    target = request.url.raw_path
    lines = [b"%s: %s" % (name, value) for name, value in request.headers.raw]
    head = b"\r\n".join([b"%s %s HTTP/1.1" % (request.method.encode(), target), *lines, b"", b""])
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    origin = f"{request.url.scheme}://{request.url.netloc.decode()}"
    connection = provider.connect(origin)
    seen, play = provider.receive(request.method, str(request.url), headers, body, connection, head, head + body)
    timeouts = request.extensions.get("timeout") or {}
    return _Exchange(module, provider, seen, play, origin, timeouts)


class _Transport:
    def __init__(self, module: Any, provider: FakeProvider) -> None:
        self._module, self._provider = module, provider

    def handle_request(self, request: Any) -> Any:
        exchange = _open(self._module, self._provider, request, request.read())
        stream = _class(_Body, self._module, "SyncByteStream")(exchange)
        stream.pull()
        exchange.start_body()
        return exchange.response(stream)


class _Body:
    """The pieces of an answer; a second iteration goes on where the first stopped, as a socket does."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self.pull()
        if piece is None:
            raise StopIteration
        return piece

    def pull(self) -> bytes | None:
        """The next piece, None at the end; waits as the play says."""
        if self._closed.is_set():
            return None
        try:
            while True:
                act = self._exchange.next()
                if act is None or isinstance(act, Send):
                    return None if act is None else act.data
                seconds, error = self._exchange.limit(act)
                if not self._exchange.pass_time(seconds):
                    self._wait(seconds)
                if error is not None:
                    raise error
        except BaseException:
            self._exchange.settle("closed_early")
            raise

    def _wait(self, seconds: float) -> None:
        # Another thread may close the stream meanwhile: what a watchdog does to a socket.
        if self._closed.wait(None if math.isinf(seconds) else seconds):
            raise self._exchange.module.ReadError("[Errno 9] Bad file descriptor")

    def close(self) -> None:
        self._closed.set()
        self._exchange.close()


class _AsyncTransport:
    def __init__(self, module: Any, provider: FakeProvider) -> None:
        self._module, self._provider = module, provider

    async def handle_async_request(self, request: Any) -> Any:
        exchange = _open(self._module, self._provider, request, await request.aread())
        stream = _class(_AsyncBody, self._module, "AsyncByteStream")(exchange)
        await stream.pull()
        exchange.start_body()
        return exchange.response(stream)


class _AsyncBody:
    """As :class:`_Body`, for asyncio and trio."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._closed = anyio.Event()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self.pull()
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def pull(self) -> bytes | None:
        """The next piece, None at the end; waits as the play says."""
        if self._closed.is_set():
            return None
        try:
            await anyio.lowlevel.checkpoint()
            while True:
                act = self._exchange.next()
                if act is None or isinstance(act, Send):
                    return None if act is None else act.data
                seconds, error = self._exchange.limit(act)
                if not self._exchange.pass_time(seconds):
                    await self._wait(seconds)
                if error is not None:
                    raise error
        except BaseException:
            self._exchange.settle("closed_early")
            raise

    async def _wait(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._closed.wait()
            raise self._exchange.module.ReadError("")

    async def aclose(self) -> None:
        self._closed.set()
        self._exchange.close()
