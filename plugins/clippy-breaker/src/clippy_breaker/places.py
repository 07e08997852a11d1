"""Where breakers are kept: in the store that others share, or in this process alone while that one fails."""

from __future__ import annotations

import logging
import math
from typing import Literal

from attrs import define, field
from clippy_hookspecs import RequestContext, StateStore

from .attempt import StoreFailed
from .known import Place, Store
from .local import LocalStore

log = logging.getLogger("clippy.breaker")

ASK_AGAIN = 30.0
"""Seconds for which a store that failed is not asked."""

OnFailure = Literal["local", "allow", "raise"]


@define(eq=False)
class Places:
    """The place that is used now, of the two."""

    window: int
    on_failure: OnFailure
    _shared: Place | None = field(default=None, init=False)
    _local: tuple[LocalStore, Place] | None = field(default=None, init=False)
    _down_until: float = field(default=-math.inf, init=False)

    @property
    def last(self) -> Place | None:
        """The one that was used last, None before the first attempt."""
        return self._shared if self._down_until == -math.inf or self._local is None else self._local[1]

    def shared(self, ctx: RequestContext) -> tuple[Store, Place] | None:
        """The shared store and what is known of it, None for a while after it has failed."""
        if ctx.clock.now() < self._down_until:
            return None
        if self._shared is None:
            self._shared = Place(ctx.clock.time, self.window)
        return ctx.services.get(StateStore), self._shared

    def local(self, ctx: RequestContext) -> tuple[Store, Place] | None:
        """This process's own, None where that is not wanted."""
        if self.on_failure != "local":
            return None
        if self._local is None:
            self._local = LocalStore(ctx.clock.now), Place(ctx.clock.now, self.window)
        return self._local

    def failed(self, error: StoreFailed, ctx: RequestContext) -> None:
        """Go on without the store for a while.  Raises the store's exception where that is not wanted."""
        cause = error.__cause__
        if self.on_failure == "raise" and cause is not None:
            raise cause
        if self._down_until == -math.inf:
            then = "each process goes by itself" if self.on_failure == "local" else "nothing is stopped"
            log.warning("breaker: the StateStore failed (%s); until it works again %s", type(cause).__name__, then)
        self._down_until = ctx.clock.now() + ASK_AGAIN

    def works(self) -> None:
        """The shared store has answered."""
        if self._down_until != -math.inf:
            self._down_until = -math.inf
            log.warning("breaker: the StateStore works again")
