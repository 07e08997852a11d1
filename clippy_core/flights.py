"""Equal requests under way share one flight: the first asks the provider, and the others get what it brings.

A flight has one leader at a time.  However that one ends, its flight lands (a whole answer, a plugin's, a failure), its
stream goes on for those aboard, or the next in line leads and asks for itself: nobody waits for somebody who left.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from .across import Health
from .forks import follow_forks
from .outcomes import ALONE, Alone, Landed, Outcome
from .shared_source import SharedSource, awaited
from .shared_stream import Head, SharedStream, entry_from

if TYPE_CHECKING:
    from .across import Across
    from .flow import FlowHandle
    from .runtime import Runtime
    from .sources import Source
    from .waiters import Waiter

REMEMBERED = 256
"""Flights that landed last, for those who had asked the caches just before and come just after."""


@define(eq=False, repr=False)
class Flight:
    """What is under way for one key, and who waits for it."""

    key: str
    process: object = None
    """Whose it is: a forked child has flights of its own, and leaves its parent's alone."""
    leader: Seat | None = None
    waiting: deque[Seat] = field(factory=deque)
    aboard: list[Seat] = field(factory=list)
    """Those who read the leader's stream with it."""
    outcome: Outcome | None = None
    stream: SharedStream | None = None


def _open(route: str) -> None:
    """No route is barred."""


@define(eq=False, repr=False)
class Seat:
    """One request's place in a flight.

    ``leads``: it asks the provider.  ``pays``: the answer counts as its own, which passes to another when it leaves in
    the middle of a stream.
    """

    flights: Flights
    flight: Flight
    runtime: Runtime
    flow: FlowHandle
    total: float | None
    by: str
    barred: Callable[[str], object]
    """Whether it may not have what comes by a route."""
    leads: bool = field(default=False, init=False)
    pays: bool = field(default=False, init=False)
    settling: bool = field(default=False, init=False)
    left: bool = field(default=False, init=False)
    reader: SharedSource | None = field(default=None, init=False)
    taken: bool = field(default=False, init=False)
    across: Across | None = field(default=None, init=False)
    _waiter: Waiter | None = field(default=None, init=False)

    async def arrive(self) -> Outcome | SharedSource | None:
        """Wait for what the flight brings; None when this request leads.  Raises TimeIsUp, and FlowCancelled."""
        while True:
            with self.flights.lock:
                flight = self.flight
                if self.leads:
                    return None
                if self.reader is not None:
                    self.taken = True
                    return self.reader
                if flight.outcome is not None:
                    return flight.outcome
                if flight.leader is None:
                    return ALONE
                leader, waiter = flight.leader, self.runtime.waiter()
                self._waiter = waiter
            if not await awaited(waiter, self.runtime, self.total, self.flow, leader.runtime):
                self.flights.deserted(flight, leader)

    def wake(self) -> None:
        """Something has become of the flight."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.set()

    def land(self, outcome: Outcome) -> None:
        """What the leader got, for everybody."""
        self.flights.land(self, outcome)

    def share(self, source: Source, head: Head) -> Source:
        """The leader's stream, for everybody; what its own caller reads it from."""
        return self.flights.share(self, source, head)

    def settle(self) -> bool:
        """The books are about to be closed: whether the answer counts as this request's own."""
        with self.flights.lock:
            self.settling = True
            return self.pays

    def leave(self) -> bool:
        """The request is over; whether its answer counts as another's from now on."""
        return self.flights.leave(self)

    async def finish(self) -> None:
        """Tell other processes what the flight brought, if they are to know."""
        across, self.across = self.across, None
        if across is not None and across.holds and self.flights.owns(self.flight):
            await across.finish(self._brought(across.api))

    def _brought(self, api: str) -> Outcome | None:
        outcome, stream = self.flight.outcome, self.flight.stream
        if outcome is None and stream is not None and stream.complete and not stream.gone:
            events = [event for batch in tuple(stream.batches) for event in batch]
            head = stream.head
            outcome = Landed(entry_from(events, api, head), head.route, None, head.answering_model)
        return outcome


class Flights:
    """The flights of one host, for all its threads and event loops.  A forked child has none of its parent's."""

    def __init__(self) -> None:
        self._begin()
        follow_forks(self._begin)

    def _begin(self) -> None:
        self.lock = threading.RLock()  # a signal handler that cancels may find its own thread in here
        self._flights: dict[str, Flight] = {}
        self._landed: OrderedDict[str, int] = OrderedDict()
        self._count = 0
        self._process = object()
        self.health = Health()

    # --- coming aboard ------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """A moment, for :meth:`landed_since`."""
        return self._count

    def landed_since(self, key: str, moment: int) -> bool:
        """Whether a flight of this key landed after *moment*: then a cache may have by now what it had not."""
        with self.lock:
            return self._landed.get(key, 0) > moment

    def board(
        self,
        key: str,
        runtime: Runtime,
        flow: FlowHandle,
        total: float | None,
        by: str,
        barred: Callable[[str], object] = _open,
    ) -> Seat:
        """A place in the flight of *key*, or at the head of a new one; *total* is the request's deadline.

        Who is *barred* from the route of a stream never comes aboard, so that it can inherit neither bill nor lease.
        """
        with self.lock:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = Flight(key, self._process)
            seat = Seat(self, flight, runtime, flow, total, by, barred)
            flight.waiting.append(seat)
            if flight.leader is None:
                self._next_leads(flight)
            elif flight.outcome is not None:
                flight.waiting.clear()
            elif flight.stream is not None:
                self._take_aboard(flight)
            return seat

    def _take_aboard(self, flight: Flight) -> None:
        """Those who wait become readers of the stream, unless it is being read or closed just now: it calls again."""
        stream = flight.stream
        if stream is None:
            return
        stream.wanted = bool(flight.waiting) and stream.busy
        if stream.wanted:
            return
        while flight.waiting:
            seat = flight.waiting.popleft()
            if not seat.barred(stream.head.route):
                seat.reader = stream.take_aboard(seat.runtime, seat.flow, seat.total)
            if seat.reader is None:  # it cannot be read for others: they are as if there were no flight
                seat.flight = Flight(flight.key, outcome=ALONE)
            else:
                flight.aboard.append(seat)
            seat.wake()

    # --- what becomes of it -------------------------------------------------------------------------------------------

    def land(self, seat: Seat, outcome: Outcome) -> None:
        with self.lock:
            flight = seat.flight
            if not self.led_by(seat) or flight.outcome is not None:
                return
            flight.outcome = outcome
            if isinstance(outcome, Alone):
                self._remove(flight)
            for waiting in flight.waiting:
                waiting.wake()
            flight.waiting.clear()

    def share(self, seat: Seat, source: Source, head: Head) -> Source:
        with self.lock:
            flight = seat.flight
            if not self.led_by(seat) or flight.outcome is not None:
                return source
            stream = SharedStream(source, seat.runtime, head, self, lambda: self._changed(flight, stream))
            flight.stream, seat.reader, seat.taken = stream, stream.begin(seat.flow), True
            self._take_aboard(flight)
            return seat.reader

    def leave(self, seat: Seat) -> bool:
        with self.lock:
            flight, stream = seat.flight, seat.flight.stream
            if seat.left:
                return False
            seat.left = True
            if seat.reader is not None and not seat.taken:
                seat.reader.stream.drop(seat.reader)
            if seat in flight.waiting:
                flight.waiting.remove(seat)
            if seat in flight.aboard:
                flight.aboard.remove(seat)
            if not self.led_by(seat):
                return False
            if flight.outcome is not None or (stream is not None and stream.complete):
                self._remove(flight, landed=True)
                self._take_aboard(flight)
            elif stream is None:
                self._next_leads(flight)
            else:
                return self._next_pays(flight, seat)
            return False

    def led_by(self, seat: Seat) -> bool:
        """Whether *seat* leads its flight, in this process."""
        return seat.flight.leader is seat and self.owns(seat.flight)

    def owns(self, flight: Flight) -> bool:
        """Whether a flight is of this process."""
        return flight.process is self._process

    def deserted(self, flight: Flight, leader: Seat) -> None:
        """The event loop of *leader* stands still: who waits for it must not."""
        with self.lock:
            if flight.leader is leader and flight.outcome is None:
                self._next_leads(flight)

    def _changed(self, flight: Flight, stream: SharedStream) -> None:
        """The stream can be joined now, or not any more."""
        if flight.stream is not stream:
            return
        if (stream.broken is not None or stream.over) and not stream.complete:
            self._next_leads(flight)
            return
        if stream.complete and flight.leader is not None and flight.leader.left:
            self._remove(flight, landed=True)  # nobody's books are closed with it any more
        self._take_aboard(flight)

    def _next_leads(self, flight: Flight) -> None:
        """Nothing of what the last leader got can be shared: the next in line asks for itself, if anybody waits."""
        flight.stream = flight.leader = None
        flight.aboard.clear()
        if flight.waiting:
            flight.leader = leader = flight.waiting.popleft()
            leader.leads = leader.pays = True
            leader.wake()
        else:
            self._remove(flight)

    def _next_pays(self, flight: Flight, before: Seat) -> bool:
        """The leader left in the middle of its stream: from now on the answer is that of another who reads it."""
        for seat in flight.aboard:
            if not seat.settling:
                flight.aboard.remove(seat)
                flight.leader = seat
                seat.pays = True
                if seat.runtime is before.runtime:  # a store is adapted to the colour of who asks
                    seat.across, before.across = before.across, None
                return True
        return False

    def _remove(self, flight: Flight, landed: bool = False) -> None:
        if self._flights.get(flight.key) is not flight:
            return
        del self._flights[flight.key]
        if landed:
            self._count += 1
            self._landed[flight.key] = self._count
            self._landed.move_to_end(flight.key)
            if len(self._landed) > REMEMBERED:
                self._landed.popitem(last=False)
