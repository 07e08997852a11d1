"""A breaker whose attempts a test begins and ends one by one, on a clock that only the test moves."""

from __future__ import annotations

import itertools
import random
from typing import Any, cast

from attrs import define, field
from clippy_breaker import CircuitBreaker
from clippy_hookspecs import (
    AttemptRefused,
    ErrorInfo,
    Outcome,
    Request,
    RequestContext,
    RouteInfo,
    Scope,
)

from clippy_core.driven import drive
from clippy_core.state_memory import MemoryStateStore

ROUTE = RouteInfo("main", "openai.chat", "https://api.example.test/v1/chat/completions")
DOWN = ErrorInfo("transient", "overloaded", retryable=True, scope="route", outage=True, status=503)
MODEL_DOWN = ErrorInfo("transient", "overloaded", retryable=True, scope="model", outage=True, status=529)
OK = Outcome("ok", status=200, duration=1.0, first_token=0.5)
FAILED = Outcome("error", DOWN, 503, duration=1.0)
CANCELLED = Outcome("cancelled", duration=1.0)

_ids = itertools.count()


@define(eq=False)
class HandClock:
    """``skew`` is how far its unix time is from that of others."""

    at: float = 1000.0
    skew: float = 0.0

    def now(self) -> float:
        return self.at

    def time(self) -> float:
        return 1_763_800_000.0 + self.at + self.skew


@define(eq=False)
class Counting:
    """A store that counts what is asked of it, and fails when told to."""

    store: Any
    calls: list[str] = field(factory=list)
    broken: bool = False
    fails: str = ""
    """The one thing that fails."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def counted(*arguments: Any) -> Any:
            self.calls.append(name)
            if self.broken or name == self.fails:
                raise ConnectionError("the store is gone")
            return await method(*arguments)

        return counted

    def taken(self) -> list[str]:
        """What was asked since the last time."""
        calls, self.calls = self.calls, []
        return calls


@define(eq=False)
class Begun:
    """An attempt under way."""

    breaker: CircuitBreaker
    ctx: RequestContext

    def answers(self) -> None:
        """The first token has come."""
        self.ctx.committed = True
        works, self.ctx.beginnings = self.ctx.beginnings, ()
        for work in works:
            drive(work())

    def end(self, outcome: Outcome = OK) -> None:
        """The attempt ends."""
        drive(self.breaker.post_attempt(outcome, self.ctx))


@define(eq=False)
class Lab:
    """A breaker with its store and clock.  Labs of one store are the processes that share it."""

    breaker: CircuitBreaker
    clock: HandClock = field(factory=HandClock)
    store: Any = None

    def __attrs_post_init__(self) -> None:
        if self.store is None:
            self.store = Counting(MemoryStateStore(self.clock))
        self.breaker._results.rng = cast(random.Random, Middle())

    def get(self, protocol: Any) -> Any:
        """As a host's services."""
        return self.store

    def begin(self, model: str = "m", route: RouteInfo = ROUTE, account: str = "one") -> Begun | ErrorInfo:
        """Begin an attempt: it is under way, or why it was refused."""
        ctx = RequestContext(
            str(next(_ids)), Scope(), self.clock, services=cast(Any, self), route=route, flow=cast(Any, None)
        )
        ctx.account = account
        ctx.attempt = 1
        begun = Begun(self.breaker, ctx)
        try:
            drive(self.breaker.pre_attempt(Request(model=model), ctx))
        except AttemptRefused as refused:
            begun.end(Outcome("error", refused.info))
            assert ctx.leases == 0
            return refused.info
        return begun

    def under_way(self, model: str = "m", route: RouteInfo = ROUTE, account: str = "one") -> Begun:
        """Begin an attempt that must not be refused."""
        begun = self.begin(model, route, account)
        assert isinstance(begun, Begun), begun
        return begun

    def refused(self, model: str = "m", route: RouteInfo = ROUTE) -> ErrorInfo:
        """Why an attempt is refused, which it must be."""
        info = self.begin(model, route)
        assert isinstance(info, ErrorInfo)
        return info

    def do(self, outcome: Outcome, times: int = 1, model: str = "m") -> None:
        """So many attempts one after the other."""
        for _ in range(times):
            self.under_way(model).end(outcome)

    def state(self, model: str = "") -> str:
        return self.breaker.state_of(ROUTE, model)


class Middle:
    """Dice that always show the middle, so that no time is longer or shorter by chance."""

    def random(self) -> float:
        return 0.5


def lab(store: Any = None, clock: HandClock | None = None, **settings: Any) -> Lab:
    return Lab(CircuitBreaker(**settings), clock or HandClock(), store)
