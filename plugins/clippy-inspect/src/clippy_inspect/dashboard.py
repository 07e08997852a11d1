"""The dashboard: what the newest requests come to, by model, route, tenant and cache, and how the plugins are doing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from attrs import asdict, astuple, frozen
from clippy_hookspecs import StatusTable
from clippy_hookspecs.services import RawReply, RawRequest
from clippy_recorder import Exchange
from clippy_recorder.filter import tokens, written
from clippy_recorder.generating import generates

from .again import SENT_AGAIN
from .attention import alarms
from .live import what
from .over_time import FAILED, Span, over_time
from .pace import WINDOWS, Rate, rate
from .spreads import Spread, spread
from .tables import Tables, refusals, table_as_json, tables_of
from .view import Page, View

LOOKED_AT: Final = 5000
MOST_GROUPS: Final = 40
OTHERS: Final = "(others)"
"""Names are chosen by callers: those beyond the commonest share a line."""


@frozen
class Group:
    """One line of a table: the requests that the same model answered, of a route, tenant ..., and what they come to.

    ``latency`` is of those that were answered, ``failed_after`` of those that failed, whose callers waited too.
    ``cost`` is US dollars, None where a price that belongs to it is not known: a part of a sum is no sum, and is told
    as ``priced``.  ``q`` is a filter that finds the requests, "" where none does.
    ``saved`` counts those that a cache answered.  ``estimated``: some of the tokens were counted here, since no
    provider told how many they were.
    """

    name: str
    requests: int
    failed: int
    saved: int
    latency: Spread
    failed_after: Spread
    first_token: Spread
    tokens_in: int
    tokens_out: int
    cost: float | None
    unpriced: int
    estimated: bool
    priced: float = 0.0
    q: str = ""


@frozen
class Dashboard:
    """All of it.  ``since`` is when the oldest of the requests began that are looked at, unix seconds.

    ``streams`` are those among the ``running``.  Numbers are of calls that ask a model to generate, but ``refusals``,
    by their reasons, which are of all, and ``others``: what asks for something else, by method and path.
    """

    now: float
    since: float | None
    total: Group
    running: int
    streams: int
    rates: tuple[Rate, ...]
    retried: int
    recovered: int
    refusals: tuple[tuple[str, int], ...]
    kinds: tuple[tuple[str, int], ...]
    caches: tuple[tuple[str, int], ...]
    by_model: tuple[Group, ...]
    by_route: tuple[Group, ...]
    by_tenant: tuple[Group, ...]
    others: tuple[Group, ...]
    timeline: tuple[Span, ...]
    """Equal spans from ``since`` to ``now``."""

    @property
    def refused(self) -> int:
        """How many were refused, for whatever reason."""
        return sum(number for _, number in self.refusals)


def summed(
    exchanges: Sequence[Exchange],
    now: float,
    complete: bool = True,
    rates: tuple[Rate, ...] | None = None,
    refused: Mapping[str, int] = MappingProxyType({}),
) -> Dashboard:
    """The dashboard of *exchanges* at *now*.

    *rates* are those that were counted as requests began; None: they are taken from *exchanges*, of which ``complete``
    says that nothing older was forgotten.  *refused* are requests by reason that are not among the *exchanges*.
    """
    others = [one for one in exchanges if not generates(one.method, one.url)]
    reasons = Counter(_kind(one) for one in exchanges if one.state == "refused") + Counter(refused)
    exchanges = [one for one in exchanges if generates(one.method, one.url)]
    over = [one for one in exchanges if one.state != "running"]
    since = min((one.began for one in exchanges), default=None)
    retried = [one for one in over if len(one.attempts) > 1]
    return Dashboard(
        now=now,
        since=since,
        total=group("all", over),
        running=len(exchanges) - len(over),
        streams=sum(one.state == "running" and one.stream for one in exchanges),
        rates=rates or tuple(_rate(exchanges, now, since, seconds, name, complete) for seconds, name in WINDOWS),
        retried=len(retried),
        recovered=sum(one.state == "answered" for one in retried),
        refusals=_commonest(reasons.elements()),
        kinds=_commonest(_kind(one) for one in over if one.error),
        caches=_commonest(str((one.provenance or {}).get("by") or "cache") for one in over if one.state == "cached"),
        by_model=groups(
            over, lambda one: answered_by(one) or "(no model)", lambda one: written(model=answered_by(one))
        ),
        by_route=groups(
            over, lambda one: one.route or "(the caller's own address)", lambda one: written(route=one.route)
        ),
        by_tenant=groups(
            over,
            _whose,
            lambda one: (
                written(session=SENT_AGAIN)
                if one.scope.session == SENT_AGAIN
                else written(tenant=one.scope.tenant) or written(user=one.scope.user)
            ),
        ),
        others=groups((one for one in others if one.state != "running"), what),
        timeline=over_time(exchanges, since, now),
    )


def _rate(
    exchanges: Sequence[Exchange], now: float, since: float | None, seconds: float, name: str, complete: bool
) -> Rate:
    """Of a window that reaches back beyond what is kept nothing is known, unless there was nothing before."""
    if since is None or (not complete and since > now - seconds):
        return Rate(name, seconds, 0.0 if complete else None, seconds)
    return rate(name, seconds, sum(now - seconds < one.began <= now for one in exchanges), now - since)


def _whose(exchange: Exchange) -> str:
    """Who asked for it: these pages, or a tenant or user."""
    scope = exchange.scope
    return "(sent again)" if scope.session == SENT_AGAIN else scope.tenant or scope.user or "(nobody said)"


def _kind(exchange: Exchange) -> str:
    error = exchange.error or {}
    return f"{error.get('category', 'unknown')}: {error.get('kind', 'unknown')}"


def _commonest(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    counted = Counter(names).most_common()
    shown, rest = counted[:MOST_GROUPS], counted[MOST_GROUPS:]
    return (*shown, (OTHERS, sum(number for _, number in rest))) if rest else tuple(shown)


def groups(
    exchanges: Iterable[Exchange], name: Callable[[Exchange], str], finds: Callable[[Exchange], str] = lambda one: ""
) -> tuple[Group, ...]:
    """A line for each name, the commonest first; *finds* is the filter term that finds those like an exchange."""
    by_name: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in exchanges:
        by_name[name(exchange)].append(exchange)
    ordered = sorted(by_name.items(), key=lambda item: (-len(item[1]), item[0]))
    made = [group(one, found, finds(found[0])) for one, found in ordered[:MOST_GROUPS]]
    rest = [exchange for _, found in ordered[MOST_GROUPS:] for exchange in found]
    return (*made, group(OTHERS, rest)) if rest else tuple(made)


def group(name: str, exchanges: Sequence[Exchange], q: str = "") -> Group:
    """What *exchanges* come to.  What a cache answered cost nothing, and its tokens were not used again."""
    paid, failed = [one for one in exchanges if _paid(one)], [one for one in exchanges if one.state in FAILED]
    costs = [one.cost for one in paid]
    unpriced = sum(cost is None for cost in costs)
    return Group(
        name,
        len(exchanges),
        len(failed),
        sum(one.state == "cached" for one in exchanges),
        spread(one.duration for one in exchanges if one.state in ("answered", "cached")),
        spread(one.duration for one in failed),
        spread(one.first_token for one in exchanges if one.stream),
        sum(tokens(one)[0] or 0 for one in exchanges),
        sum(tokens(one)[1] or 0 for one in exchanges),
        None if unpriced else sum(cost for cost in costs if cost is not None),
        unpriced,
        any(one.usage.estimated for one in exchanges if one.usage is not None and one.state != "cached"),
        sum(cost for cost in costs if cost is not None),
        q,
    )


def _paid(exchange: Exchange) -> bool:
    """Whether it cost something: also what was ended or refused after the provider had begun to answer."""
    if exchange.state in ("cached", "running"):
        return False
    return exchange.state == "answered" or exchange.usage is not None or exchange.first_token is not None


def answered_by(exchange: Exchange) -> str | None:
    """The model that answered, or that was asked."""
    return exchange.answering_model or exchange.model


def pages(view: View) -> list[Page]:
    """The routes of this module: the dashboard and its numbers as JSON."""

    def board(shown: Tables) -> Dashboard:
        exchanges = view.source.latest(LOOKED_AT)
        now = view.now() if view.live else max((one.began for one in exchanges), default=0.0)
        complete = len(exchanges) < min(LOOKED_AT, view.kept)
        return summed(exchanges, now, complete, view.rates(), refusals(shown))

    async def tables() -> Tables:
        own = await tables_of(view.host())
        if view.others is None:
            return own
        return [(f"{name}, {view.others.name}", table) for name, table in own] + await view.others.tables()

    async def page(request: RawRequest) -> RawReply:
        shown = await tables()
        made = board(shown)
        wrong = alarms(view.source.latest(LOOKED_AT), shown, made.now)
        return view.page(request, "dashboard.html", b=made, tables=shown, alarms=wrong, written=written)

    async def api(request: RawRequest) -> RawReply:
        shown = await tables()
        return view.data(as_json(board(shown), shown))

    return [("GET", "/dashboard", page), ("GET", "/api/dashboard", api)]


def as_json(board: Dashboard, tables: Sequence[tuple[str, StatusTable | str]] = ()) -> dict[str, Any]:
    """The dashboard as plain values; times in microseconds, ``now`` and ``since`` in unix seconds."""
    return {
        "now": board.now,
        "since": board.since,
        "running": board.running,
        "streams": board.streams,
        "total": _group(board.total),
        "rates": {one.name: one.per_second for one in board.rates},
        "rates_over": {one.name: one.over for one in board.rates},
        "retried": board.retried,
        "recovered": board.recovered,
        "refused": board.refused,
        "refusals": dict(board.refusals),
        "failures": dict(board.kinds),
        "caches": dict(board.caches),
        "by_model": [_group(one) for one in board.by_model],
        "by_route": [_group(one) for one in board.by_route],
        "by_tenant": [_group(one) for one in board.by_tenant],
        "others": [_group(one) for one in board.others],
        "timeline": [list(astuple(one)) for one in board.timeline],
        "plugins": [table_as_json(name, table) for name, table in tables],
    }


def _group(one: Group) -> dict[str, Any]:
    return {
        "name": one.name,
        "requests": one.requests,
        "failed": one.failed,
        "cached": one.saved,
        "latency": asdict(one.latency),
        "failed_after": asdict(one.failed_after),
        "first_token": asdict(one.first_token),
        "tokens_in": one.tokens_in,
        "tokens_out": one.tokens_out,
        "cost": one.cost,
        "unpriced": one.unpriced,
        "priced": one.priced,
        "estimated": one.estimated,
    }
