"""The live list: the newest requests, those that a filter lets through."""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from attrs import define, field, frozen
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange
from clippy_recorder.filter import TERMS, Filter, FilterError, parse, retried, tokens
from clippy_recorder.generating import generates, path

from .failures import not_sent
from .numbers import count, many
from .ordering import Order, cost
from .reading import excerpt
from .view import Page, View, arguments

SHOWN = 200
SEARCHED = 5000
MARKS = (
    ("running", "running"), ("failed", "failed"), ("refused", "refused"), ("retried", "retried"),
    ("from a cache", "cached"), ("streamed", "streamed"), ("slower than 1 s", "ms:>1000"),
)  # fmt: skip
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
    asks: str = ""
    """The beginning of what a user said, "" where nothing of it is known."""
    answering_model: str | None = None
    """The model that answered, where it is another than the one asked for."""


@frozen
class Mark:
    """A filter that many ask for, and how many requests fit it: one of them is what is shown."""

    name: str
    q: str
    count: int


def row(exchange: Exchange, asks: str = "") -> Row:
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
        cost(exchange),
        tuple(notes(exchange)),
        asks,
        exchange.answering_model,
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
    if exchange.ended_by:
        said.append(f"ended by {exchange.ended_by}")
    if exchange.answering_model:
        said.append(f"answered by {exchange.answering_model}")
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


@define(eq=False)
class Excerpts:
    """What was asked, of the requests that were shown last: a list is drawn often, and a body may be long."""

    _known: OrderedDict[str, str] = field(factory=OrderedDict, init=False, repr=False)

    def of(self, exchange: Exchange) -> str:
        """The beginning of what *exchange* asks."""
        found = self._known.get(exchange.id)
        if found is None:
            found = excerpt(exchange)
            if found:  # else it may not be known yet
                self._known[exchange.id] = found
            if len(self._known) > 2 * SHOWN:
                self._known.popitem(last=False)
        return found


def bars(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """How long each of *rows* took to its first token and from there on, in percent of what takes longest.

    One that takes far longer than nearly all others would leave nothing of these: it fills the line as they may.
    """
    known = sorted(row.duration for row in rows if row.duration)
    full = known[(len(known) * 19 - 1) // 20] if known else 1
    made = {}
    for row in rows:
        took, first = row.duration or 0, min(row.first_token or row.duration or 0, row.duration or 0)
        scale = 100 / max(full, took)
        made[row.id] = round(first * scale, 2), round((took - first) * scale, 2)
    return made


def marks(exchanges: Sequence[Exchange]) -> list[Mark]:
    """How many requests each of the usual filters lets through."""
    return [Mark(name, q, sum(map(parse(q), exchanges))) for name, q in MARKS]


def address(q: str = "", order: Order | None = None, before: str = "") -> str:
    """Where the list is that a filter lets through, in this order, from below the request *before*."""
    said = {"q": q, "sort": str(order or ""), "before": before}
    query = urlencode({name: value for name, value in said.items() if value}, quote_via=quote)
    return f"/?{query}" if query else "/"


def pages(view: View) -> list[Page]:
    """The routes of this module: the list, its rows, and both as JSON."""
    excerpts = Excerpts()

    def chosen(request: RawRequest) -> dict[str, Any]:
        """What the list shows for the query's filter and order; where they cannot be read, everything and why."""
        asked = arguments(request)
        q, before = asked.get("q", ""), asked.get("before", "")
        fault, wanted, order = "", Filter(), Order()
        try:
            order = Order.parse(asked.get("sort", ""))
            wanted = parse(q)
        except (FilterError, ValueError) as error:
            fault = str(error)
        all_of_them = view.source.latest(SEARCHED)
        found = order.sorted(exchange for exchange in reversed(all_of_them) if wanted(exchange))
        place = next((place + 1 for place, one in enumerate(found) if one.id == before), 0)
        told = many(len(all_of_them), "request")
        if len(all_of_them) == SEARCHED:  # there may be more
            told = f"the newest {told}"
        told = f"{count(len(found))} of {told}" if wanted.terms else told
        shown = found[place : place + SHOWN]
        if len(found) > SHOWN:
            told += f"; {count(place + 1)} to {count(place + len(shown))} are shown, 1 is {order.first}"
        empty = "No request fits the filter." if all_of_them else "Nothing was asked yet."
        rows = [row(exchange, excerpts.of(exchange)) for exchange in shown]
        return {
            "q": q, "fault": fault, "rows": rows, "told": told, "empty": empty, "found": found, "all": all_of_them,
            "bars": bars(rows), "marks": marks(all_of_them), "after": place > 0, "order": order, "address": address,
            "older": shown[-1].id if place + SHOWN < len(found) else None,
        }  # fmt: skip

    async def page(request: RawRequest) -> RawReply:
        return view.page(request, "live.html", terms=TERMS, oob=False, **chosen(request))

    async def rows(request: RawRequest) -> RawReply:
        return view.page(request, "rows.html", oob=True, **chosen(request))

    async def api(request: RawRequest) -> RawReply:
        got = chosen(request)
        if got["fault"]:
            return view.json({"error": got["fault"]}, 400)
        return view.data({"requests": [as_json(one) for one in got["rows"]], "all": len(got["all"])})

    return [("GET", "/", page), ("GET", "/api/rows", rows), ("GET", "/api/requests", api)]


def as_json(line: Row) -> dict[str, Any]:
    """A line as plain values."""
    return {name: getattr(line, name) for name in Row.__annotations__ if name not in {"tone", "when"}}
