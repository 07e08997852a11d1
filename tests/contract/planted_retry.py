"""A sound retry policy, and policies with one fault each."""

from __future__ import annotations

import math
import random
import time

from attrs import define, field
from clippy_hookspecs import ErrorInfo, RequestContext, Retry, hookimpl


@define(eq=False)
class Policy:
    """Repeats what can help, a few times, after growing waits; the server's own wait goes first."""

    attempts: int = field(default=3, metadata={"doc": "Attempts on one route, the first one included."})
    base: float = field(default=0.5, metadata={"doc": "Seconds; the longest first wait, doubled after each attempt."})
    cap: float = field(default=8.0, metadata={"doc": "Seconds; no wait of our own is longer."})
    max_wait: float = field(default=60.0, metadata={"doc": "Seconds; a server that asks for more is not asked again."})

    def _worth(self, error: ErrorInfo) -> bool:
        if error.should_retry is False or error.kind == "quota":
            return False
        return error.retryable and error.category in ("transient", "rate_limit")

    def _may(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        return ctx.route_attempt < self.attempts

    def _own_wait(self, ctx: RequestContext) -> float:
        return random.random() * min(self.cap, self.base * 2.0 ** min(max(ctx.route_attempt, 1) - 1, 30))

    def _wait(self, error: ErrorInfo, ctx: RequestContext) -> float | None:
        asked = error.retry_after
        if asked is None or math.isnan(asked) or asked <= 0:
            return self._own_wait(ctx)
        return asked if asked <= self.max_wait else None

    def _in_time(self, wait: float, ctx: RequestContext) -> bool:
        left = ctx.time_left()
        return left is None or wait < left

    def _decision(self, wait: float, error: ErrorInfo) -> Retry:
        return Retry(wait)

    def _too_late(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        return error.committed or ctx.committed

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        if self._too_late(error, ctx) or not self._worth(error) or not self._may(error, ctx):
            return None
        wait = self._wait(error, ctx)
        if wait is None or not self._in_time(wait, ctx):
            return None
        return self._decision(wait, error)


@define(eq=False)
class AsyncPolicy(Policy):
    """The sound policy in an ``async def``."""

    @hookimpl
    async def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        return Policy.on_error(self, error, ctx)


# --- how long ---------------------------------------------------------------------------------------------------------


@define(eq=False)
class DeafToTheServer(Policy):
    """Waits what it thinks right, whatever the server asked for."""

    def _wait(self, error: ErrorInfo, ctx: RequestContext) -> float | None:
        return self._own_wait(ctx)


@define(eq=False)
class CapsTheServer(Policy):
    """Holds the cap on its own waits against the server's wait as well."""

    def _wait(self, error: ErrorInfo, ctx: RequestContext) -> float | None:
        wait = Policy._wait(self, error, ctx)
        return None if wait is None else min(wait, self.cap)


@define(eq=False)
class SleepsItself(Policy):
    """Waits in the hook, where no deadline and no cancel can reach it, and then asks for no wait."""

    def _decision(self, wait: float, error: ErrorInfo) -> Retry:
        time.sleep(min(wait, 0.01))  # its author would sleep for all of it; tests have no time for that
        return Retry(0.0)


@define(eq=False)
class JitterAroundNothing(Policy):
    """Spreads its waits to both sides of zero: every other one is negative, which no Retry can be."""

    def _own_wait(self, ctx: RequestContext) -> float:
        return random.uniform(-1, 1) * min(self.cap, self.base * 2.0 ** min(max(ctx.route_attempt, 1) - 1, 30))


@define(eq=False)
class BelievesAnything(Policy):
    """Hands on the server's wait as it is: NaN, a date in the past, a thousand years."""

    def _wait(self, error: ErrorInfo, ctx: RequestContext) -> float | None:
        return self._own_wait(ctx) if error.retry_after is None else error.retry_after


# --- whether ----------------------------------------------------------------------------------------------------------


@define(eq=False)
class RepeatsEverything(Policy):
    """Repeats whatever failed: a wrong key stays wrong."""

    def _worth(self, error: ErrorInfo) -> bool:
        return True


@define(eq=False)
class RepeatsQuota(Policy):
    """Goes by the category: spent money is a rate limit to it, and does not come back in a second."""

    def _worth(self, error: ErrorInfo) -> bool:
        return error.category in ("transient", "rate_limit")


@define(eq=False)
class CountsOnItself(Policy):
    """Counts the failures on itself, so that after the first bad request nobody is helped any more."""

    _failures: int = field(init=False, default=0)

    def _may(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        self._failures += 1
        return self._failures < self.attempts


@define(eq=False)
class NeverStops(Policy):
    """Never gives up."""

    def _may(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        return True


@define(eq=False)
class NoDeadline(Policy):
    """Asks for a wait that ends after the caller's deadline, instead of leaving the failure to somebody who can."""

    def _in_time(self, wait: float, ctx: RequestContext) -> bool:
        return True


@define(eq=False)
class RepeatsWhatWasSaid(Policy):
    """Wants to send again what broke off after the reader had a part of it."""

    def _too_late(self, error: ErrorInfo, ctx: RequestContext) -> bool:
        return False
