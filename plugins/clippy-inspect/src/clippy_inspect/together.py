"""The calls of all workers of a gateway as one source of the pages, in whichever of them a page is asked for."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from attrs import define, field
from clippy_hookspecs import Flow, StatusTable
from clippy_recorder import Exchange, StrangeRecording, exchange_of
from clippy_serving.siblings import Siblings

from .brief import recalled
from .pace import Pace, Rate
from .view import Source

log = logging.getLogger("clippy.inspect")

WITHIN: Final = 2.0
"""Seconds that a page waits for the other workers."""
BRIEF: Final = 0.25
"""Seconds that it waits for one that has just not answered, for _BRIEFLY seconds."""
_BRIEFLY: Final = 10.0
_FORGOTTEN: Final = 60.0
"""Seconds after the last look in which what others have told is kept."""
_LONG: Final = 0.1
"""Seconds of a look that cost something: half of the time at most is spent with looking."""
_PACE: Final = 0.5
_ALL: Final = 1_000_000


@define(eq=False)
class Copy:
    """What another worker has told: its calls, what the flows of those that run say, how many begin a second.

    It has counted these for ``age`` seconds.

    ``calls`` are in the order in which they were told.  ``silent`` says that it did not answer the last time,
    ``behind`` that it has more than it could tell by then.
    """

    name: str
    calls: dict[str, Exchange] = field(factory=dict, repr=False)
    flows: dict[str, str] = field(factory=dict)
    rates: tuple[float | None, ...] = ()
    age: float = 0.0
    silent: bool = False
    behind: bool = False
    brief_until: float = 0.0

    def take(self, told: bytes) -> frozenset[str]:
        """Keep what was told; the ids of the calls that are new.  Each value is replaced whole: others may read it."""
        head, *lines = told.split(b"\n")
        about = json.loads(head)
        new: dict[str, Exchange] = {}
        for text in filter(None, lines):
            try:
                exchange = exchange_of(json.loads(text))
            except StrangeRecording as error:
                log.warning("a request of %s is not shown: %s", self.name, error)
                continue
            old = self.calls.get(exchange.id)
            goes_on = exchange.state == "running" and old is not None
            new[exchange.id] = recalled(exchange, old) if goes_on and old is not None else exchange
        there = frozenset(about["ids"])
        before = {name: one for name, one in self.calls.items() if name not in new}
        self.calls = {name: one for name, one in {**before, **new}.items() if name in there}
        self.flows, self.rates, self.behind = about["flows"], tuple(about["rates"]), about["more"]
        self.age = about["age"]
        return frozenset(new)

    def question(self, known: Collection[str]) -> list[Any]:
        """What to ask for: not for those *known*, and of those that go on first for what was told the longest ago.

        So each has its turn, however many there are.  With each how many of its attempts are known.
        """
        return [[*known], [(name, len(one.attempts)) for name, one in self.calls.items() if name not in known]]

    def shown(self) -> list[Exchange]:
        """Of one that does not answer, what was over when it last did."""
        return [one for one in self.calls.values() if not self.silent or one.state != "running"]

    def fault(self) -> str:
        """What is missing of it, as a sentence; "" if nothing is."""
        if self.silent:
            return f"{self.name.capitalize()} does not answer: what it is doing now is not shown."
        return f"{self.name.capitalize()} has more to show than it could tell yet." if self.behind else ""


@define(eq=False)
class Together:
    """A source for the pages of one worker: its own calls, and those that the others told when it last looked.

    To be looked with in one event loop.
    """

    own: Source
    pace: Pace
    siblings: Siblings
    _copies: dict[int, Copy] = field(init=False, repr=False)
    _lock: asyncio.Lock = field(factory=asyncio.Lock, init=False, repr=False)
    _began: float = field(default=-1.0, init=False)
    _rest: float = field(default=-1.0, init=False)
    """Until when nobody looks again: for as long as the last look took, if that was long."""
    _acted: float = field(default=-1.0, init=False)
    """When we last changed a stream of another's: a look that began before has not seen it."""
    _forgetting: asyncio.TimerHandle | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._forget()

    # --- asking the others --------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Ask the others what they have, all at once and no longer than WITHIN.  Never fails."""
        loop = asyncio.get_running_loop()
        came = loop.time()
        async with self._lock:
            rests = loop.time() < self._rest and self._began >= self._acted
            if self._began >= came or rests:  # somebody has looked while we waited, or just now
                return
            began = loop.time()
            await asyncio.gather(*(self._look_at(place, copy) for place, copy in self._copies.items()))
            self._began = began  # not before: one that is cancelled has not looked
            took = loop.time() - began
            self._rest = loop.time() + took if took > _LONG else -1.0
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forgetting = loop.call_later(_FORGOTTEN, self._forget)

    async def _look_at(self, place: int, copy: Copy) -> None:
        now = asyncio.get_running_loop().time
        until = now() + (BRIEF if now() < copy.brief_until else WITHIN)
        known = {one.id for one in copy.calls.values() if one.state != "running"}
        silent = True
        try:
            while (told := await self._told(place, "calls", copy.question(known), until - now())) is not None:
                known |= await asyncio.to_thread(copy.take, told)
                silent = False
                if not copy.behind or now() >= until:
                    break
        except Exception:  # such as of another version, that was installed meanwhile
            log.exception("what %s told cannot be read", copy.name)
        if silent and now() >= copy.brief_until:
            copy.brief_until = now() + _BRIEFLY
        copy.silent = silent

    async def whole(self, wanted: str) -> Exchange | None:
        """This call with all that is known of it; of one that runs elsewhere the look told only what a list shows."""
        found = self.find(wanted)
        if found is None or found.state != "running" or self.own.find(wanted) is not None:
            return found
        try:
            told = [one for one in await self._ask_all("call", wanted) if one is not None]
            return exchange_of(told[0]) if told else found
        except StrangeRecording as error:
            log.warning("request %s is shown without its pieces: %s", wanted, error)
            return found

    async def act(self, wanted: str, verb: str) -> str | None:
        """The state of a stream that another worker holds, after *verb*; None if none of them does."""
        found = [str(told) for told in await self._ask_all("act", [wanted, verb]) if told is not None]
        self._acted = asyncio.get_running_loop().time()
        return found[0] if found else None

    async def tables(self) -> list[tuple[str, StatusTable | str]]:
        """How the plugins of the others are doing."""
        found: list[tuple[str, StatusTable | str]] = []
        answers = await self._ask_all("tables", None, lambda copy: BRIEF if copy.silent else WITHIN)
        for copy, told in zip(self._copies.values(), answers, strict=True):
            found += [(f"{one['plugin']}, {copy.name}", _table(one)) for one in told or ()]
        return found

    async def _ask_all(self, what: str, said: Any, within: Callable[[Copy], float] = lambda _: WITHIN) -> list[Any]:
        """What each of the others answers, None for one that does not."""
        waits = [self._told(place, what, said, within(copy)) for place, copy in self._copies.items()]
        return [None if told is None else json.loads(told) for told in await asyncio.gather(*waits)]

    async def _told(self, place: int, what: str, said: Any, within: float) -> bytes | None:
        return await self.siblings.ask(place, what, json.dumps(said).encode(), within)

    def _forget(self) -> None:
        """Nobody looks any more, and the calls of others may be many megabytes."""
        self._copies = {place: Copy(f"worker {place + 1}") for place in self.siblings.others}

    # --- what was seen then -------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What this worker is called."""
        return f"worker {(self.siblings.place or 0) + 1}"

    @property
    def missing(self) -> tuple[str, ...]:
        """What is missing in what is shown: a sentence for each worker."""
        return tuple(filter(None, (copy.fault() for copy in self._copies.values())))

    def latest(self, limit: int = 200, before: str | None = None) -> tuple[Exchange, ...]:
        """The newest of all, newest last; those before the exchange with the id *before*."""
        calls = [*self.own.latest(_ALL)]
        for copy in self._copies.values():
            calls += copy.shown()
        calls.sort(key=lambda one: one.began)
        if before is not None:
            calls = calls[: next((place for place, one in enumerate(calls) if one.id == before), 0)]
        return tuple(calls[-limit:]) if limit > 0 else ()

    def find(self, wanted: str, /) -> Exchange | None:
        """This call, here or in another worker."""
        told = (one for copy in self._copies.values() for one in copy.shown() if one.id == wanted)
        return self.own.find(wanted) or next(told, None)

    def flow(self, wanted: str, /) -> Flow | None:
        """The handle of a stream of this worker's own."""
        return self.own.flow(wanted)

    def flow_elsewhere(self, wanted: str) -> str | None:
        """What the flow of a stream said that another worker holds."""
        found = (copy.flows.get(wanted) for copy in self._copies.values() if not copy.silent)
        return next((state for state in found if state is not None), None)

    def worker(self, wanted: str) -> str:
        """What the worker is called that has this call."""
        return next((copy.name for copy in self._copies.values() if wanted in copy.calls), self.name)

    def rates(self) -> tuple[Rate, ...]:
        """Requests that begin a second, in all workers that answer."""
        told = [copy for copy in self._copies.values() if copy.rates and not copy.silent]
        sums = [sum(one or 0.0 for one in window) for window in zip(*(copy.rates for copy in told), strict=True)]
        own = self.pace.rates()
        oldest = max((copy.age for copy in told), default=0.0)
        return tuple(
            Rate(one.name, one.seconds, (one.per_second or 0.0) + more, max(one.over, min(one.seconds, oldest)))
            for one, more in zip(own, sums or [0.0] * len(own), strict=True)
        )

    def subscribe(self, callback: Callable[[str], None], /) -> Callable[[], None]:
        """*callback* is called with the ids of what changed, here at once and elsewhere soon.  In an event loop."""
        leave = self.own.subscribe(callback)
        watching = asyncio.get_running_loop().create_task(self._watch(callback))

        def end() -> None:
            leave()
            watching.cancel()

        return end

    async def _watch(self, callback: Callable[[str], None]) -> None:
        seen: dict[int, int | None] = dict.fromkeys(self.siblings.others)
        while True:
            for place, since in seen.items():
                told = await self._told(place, "changed", since, BRIEF)
                if told is not None:
                    seen[place], ids = json.loads(told)
                    for one in ids:
                        callback(one)
            await asyncio.sleep(_PACE)


def _table(told: dict[str, Any]) -> StatusTable | str:
    if "error" in told:
        return str(told["error"])
    return StatusTable(told["name"], tuple(told["columns"]), tuple(map(tuple, told["rows"])))
