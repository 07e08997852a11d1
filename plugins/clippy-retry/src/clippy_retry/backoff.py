"""How long to wait before a retry that no server has directed: three well-known ways, each one small class.

All are random but the first.  Which of them a policy uses is its setting ``backoff``; a way of your own is a method of
your own policy (:meth:`clippy_retry.RetryPolicy.delay`).
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping

from attrs import frozen
from clippy_hookspecs import ErrorInfo

_MOST_DOUBLINGS = 30
"""Past 2 to the 30th power every cap is reached; a float has no room for many more doublings."""


@frozen
class Backoff(ABC):
    """One way to wait.  ``base`` and ``cap`` in seconds; ``dice`` is where the randomness comes from."""

    base: float
    cap: float
    dice: random.Random

    @abstractmethod
    def delay(self, error: ErrorInfo, attempt: int, previous: float) -> float:
        """Seconds from 0 to ``cap`` before the next attempt.

        *attempt* counts the failed attempts on this route, from 1; *previous* is what was waited before the one that
        failed now, 0 before the first.
        """


class Fixed(Backoff):
    """Always ``base``, not random: for a queue of one worker, or a server that counts on it."""

    def delay(self, error: ErrorInfo, attempt: int, previous: float) -> float:
        return min(self.cap, self.base)


class Exponential(Backoff):
    """Anything up to ``base``, doubled after each attempt: *full jitter*.

    The rule that asks least of a server that many clients come back to (AWS, *Exponential Backoff and Jitter*).
    """

    def delay(self, error: ErrorInfo, attempt: int, previous: float) -> float:
        return self.dice.random() * min(self.cap, self.base * 2.0 ** min(max(attempt, 1) - 1, _MOST_DOUBLINGS))


class Decorrelated(Backoff):
    """From ``base`` to three times the wait before: grows like the doubling one, but never comes back at once.

    AWS's *decorrelated jitter*, from the same article.
    """

    def delay(self, error: ErrorInfo, attempt: int, previous: float) -> float:
        low = min(self.base, self.cap)
        high = min(self.cap, max(self.base, previous) * 3)
        return min(low + self.dice.random() * (high - low), high)


BACKOFFS: Mapping[str, type[Backoff]] = {"exponential": Exponential, "fixed": Fixed, "decorrelated": Decorrelated}
"""The ways by the names that the setting ``backoff`` knows them by."""
