"""Sending a recorded request again, through the running program's own host, and showing what became of it."""

from __future__ import annotations

import difflib
import json
from typing import Any
from urllib.parse import parse_qs

from clippy_hookspecs import Headers, Host, Scope, evolve
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange
from clippy_recorder.har import answer_of, answer_pieces
from clippy_recorder.questions import not_kept, question_of
from clippy_recorder.rerunning import request_of, route_for, said

from .failures import why
from .threads import in_the_program
from .view import Page, View

SENT_AGAIN = "sent-again"
"""The session of what these pages sent, by which the dashboard tells it from what callers sent."""
_NO_HOST = "a recording has no providers; clippy replay FILE --live sends its requests again"


def pages(view: View) -> list[Page]:
    """The routes of this module: sending again."""

    async def replay(request: RawRequest) -> RawReply:
        """``POST /api/replay`` with ``id``: sent to the route that answered then, with the route's own credentials.

        The reply names the new request and, if it failed, why, and takes a page there.  It is sent for good: it costs
        what it costs.
        """
        wanted = _wanted(request)
        if wanted is not None and view.source.find(wanted) is None:
            await view.look()
        exchange = await view.whole(wanted) if wanted is not None else None
        if exchange is None:
            return view.json({"error": "no such request is kept"}, 404)
        host = view.host()
        if host is None:
            return view.json({"error": _NO_HOST}, 409)
        if question_of(exchange) is None:
            return view.json({"error": not_kept(exchange)}, 409)
        try:
            again = _for_good(request_of(exchange, route_for(exchange, host)))
        except LookupError as error:
            return view.json({"error": f"{error}; the caller's own credentials are not recorded"}, 409)
        work = _answer(host, again)
        reply, now = await (in_the_program(view.loop(), work) if view.apart else work)
        ctx = reply.extensions.get("clippy")
        made = {"id": getattr(ctx, "id", None), "status": reply.status, **_compared(exchange, reply.status, now)}
        made["error"] = _why(reply, view.source.find(made["id"]) if made["id"] else None)
        answer = view.json(made)
        if made["id"] is None:
            return answer
        more = (("hx-redirect", f"/requests/{made['id']}"),)
        return RawReply(200, Headers((*answer.headers.pairs, *more)), answer.body, {})

    return [("POST", "/api/replay", replay)]


def _wanted(request: RawRequest) -> str | None:
    """The id in a JSON object or a form."""
    text = request.body.decode("utf-8", "replace")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = {name: values[-1] for name, values in parse_qs(text, max_num_fields=20).items()}
    wanted = told.get("id") if isinstance(told, dict) else None
    return wanted if isinstance(wanted, str) else None


def _for_good(request: RawRequest) -> RawRequest:
    """*request* as the provider is asked it: what a cache has is what was said then.

    For whom it was, so that it is the same request; what it costs is not that caller's, which its session tells.
    """
    headers = Headers([*request.headers.pairs, ("x-clippy-cache", "no-cache")])
    return evolve(request, headers=headers, scope=evolve(request.scope or Scope(), session=SENT_AGAIN))


def _why(reply: RawReply, kept: Exchange | None) -> str | None:
    """What failed, as it was *kept* or as the answer says; None if nothing did."""
    error = None if kept is None else kept.error
    if error and error.get("message"):
        return why(error)
    if reply.status < 400 or not isinstance(reply.body, bytes):
        return None if error is None else why(error)
    refusal = reply.extensions.get("refusal")
    kind = error.get("kind") if error else None if refusal is None else f"refused, {refusal}"
    return why({"kind": kind, "message": _message(reply.body)})


def _message(body: bytes) -> str | None:
    """What an answer says of its failure, wherever the APIs have it."""
    try:
        told = json.loads(body)
        message = told["error"]["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return message if isinstance(message, str) else None


async def _answer(host: Host, request: RawRequest) -> tuple[RawReply, str]:
    """The reply and what it says: read to its end, since a request that nobody reads is not over."""
    reply = await host.answer(request)
    if isinstance(reply.body, bytes):
        return reply, said(reply.body)
    parts: list[bytes] = []
    try:
        while (piece := await reply.body.next()) is not None:
            parts.append(piece)
    finally:
        await reply.body.aclose()
    return reply, said(b"".join(parts))


def _compared(exchange: Exchange, status: int, now: str) -> dict[str, Any]:
    """What the answer said then and says now, and the lines in which they differ."""
    before = said(answer_of(exchange).body or b"".join(piece.data for piece in answer_pieces(exchange)))
    lines = difflib.unified_diff(before.splitlines(), now.splitlines(), "recorded", "again", lineterm="", n=2)
    return {
        "recorded": {"status": exchange.status, "text": before},
        "now": {"status": status, "text": now},
        "same": (exchange.status, before) == (status, now),
        "difference": list(lines)[2:],
    }
