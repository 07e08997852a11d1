"""Calls that are cancelled at each of their awaits in turn, and the books that must be closed afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx
from attrs import define, field
from clippy_hookspecs import (
    AuditRecord,
    Chunk,
    ClippyError,
    Outcome,
    PluginError,
    RequestContext,
    StateStore,
    hookimpl,
)

from ...client import AsyncClient
from ...state_memory import MemoryStateStore
from ..cancelling import STOPS, quiet, stopped
from ..clock import VirtualClock
from ..faults import Fault
from ..script import Reply, Script
from .bench import Bench, colours

EXPECTED = (ClippyError, httpx.HTTPError, httpx.StreamError)
"""What a call may raise that was not cancelled."""


@define(eq=False)
class Suspends:
    """Offers the host's own StateStore with a real wait around each method, as one over a network has it."""

    store: MemoryStateStore
    inline = False  # which that store says of itself

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(StateStore, self)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)

        async def wait_and_call(*arguments: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            result = await method(*arguments)
            await anyio.lowlevel.checkpoint()  # who is cancelled here has what it asked for and does not know it
            return result

        return wait_and_call

    def held(self) -> int:
        """How many leases are taken and reservations neither settled nor refunded."""
        leases, uses = self.store._leases.values(), self.store._uses.values()  # noqa: SLF001 (it is the core's own)
        return sum(map(len, leases)) + sum(len(one.held) for one in uses)

    def free(self) -> None:
        """Give all of that back."""
        for holders in self.store._leases.values():  # noqa: SLF001
            holders.clear()
        for one in self.store._uses.values():  # noqa: SLF001
            one.held.clear()


@define(eq=False)
class Books:
    """Counts what every request is owed: its record, the ends of its attempts, its leases given back."""

    began: Counter[str] = field(factory=Counter)
    attempts: Counter[tuple[str, int]] = field(factory=Counter)
    ended: Counter[tuple[str, int]] = field(factory=Counter)
    audits: Counter[str] = field(factory=Counter)
    leases: dict[str, int] = field(factory=dict)
    ends: Counter[str] = field(factory=Counter)

    @hookimpl(tryfirst=True)
    def pre_request(self, ctx: RequestContext) -> None:
        self.began[ctx.id] += 1

    @hookimpl(tryfirst=True)
    def pre_attempt(self, ctx: RequestContext) -> None:
        self.attempts[ctx.id, ctx.attempt] += 1

    @hookimpl
    def post_attempt(self, outcome: Outcome, ctx: RequestContext) -> None:
        self.ended[ctx.id, ctx.attempt] += 1

    @hookimpl
    def on_chunk(self, chunk: Chunk, ctx: RequestContext) -> None:
        self.ends[ctx.id] += chunk.kind == "end"

    @hookimpl(trylast=True)
    def audit(self, record: AuditRecord, ctx: RequestContext) -> None:
        self.audits[ctx.id] += 1
        self.leases[ctx.id] = ctx.leases

    def faults(self) -> list[str]:
        """What is not as it must be; the books begin anew."""
        found = [f"{self.audits[name]} records of one request" for name in self.began if self.audits[name] != 1]
        found += [f"an attempt ended {self.ended[one]} times" for one in self.attempts if self.ended[one] != 1]
        found += [f"ctx.leases is {held} at the end" for held in self.leases.values() if held]
        found += [f"a stream ended {count} times" for count in self.ends.values() if count > 1]
        for kept in (self.began, self.attempts, self.ended, self.audits, self.leases, self.ends):
            kept.clear()
        return found


Call = Callable[[AsyncClient, str], Coroutine[Any, Any, None]]


async def _chat(client: AsyncClient, prompt: str) -> None:
    await client.chat(prompt)


async def _stream(client: AsyncClient, prompt: str) -> None:
    async with await client.stream(prompt) as stream:
        async for _ in stream:
            pass


async def _stream_left(client: AsyncClient, prompt: str) -> None:
    async with await client.stream(prompt) as stream:
        async for _ in stream.text():
            break


CALLS: dict[str, Call] = {"chat": _chat, "stream": _stream, "stream left": _stream_left}


def cancelled_everywhere(make: Callable[[], Any], clock: VirtualClock) -> list[str]:
    """What is wrong after calls beside the plugin of *make* were cancelled at every await, in every way there is."""
    wrong = []
    for how in STOPS:
        if how == "trio" and "trio" not in colours():
            continue
        backend = "trio" if how == "trio" else "asyncio"
        for name in CALLS:
            for fault in (None, Fault.status(503), Fault.reset(at_delta=2)):
                found = anyio.run(_sweep, make, clock, how, name, fault, backend=backend)
                wrong += [f"{how}, {name}: {what}" for what in found]
    return wrong


async def _sweep(make: Callable[[], Any], clock: VirtualClock, how: str, name: str, fault: Fault | None) -> list[str]:
    work, books, store = CALLS[name], Books(), Suspends(MemoryStateStore(clock))
    script = Script(then=_once(fault))
    plugins = {"tested": make(), "yy-books": books, "zz-store": store}
    bench = Bench(plugins, script, clock=clock)
    async with bench.host, AsyncClient(bench.host, bench.provider.async_client()) as client:
        whole = await stopped(how, lambda: work(client, f"{name} whole"), ())
        background = set(await quiet(0.0))
        wrong = [f"not cancelled: {what}" for what in _left(bench, books)]
        usually = store.held()  # for a plugin that holds something beyond a request
        for point in range(1, whole.points + 1):
            result = await stopped(how, partial(work, client, f"{name} {point}"), {point})
            found = [what for what in await quiet(2.0 if not background else 0.0) if what not in background]
            found += _left(bench, books)
            if store.held() > usually:
                found.append(f"{store.held() - usually} leases or reservations are held in the StateStore")
                store.free()
            if result.hung:
                found.append("it hangs")
            elif not result.cancelled and result.points > point:
                found.append("it went on as if it had not been cancelled")
            if not isinstance(result.error, (*EXPECTED, type(None))) or isinstance(result.error, PluginError):
                found.append(f"the call raised {result.error!r}")
            wrong += [f"at await {point} of {whole.points}: {what}" for what in found]
        again = await stopped(how, lambda: work(client, f"{name} again"), ())
        if not isinstance(again.error, (*EXPECTED, type(None))) or again.hung:
            wrong.append(f"after all of that a call ended with {again}")
        wrong += [f"it raised in {hook}" for hook in bench.blamed]
    return wrong


def _once(fault: Fault | None) -> Callable[[Any], Any]:
    """A provider that has *fault* in every other answer."""
    reply = Reply("one two three four five")
    return lambda seen: [fault, reply] if fault is not None and seen.number % 2 else reply


def _left(bench: Bench, books: Books) -> Iterator[str]:
    """What is left over after calls have ended."""
    yield from books.faults()
    counts = bench.provider.counters
    missing = counts["requests"] - counts["completed"] - counts["broken"] - counts["closed_early"]
    if missing:
        yield f"{missing} answers are open at the provider"
