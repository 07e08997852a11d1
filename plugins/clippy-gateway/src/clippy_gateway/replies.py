"""An answer of the host as it goes to the caller: its headers."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from clippy_hookspecs import RequestContext
from clippy_hookspecs.services import RawReply
from clippy_serving import WHOLE

from .forms import Refused
from .headers import PLAIN

Pair = tuple[bytes, bytes]
Send = Callable[[Any], Awaitable[None]]

_KEPT_BACK = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"server", b"date",
        b"set-cookie", b"set-cookie2", b"set-login", b"activate-storage-access", b"clear-site-data", b"accept-ch",
        b"critical-ch", b"alt-svc", b"strict-transport-security", b"public-key-pins", b"expect-ct", b"nel",
        b"report-to", b"reporting-endpoints", b"service-worker-allowed", b"origin-agent-cluster",
        b"speculation-rules", b"timing-allow-origin", b"refresh",
        b"x-accel-redirect", b"x-accel-expires", b"x-accel-charset", b"x-accel-limit-rate", b"x-sendfile",
        b"x-lighttpd-send-file", b"x-reproxy-url", b"surrogate-control", b"surrogate-key",
    }
)  # fmt: skip
"""What belongs to one connection (RFC 9110 section 7.6.1), what a browser keeps of the provider's own origin, and what
a proxy before the gateway obeys: nginx sends the file that X-Accel-Redirect names."""

_OURS = (b"x-clippy-", b"access-control-")
"""What is for the gateway to say, whatever comes after it."""

_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""What names of headers are made of (RFC 9110 section 5.6.2)."""

_names, _values = itemgetter(0), itemgetter(1)
_CACHE_OFF, _CACHE_MISS = (b"x-clippy-cache", b"off"), (b"x-clippy-cache", b"miss")
_ONE_ATTEMPT = (b"x-clippy-attempts", b"1")


async def send_whole(send: Send, status: int, headers: Sequence[Pair], body: bytes) -> None:
    """An answer that is there as a whole."""
    await send({"type": "http.response.start", "status": status, "headers": headers, WHOLE: True})
    await send({"type": "http.response.body", "body": body})


def judge_status(status: int) -> None:
    """Raises Refused for what is no answer: a status that says to wait for it (1xx), or that HTTP does not have."""
    if not 200 <= status <= 599:
        raise Refused(502, "bad_status", f"the provider answered with the status {status}, which is none of an answer")


def reply_headers(reply: RawReply, own: list[Pair]) -> list[Pair]:
    """*own*, and those of *reply* that are the caller's business.

    A provider sends and a plugin makes anything: one that the server would not send, and break the answer off for, is
    left out.
    """
    fields = reply.headers.raw
    if b"".join(map(_names, fields)).translate(None, _TOKEN) or b"".join(map(_values, fields)).translate(None, PLAIN):
        fields = [(n, v) for n, v in fields if n and not n.translate(None, _TOKEN) and not v.translate(None, PLAIN)]
    kept, named = [], frozenset[bytes]()
    for name, value in fields:
        lower = name.lower()
        if lower not in _KEPT_BACK and not lower.startswith(_OURS):
            kept.append((lower, value))
        elif lower == b"connection":
            named |= _named(value)
    return own + (kept if named <= _KEPT_BACK else [pair for pair in kept if pair[0] not in named])


@lru_cache(maxsize=64)
def _named(connection: bytes) -> frozenset[bytes]:
    """What a Connection header says belongs to the connection as well (RFC 9110 section 7.6.1)."""
    return frozenset(name.strip().lower() for name in connection.split(b","))


def told(ctx: RequestContext | None, route: Pair) -> list[Pair]:
    """What the gateway says of the way of a request; one that no plugin had to do with gets its id here."""
    if ctx is None:
        return [(b"x-clippy-request-id", os.urandom(8).hex().encode()), route, _CACHE_OFF, _ONE_ATTEMPT]
    taken = route if ctx.route.name in ("", route[1].decode()) else (route[0], ctx.route.name.encode())
    return [
        (b"x-clippy-request-id", ctx.id.encode()),
        taken,
        _cache(ctx),
        (b"x-clippy-attempts", b"%d" % (ctx.attempt - ctx.unsent)),
    ]


def _cache(ctx: RequestContext) -> Pair:
    provenance: Any = ctx.provenance
    if provenance is not None and provenance.source == "cache":
        age = "" if provenance.age is None else f"; age={max(0, round(provenance.age))}"
        return (b"x-clippy-cache", f"hit{age}{'; stale' if provenance.stale else ''}".encode())
    return _CACHE_MISS if ctx.key is not None else _CACHE_OFF
