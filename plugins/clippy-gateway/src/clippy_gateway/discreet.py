"""What a caller is told of a failure that no provider told of: the route and the kind, and nothing of what is behind.

The host's own words name addresses, plugins and exceptions, which are the affair of whoever runs the gateway: they go
into its log.  A provider's error stays as it came.
"""

from __future__ import annotations

import orjson
from attrs import evolve
from clippy_hookspecs import ErrorInfo
from clippy_hookspecs.services import RawReply

from .callers import Caller
from .refusals import Refusals


def discreet(reply: RawReply, route: str, caller: Caller, refusals: Refusals) -> RawReply:
    """*reply* as *caller* may read it, with a line in the log for what is left out of it."""
    failure = reply.extensions.get("failure")
    if caller.key is None or not isinstance(failure, ErrorInfo) or not isinstance(reply.body, bytes):
        return reply
    ctx = reply.extensions.get("clippy")
    route = ctx.route.name or route if ctx is not None else route
    refusals.note_failed(caller.name, route, reply.status, failure, "" if ctx is None else ctx.id)
    what = f"the route {route}" if route else "the address in X-Clippy-Base-URL"
    told = orjson.loads(reply.body)
    told["error"]["message"] = f"{what} gave no answer: {failure.kind}"
    return evolve(reply, body=orjson.dumps(told))
