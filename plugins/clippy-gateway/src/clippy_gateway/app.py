"""The gateway as a raw ASGI application: a request comes in, the host answers it, the answer goes out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field
from clippy_hookspecs import Headers
from clippy_hookspecs.services import Host, RawReply, RawRequest
from clippy_serving import STALLED

from .access import Access, Line
from .bodies import Gone, judge_json, read_body, too_slow
from .callers import Caller, Callers, name_of
from .choosing import ANTHROPIC, Choice
from .discreet import discreet
from .elsewhere import request_elsewhere
from .forms import Refused, error_body, error_headers, is_anthropic
from .heads import judge_fields, judge_size, read_head
from .models import models_reply
from .paths import judge_object, judge_type, place_of
from .refusals import Refusals
from .replies import judge_status, reply_headers, send_whole, told
from .settings import RequestLimits
from .watching import Cancelled, Watch, ended, pump, was_cancelled

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Head = dict[bytes, bytes]

log = logging.getLogger("clippy.gateway")

_NO_ROUTE = (b"x-clippy-route", b"")
_ENDING = 3.0
"""Seconds in which a request that was cancelled is settled: a little more than the host takes for that."""

_FOR_THE_GATEWAY = frozenset({b"x-clippy-route", b"x-clippy-base-url"})
_OF_AN_OPEN_PAGE = frozenset({(b"hx-request", b"true"), (b"accept", b"text/event-stream")})
_WHOSE = _FOR_THE_GATEWAY | {b"x-clippy-tenant", b"x-clippy-user", b"x-clippy-session"}
"""Of a caller with a key these say nothing to the host; without keys it judges them by its ``trust_headers``."""


@define(eq=False)
class GatewayApp:
    """Passes requests through *host*.

    ``drain`` is called when it shall end: from then on it is not ready, and after ``notice`` seconds nobody needs to
    take more connections.
    """

    host: Host
    callers: Callers
    choice: Choice
    limits: RequestLimits = field(factory=RequestLimits)
    pages: Any = None
    notice: float = 0.0
    refusals: Refusals = field(factory=Refusals)
    access: Access | None = None
    when_open: Callable[[], object] | None = None
    when_draining: Callable[[int], object] | None = None
    ready: bool = field(default=False, init=False)
    draining: bool = field(default=False, init=False)
    busy: int = field(default=0, init=False)
    broken: int = field(default=0, init=False)
    _routes: dict[str, tuple[bytes, bytes]] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._routes = {name: (b"x-clippy-route", name.encode("latin-1", "replace")) for name in self.choice.routes}

    async def drain(self) -> None:
        """Say that no more requests should come, and wait until whoever asks for that has heard it."""
        self.draining = True
        if self.when_draining is not None:
            self.when_draining(self.busy)
        await asyncio.sleep(self.notice)
        if self.pages is not None:
            self.pages.drain()

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        kind = scope["type"]
        if kind == "http":
            return self._http(scope, receive, send)
        return self._websocket(receive, send) if kind == "websocket" else self._lifespan(receive, send)

    def refused_unread(self, status: int, code: str) -> None:
        """The server refused what never became a request."""
        self.refusals.note(Refused(status, code, ""), "", "*", "*", "none")
        if self.access is not None:
            self.access.refused_unread(status, code)

    async def open(self) -> None:
        """Open the host for this event loop.  Raises what its plugins raise."""
        if self.access is not None:
            self.access.open()
        opener: Any = self.host
        await opener.aopen()
        if self.pages is not None and self.pages.siblings is not None:
            await self.pages.siblings.open()
        self.ready = True
        if self.when_open is not None:
            self.when_open()

    async def close(self) -> None:
        """Close what the host holds in this event loop, after those whom the server has just cancelled."""
        self.ready = False
        until = asyncio.get_running_loop().time() + _ENDING
        while self.busy and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - waited for once
            await asyncio.sleep(0.01)
        if self.pages is not None and self.pages.siblings is not None:
            await self.pages.siblings.close()
        opener: Any = self.host
        await opener.aclose()
        if self.access is not None:
            await asyncio.to_thread(self.access.close)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.open()
        except Exception as error:
            log.error("the gateway cannot open: %s", error)
            await send({"type": "lifespan.startup.failed", "message": f"the gateway cannot open: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _websocket(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: the client gets a 403

    def _http(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        path: str = scope["path"]
        if scope["method"] in ("GET", "HEAD") and path in ("/health", "/ready"):
            return self._state(path, send)
        if self.access is None:
            return self._judged(scope, receive, send, None)
        return self._noted(scope, receive, send, self.access)

    async def _noted(self, scope: Any, receive: Receive, send: Send, access: Access) -> None:
        line = access.begin(scope, receive, send)
        try:
            await self._judged(scope, line.receive, line.send, line)
        finally:
            if STALLED in scope:
                line.left = "stalled"
            line.end()

    async def _judged(self, scope: Any, receive: Receive, send: Send, line: Line | None) -> None:
        """A page, the host's answer, or why there is none; *line* learns what only we know."""
        path: str = scope["path"]
        if self.pages is not None and self.pages.handlers(path):
            if line is not None:
                told = map(tuple, scope["headers"])
                line.again = scope["method"] == "GET" and not _OF_AN_OPEN_PAGE.isdisjoint(told)
            await self.pages(scope, receive, send)
            return
        head: Head = {}
        caller: Caller | None = None
        try:
            head = read_head(scope, self.limits)
            caller = self.callers.find(head)
            if line is not None:
                line.caller = caller.name
            judge_size(scope, head, self.limits)
            self._admit(caller)
            try:
                await self._pass(scope, head, caller, receive, send)
            finally:
                self.busy -= 1
                caller.busy -= 1
        except Refused as refused:
            await self._refuse(refused, scope, head, caller, send, line)
        except Gone:  # nobody is there to be answered
            if STALLED in scope:
                self.refusals.note_stalled(name_of(caller), scope["method"], path)
        except Cancelled:
            if line is not None:
                line.left = "cancelled"
        except Exception:
            log.exception("a request failed in the gateway itself")
            failed = Refused(500, "gateway_error", "the gateway failed; its log says why")
            await self._refuse(failed, scope, head, caller, send, line)

    async def _refuse(
        self, refused: Refused, scope: Any, head: Head, caller: Caller | None, send: Send, line: Line | None
    ) -> None:
        path, request_id = scope["path"], os.urandom(8).hex()
        self.refusals.note(refused, name_of(caller), scope["method"], path, request_id)
        if line is not None:
            line.refused, line.stranger = refused.code, refused.stranger
        body = error_body(is_anthropic(path, head), refused.status, refused.code, refused.message, request_id)
        headers = [(b"x-clippy-request-id", request_id.encode()), *error_headers(refused, body)]
        await send_whole(send, refused.status, headers, body)

    def _admit(self, caller: Caller) -> None:
        """Count a request, for as long as it takes.  Raises Refused where there are enough."""
        most = self.limits.concurrency
        if self.busy >= most or (caller.key is not None and caller.busy >= (caller.key.concurrency or most)):
            wait = ((b"retry-after", b"1"),)
            raise Refused(429, "too_many_requests", "too many requests at the same time", headers=wait, close=True)
        self.busy += 1
        caller.busy += 1

    async def _pass(self, scope: Any, head: Head, caller: Caller, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        place = place_of(method, path, scope["raw_path"])
        anthropic = place.api == ANTHROPIC or b"anthropic-version" in head
        judge_type(place, head)
        caller.judge_call(method, path)
        watch = Watch(receive, self.limits.seconds)
        try:
            body = await read_body(receive, self.limits)
            watch.has_body()
            await judge_json(body, head.get(b"content-type", b"json"), self.limits)
            model = judge_object(body) if place.read_as_json else None
            if method == "GET" and self.choice.models:
                listed = models_reply(path, self.choice, caller, anthropic)
                if listed is not None:
                    await send_whole(send, *listed)
                    return
            request = self._request(scope, head, caller, ANTHROPIC if anthropic else place.api, body, model)
            given = await self.host.answer(request)
            reply = discreet(given, request.route, caller, self.refusals, anthropic)
            if reply is not given and not isinstance(given.body, bytes):
                await given.body.aclose()
            await self._reply(reply, request.route, method, send, watch)
        except asyncio.CancelledError:
            if not (watch.late or watch.gone or self.draining):
                raise
            why = ended()
            if watch.late:
                raise too_slow(self.limits) from None
            if watch.gone:
                raise Gone from None
            self.broken += 1
            if watch.told:
                log.warning("the answer to request %s broke off: the gateway ended", watch.told)
                return
            raise why from None
        finally:
            watch.stop()

    def _request(self, scope: Any, head: Head, caller: Caller, api: str, body: bytes, model: str | None) -> RawRequest:
        """The request as the host gets it.  Raises Refused for what this caller may not ask for."""
        judge_fields(scope["headers"])
        method, target = scope["method"], scope["raw_path"].decode("ascii")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("ascii")
        fields, whose, only = scope["headers"], caller.scope_of(head), caller.routes
        base, named = head.get(b"x-clippy-base-url"), head.get(b"x-clippy-route")
        ours = _FOR_THE_GATEWAY if caller.key is None else _WHOSE
        if not ours.isdisjoint(head):
            fields = [pair for pair in fields if pair[0] not in ours]
        if base is not None:
            return request_elsewhere(base.decode("latin-1"), caller, whose, method, target, fields, body)
        wanted = None if named is None else named.decode("latin-1")
        route = self.choice.route(caller, wanted, api, body, model)
        return RawRequest(method, "http://gateway" + target, Headers.undecoded(fields), body, route, whose, only)

    async def _reply(self, reply: RawReply, route: str, method: str, send: Send, watch: Watch) -> None:
        body = reply.body
        try:
            judge_status(reply.status)
            own = told(reply.extensions.get("clippy"), self._routes.get(route, _NO_ROUTE))
            headers, watch.told = reply_headers(reply, own), own[0][1].decode()
            if isinstance(body, bytes):
                bare = method == "HEAD" or reply.status in (204, 304)  # without a body, whatever a plugin gave it
                if not bare:
                    headers.append((b"content-length", b"%d" % len(body)))
                watch.stop()
                await send_whole(send, reply.status, headers, b"" if bare else body)
                return
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            try:
                await pump(body, send, watch)
            except Gone:
                raise
            except Exception as error:
                if was_cancelled(reply):
                    raise Cancelled from None
                # Nothing more is sent, no end either: the server closes the connection, and nobody takes it for whole.
                log.warning("the answer to request %s broke off: %s", watch.told, type(error).__name__)
        finally:
            if not isinstance(body, bytes):
                await body.aclose()

    async def _state(self, path: str, send: Send) -> None:
        fine = path == "/health" or (self.ready and not self.draining)
        text = b"ok\n" if fine else b"draining\n" if self.draining else b"not open\n"
        fields = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
        await send_whole(send, 200 if fine else 503, fields, text)
