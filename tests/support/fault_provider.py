"""What a provider does to each attempt of a campaign: a seeded mix of faults, in bursts or not, or an outage.

The share of each transient fault: 30 % status 503, 15 % overloaded (529, or OpenAI's own words), 15 % 429 with
Retry-After, 15 % reset before the head, 10 % read timeout, 10 % stream cut before its first token, 5 % truncated JSON.
Beside them 2 % of all requests meet a failure that no repetition helps: 400, 401, a spent quota, a content filter.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from urllib.parse import urlsplit

from attrs import define, field

from clippy_core.testing import Fault, Reply, SeenRequest

REPLY = Reply(echo=True)
FINAL_SHARE = 0.02
FINAL = ("invalid_request", "auth", "quota", "content_filter")
MIX = {
    "503": 0.30,
    "overloaded": 0.15,
    "429 with Retry-After": 0.15,
    "reset before the head": 0.15,
    "read timeout": 0.10,
    "cut before the first token": 0.10,
    "truncated JSON": 0.05,
}
_BAD, _GOOD = 0.60, 0.05
"""The share of faults in a burst and outside of one."""
_ENDS, _BEGINS = 0.05, 0.01875
"""Chances with each attempt: a burst lasts 20 attempts, and the faults are 20 % of all (Gilbert and Elliott's model).

No time ends a burst, only attempts do: waiting longer does not help, as it would with a real provider.
"""


def fault(kind: str, api: str, rests: float) -> Fault:
    """A transient fault; *rests* is what the server asks for under 429, in seconds."""
    return {
        "503": Fault.status(503),
        "overloaded": Fault.status(529 if api == "anthropic.messages" else 503, kind="overloaded"),
        "429 with Retry-After": Fault.status(429, retry_after=rests),
        "reset before the head": Fault.reset(),
        "read timeout": Fault.read_timeout(),
        "cut before the first token": Fault.reset(at_delta=0),
        "truncated JSON": Fault.truncated_json(),
    }[kind]


def final(kind: str, api: str) -> Fault:
    """A failure that the same request meets again."""
    quota = 402 if api == "anthropic.messages" else 429
    return Fault.status({"auth": 401, "quota": quota}.get(kind, 400), kind=kind)


@define
class Met:
    """What one request of the campaign met at the provider."""

    attempts: Counter[str] = field(factory=Counter)
    """By origin."""
    faults: int = 0
    final: str | None = None


@define(eq=False)
class Fates:
    """A script that decides by the seed, the request's own text and how often it was tried before.

    So one request's faults do not depend on what others do meanwhile, but for bursts: they are a state of each origin
    that changes with every attempt.  ``rate`` is the share of attempts with a transient fault; 1 is an outage.
    """

    seed: str
    rate: float
    burst: bool = False
    outage: bool = False
    rests: float = 2.0
    final_share: float = FINAL_SHARE
    met: dict[str, Met] = field(factory=dict)
    kinds: Counter[str] = field(factory=Counter)
    _in_burst: dict[str, bool] = field(factory=dict)
    _lock: threading.Lock = field(factory=threading.Lock)

    @property
    def attempts(self) -> int:
        """Upstream attempts in all."""
        return sum(one.attempts.total() for one in self.met.values())

    def __call__(self, seen: SeenRequest) -> Reply | Fault | list[Fault | Reply]:
        prompt = seen.last_user_text
        with self._lock:
            met = self.met.setdefault(prompt, Met())
            origin = urlsplit(seen.url).netloc
            met.attempts[origin] += 1
            if self.outage:
                met.faults += 1
                return Fault.status(503)
            chance = random.Random(f"{self.seed}:{prompt}")
            if chance.random() < self.final_share:
                met.final = chance.choice(FINAL)
                return final(met.final, seen.api)
            chance = random.Random(f"{self.seed}:{prompt}:{met.attempts.total()}")
            if chance.random() >= self._share(origin, chance):
                return REPLY
            (kind,) = chance.choices(list(MIX), list(MIX.values()))
            met.faults += 1
            self.kinds[kind] += 1
        return [fault(kind, seen.api, self.rests), REPLY]

    def _share(self, origin: str, chance: random.Random) -> float:
        if not self.burst:
            return self.rate
        bad = self._in_burst.get(origin, False)
        bad = chance.random() >= _ENDS if bad else chance.random() < _BEGINS
        self._in_burst[origin] = bad
        return _BAD if bad else _GOOD
