"""One attempt and what it asks of the store in which the breakers of its route are kept."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from attrs import define, field
from clippy_hookspecs import Request, RequestContext

from .known import Known, Place, Store
from .record import HEALTHY, ROUTE, Record, dump, model_name

T = TypeVar("T")


class StoreFailed(Exception):
    """The store raised its ``__cause__``.  Never leaves the plugin."""


async def told(answer: Awaitable[T]) -> T:
    """What a store answers.  Raises StoreFailed, so that no fault of our own is taken for one of the store."""
    try:
        return await answer
    except Exception as error:
        raise StoreFailed from error


@define(eq=False)
class Attempt:
    """One attempt under way: what was known when it began, and the breakers for which it is a probe.

    ``began`` is when a probe did, by the clock of its place.  ``freed`` are the breakers for which it was a probe until
    its answer began, ``settled`` those of them for which that is a success already.  What asks the store raises
    StoreFailed.
    """

    request: Request
    store: Store
    place: Place
    known: Known
    seen: Record = HEALTHY
    probes: list[str] = field(factory=list)
    holder: str = ""
    began: float = 0.0
    freed: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    over: bool = False
    """Its end has come, and will settle nothing that is taken back from now on."""
    _held: int = field(default=0, init=False)
    """Places that count in the leases of its request."""
    _unclaimed: list[tuple[str, ...]] | None = field(default=None, init=False)

    @property
    def model(self) -> str:
        """The name of the breaker of the model that is asked.  Decodes the request if nobody has."""
        return model_name(self.request.model)

    async def look(self) -> Record:
        """What is kept about the route now."""
        known = self.known
        try:  # told, written out: it is asked before every attempt
            text = await self.store.get(known.key)
        except Exception as error:
            raise StoreFailed from error
        return known.see(text)

    async def write(self, before: str | None, record: Record, ttl: float) -> bool:
        """Keep *record* for *ttl* seconds in place of the text *before*; whether that was still there."""
        text = dump(record)
        written = await told(self.store.swap(self.known.key, before, text, ttl))
        if written:
            self.known.see(text)
        return written

    async def take(self, name: str, ttl: float, ctx: RequestContext) -> bool:
        """Take the place of a breaker's probe; False while another has it."""
        self._unclaimed = self._unclaimed or [()]
        if name not in self.probes:
            self.probes.append(name)  # before it is asked for: a cancellation may come while it is given
            self._held += 1
            ctx.leases += 1
        return await told(self.store.lease(self.known.place_of_probe(name), self.holder, ttl))

    def is_probe(self, name: str) -> bool:
        """Whether it was sent to find out about a breaker, and that one is still as it saw it."""
        return self.seen.machine(name).until is not None and (name in self.probes or name in self.freed)

    @property
    def is_any_probe(self) -> bool:
        """Whether it was sent to find out about one breaker at least."""
        return any(map(self.is_probe, (*self.probes, *self.freed)))

    def claim(self) -> tuple[str, ...] | None:
        """What is settled of the probes that the caller now settles; None if another does.

        Its answer may begin and end in two threads at once.
        """
        if self._unclaimed is None:  # as nearly all: it was never a probe
            return ()
        try:
            return self._unclaimed.pop()
        except IndexError:
            return None

    def hand_over(self, counted: bool, ctx: RequestContext) -> Attempt | None:
        """Its probes as an attempt of their own, for who noticed that its answer has begun; None if it has ended.

        *counted*: whether they are a success by that alone.  Their places are no longer held for the request.
        """
        self.freed = tuple(self.probes)
        self.settled = self.freed if counted else ()  # first: who finds the claim taken reads it
        if self.claim() is None:
            return None
        names, self.probes = self.probes, []
        self.hold_nothing(ctx)
        return Attempt(self.request, self.store, self.place, self.known, self.seen, names, self.holder)

    def take_back(self, settled: tuple[str, ...]) -> None:
        """Its probes were handed over to who could count only those for the *settled* breakers, or not free them."""
        self.probes = list(self.freed)
        if self._unclaimed is not None:
            self._unclaimed.append(settled)  # last: from here on its end settles them

    def hold_nothing(self, ctx: RequestContext) -> None:
        """No place of a probe is held for the request any more."""
        held, self._held = self._held, 0
        ctx.leases -= held

    async def give_back(self, ctx: RequestContext) -> None:
        """Give the places of all probes back, also those that were asked for and not given."""
        self.hold_nothing(ctx)
        await self.release()

    async def release(self) -> None:
        """As ``give_back``, of places that are held for no request any more."""
        names, self.probes = self.probes, []
        for name in names:
            await told(self.store.release(self.known.place_of_probe(name), self.holder))

    def named(self, name: str) -> str:
        """A breaker in words."""
        return self.known.shown if name == ROUTE else f"model {name!r} of {self.known.shown}"
