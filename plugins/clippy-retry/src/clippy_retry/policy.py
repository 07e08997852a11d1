"""Repeats what is worth repeating: full jitter, the server's own wait first, within a budget and the deadlines.

The rules are those of AWS's *Exponential Backoff and Jitter* (full jitter), of the official OpenAI and Anthropic SDKs
(0.5 s doubling up to 8 s, ``x-should-retry``) and of RFC 9110 (a server's wait is never shortened).
"""

from __future__ import annotations

import logging
import math
import random
import uuid
from collections.abc import Hashable
from typing import Literal
from urllib.parse import urlsplit

from attrs import Factory, define, evolve, field
from attrs.validators import ge, gt, in_, lt, optional
from clippy_hookspecs import (
    Continue,
    ErrorInfo,
    Outcome,
    Request,
    RequestContext,
    Restart,
    Retry,
    RouteInfo,
    StashKey,
    StatusTable,
    hookimpl,
)

from .backoff import BACKOFFS
from .budget import RetryBudget
from .midstream import method_for, passes_by_itself

logger = logging.getLogger("clippy.retry")

_STARTED = StashKey[float]("retry.started")
_SENT = StashKey[bool]("retry.sent")
_WAITED = StashKey[float]("retry.waited")
_RESUMED = StashKey[int]("retry.resumed")
_REQUEST = StashKey[Request]("retry.request")
_IDEMPOTENCY_KEY = StashKey[str]("retry.idempotency-key")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SERVER_JITTER = 0.1
_MOST_ROWS = 200
_MID_STREAM = ("raise", "restart", "continue")
_METHODS = ("auto", "prefill", "prompt")


@define(eq=False)
class RetryPolicy:
    """Repeats failed attempts that can succeed when they are repeated.

    A policy of your own is a subclass with another :meth:`delay`.
    """

    attempts: int = field(
        default=6, validator=ge(1), metadata={"doc": "attempts on one route, the first one included; 1 never retries"}
    )
    backoff: Literal["exponential", "fixed", "decorrelated"] = field(
        default="exponential",
        validator=in_(tuple(BACKOFFS)),
        metadata={"doc": "how the waits grow where the server directs none"},
    )
    base: float = field(
        default=0.5,
        validator=[ge(0), lt(math.inf)],
        metadata={"doc": "seconds; the longest first wait, doubled after each attempt"},
    )
    cap: float = field(
        default=8.0, validator=[ge(0), lt(math.inf)], metadata={"doc": "seconds; no wait of our own is longer"}
    )
    max_wait: float = field(
        default=60.0,
        validator=ge(0),
        metadata={"doc": "seconds; when the server asks for more, the caller gets the failure with its retry_after"},
    )
    budget: float | None = field(
        default=20.0,
        validator=optional(ge(0.0)),  # type: ignore[arg-type]  # it is read off the default, which is not None
        metadata={
            "doc": "retries that a route has in hand; each takes 1, and without any left none is made (0: no limit)"
        },
    )
    deposit: float = field(
        default=0.5,
        validator=ge(0),
        metadata={"doc": "what a success adds to its route's budget; one by a retry gives back its token"},
    )
    deadline: float = field(
        default=math.inf,
        validator=gt(0),
        metadata={"doc": "seconds from the first attempt on in which others may start (inf: no limit); none is cut"},
    )
    min_time: float = field(
        default=1.0, validator=ge(0), metadata={"doc": "seconds that an attempt must have left before a deadline"}
    )
    on_mid_stream: Literal["raise", "restart", "continue"] = field(
        default="raise",
        validator=in_(_MID_STREAM),
        metadata={"doc": "when a stream breaks after a part was delivered: raise, begin anew, or let the model go on"},
    )
    resumes: int = field(
        default=1, validator=ge(0), metadata={"doc": "how often one broken stream is begun anew or continued"}
    )
    continue_method: Literal["auto", "prefill", "prompt"] = field(
        default="auto",
        validator=in_(_METHODS),
        metadata={"doc": "how the model is told what it has said; auto prefills where the API takes that exactly"},
    )
    idempotency_header: str | None = field(
        default=None,
        metadata={"doc": "header for one random key per call, the same in every attempt, such as Idempotency-Key"},
    )
    # The system's source: processes forked from one parent must not all come back at the same moment.
    _rng: random.Random = field(init=False, repr=False, factory=random.SystemRandom)
    _budget: RetryBudget = field(
        init=False,
        repr=False,
        default=Factory(lambda self: RetryBudget(self.budget or 0.0), takes_self=True),
    )

    @property
    def observes_only(self) -> bool:
        """A request that is sent again, with a header for that or without, is the same: stored answers stay good."""
        return True

    def delay(self, error: ErrorInfo, attempt: int, previous: float) -> float | None:
        """Seconds before the next attempt, None for no retry; what a policy of your own replaces.

        *attempt* counts the failed attempts on this route, from 1; *previous* is what was waited before the one that
        failed now, 0 before the first.  Where the server directs a wait, that one is taken instead of this.
        """
        return BACKOFFS[self.backoff](self.base, self.cap, self._rng).delay(error, attempt, previous)

    @hookimpl
    def pre_attempt(self, request: Request, ctx: RequestContext) -> Request | None:
        """Notes when the first attempt began; with ``idempotency_header``, gives every attempt the call's one key."""
        ctx.stash.setdefault(_STARTED, ctx.clock.now)
        if self.on_mid_stream == "continue":
            ctx.stash[_REQUEST] = request
        name = self.idempotency_header
        if not name or name in request.headers or request.method in _SAFE_METHODS:
            return None
        key = ctx.stash.setdefault(_IDEMPOTENCY_KEY, lambda: str(uuid.uuid4()))
        return evolve(request, headers=request.headers.replace(name, key))

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """A success earns its route a part of a retry; one that a retry brought, the whole that was paid for it."""
        ctx.stash[_SENT] = outcome.sent
        if outcome.state == "ok" and (outcome.status or 200) < 400:
            self._budget.add(_bucket(ctx), self.deposit if ctx.route_attempt <= 1 else max(self.deposit, 1.0))

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | Restart | Continue | None:
        """What to do after a wait, or None when another attempt cannot help, is not wanted, or comes too late."""
        committed = error.committed or ctx.committed
        method = self._resumption(error, ctx) if committed else None
        wanted = method is not None if committed else _worth_repeating(error)
        if not wanted or ctx.route_attempt >= self.attempts:
            return None
        wait = self._wait(error, ctx)
        if wait is None or not self._in_time(wait, ctx):
            return None
        # An attempt that a plugin refused, to cool down say, was not sent, so sending it now is no retry.
        if ctx.stash.get(_SENT, True) and not self._budget.take(_bucket(ctx)):  # last: what is not made is not paid for
            return None
        ctx.stash[_WAITED] = wait
        if method is None:
            return Retry(wait)
        ctx.stash[_RESUMED] = ctx.stash.setdefault(_RESUMED, int) + 1
        return Restart(wait) if method == "restart" else Continue(wait, method)

    async def status_tables(self) -> tuple[StatusTable]:
        """The routes whose budget is not full, and what the emptiest account there has left; the emptiest first."""
        rows: dict[tuple[str, str], float] = {}
        for (address, api, _), left in self._budget.drained():
            rows.setdefault((_origin(address), api or "other"), round(left, 2))
        shown = tuple((address, api, left, self.budget) for (address, api), left in rows.items())
        return (StatusTable("retry budgets", ("address", "API", "retries left", "of"), shown[:_MOST_ROWS]),)

    def _resumption(self, error: ErrorInfo, ctx: RequestContext) -> str | None:
        """``restart``, or how to continue; None when a part that was delivered must stay the last word."""
        if self.on_mid_stream == "raise" or not passes_by_itself(error):
            return None
        if ctx.stash.setdefault(_RESUMED, int) >= self.resumes:
            return None
        if self.on_mid_stream == "restart":
            return "restart"
        request = ctx.stash.get(_REQUEST)
        return None if request is None else method_for(self.continue_method, request)

    def _wait(self, error: ErrorInfo, ctx: RequestContext) -> float | None:
        """Seconds to wait; None if the policy does not want to, or the server asks for too many.

        What the server asked for is never shortened and lengthened by at most a tenth, so that those it turned away
        together do not come back together.
        """
        # Another route begins anew.
        previous = ctx.stash.setdefault(_WAITED, float) if ctx.route_attempt > 1 else 0.0
        own, asked = self.delay(error, max(ctx.route_attempt, 1), previous), error.retry_after
        if own is None:
            return None
        if not (math.isfinite(own) and own >= 0):
            name = type(self).__name__
            raise ValueError(f"{name}.delay gave {own!r}; give finite seconds that are not below 0, or None")
        if asked is None or math.isnan(asked) or asked <= 0:
            return own
        if asked > self.max_wait or math.isinf(asked):
            logger.info("not repeated: the server asks to wait %g s, max_wait is %g s", asked, self.max_wait)
            return None
        longer = min(asked * (1 + _SERVER_JITTER * self._rng.random()), self.max_wait)
        return longer if math.isfinite(longer) else asked

    def _in_time(self, wait: float, ctx: RequestContext) -> bool:
        """Whether an attempt that begins after *wait* seconds has enough time before the nearest deadline."""
        needed = wait + self.min_time
        left = ctx.time_left()
        if left is not None and left < needed:
            return False
        started = ctx.stash.setdefault(_STARTED, ctx.clock.now)
        return started + self.deadline - ctx.clock.now() >= needed


def _worth_repeating(error: ErrorInfo) -> bool:
    """The server's own word (``x-should-retry``) before the classifier's; nobody's word brings spent money back."""
    if error.should_retry is not None and error.kind != "quota":
        return error.should_retry
    return error.retryable and error.category not in ("unknown", "cancelled", "plugin")


def _bucket(ctx: RequestContext) -> Hashable:
    """Whose budget it is: the route's, for the account that pays."""
    return _address(ctx.route), ctx.route.api, ctx.account


def _address(route: RouteInfo) -> str:
    """The address of a wire API; of a call that is none of ours only the origin, since its path may be one of many."""
    if route.api:
        return route.base_url
    parts = urlsplit(route.base_url)
    return f"{parts.scheme}://{parts.netloc}"


def _origin(address: str) -> str:
    """An address as people may see it: without credentials, path or query."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
