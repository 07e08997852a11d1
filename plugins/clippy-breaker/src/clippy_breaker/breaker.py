"""The plugin: what the rule says, asked before each attempt and told after it."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any, Literal

from attrs import define, field
from attrs.validators import and_, ge, gt, in_, le, optional
from clippy_hookspecs import (
    AttemptRefused,
    ErrorInfo,
    Outcome,
    Request,
    RequestContext,
    RouteInfo,
    StashKey,
    StatusTable,
    hookimpl,
)

from .admission import Admission, refusal
from .attempt import Attempt, StoreFailed
from .cooldown import begin_cooldown
from .known import Place, Store, shown
from .places import OnFailure, Places
from .record import model_name
from .results import Results
from .rule import Rule, State
from .showing import table_of

_ATTEMPT = StashKey[Attempt]("breaker.attempt")


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@define(eq=False)
class CircuitBreaker:
    """Stops sending to a route that is down, and finds out with single probes when it is back."""

    state: Literal["auto", "forced_open", "disabled", "metrics_only"] = field(
        default="auto",
        validator=in_(("auto", "forced_open", "disabled", "metrics_only")),
        metadata=_doc("auto, forced_open (sends nothing), disabled or metrics_only (counts and logs, stops nothing)"),
    )
    consecutive: int = field(default=10, validator=ge(1), metadata=_doc("failures in a row that open it"))
    share: float = field(
        default=0.6, validator=and_(gt(0), le(1)), metadata=_doc("share of failures in the window that opens it")
    )
    window: int = field(default=50, validator=ge(1), metadata=_doc("last attempts that are looked at for a share"))
    least: int = field(default=30, validator=ge(1), metadata=_doc("attempts without which there is no share"))
    max_age: float = field(
        default=60.0, validator=gt(0), metadata=_doc("seconds after which an attempt has no part in a share")
    )
    slow_after: float | None = field(
        default=None,
        validator=optional(gt(0)),
        metadata=_doc("seconds to the first token or to a plain answer that are slow; none: slowness opens nothing"),
    )
    slow_share: float = field(
        default=0.8,
        validator=and_(gt(0), le(1)),
        metadata=_doc("share of slow and failed ones in the window that opens it"),
    )
    open_time: float = field(
        default=10.0, validator=gt(0), metadata=_doc("seconds without an attempt, doubled after each failed probe")
    )
    max_open: float = field(
        default=120.0, validator=gt(0), metadata=_doc("seconds; it is never open for longer, whatever a server asks")
    )
    probes: int = field(default=3, validator=ge(1), metadata=_doc("probes, one after the other, that close it"))
    probe_time: float = field(
        default=30.0,
        validator=gt(0),
        metadata=_doc("seconds after which another probe may be sent although the last one has not ended"),
    )
    cooldown: bool = field(
        default=False,
        metadata=_doc("after a rate limit, leave the route alone for that account: as long as the server says, or 5 s"),
    )
    on_store_failure: OnFailure = field(
        default="local",
        validator=in_(("local", "allow", "raise")),
        metadata=_doc("without its store: local (each process by itself), allow (stop nothing) or raise"),
    )

    _results: Results = field(init=False, repr=False)
    _places: Places = field(init=False, repr=False)

    @least.validator
    def _within_the_window(self, _: object, value: int) -> None:
        if value > self.window:
            raise ValueError(f"'least' must be <= the window of {self.window}, or a share would never open it: {value}")

    @_results.default
    def _of_the_settings(self) -> Results:
        rule = Rule(
            self.consecutive, self.share, self.window, self.least, self.max_age, self.slow_share, self.open_time,
            self.max_open, self.probes,
        )  # fmt: skip
        return Results(rule, self.slow_after)

    @_places.default
    def _not_used_yet(self) -> Places:
        return Places(self.window, self.on_store_failure)

    @property
    def idle(self) -> str:
        """Why it takes no part in requests; "" if it does."""
        return 'state is "disabled"' if self.state == "disabled" else ""

    @property
    def _would(self) -> str:
        return " (metrics_only: nothing is stopped)" if self.state == "metrics_only" else ""

    @hookimpl(trylast=True, inline=True)
    async def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        """Refuses the attempt while a breaker is open; makes it a probe when it is time for one."""
        if self.state == "disabled":
            return
        if self.state == "forced_open":
            where = shown(ctx.route.api, ctx.route.base_url)
            raise AttemptRefused(refusal(f'the breaker of {where} is open: state is "forced_open"', "route", None))
        place = self._places.shared(ctx)
        if place is not None:
            attempt = self._begin(*place, request, ctx)
            try:
                attempt.seen = await attempt.look()
                self._places.works()
                await self._admit(attempt, ctx)
                return
            except StoreFailed as failed:
                attempt.hold_nothing(ctx)
                del ctx.stash[_ATTEMPT]
                self._places.failed(failed, ctx)
        place = self._places.local(ctx)
        if place is not None:
            attempt = self._begin(*place, request, ctx)
            attempt.seen = await attempt.look()
            await self._admit(attempt, ctx)

    def _begin(self, store: Store, place: Place, request: Request, ctx: RequestContext) -> Attempt:
        attempt = Attempt(request, store, place, place.known(ctx.route.api, ctx.route.base_url))
        ctx.stash[_ATTEMPT] = attempt
        return attempt

    async def _admit(self, attempt: Attempt, ctx: RequestContext) -> None:
        """Let the attempt go, as a probe if one is due.  Raises AttemptRefused."""
        if not (attempt.seen.machines or self.cooldown):
            return  # as nearly always
        admission = Admission(self.state != "metrics_only", self.cooldown, self.probe_time)
        if await admission.admit(attempt, ctx) and not ctx.committed:
            # Else it goes on with an answer, and nobody can tell when its own part begins.
            ctx.when_begun(partial(self._begun, attempt, ctx))

    def _begun(self, attempt: Attempt, ctx: RequestContext) -> Coroutine[Any, Any, None]:
        """The answer of a probe has begun: that is a success, and whoever waits for its place, anywhere, goes on.

        How long the first token took is told at the end: one that may have been slow is not counted until then.
        """
        counted = not self._results.slow(attempt.place.now() - attempt.began)
        return self._settle(attempt.hand_over(counted, ctx), attempt, ctx)

    async def _settle(self, probe: Attempt | None, attempt: Attempt, ctx: RequestContext) -> None:
        """Count what was handed over, and free its places; what the store does not take is left to the end."""
        if probe is None:
            return
        counted: list[str] = []
        try:
            for name in attempt.settled:
                await self._results.succeed(probe, name, attempt, self._would)
                counted.append(name)
            await probe.release()
        except StoreFailed as failed:
            attempt.take_back(tuple(counted))
            self._places.failed(failed, ctx)
            if attempt.over and attempt.claim() is not None:  # its end found it taken and went by
                await self._settle_late(attempt, counted, ctx)

    async def _settle_late(self, attempt: Attempt, counted: list[str], ctx: RequestContext) -> None:
        """Count once more what was not, and free the places: nobody else will."""
        try:
            try:
                for name in attempt.settled:
                    if name not in counted:
                        await self._results.succeed(attempt, name, attempt, self._would)
            finally:
                await attempt.release()
        except StoreFailed as failed:
            self._places.failed(failed, ctx)

    @hookimpl(inline=True)
    async def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """Counts how the attempt ended, and gives a probe's place back."""
        attempt = ctx.stash.get(_ATTEMPT)
        if attempt is None:
            return
        del ctx.stash[_ATTEMPT]
        attempt.over = True  # first: what is taken back after this is no more for this end
        claimed = attempt.claim()
        try:
            try:
                error = outcome.error
                if self.cooldown and error is not None and _limits_the_account(error):
                    await begin_cooldown(attempt, ctx.account, error, self.max_open)
                settled = attempt.settled if claimed is None else claimed
                await self._results.count(attempt, outcome, settled, self._would)
            finally:
                if claimed is not None and attempt.probes:
                    await attempt.give_back(ctx)
        except StoreFailed as failed:
            self._places.failed(failed, ctx)

    # --- for programs -------------------------------------------------------------------------------------------------

    def state_of(self, where: RequestContext | RouteInfo, model: str = "") -> State:
        """The state of a route's breaker, or of one model's there, as this process last saw it."""
        if self.state == "forced_open":
            return "open"
        route = where if isinstance(where, RouteInfo) else where.route
        place = self._places.last
        if place is None:
            return "closed"
        return place.known(route.api, route.base_url).record.machine(model_name(model)).state(place.now())

    async def status_tables(self) -> tuple[StatusTable]:
        """The breakers of the routes that were called, as this process last saw them; those that are open first."""
        return (table_of(self._places.last, self.state),)


def _limits_the_account(error: ErrorInfo) -> bool:
    return error.category == "rate_limit" and error.kind != "cooldown" and error.scope != "model"
