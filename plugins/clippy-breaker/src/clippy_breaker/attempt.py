"""One attempt and what it asks of the store in which the breakers of its route are kept."""

from __future__ import annotations

from attrs import define, field
from clippy_hookspecs import Request, RequestContext

from .known import Known, Place, Store
from .record import HEALTHY, ROUTE, Record, dump


class StoreFailed(Exception):
    """The store raised its ``__cause__``.  Never leaves this module."""


@define(eq=False)
class Attempt:
    """One attempt under way: what was known when it began, and the breakers for which it is a probe."""

    request: Request
    store: Store
    place: Place
    known: Known
    seen: Record = HEALTHY
    probes: list[str] = field(factory=list)
    holder: str = ""

    async def look(self) -> Record:
        """What is kept about the route now.  Raises StoreFailed, as all that asks the store."""
        try:
            text = await self.store.get(self.known.key)
        except Exception as error:
            raise StoreFailed from error
        return self.known.see(text)

    async def write(self, before: str | None, record: Record, ttl: float) -> bool:
        """Keep *record* in place of the text *before*; whether that was still there."""
        text = dump(record)
        try:
            written = await self.store.swap(self.known.key, before, text, ttl)
        except Exception as error:
            raise StoreFailed from error
        if written:
            self.known.see(text)
        return written

    async def take(self, name: str, ttl: float, ctx: RequestContext) -> bool:
        """Take the place of a breaker's probe; False while another has it."""
        if name not in self.probes:
            self.probes.append(name)  # before it is asked for: a cancellation may come while it is given
            ctx.leases += 1
        try:
            return await self.store.lease(f"{self.known.key}:probe:{name}", self.holder, ttl)
        except Exception as error:
            raise StoreFailed from error

    async def give_back(self, ctx: RequestContext) -> None:
        """Give the places of all probes back, also those that were asked for and not given."""
        names, self.probes = self.probes, []
        ctx.leases -= len(names)
        for name in names:
            try:
                await self.store.release(f"{self.known.key}:probe:{name}", self.holder)
            except Exception as error:
                raise StoreFailed from error

    def named(self, name: str) -> str:
        """A breaker in words."""
        return self.known.shown if name == ROUTE else f"model {name!r} of {self.known.shown}"
