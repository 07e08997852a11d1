"""What a retry policy is asked with, without a host: a failure, and the context of a request."""

from __future__ import annotations

from typing import Any, cast

from attrs import define
from clippy_hookspecs import ErrorInfo, RequestContext, RouteInfo, Scope

OVERLOADED = ErrorInfo("transient", "overloaded", retryable=True, outage=True)
LIMITED = ErrorInfo("rate_limit", "requests", retryable=True)


@define
class HandClock:
    """A clock that only a test moves."""

    at: float = 1000.0

    def now(self) -> float:
        return self.at

    def time(self) -> float:
        return self.at


def context(clock: HandClock | None = None, route_attempt: int = 1, **more: Any) -> RequestContext:
    unused = cast(Any, None)
    clock = clock or HandClock()
    ctx = RequestContext("1", Scope(), clock, services=unused, route=RouteInfo("r"), flow=unused, **more)
    ctx.attempt = ctx.route_attempt = route_attempt
    return ctx
