"""The secrets of one server of pages: its token, its one-time links, and the browsers that came through one."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection
from math import inf
from typing import Final
from urllib.parse import parse_qs

from attrs import define, field
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_serving import json_reply, reply, text_reply

from .access import (
    ALLOWED,
    UNKNOWN,
    USED,
    Decision,
    Session,
    cookie_name,
    cookies_of,
    decide,
    is_secure,
    port_of,
    same,
)
from .keys import Keys

log = logging.getLogger("clippy.inspect")

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


_STRANGER: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>clippy: not let in</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"><h1>Not let in</h1><p role="alert">{why}</p>
<p>There are three ways in:</p><ol>
<li>Open the link that the program printed when it started. It lets one browser in, once, within ten minutes.</li>
<li>Have another link made: <code>clippy inspect --link ADDRESS</code>, with what <code>token</code> in
<code>[plugins.inspect]</code> said when the program started.</li>
<li>Send that token: a script as <code>Authorization: Bearer</code>, you here:
<form method="post" action="/enter">
<label>Token <input name="token" type="password" autocomplete="off" required></label>
<button>Go in</button></form></li></ol>
<p>A program that was started without <code>token</code> has a random one that nobody is told, and a browser that it
let in comes in again only until it ends.</p></html>
"""
_FORM_HEADERS: Final = {**HEADERS, "referrer-policy": "same-origin"}
"""With no-referrer a browser would send the form with no Origin."""
_LONGEST_FORM: Final = 4096


@define(eq=False)
class Guesses:
    """Wrong tokens that this process was sent, told in the log once a minute at most.  Nothing else shows a guess.

    They are looked at however many they are.  Nobody can tell a program that guesses from the owner, so a limit for one
    would keep out the other; what no guess comes upon is a token of 24 characters.
    """

    now: Callable[[], float] = field(default=time.monotonic, repr=False)
    _untold: int = field(init=False, default=0)
    _told: float = field(init=False, default=-inf)

    def one_more(self) -> None:
        self._untold += 1
        if self.now() - self._told >= 60.0:
            log.warning("wrong tokens were sent to the pages of the debugger: %d", self._untold)
            self._told, self._untold = self.now(), 0


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
    guesses: Guesses = field(factory=Guesses, repr=False)

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
        if decision.reason == UNKNOWN:
            self.guesses.one_more()
        if decision.status == 401 or decision.reason == USED:
            return _not_in(request, decision.status, decision.reason)
        return text_reply(decision.status, decision.reason + "\n", HEADERS)

    async def open(self, request: RawRequest) -> RawReply:
        """Takes a one-time link for a cookie.

        The page goes on by itself instead of by a redirect: a browser that followed the link from another site would
        send no strict cookie with a redirect.
        """
        session = self.keys.entered(_code(request))
        if session is None:
            return _not_in(request, 403, USED)
        return self._let_in(request, session)

    async def enter(self, request: RawRequest) -> RawReply:
        """Takes the token, out of the form of our own page, for a cookie."""
        try:
            form = parse_qs(request.body[:_LONGEST_FORM].decode("utf-8", "replace"), max_num_fields=4)
        except ValueError:
            form = {}
        if not same(form.get("token", [""])[0].strip(), self.token):
            self.guesses.one_more()
            return _stranger(401, UNKNOWN)
        return self._let_in(request, self.keys.begun())

    def _let_in(self, request: RawRequest, session: Session) -> RawReply:
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


def _not_in(request: RawRequest, status: int, why: str) -> RawReply:
    """To a browser that may come in the ways to do so, to a program the reason."""
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        return _stranger(status, why)
    return text_reply(status, f"{why}\n", HEADERS)


def _stranger(status: int, why: str) -> RawReply:
    return reply(status, _STRANGER.format(why=why).encode(), "text/html; charset=utf-8", _FORM_HEADERS)


def _code(request: RawRequest) -> str:
    return request.url.partition("?")[0].removeprefix("/open/")
