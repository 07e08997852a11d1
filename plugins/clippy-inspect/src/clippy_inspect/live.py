"""The live list: the newest requests, those that a filter lets through."""

from __future__ import annotations

import datetime
from typing import Any

from attrs import frozen
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange

from .failures import not_sent
from .filter import TERMS, Filter, FilterError, parse, retried, tokens
from .generating import generates, path
from .numbers import count, many
from .view import Page, View, arguments

SHOWN = 200
SEARCHED = 5000
_TONES = {"answered": "good", "cached": "kept", "running": "busy", "refused": "held"}


@frozen
class Row:
    """One line of the list."""

    id: str
    began: float
    when: str
    state: str
    tone: str
    model: str | None
    what: str
    status: int | None
    duration: int | None
    first_token: int | None
    tokens_in: int | None
    tokens_out: int | None
    cost: float | None
    notes: tuple[str, ...]


def row(exchange: Exchange) -> Row:
    """The line of one request."""
    tokens_in, tokens_out = tokens(exchange)
    return Row(
        exchange.id,
        exchange.began,
        datetime.datetime.fromtimestamp(exchange.began, datetime.UTC).isoformat(timespec="milliseconds"),
        exchange.state,
        tone(exchange.state),
        exchange.model,
        what(exchange),
        exchange.status,
        exchange.duration,
        exchange.first_token,
        tokens_in,
        tokens_out,
        exchange.cost,
        tuple(notes(exchange)),
    )


def what(exchange: Exchange) -> str:
    """What was asked: the wire API of a call that asks a model to generate, else method and path."""
    if exchange.api and generates(exchange.method, exchange.url):
        return exchange.api
    return f"{exchange.method} {path(exchange.url) or exchange.url}"


def tone(state: str) -> str:
    """The colour's name for a state; the word itself is shown beside it."""
    return _TONES.get(state, "bad")


def notes(exchange: Exchange) -> list[str]:
    """What is out of the ordinary: a list of short words."""
    said = []
    if exchange.stream:
        said.append("stream")
    if retried(exchange):
        said.append(f"{len(exchange.attempts)} attempts")
    if not_sent(exchange) is not None:
        said.append("refused before it was sent")
    if exchange.provenance and (by := exchange.provenance.get("by")):
        said.append(f"from {by}")
    if exchange.route:
        said.append(exchange.route)
    if exchange.error:
        said.append(str(exchange.error.get("kind") or exchange.error.get("category") or "error"))
    if exchange.usage is not None and exchange.usage.estimated:
        said.append("tokens counted")
    if exchange.parent:
        said.append("asked by a plugin")
    return said


def whose(exchange: Exchange) -> str:
    """Tenant, user and session, as far as they are known."""
    scope = exchange.scope
    known = (("tenant", scope.tenant), ("user", scope.user), ("session", scope.session))
    return ", ".join(f"{name} {value}" for name, value in known if value)


def pages(view: View) -> list[Page]:
    """The routes of this module: the list, its rows, and both as JSON."""

    def chosen(request: RawRequest) -> dict[str, Any]:
        """What the list shows for the filter in the query; with one that cannot be read, everything and why."""
        q = arguments(request).get("q", "")
        fault, wanted = "", Filter()
        try:
            wanted = parse(q)
        except FilterError as error:
            fault = str(error)
        all_of_them = view.source.latest(SEARCHED)
        found = [exchange for exchange in reversed(all_of_them) if wanted(exchange)]
        told = many(len(all_of_them), "request")
        if len(all_of_them) == SEARCHED:  # there may be more
            told = f"the newest {told}"
        told = f"{count(len(found))} of {told}" if wanted.terms else told
        if len(found) > SHOWN:
            told += f"; {SHOWN} are shown"
        empty = "No request fits the filter." if all_of_them else "Nothing was asked yet."
        rows = [row(exchange) for exchange in found[:SHOWN]]
        return {"q": q, "fault": fault, "rows": rows, "told": told, "empty": empty, "found": found, "all": all_of_them}

    async def page(request: RawRequest) -> RawReply:
        return view.page(request, "live.html", terms=TERMS, oob=False, **chosen(request))

    async def rows(request: RawRequest) -> RawReply:
        return view.page(request, "rows.html", oob=True, **chosen(request))

    async def api(request: RawRequest) -> RawReply:
        got = chosen(request)
        if got["fault"]:
            return view.json({"error": got["fault"]}, 400)
        return view.data({"requests": [as_json(exchange) for exchange in got["found"][:SHOWN]], "all": len(got["all"])})

    return [("GET", "/", page), ("GET", "/api/rows", rows), ("GET", "/api/requests", api)]


def as_json(exchange: Exchange) -> dict[str, Any]:
    """The line of an exchange as plain values."""
    line = row(exchange)
    return {name: getattr(line, name) for name in Row.__annotations__ if name not in {"tone", "when"}}
