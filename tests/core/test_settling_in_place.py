"""Hooks that settle a request cost a task only where one of them waits."""

from __future__ import annotations

from typing import Any, Protocol

import anyio
import anyio.lowlevel
import httpx
import pytest
from attrs import define, field
from campaign_life import ROUTES
from clippy_hookspecs import Request, RequestContext, StateStore, hookimpl

import clippy_core
from clippy_core.runtime import AsyncRuntime
from clippy_core.testing import FakeProvider, Reply
from clippy_core.testing.cancelling import STOPS, quiet, stopped


class Ledger(Protocol):
    """A service that really waits."""

    async def write(self, word: str) -> None: ...


@define(eq=False)
class SlowLedger:
    """Keeps words, in a scope of the task that waits."""

    words: list[str] = field(factory=list)

    @hookimpl
    def register_services(self, services: Any) -> None:
        services.offer(Ledger, self)

    async def write(self, word: str) -> None:
        with anyio.move_on_after(5):
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            self.words.append(word)


@define(eq=False)
class Counts:
    """Counts attempts and requests in the host's store, which is a dict: there is nothing to wait for."""

    @hookimpl(inline=True)
    async def post_attempt(self, ctx: RequestContext) -> None:
        await ctx.services.get(StateStore).add("attempts", 1, ttl=60)

    @hookimpl(inline=True)
    async def audit(self, ctx: RequestContext) -> None:
        await ctx.services.get(StateStore).add("requests", 1, ttl=60)


@define(eq=False)
class Writes:
    """Writes into the ledger once a request is over; *always* after each attempt, too."""

    always: bool = False

    @hookimpl(inline=True)
    async def post_attempt(self, ctx: RequestContext) -> None:
        if self.always:
            await ctx.services.get(Ledger).write("attempt")

    @hookimpl(inline=True)
    async def audit(self, ctx: RequestContext) -> None:
        await ctx.services.get(Ledger).write("first")
        await ctx.services.get(Ledger).write("second")


@define(eq=False)
class Asks:
    """Asks the model once more when a request is over, and writes down what it said."""

    request: Any = None
    words: list[str] = field(factory=list)

    @hookimpl
    def pre_attempt(self, request: Request) -> None:
        self.request = request

    @hookimpl(inline=True)
    async def audit(self, ctx: RequestContext) -> None:
        answer = await ctx.ask(self.request)
        self.words.append(answer.text)


@define(eq=False)
class WaitsAfterAll:
    """Says that it waits for nothing of its own, and does."""

    words: list[str] = field(factory=list)

    @hookimpl(inline=True)
    async def post_attempt(self) -> None:
        with anyio.move_on_after(5):
            await anyio.sleep(0.001)
            self.words.append("attempt")

    @hookimpl(inline=True)
    async def audit(self) -> None:
        with anyio.move_on_after(0.001):
            await anyio.sleep(5)
        self.words.append("audit")


@define(eq=False)
class Marks:
    """Notes what it was called for, behind the others."""

    marks: list[str] = field(factory=list)

    @hookimpl
    def pre_request(self) -> None:
        self.marks.append("request")

    @hookimpl
    def pre_attempt(self) -> None:
        self.marks.append("attempt")

    @hookimpl
    def post_attempt(self) -> None:
        self.marks.append("attempt ended")

    @hookimpl
    def audit(self) -> None:
        self.marks.append("audit")


WHOLE = ["request", "attempt", "attempt ended", "audit"]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each task that a host starts."""
    started: list[str] = []
    spawn = AsyncRuntime._spawn

    def counted(self: AsyncRuntime, *arguments: Any) -> None:
        started.append("task")
        spawn(self, *arguments)

    monkeypatch.setattr(AsyncRuntime, "_spawn", counted)
    return started


def host_of(*plugins: object) -> clippy_core.Host:
    """A host of these plugins, which are called for the end of a request in this order."""
    named = {f"p{place}": plugin for place, plugin in enumerate(plugins)}
    return clippy_core.Host(named, config={"routes": ROUTES})


def client_of(host: clippy_core.Host) -> clippy_core.AsyncClient:
    return clippy_core.AsyncClient(host, httpx.AsyncClient(transport=FakeProvider(Reply("Hi")).async_transport()))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_hook_that_has_nothing_to_wait_for_costs_no_task(backend, tasks):
    """The store of one process is a dict."""
    host = host_of(Counts())

    async def main() -> list[float]:
        for _ in range(3):
            await client_of(host).chat("Hello")
        return [await host.services.get(StateStore).add(name, 0, ttl=60) for name in ("attempts", "requests")]

    assert [3, 3] == anyio.run(main, backend=backend)
    assert [] == tasks


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_hook_costs_a_task_from_where_it_waits(backend, tasks):
    """post_attempt has nothing to write here; audit has, and what is called behind it is called in the same task."""
    ledger, marks = SlowLedger(), Marks()

    async def main() -> None:
        await client_of(host_of(ledger, Writes(), marks)).chat("Hello")

    anyio.run(main, backend=backend)
    assert (["first", "second"], WHOLE) == (ledger.words, marks.marks)
    assert ["task"] == tasks


@pytest.mark.parametrize("second", [None, 1, 2])
@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize("how", STOPS)
def test_what_began_in_place_and_has_to_wait_survives_a_cancel_at_any_point(how, asks, second):
    """A service or a model is waited for in a task of the host's, which no cancel of the caller reaches."""

    async def main() -> list[str]:
        wrong: list[str] = []
        point, points = 0, 1
        while point <= points:
            writer: Any = Asks() if asks else Writes(always=True)
            ledger, marks = SlowLedger(), Marks()
            asking = client_of(host_of(ledger, marks, writer))
            at = {point, point + (second or 0)} if point else ()
            found = await stopped(how, lambda asking=asking: asking.chat("Hello"), at)
            if not point:
                points = found.points
            assert [] == await quiet()
            if sorted(marks.marks) != sorted(WHOLE * (2 if asks else 1)):  # one that asks makes a request of its own
                wrong.append(f"at {point} of {points}: {marks.marks}")
            if (writer.words if asks else ledger.words) != (["Hi"] if asks else ["attempt", "first", "second"]):
                wrong.append(f"at {point} of {points}: {ledger.words}, {found}")
            point += 1
        assert points > 1
        return wrong

    assert [] == anyio.run(main, backend="trio" if how == "trio" else "asyncio")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_hook_that_waits_against_its_word_is_waited_for(backend):
    """A sync host cannot do that and says so; on an event loop it waits in the caller's task, with its own scopes."""
    waits, marks = WaitsAfterAll(), Marks()

    async def main() -> None:
        await client_of(host_of(marks, waits)).chat("Hello")

    anyio.run(main, backend=backend)
    assert (["attempt", "audit"], WHOLE) == (waits.words, marks.marks)
