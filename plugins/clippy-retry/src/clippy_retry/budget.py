"""How many retries a route may cost: a token bucket that only successes fill.

Retries help against single faults and harm in an outage, where every call would be sent several times to a provider
that answers none.  So a retry costs one token, which it gives back when it succeeds, and any other success earns half
of one: that carries faults of four in ten attempts for any time, and in an outage the retries end when the bucket is
empty.  The form is gRPC's (proposal A6, retry throttling) and botocore's (``retries/quota.py``, which gives back too).
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any
from weakref import WeakSet

MAX_BUCKETS = 1024
"""Routes and accounts that are remembered at once; who is forgotten begins with a full bucket."""


class RetryBudget:
    """The buckets of one process, each with *size* tokens at first and at most; 0 never runs out.  Any thread may ask.

    A bucket that is full is not kept, so that a route without failures costs one look at an empty table.
    """

    def __init__(self, size: float) -> None:
        self._size = size
        self._tokens: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()
        _budgets.add(self)

    def take(self, bucket: Hashable) -> bool:
        """Pay for one retry; False when the bucket has less than one token.  Never waits for tokens."""
        if not self._size:
            return True
        with self._lock:
            left = self._tokens.get(bucket, self._size)
            if left < 1:
                return False
            self._keep(bucket, left - 1)
            return True

    def add(self, bucket: Hashable, tokens: float) -> None:
        """Earn *tokens* for one success."""
        if bucket not in self._tokens:
            return
        with self._lock:
            self._keep(bucket, self.tokens(bucket) + tokens)

    def tokens(self, bucket: Hashable) -> float:
        """What is left in a bucket."""
        return self._tokens.get(bucket, self._size)

    def drained(self) -> list[tuple[Any, float]]:
        """The buckets that are not full, and what is left in each; the emptiest first."""
        with self._lock:
            kept = [*self._tokens.items()]
        return sorted(kept, key=lambda one: one[1])

    def _keep(self, bucket: Hashable, tokens: float) -> None:
        if tokens >= self._size:
            self._tokens.pop(bucket, None)
            return
        self._tokens[bucket] = tokens
        self._tokens.move_to_end(bucket)
        if len(self._tokens) > MAX_BUCKETS:
            self._tokens.popitem(last=False)


_budgets: WeakSet[RetryBudget] = WeakSet()


def _after_fork_in_child() -> None:
    # A thread that is not here may have held a lock when the process was forked.
    for budget in _budgets:
        budget._lock = threading.Lock()  # noqa: SLF001 (of this module's own class)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
