"""The plugin: what the rule says, asked before each attempt and told after it."""

from __future__ import annotations

import logging
import random
from typing import Literal
from uuid import uuid4

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

from .attempt import Attempt, StoreFailed
from .cooldown import begin_cooldown, cooldown_left, cooling_down
from .known import Place, Store, shown
from .places import OnFailure, Places
from .record import ROUTE, model_name
from .rule import CLOSED, Machine, Mark, Rule, State
from .showing import table_of

log = logging.getLogger("clippy.breaker")

TRIES = 20
"""Writes of one result at the most.  Each that fails is another's success, and after ten of those it is open anyway."""
LOOKS = 3
"""Times that one attempt asks for the place of a probe at the most."""
PROBE_WAIT = 1.0
"""Seconds after which to ask again while another's probe is under way."""
MOST_WORDS = 200
"""Characters of what a connection said that failed, which is kept in the store and shown in errors and logs."""
JITTER = 0.2
"""The part by which an open time is lengthened or shortened, so that processes do not all come back at once."""

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

    _rule: Rule = field(init=False, repr=False)
    _places: Places = field(init=False, repr=False)
    # The system's source: processes forked from one parent must not all come back at the same moment.
    _rng: random.Random = field(init=False, repr=False, factory=random.SystemRandom)

    @least.validator
    def _within_the_window(self, _: object, value: int) -> None:
        if value > self.window:
            raise ValueError(f"'least' must be <= the window of {self.window}, or a share would never open it: {value}")

    @_rule.default
    def _of_the_settings(self) -> Rule:
        return Rule(
            self.consecutive, self.share, self.window, self.least, self.max_age, self.slow_share, self.open_time,
            self.max_open, self.probes,
        )  # fmt: skip

    @_places.default
    def _not_used_yet(self) -> Places:
        return Places(self.window, self.on_store_failure)

    @property
    def idle(self) -> str:
        """Why it takes no part in requests; "" if it does."""
        return 'state is "disabled"' if self.state == "disabled" else ""

    # --- before an attempt --------------------------------------------------------------------------------------------

    @hookimpl(trylast=True, inline=True)
    async def pre_attempt(self, request: Request, ctx: RequestContext) -> None:
        """Refuses the attempt while a breaker is open; makes it a probe when it is time for one."""
        if self.state == "disabled":
            return
        if self.state == "forced_open":
            where = shown(ctx.route.api, ctx.route.base_url)
            raise AttemptRefused(_refused(f'the breaker of {where} is open: state is "forced_open"', "route", None))
        place = self._places.shared(ctx)
        if place is not None:
            attempt = self._begin(*place, request, ctx)
            try:
                if attempt.place.probing:
                    await self._settle_begun(attempt)
                attempt.seen = await attempt.look()
                self._places.works()
                await self._admit(attempt, ctx)
                return
            except StoreFailed as failed:
                ctx.leases -= len(attempt.probes)
                del ctx.stash[_ATTEMPT]
                self._places.failed(failed, ctx)
        place = self._places.local(ctx)
        if place is not None:
            attempt = self._begin(*place, request, ctx)
            if attempt.place.probing:
                await self._settle_begun(attempt)
            attempt.seen = await attempt.look()
            await self._admit(attempt, ctx)

    def _begin(self, store: Store, place: Place, request: Request, ctx: RequestContext) -> Attempt:
        attempt = Attempt(request, store, place, place.known(ctx.route.api, ctx.route.base_url))
        ctx.stash[_ATTEMPT] = attempt
        return attempt

    async def _settle_begun(self, asking: Attempt) -> None:
        """Count the probes of this process whose answers have begun, and give their places back.

        No hook that may wait for a store is called at a first token, and no chunk is to pay for one that is rarely
        wanted: so whoever is asked next looks.
        """
        for attempt, ctx in asking.place.begun():
            probe = attempt.hand_over(asking.store)
            # How long the first token took is told at the end: until then one that may have been slow is not counted.
            waited = asking.place.now() - attempt.began
            attempt.counted = self.slow_after is None or waited <= self.slow_after
            try:
                for name in attempt.freed if attempt.counted else ():
                    if (after := await self._note(probe, name, ".", "", None)) is not None:
                        attempt.seen = attempt.seen.seeing(name, after)
            finally:
                await probe.give_back(ctx)

    async def _admit(self, attempt: Attempt, ctx: RequestContext) -> None:
        """Let the attempt go, as a probe if one is due.  Raises AttemptRefused."""
        # Between a look and a lease another's probe may end and change everything: then look again.
        for _ in range(LOOKS):
            before = attempt.seen
            due = self._due(attempt) if before.machines else []
            if self.cooldown and (seconds := await cooldown_left(attempt, ctx.account)) and self.state == "auto":
                raise AttemptRefused(cooling_down(attempt, seconds))
            if not due or not await self._take(attempt, due, ctx):
                return
            attempt.seen = await attempt.look()
            if all(attempt.seen.machine(name).epoch == before.machine(name).epoch for name in due):
                log.info("breaker: %s is half open, a probe is sent", attempt.named(due[0]))
                if not ctx.committed:  # or it goes on with an answer, and nobody can tell when its own part begins
                    attempt.began = attempt.place.now()
                    attempt.place.probing[attempt] = ctx
                return
            await attempt.give_back(ctx)
        if self.state != "metrics_only":
            what = f"the breaker of {attempt.known.shown} changes its state again and again"
            raise AttemptRefused(_refused(what, "route", PROBE_WAIT))

    def _due(self, attempt: Attempt) -> list[str]:
        """The breakers that are half open.  Raises AttemptRefused if one is open."""
        names, due, now = [ROUTE], [], attempt.place.now()
        if attempt.seen.machines.keys() - {ROUTE}:
            names.append(attempt.model)  # decodes the request, so only where it must be known
        for name in names:
            machine = attempt.seen.machine(name)
            state = machine.state(now)
            if state == "open" and self.state != "metrics_only":
                left = machine.left(now)
                what = f"the breaker of {attempt.named(name)} is open for {left:.1f} s more"
                raise AttemptRefused(_refused(f"{what}: {machine.why}", _scope(name), left))
            if state == "half_open":
                due.append(name)
        return due

    async def _take(self, attempt: Attempt, due: list[str], ctx: RequestContext) -> bool:
        """Take the place of the probe of each breaker in *due*; False where another has one and nothing is stopped.

        Raises AttemptRefused where another has one.
        """
        attempt.holder = attempt.holder or f"{ctx.id}.{ctx.attempt}.{uuid4().hex}"
        for name in due:
            if await attempt.take(name, self.probe_time, ctx):
                continue
            if self.state != "metrics_only":
                what = f"the breaker of {attempt.named(name)} is half open and another probe is under way"
                raise AttemptRefused(_refused(what, _scope(name), PROBE_WAIT))
            await attempt.give_back(ctx)
            return False
        return True

    # --- after an attempt ---------------------------------------------------------------------------------------------

    @hookimpl(inline=True)
    async def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        """Counts how the attempt ended, and gives a probe's place back."""
        attempt = ctx.stash.get(_ATTEMPT)
        if attempt is None:
            return
        del ctx.stash[_ATTEMPT]
        try:
            try:
                await self._count(attempt, outcome, ctx)
            finally:
                if attempt.probes:
                    attempt.place.probing.pop(attempt, None)
                    await attempt.give_back(ctx)
        except StoreFailed as failed:
            self._places.failed(failed, ctx)

    async def _count(self, attempt: Attempt, outcome: Outcome, ctx: RequestContext) -> None:
        error = outcome.error
        if self.cooldown and error is not None and _limits_the_account(error):
            await begin_cooldown(attempt, ctx.account, error, self.max_open)
        if error is not None and error.outage:
            name = attempt.model if error.scope == "model" else ROUTE
            await self._note(attempt, name, "f", _described(error), _asked(error))
            return
        # Who stops reading an answer that has begun has seen a route at work; other ends say nothing about it.
        began = outcome.first_token is not None
        if error is not None or not (outcome.state == "ok" or (outcome.state == "cancelled" and began)):
            return
        waited = outcome.duration if outcome.first_token is None else outcome.first_token
        slow = self.slow_after is not None and waited > self.slow_after
        why = f"first token after {waited:.1f} s" if slow else ""
        known, machines = attempt.known, attempt.known.record.machines
        if not (slow or machines or attempt.seen.machines):
            known.keep_success(ROUTE, CLOSED.epoch, attempt.place.now())  # as nearly always
            return
        names = [ROUTE]
        if machines.keys() - {ROUTE} and (model := attempt.model) in machines:
            names.insert(0, model)
        for name in names:
            if not (attempt.counted and name in attempt.freed):
                await self._note(attempt, name, "s" if slow else ".", why, None)

    async def _note(self, attempt: Attempt, name: str, mark: Mark, why: str, asked: float | None) -> Machine | None:
        """Count one result for one breaker; the breaker after it, None where nothing was written."""
        known, now = attempt.known, attempt.place.now()
        epoch, probe = attempt.seen.machine(name).epoch, attempt.is_probe(name)
        well: list[float] = []
        fresh = False
        for _ in range(TRIES):
            text, record = known.seen
            machine = record.machine(name)
            if machine.epoch != epoch or probe != (machine.until is not None):
                if fresh:
                    return None  # it began before the breaker changed its state, or while it was open: neither counts
                await attempt.look()  # what is known may be older than the attempt, if another thread read it
                fresh = True
                continue
            if mark == "." and not probe and machine.run == 0:
                for at in (*well, now):
                    known.keep_success(name, epoch, at)
                return None
            well += known.take_successes(name, epoch)
            changed = self._changed(machine, probe, mark, well, now, why, asked)
            record = record.having(name, changed, now)
            if await attempt.write(text, record, record.lifetime(now, self._rule)):
                self._report(attempt, name, machine, changed)
                return changed
            await attempt.look()
            fresh = True
        return None

    def _changed(
        self, machine: Machine, probe: bool, mark: Mark, well: list[float], now: float, why: str, asked: float | None
    ) -> Machine:
        jitter = 1 + JITTER * (2 * self._rng.random() - 1)
        if probe and mark == ".":
            return self._rule.probed(machine, now)
        if probe:
            return self._rule.opened(machine, now, why=why, asked=asked, jitter=jitter)
        ends: list[tuple[float, Mark]] = [*((at, ".") for at in well), (now, mark)]
        return self._rule.after(machine, ends, now, why=why, asked=asked, jitter=jitter)

    def _report(self, attempt: Attempt, name: str, before: Machine, after: Machine) -> None:
        if before.epoch == after.epoch:
            return
        would = " (metrics_only: nothing is stopped)" if self.state == "metrics_only" else ""
        if after.until is None:
            log.warning("breaker: %s is closed again%s", attempt.named(name), would)
        else:
            named, how = attempt.named(name), "open again" if before.until is not None else "open"
            log.warning("breaker: %s is %s for %.1f s: %s%s", named, how, after.length, after.why, would)

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


def _refused(message: str, scope: Literal["route", "model"], left: float | None) -> ErrorInfo:
    """What an attempt that was not sent is: not to be repeated here, but worth another route."""
    return ErrorInfo("transient", "breaker_open", retry_after=left, scope=scope, message=message)


def _scope(name: str) -> Literal["route", "model"]:
    return "route" if name == ROUTE else "model"


def _limits_the_account(error: ErrorInfo) -> bool:
    return error.category == "rate_limit" and error.kind != "cooldown" and error.scope != "model"


def _described(error: ErrorInfo) -> str:
    """A failure for people and logs.  Where nobody answered it is our own side that speaks, and no provider's words."""
    if error.status:
        return f"{error.kind}, HTTP {error.status}"
    said = " ".join(error.message.split())[:MOST_WORDS]
    return f"{error.kind}, {said}" if said else error.kind


def _asked(error: ErrorInfo) -> float | None:
    """Seconds for which an overloaded server wants to be left alone."""
    return error.retry_after if error.status in (503, 529) else None
