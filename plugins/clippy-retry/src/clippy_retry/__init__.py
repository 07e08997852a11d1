"""Repeats what is worth repeating: full jitter, the server's own wait first, never beyond a deadline.

The rules are those of AWS's *Exponential Backoff and Jitter* (full jitter), of the official OpenAI and Anthropic SDKs
(0.5 s doubling up to 8 s, ``x-should-retry``) and of RFC 9110 (a server's wait is never shortened).
"""

from __future__ import annotations

import math
import random
import uuid

from attrs import define, evolve, field
from attrs.validators import ge, gt
from clippy_hookspecs import ErrorInfo, Request, RequestContext, Retry, StashKey, hookimpl

__all__ = ["RetryPolicy"]

_STARTED = StashKey[float]("retry.started")
_IDEMPOTENCY_KEY = StashKey[str]("retry.idempotency-key")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SERVER_JITTER = 0.1


@define(eq=False)
class RetryPolicy:
    """Repeats failed attempts that can succeed when they are repeated."""

    attempts: int = field(
        default=6, validator=ge(1), metadata={"doc": "attempts on one route, the first one included; 1 never retries"}
    )
    base: float = field(
        default=0.5, validator=ge(0), metadata={"doc": "seconds; the longest first wait, doubled after each attempt"}
    )
    cap: float = field(default=8.0, validator=ge(0), metadata={"doc": "seconds; no wait of our own is longer"})
    max_wait: float = field(
        default=60.0,
        validator=ge(0),
        metadata={"doc": "seconds; when the server asks for more, the caller gets the failure with its retry_after"},
    )
    deadline: float = field(
        default=math.inf,
        validator=gt(0),
        metadata={"doc": "seconds from the first attempt on in which others may start (inf: no limit); none is cut"},
    )
    min_time: float = field(
        default=1.0, validator=ge(0), metadata={"doc": "seconds that an attempt must have left before a deadline"}
    )
    idempotency_header: str | None = field(
        default=None,
        metadata={"doc": "header for one random key per call, the same in every attempt, such as Idempotency-Key"},
    )
    # The system's source: processes forked from one parent must not all come back at the same moment.
    _rng: random.Random = field(init=False, repr=False, factory=random.SystemRandom)

    @hookimpl
    def pre_attempt(self, request: Request, ctx: RequestContext) -> Request | None:
        """Notes when the first attempt began; with ``idempotency_header``, gives every attempt the call's one key."""
        ctx.stash.setdefault(_STARTED, ctx.clock.now)
        name = self.idempotency_header
        if not name or name in request.headers or request.method in _SAFE_METHODS:
            return None
        key = ctx.stash.setdefault(_IDEMPOTENCY_KEY, lambda: str(uuid.uuid4()))
        return evolve(request, headers=request.headers.replace(name, key))

    @hookimpl
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Retry | None:
        """Retry after a wait, or None when a repetition cannot help, is not wanted, or comes too late."""
        if error.committed or ctx.committed or not _worth_repeating(error) or ctx.route_attempt >= self.attempts:
            return None
        wait = self.wait(error.retry_after, ctx.route_attempt)
        if wait is None or not self._in_time(wait, ctx):
            return None
        return Retry(after=wait)

    def wait(self, asked: float | None, attempt: int) -> float | None:
        """Seconds to wait after the *attempt*-th attempt (from 1); None if the server asks for too many.

        What the server asked for is never shortened and lengthened by at most a tenth, so that those it turned away
        together do not come back together.
        """
        if asked is None or math.isnan(asked) or asked <= 0:
            # Past 2 to the 30th power every cap is reached; a float has no room for many more doublings.
            return self._rng.random() * min(self.cap, self.base * 2.0 ** min(max(attempt, 1) - 1, 30))
        if asked > self.max_wait:
            return None
        return min(asked * (1 + _SERVER_JITTER * self._rng.random()), self.max_wait)

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
