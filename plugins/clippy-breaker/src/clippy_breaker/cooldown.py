"""How long a route is to be left alone by one account: a rate limit is no outage, and only that account's affair."""

from __future__ import annotations

import math

from clippy_hookspecs import ErrorInfo

from .attempt import Attempt, told
from .known import digest
from .rule import CLOCK_SKEW

UNSAID = 5.0
"""Seconds of a cooldown whose length the server did not say."""
TRIES = 5


async def cooldown_left(attempt: Attempt, account: str) -> float:
    """Seconds that are left of a cooldown, 0 without one.  Raises StoreFailed."""
    text = await told(attempt.store.get(_key(attempt, account)))
    return 0.0 if text is None else _left(text, attempt.place.now())


async def begin_cooldown(attempt: Attempt, account: str, error: ErrorInfo, most: float) -> None:
    """Begin a cooldown after a rate limit, of at most *most* seconds; one that lasts longer stays.

    Raises StoreFailed.
    """
    asked = error.retry_after if error.retry_after is not None and error.retry_after > 0 else UNSAID
    length, key = min(asked, most), _key(attempt, account)
    for _ in range(TRIES):
        now, text = attempt.place.now(), await told(attempt.store.get(key))
        if text is not None and _left(text, now) >= length:
            return
        if await told(attempt.store.swap(key, text, f"{now + length!r} {length!r}", length + CLOCK_SKEW)):
            return


def cooling_down(attempt: Attempt, seconds: float) -> ErrorInfo:
    """What an attempt is that was not sent during a cooldown: what it would have been if it had been sent."""
    message = f"{attempt.known.shown} limits this account; its cooldown lasts for {seconds:.1f} s more"
    return ErrorInfo("rate_limit", "cooldown", True, seconds, "key", status=429, message=message)


def _key(attempt: Attempt, account: str) -> str:
    return f"{attempt.known.key}:cooldown:{digest(account)}"


def _left(text: str, now: float) -> float:
    """What is left at *now*; of an end that another clock wrote, or of another's value, nothing."""
    try:
        until, length = map(float, text.split())
    except ValueError:
        return 0.0
    seconds = until - now
    return seconds if 0 < seconds <= length + CLOCK_SKEW and math.isfinite(seconds) else 0.0
