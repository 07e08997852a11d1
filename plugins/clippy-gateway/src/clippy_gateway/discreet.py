"""What a caller is told of a failure that is none of its own: the route and the kind, and nothing of what is behind.

The host's own words name addresses, plugins and exceptions, which are the affair of whoever runs the gateway: they go
into its log.  So does that a provider does not take the key of a route: the caller's own key is right, and an SDK that
is told 401 says that it is not.  Any other error of a provider stays as it came.
"""

from __future__ import annotations

import re

import orjson
from attrs import evolve
from clippy_hookspecs import ErrorInfo, Headers
from clippy_hookspecs.services import RawReply

from .callers import Caller
from .forms import error_body
from .refusals import Refusals

_FORBIDS = re.compile(
    r"\bkeys?\b|\bapi[_-]?key|credential|(?:security|access) token|signature|unauthori[sz]ed|authenticat", re.IGNORECASE
)
"""What a 403 says that is about who asks; the others are about what was asked, or from where."""
_JUDGED = 4096
"""Characters of a message that are looked into."""


def discreet(reply: RawReply, route: str, caller: Caller, refusals: Refusals, anthropic: bool = False) -> RawReply:
    """*reply* as *caller* may read it, with a line in the log for what is left out of it.

    The body of another answer than *reply* is not the one of *reply*, which is then to be closed.
    """
    if reply.status < 400 or caller.key is None:
        return reply
    failure, ctx = reply.extensions.get("failure"), reply.extensions.get("clippy")
    if ctx is not None:
        route = ctx.route.name or route
    request_id = "" if ctx is None else ctx.id
    if isinstance(failure, ErrorInfo):
        if not isinstance(reply.body, bytes):
            return reply
        refusals.note_failed(caller.name, route, reply.status, failure, request_id)
        what = f"the route {route}" if route else "the address in X-Clippy-Base-URL"
        told = orjson.loads(reply.body)
        told["error"]["message"] = f"{what} gave no answer: {failure.kind}"
        return evolve(reply, body=orjson.dumps(told))
    if not route or not _about_its_key(reply):
        return reply
    known = ErrorInfo("auth", "key_refused", message=f"the provider answered {reply.status} to routes.{route}.key")
    refusals.note_failed(caller.name, route, reply.status, known, request_id)
    message = f"the provider refused the gateway's key for the route {route}; whoever runs the gateway can mend that"
    headers = Headers({"content-type": "application/json", "x-should-retry": "false"})
    return RawReply(
        502, headers, error_body(anthropic, 502, "route_key_refused", message, request_id), reply.extensions
    )


def _about_its_key(reply: RawReply) -> bool:
    """Whether a provider says that it does not take the key that it was sent."""
    ctx = reply.extensions.get("clippy")
    if "refusal" in reply.extensions or (ctx is not None and getattr(ctx.provenance, "source", "") == "plugin"):
        return False  # a plugin's own words are for the caller
    return reply.status == 401 or (reply.status == 403 and bool(_FORBIDS.search(_said(reply.body))))


def _said(body: object) -> str:
    """The code and the message of an error, without what it quotes of the question."""
    try:
        told = orjson.loads(body if isinstance(body, bytes) else b"")
    except ValueError:
        return ""
    error = told.get("error", told) if isinstance(told, dict) else told
    if isinstance(error, dict):
        error = " ".join(str(error.get(name, "")) for name in ("code", "status", "message"))
    return str(error)[:_JUDGED]
