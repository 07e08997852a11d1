"""Answers a request whose route fails by other means: other routes, a stale cache entry, a fixed text; in this order.

Which failures are worth it and which are the caller's own affair follows reliability.md 1.5: a fallback may hide that a
provider is down, never that a key or a request is wrong.
"""

from __future__ import annotations

import logging

from attrs import define, field
from attrs.validators import ge
from clippy_hookspecs import (
    Answer,
    ErrorInfo,
    Message,
    Request,
    RequestContext,
    Response,
    Stale,
    StashKey,
    Switch,
    Text,
    hookimpl,
)

from .failures import check_names
from .wishes import bound_to_a_form

__all__ = ["Fallback"]

logger = logging.getLogger("clippy.fallback")

_ASKED = StashKey[Request]("fallback.asked")
_WAY = StashKey["_Way"]("fallback.way")

_CATEGORIES = frozenset({"transient", "rate_limit"})
_KINDS = frozenset({"quota", "breaker_open"})
_UNFIT = "route_unfit"
"""The kind of what the host says of a route that cannot take a request: nothing was sent to it."""


@define(eq=False)
class _Way:
    """How far one request has come: its planned route and what failed there, the routes tried, the latest failure."""

    planned: str
    first: ErrorInfo
    latest: ErrorInfo
    tried: set[str]


@define(eq=False)
class Fallback:
    """Answers by another route, a stale cache entry or a fixed text when the planned route fails."""

    routes: tuple[str, ...] = field(
        default=(),
        metadata={
            "doc": "routes to go on with, in this order, after outages, rate limits and spent quotas",
            "names": "routes",
        },
    )
    kinds: dict[str, tuple[str, ...]] = field(
        factory=dict,
        metadata={
            "doc": "routes by kind or category of failure, instead of the general list; an empty list: none",
            "names": "routes",
        },
    )
    stale: float = field(
        default=0.0,
        validator=ge(0),
        metadata={"doc": "seconds that a stored answer may be past its time when no route answers; 0: none is given"},
    )
    static: str | None = field(
        default=None, metadata={"doc": "text to answer chat calls with when nothing else is left; none: the failure"}
    )
    min_time: float = field(
        default=1.0, validator=ge(0), metadata={"doc": "seconds that must be left before a deadline for another route"}
    )

    _told: set[tuple[str, str]] = field(init=False, repr=False, factory=set)

    @kinds.validator
    def _of_failures(self, _: object, value: dict[str, tuple[str, ...]]) -> None:
        check_names(value)

    @property
    def idle(self) -> str | None:
        """Why it has nothing to do, None if it has."""
        if self.routes or self.kinds or self.stale or self.static is not None:
            return None
        return "neither routes nor kinds, stale or static is set"

    @hookimpl(tryfirst=True)  # outermost: a breaker may refuse the attempt before others see the request
    def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        """Notes what was asked at first, for what can be told of a failure depends on it."""
        if ctx.attempt == 1:
            ctx.stash[_ASKED] = request

    @hookimpl(tryfirst=True)  # outermost, so asked last: who repeats, whatever its name, comes before
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Switch | Stale | Answer | None:
        """The next route of this failure's list, then a stale entry, then the text; None gives the caller the failure.

        Each route is tried once.  A failure that tells of the request itself ends it, on whichever route it is seen.
        """
        if error.committed or ctx.committed:
            return None
        way = ctx.stash.setdefault(_WAY, lambda: _Way(ctx.route.name, error, error, {ctx.route.name}))
        away = ctx.route.name != way.planned
        self._note(error, ctx, way, away)
        reason = f"{way.latest.kind} at {ctx.route.name or 'the planned address'}"
        asked = ctx.stash.get(_ASKED)
        chat = asked is None or asked.endpoint.chat
        left = ctx.time_left()
        if chat and (left is None or left >= self.min_time):
            route = next((one for one in self._routes(way.latest, away) if one not in way.tried), None)
            if route is not None:
                way.tried.add(route)
                return Switch(route, reason)
        if not (_worth_hiding(way.first) and (_worth_hiding(way.latest) or (away and _routes_own(way.latest)))):
            return None
        answer = self._last_answer(reason, asked) if chat else None
        return Stale(self.stale, reason, answer) if self.stale else answer

    def _note(self, error: ErrorInfo, ctx: RequestContext, way: _Way, away: bool) -> None:
        if error.kind == _UNFIT:  # nothing has failed since
            logger.info("%s (request %s)", error.message, ctx.id)
            return
        way.latest = error
        fault = (ctx.route.name, error.kind)
        if away and _routes_own(error) and fault not in self._told:
            # Nobody else will say it while other routes answer: its key is wrong, or its model is gone.
            self._told.add(fault)
            logger.warning("fallback route %s failed: %s/%s (said once)", ctx.route.name, error.category, error.kind)

    def _routes(self, error: ErrorInfo, away: bool) -> tuple[str, ...]:
        """The list for a failure: its kind's own, its category's, the general one; () if there is none.

        On a fallback route (*away*) the general list goes on after what is that route's own fault (its key, its model),
        which says nothing about the caller's.
        """
        for name in (error.kind, error.category):
            if name in self.kinds:
                return self.kinds[name]
        return self.routes if _worth_hiding(error) or (away and _routes_own(error)) else ()

    def _last_answer(self, reason: str, asked: Request | None) -> Answer | None:
        if self.static is None or asked is None:
            return None
        form = bound_to_a_form(asked)
        if form is not None:
            logger.info("the static text is no answer to a call that asks for %s", form)
            return None
        message = Message("assistant", (Text(self.static),))
        response = Response(message=message, finish_reason="stop", model="clippy-fallback")
        return Answer(response, f"the fixed text after {reason}")


def _worth_hiding(error: ErrorInfo) -> bool:
    """Whether a failure tells of the provider's state and not of what the caller did: then any answer is better."""
    return error.category in _CATEGORIES or error.kind in _KINDS


def _routes_own(error: ErrorInfo) -> bool:
    """Whether a failure is about a route's key, model or address, and lasts until somebody mends that."""
    return error.category in ("auth", "permanent") and error.scope != "request"
