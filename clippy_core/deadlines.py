"""When an answer must be here: connect, first token, idle, total.  None by default but the caller's own."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import DeadlineExceeded, ErrorInfo

from . import config


@define(eq=False)
class Deadlines:
    """The deadlines of one attempt.  ``total`` and ``first_token`` are clock seconds, ``idle`` a number of seconds.

    First token, idle and total stand still while the flow is paused: :meth:`shift` moves them on.
    """

    total: float | None = None
    first_token: float | None = None
    idle: float | None = None
    given: bool = field(init=False)
    """Whether there are any: asked before each read."""

    @given.default
    def _whether_there_are_any(self) -> bool:
        return self.total is not None or self.first_token is not None or self.idle is not None

    def next(self, now: float, committed: bool) -> tuple[float | None, str]:
        """When the next byte must be here, and which deadline says so."""
        nearest, name = self.total, "total"
        if not committed and self.first_token is not None and (nearest is None or self.first_token < nearest):
            nearest, name = self.first_token, "first_token"
        if self.idle is not None and (nearest is None or now + self.idle < nearest):
            nearest, name = now + self.idle, "idle"
        return nearest, name

    def shift(self, seconds: float) -> None:
        """The stream was paused for so long."""
        if self.total is not None:
            self.total += seconds
        if self.first_token is not None:
            self.first_token += seconds


_NONE = config.Deadlines()


def exceeded(which: str) -> DeadlineExceeded:
    """The error for a deadline that passed."""
    info = ErrorInfo("transient", f"{which}_timeout", message=f"the {which} deadline passed", outage=which != "total")
    return DeadlineExceeded(info, which)


def for_attempt(limits: config.Deadlines, total: float | None, now: float) -> tuple[Deadlines, dict[str, float]]:
    """The deadlines of an attempt that begins now, and what they leave of the HTTP timeouts (seconds by name)."""
    if total is None and limits == _NONE:
        return Deadlines(), {}
    deadlines = Deadlines(total, None if limits.first_token is None else now + limits.first_token, limits.idle)
    timeouts: dict[str, float] = {}
    if limits.connect is not None:
        timeouts["connect"] = limits.connect
    nearest, _ = deadlines.next(now, False)
    if nearest is not None:
        timeouts["read"] = max(0.001, nearest - now)
        timeouts["connect"] = min(timeouts.get("connect", timeouts["read"]), timeouts["read"])
    return deadlines, timeouts
