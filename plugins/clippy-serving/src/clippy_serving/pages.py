"""Routes as an ASGI application: what ``register_routes`` of plugins fills and a server asks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import anyio
from attrs import define, field
from clippy_hookspecs import Headers
from clippy_hookspecs.services import RawReply, RawRequest

from .limits import Limits, fault_of_body, fault_of_head, target_of
from .replies import text_reply
from .sending import Gone, send_reply

if TYPE_CHECKING:
    from .siblings import Siblings

Handler = Callable[[RawRequest], Awaitable[RawReply]]
Guard = Callable[[RawRequest, bool], RawReply | None]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_log = logging.getLogger("clippy.serving")


@define(eq=False)
class Pages:
    """Handlers by method and path; an ASGI 3 application that implements ``clippy_hookspecs.Routes``.

    ``guard`` is asked about every request, with its head only and whether it asks for a websocket: what it returns is
    the answer, None lets the request pass.  ``fallback`` answers paths that no handler has (404 without one).
    ``headers`` are on every answer.  HEAD is answered from the handler of GET.  ``siblings`` are the processes that
    serve the same address, of which this is one or the supervisor; None: it is alone.  ``address`` is what a browser of
    this machine goes to, such as ``http://127.0.0.1:8080``; "": it is not known, or no browser can.  ``tell`` says a
    line to who started the server, in the form of what else it says; None: nothing has a form.
    """

    limits: Limits = field(factory=Limits)
    guard: Guard | None = None
    fallback: Handler | None = None
    headers: Mapping[str, str] = field(factory=dict)
    siblings: Siblings | None = None
    address: str = ""
    tell: Callable[[str], None] | None = None
    _exact: dict[str, dict[str, Handler]] = field(factory=dict, init=False, repr=False)
    _below: dict[str, dict[str, Handler]] = field(factory=dict, init=False, repr=False)
    _draining: bool = field(default=False, init=False)
    _endless: set[anyio.CancelScope] = field(factory=set, init=False, repr=False)

    def route(self, method: str, path: str, handler: Handler) -> None:
        """See ``clippy_hookspecs.Routes.route``."""
        if not path.startswith("/") or "?" in path or "#" in path:
            raise ValueError(f"{path!r} is no path of a page: it must begin with a slash and have no query")
        known = self._below.setdefault(path[:-1], {}) if path.endswith("/*") else self._exact.setdefault(path, {})
        if method in known:
            raise ValueError(f"{method} {path} is taken")
        known[method] = handler

    def handlers(self, path: str) -> Mapping[str, Handler]:
        """The handlers of a path by method: of exactly this path, else of the longest ``/*`` that it is below."""
        if found := self._exact.get(path):
            return found
        end = len(path)
        while (end := path.rfind("/", 0, end)) >= 0:
            if found := self._below.get(path[: end + 1]):
                return found
        return {}

    async def answer(self, request: RawRequest) -> RawReply:
        """The answer to a request whose url is a path with its query; raises what the handler raises."""
        found = self.handlers(request.url.partition("?")[0])
        handler = found.get(request.method) or (found.get("GET") if request.method == "HEAD" else None)
        if handler is not None:
            return await handler(request)
        if found:
            allowed = sorted({*found, *(["HEAD"] if "GET" in found else [])})
            return text_reply(405, "This path has no such method.\n", {"allow": ", ".join(allowed)})
        if self.fallback is not None:
            return await self.fallback(request)
        return text_reply(404, "There is nothing here.\n")

    def drain(self) -> None:
        """End the answers that would never end by themselves (extension ``endless``), now and from now on.

        To be called in the server's event loop.
        """
        self._draining = True
        for scope in tuple(self._endless):
            scope.cancel()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the client gets a 403
        elif scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": message["type"] + ".complete"})
            await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        reply = self._refusal(scope)
        if reply is None:
            try:
                reply = await self._answer(scope, receive)
            except Gone:
                return  # nobody is there to be answered
            except Exception:
                sent = target_of(scope).partition(b"?")[0]  # not decoded, when it could speak to a terminal
                _log.exception("%s %s failed", scope["method"], sent[:200].decode("ascii"))
                reply = self._closing(text_reply(500, "This page failed; the server's log says why.\n"))
        await self._send(reply, receive, send, head)

    async def _send(self, reply: RawReply, receive: Receive, send: Send, head: bool) -> None:
        endless = bool(reply.extensions.get("endless"))
        until = anyio.CancelScope()
        if endless:
            self._endless.add(until)
            if self._draining:
                until.cancel()
        try:
            await send_reply(reply, self.headers, receive, send, head=head, until=until)
        finally:
            self._endless.discard(until)

    def _refusal(self, scope: Mapping[str, Any]) -> RawReply | None:
        fault = fault_of_head(scope, self.limits)
        if fault is not None:
            return self._closing(text_reply(fault[0], fault[1] + "\n"))
        if self.guard is None:
            return None
        request = _request(scope, b"")
        denied = self.guard(request, request.headers.get("upgrade", "").lower() == "websocket")
        return None if denied is None else self._closing(denied)

    async def _answer(self, scope: Mapping[str, Any], receive: Receive) -> RawReply:
        body = b""
        try:
            with anyio.fail_after(self.limits.body_seconds):
                more = True
                while more:
                    piece, more = await _piece(receive)
                    body += piece
                    if (fault := fault_of_body(len(body), self.limits)) is not None:
                        return self._closing(text_reply(fault[0], fault[1] + "\n"))
        except TimeoutError:
            return self._closing(text_reply(408, f"The body took more than {self.limits.body_seconds:g} s.\n"))
        return await self.answer(_request(scope, body))

    @staticmethod
    def _closing(reply: RawReply) -> RawReply:
        """*reply* to a request whose body was not read: the connection cannot be used again."""
        return RawReply(
            reply.status, Headers((*reply.headers.pairs, ("connection", "close"))), reply.body, reply.extensions
        )


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """The next piece of a body, and whether another one comes.  Raises Gone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)


def _request(scope: Mapping[str, Any], body: bytes) -> RawRequest:
    return RawRequest(scope["method"], target_of(scope).decode("ascii"), Headers.undecoded(scope["headers"]), body)
