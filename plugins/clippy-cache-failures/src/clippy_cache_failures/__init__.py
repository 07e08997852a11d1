"""A second plugin, for what caches do when the provider fails: idle until it is configured.

It is not part of the first because whoever decides about failures takes that over from the SDKs, retries included.
"""

from __future__ import annotations

from attrs import define, evolve, field
from attrs.validators import ge
from clippy_hookspecs import ErrorInfo, Outcome, Request, RequestContext, Stale, StashKey, hookimpl

_TRANSIENT = frozenset({"transient", "rate_limit"})
_OUT_OF_ORDER = frozenset({"quota", "breaker_open"})
_MET_AGAIN = frozenset({"model_not_found", "not_found", "unsupported"})
_ACCESS = (401, 403)
_OTHERS = StashKey[float]("cache-failures.negative-ttl")
"""What anybody else had said of keeping failures."""
_MINE = frozenset({"config"})
"""Kinds of ``validation`` that tell of this side: mended here, an equal request is answered."""


@define(eq=False)
class CacheFailures:
    """Answers from caches beyond their time when the provider fails, and keeps failures that would come again."""

    stale_if_error: float = field(
        default=0.0,
        validator=ge(0),
        metadata={"doc": "seconds that an answer may be past its time when the provider fails; 0: none is given"},
    )
    negative_ttl: float = field(
        default=0.0,
        validator=ge(0),
        metadata={"doc": "seconds that a failure is given again which an equal request would meet; 0: none is kept"},
    )

    @property
    def idle(self) -> str | None:
        """Why it has nothing to do, None if it has."""
        return None if self.stale_if_error or self.negative_ttl else "neither stale_if_error nor negative_ttl is set"

    @property
    def observes_only(self) -> bool:
        """It changes neither requests nor answers: stored answers do not depend on it."""
        return True

    @hookimpl(tryfirst=True)  # so that the caller's own word, which another plugin reads, comes later and wins
    def pre_request(self, request: Request, ctx: RequestContext) -> None:
        """Asks caches to keep answers for so much longer."""
        if self.stale_if_error:
            ctx.cache_control = evolve(ctx.cache_control, stale_if_error=self.stale_if_error)

    @hookimpl(tryfirst=True)  # outermost, so asked when nobody else helps: no retry, no other route
    def on_error(self, error: ErrorInfo, ctx: RequestContext) -> Stale | None:
        """A stale answer to what passes by itself; the caller gets what does not."""
        control = ctx.cache_control
        if error.committed or ctx.committed:
            return None
        if error.category in _TRANSIENT or error.kind in _OUT_OF_ORDER:
            within = control.stale_if_error
            return Stale(within, f"{error.category}/{error.kind}") if within and control.lookup else None
        return None

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """Has a failure kept that an equal request would meet again, and none for what an attempt before it met."""
        error, control = outcome.error, ctx.cache_control
        if not self.negative_ttl or error is None:
            return
        others = ctx.stash.setdefault(_OTHERS, lambda: control.negative_ttl)
        ctx.cache_control = evolve(control, negative_ttl=self.negative_ttl if _comes_again(error) else others)


def _comes_again(error: ErrorInfo) -> bool:
    """Whether an equal request would meet the same failure: it is wrong in itself, or asks for what is not there.

    Keys, quotas, limits and whatever passes by itself are mended elsewhere, without a word to a cache.
    """
    if error.status in _ACCESS:
        return False
    return (error.category == "validation" and error.kind not in _MINE) or error.kind in _MET_AGAIN
