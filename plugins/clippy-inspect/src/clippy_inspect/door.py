"""The secrets of one server of pages: its token, its one-time links, and the browsers that came through one."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Final

from attrs import define, field
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_serving import json_reply, reply, text_reply

from .access import ALLOWED, USED, Decision, Session, cookie_name, cookies_of, decide, is_secure, port_of
from .keys import Keys

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""On every answer, whoever asked and whatever came of it."""

_ENTERED: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>clippy</title>
<link rel="icon" href="data:,"><meta http-equiv="refresh" content="0;url=/">
<p><a href="/">Go on to the requests</a></p></html>
"""


@define(eq=False)
class Door:
    """Asked about every request.

    ``port`` is where the server listens, 0 until it does: then nothing is let in.  None is for pages on somebody
    else's server: then the port of the Host header counts, and an Origin must have the same.
    """

    port: int | None = 0
    hosts: Collection[str] = ()
    token: str = field(factory=lambda: secrets.token_urlsafe(32), repr=False)
    keys: Keys = field(factory=Keys, repr=False)

    def link(self) -> str:
        """A link that opens the pages in one browser, once, within ten minutes."""
        return f"http://127.0.0.1:{self.port}{self.code()}"

    def code(self) -> str:
        """The path of such a link."""
        return f"/open/{self.keys.code()}"

    def decide(self, request: RawRequest, websocket: bool = False) -> Decision:
        code = _code(request)
        return decide(
            request.method,
            request.url,
            request.headers,
            websocket=websocket,
            port=self.port,
            token=self.token,
            sessions=self._sessions(request),
            codes=(code,) if self.keys.is_good(code) else (),
            hosts=self.hosts,
        )

    def guard(self, request: RawRequest, websocket: bool) -> RawReply | None:
        """The answer to a request that is not let through (``clippy_serving.Pages``)."""
        decision = self.decide(request, websocket)
        if decision == ALLOWED:
            return None
        return text_reply(decision.status, decision.reason + "\n", HEADERS)

    async def open(self, request: RawRequest) -> RawReply:
        """Takes a one-time link for a cookie.

        The page goes on by itself instead of by a redirect: a browser that followed the link from another site would
        send no strict cookie with a redirect.
        """
        session = self.keys.entered(_code(request))
        if session is None:
            return text_reply(403, f"{USED}\n")
        cookie = f"{self._cookie(request)}={session.cookie}; HttpOnly; SameSite=Strict; Path=/"
        if is_secure(request.headers.get("host", ""), self.hosts):
            cookie += "; Secure"
        return reply(200, _ENTERED.encode(), "text/html; charset=utf-8", {"set-cookie": cookie})

    async def renew(self, request: RawRequest) -> RawReply:
        """The path of another link, for whoever has the token: what a browser was let in with lets in no other one."""
        if "authorization" not in request.headers:
            return text_reply(403, "Another link is for who sends the token as a bearer.\n")
        return json_reply({"path": self.code()})

    def csrf(self, request: RawRequest) -> str:
        """The value that the pages of this request's browser act with; "" for one that came with the token."""
        return next((one.csrf for one in self._sessions(request)), "")

    def _cookie(self, request: RawRequest) -> str:
        return cookie_name(port_of(request.headers.get("host", "")) if self.port is None else self.port)

    def _sessions(self, request: RawRequest) -> tuple[Session, ...]:
        """Of the browser that asks, if it has one."""
        found = map(self.keys.session, cookies_of(request.headers, self._cookie(request)))
        return tuple(session for session in found if session is not None)


def _code(request: RawRequest) -> str:
    return request.url.partition("?")[0].removeprefix("/open/")
