"""Before an attempt: whether it may go, and whether it is a probe."""

from __future__ import annotations

import logging
from typing import Literal
from uuid import uuid4

from attrs import frozen
from clippy_hookspecs import AttemptRefused, ErrorInfo, RequestContext

from .attempt import Attempt
from .cooldown import cooldown_left, cooling_down
from .record import ROUTE

log = logging.getLogger("clippy.breaker")

LOOKS = 3
"""Times that one attempt asks for the place of a probe at the most."""
PROBE_WAIT = 1.0
"""Seconds after which to ask again while another's probe is under way."""


@frozen
class Admission:
    """What of the plugin's settings it takes: ``stops`` is False for one that only counts."""

    stops: bool
    cooldown: bool
    probe_time: float

    async def admit(self, attempt: Attempt, ctx: RequestContext) -> bool:
        """Let the attempt go; whether it is a probe.  Raises AttemptRefused."""
        # Between a look and a lease another's probe may end and change everything: then look again.
        for _ in range(LOOKS):
            before = attempt.seen
            due = self._due(attempt) if before.machines else []
            if self.cooldown and (seconds := await cooldown_left(attempt, ctx.account)) and self.stops:
                raise AttemptRefused(cooling_down(attempt, seconds))
            if not due or not await self._take(attempt, due, ctx):
                return False
            attempt.seen = await attempt.look()
            if all(attempt.seen.machine(name).epoch == before.machine(name).epoch for name in due):
                log.info("breaker: %s is half open, a probe is sent", attempt.named(due[0]))
                attempt.began = attempt.place.now()
                return True
            await attempt.give_back(ctx)
        if self.stops:
            what = f"the breaker of {attempt.known.shown} changes its state again and again"
            raise AttemptRefused(refusal(what, "route", PROBE_WAIT))
        return False

    def _due(self, attempt: Attempt) -> list[str]:
        """The breakers that are half open.  Raises AttemptRefused if one is open."""
        names, due, now = [ROUTE], [], attempt.place.now()
        if attempt.seen.machines.keys() - {ROUTE}:
            names.append(attempt.model)  # decodes the request, so only where it must be known
        for name in names:
            machine = attempt.seen.machine(name)
            state = machine.state(now)
            if state == "open" and self.stops:
                left = machine.left(now)
                what = f"the breaker of {attempt.named(name)} is open for {left:.1f} s more"
                raise AttemptRefused(refusal(f"{what}: {machine.why}", _scope(name), left))
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
            if self.stops:
                what = f"the breaker of {attempt.named(name)} is half open and another probe is under way"
                raise AttemptRefused(refusal(what, _scope(name), PROBE_WAIT))
            await attempt.give_back(ctx)
            return False
        return True


def refusal(message: str, scope: Literal["route", "model"], left: float | None) -> ErrorInfo:
    """What an attempt that was not sent is: not to be repeated here, but worth another route."""
    return ErrorInfo("transient", "breaker_open", retry_after=left, scope=scope, message=message)


def _scope(name: str) -> Literal["route", "model"]:
    return "route" if name == ROUTE else "model"
