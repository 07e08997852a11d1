"""The composition table: what happens to a request under each first-party plugin and under all of them together.

    python tests/support/composition.py > docs/composition.md

Every cell is a host with real plugins, a provider with faults, a client, and books that must be right afterwards.
``tests/contract/test_composition.py`` runs a part of them in which any three values meet, and holds the page against
it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from composition_calls import Asker, texts_in
from composition_world import ANSWER, SETS, Cell, Got, World

from clippy_core.driven import drive
from clippy_core.testing import Fault

COLOURS = ("sync", "asyncio", "trio")
OURS = ("client", "httpx")
SDKS = ("openai", "anthropic")
EVENTS = ("plain", "retry", "cancel", "refusal", "error")

EXPLAINED: Mapping[Cell, str] = {}
"""Cells that are not as they should be, and why; at most one in fifty."""

Situation = Callable[[World, Asker], Awaitable[int]]
"""What happens in a cell; returns how many answers each cache must hold afterwards."""


def cells() -> Iterator[Cell]:
    """All cells, row by row."""
    for event in EVENTS:
        for hit in (False, True):
            for streamed in (False, True):
                for plugins in SETS:
                    for entrance in (*OURS, *(SDKS if plugins == "all" else ())):
                        for colour in COLOURS:
                            yield Cell(entrance, colour, plugins, event, hit, streamed)


# --- what is checked of an answer -----------------------------------------------------------------------------------


def expect_answer(world: World, asker: Asker, got: Got, number: int | None = None) -> None:
    """The caller has the provider's whole answer: its text, its status, its bytes, in the provider's own pieces.

    *number* is the provider's request that it came from, None for an answer that was stored in the other form.
    """
    world.expect("the call failed", got.error, None)
    world.expect("text", got.text, ANSWER)
    if number is None:
        return
    said = world.said()[number - 1]
    if world.cell.entrance == "httpx":
        world.expect("status", got.status, said.status)
        world.expect("bytes", got.body, said.body)
    if world.cell.streamed:
        world.expect("pieces of text", got.texts, texts_in(asker.api, said.body))


def expect_failed(world: World, got: Got, status: int | None) -> None:
    """The caller has the failure: an error answer for an HTTP client, an exception for the others."""
    if world.cell.entrance == "httpx" and status is not None:
        world.expect("the call failed", got.error, None)
        world.expect("status", got.status, status)
    elif got.error is None:
        world.wrong.append("the call did not fail")
    elif status is not None:
        info = getattr(got.error, "info", None)
        told = info.status if info is not None else getattr(got.error, "status", None) or got.status
        world.expect("status", told, status)


async def first(world: World, asker: Asker) -> None:
    """For a hit: the answer that is stored."""
    if world.cell.hit:
        expect_answer(world, asker, await asker.ask(world.cell.streamed))


def before(world: World, *outcomes: str) -> tuple[str, ...]:
    """The outcomes of all requests: the one that was stored comes first."""
    return ("answered", *outcomes) if world.cell.hit else outcomes


# --- plain ----------------------------------------------------------------------------------------------------------


async def plain(world: World, asker: Asker) -> int:
    """Asked; asked again, and answered without the provider; the other form is answered from the same entry."""
    await first(world, asker)
    expect_answer(world, asker, await asker.ask(world.cell.streamed), 1)
    if world.cell.hit:
        world.expect_calls(1, "answered", "cached")
        world.expect_record("cache")
        expect_answer(world, asker, await asker.ask(not world.cell.streamed))
        world.expect_calls(1, "answered", "cached", "cached")
    else:
        world.expect_calls(1, "answered")
        world.expect_record("provider", 200)
    world.expect_in_window()
    return 1


# --- retry ----------------------------------------------------------------------------------------------------------


async def failed_at_once(world: World, asker: Asker) -> int:
    """The first attempt fails, a stream before its first text; the second is answered, and stored like any other."""
    streamed = world.cell.streamed
    return await _repeated(world, asker, Fault.reset(at_delta=0) if streamed else Fault.status(503))


async def error_event(world: World, asker: Asker) -> int:
    """A stream begins with an error event: nobody sees it, and its connection is closed before the next attempt."""
    return await _repeated(world, asker, Fault.error_event(at_delta=0))


async def _repeated(world: World, asker: Asker, fault: Fault) -> int:
    world.fates[1] = [fault]
    streamed = world.cell.streamed
    expect_answer(world, asker, await asker.ask(streamed), 2)
    world.expect_calls(2, "answered")
    world.expect_record("provider", 200 if streamed else 503, 200)
    world.expect("waits", len(world.clock.sleeps), 1)
    if world.cell.hit:
        expect_answer(world, asker, await asker.ask(streamed), 2)
        world.expect_calls(2, "answered", "cached")
        world.expect_record("cache")
        world.expect("waits", len(world.clock.sleeps), 1)
    world.expect_in_window()
    return 1


# --- cancel ---------------------------------------------------------------------------------------------------------


async def cancelled_by_task(world: World, asker: Asker) -> int:
    """The caller's task is cancelled, or its user interrupts it: while it waits, or between two pieces."""

    async def stop() -> bool:
        world.stop()
        if world.cell.colour != "sync":
            await anyio.lowlevel.checkpoint()
        return False

    return await _cancelled(world, asker, lambda: world.stop(), stop, stops=True)


async def cancelled_by_flow(world: World, asker: Asker) -> int:
    """``flow.cancel()``, as any thread may call it; a stored answer in one piece has nothing to cut and is given."""

    async def cancel() -> bool:
        world.cancel_flow()
        return False

    return await _cancelled(world, asker, world.cancel_flow, cancel, stops=False)


async def left_early(world: World, asker: Asker) -> int:
    """The reader of a stream leaves it after its second text."""

    async def leave() -> bool:
        return True

    return await _cancelled(world, asker, None, leave, stops=False)


async def _cancelled(
    world: World, asker: Asker, act: Callable[[], None] | None, at_second: Callable[[], Awaitable[bool]], *, stops: bool
) -> int:
    cell = world.cell
    await first(world, asker)
    if not cell.streamed and cell.hit:
        world.guard.stop = act  # nothing is waited for but hooks
    elif not cell.streamed:
        world.clock.meanwhile = act
    got = await world.stoppable(lambda: asker.ask(cell.streamed, at_second if cell.streamed else None))
    if not cell.streamed and cell.hit and not stops:
        expect_answer(world, asker, got)
        world.expect_calls(1, "answered", "cached")
        return 1
    world.expect("stopped", got.stopped, stops)
    if cell.streamed and not stops:
        # A stored stream is all here, so that an HTTP client has the rest of the piece it reads; the end it never gets.
        whole = cell.hit and cell.entrance != "client"
        world.expect("pieces of text", got.texts[:2] if whole else got.texts, ["one ", "two "])
    world.expect("the reader left", got.left, at_second.__name__ == "leave")
    if not stops and not got.left:
        expect_failed(world, got, None if cell.streamed or cell.entrance == "client" else 499)
    world.expect_calls(1, *before(world, "cancelled"))
    if cell.hit:
        world.expect_record("cache")
    elif cell.streamed:
        world.expect_record("provider", 200)
    else:
        world.expect_record(None, None)
    # Nothing of it is in the way of the next one.
    expect_answer(world, asker, await asker.ask(cell.streamed), 1 if cell.hit else 2)
    world.expect_calls(1 if cell.hit else 2, *before(world, "cancelled", "cached" if cell.hit else "answered"))
    return 1


# --- refusal --------------------------------------------------------------------------------------------------------


async def refused_in(world: World, asker: Asker) -> int:
    """A plugin refuses the request: nothing is looked up and nothing is sent."""
    await first(world, asker)
    world.guard.refuses = "in"
    expect_failed(world, await asker.ask(world.cell.streamed), 403)
    world.expect_calls(1 if world.cell.hit else 0, *before(world, "refused"))
    world.expect_record(None)
    return await _not_refused(world, asker, 0)


async def refused_out(world: World, asker: Asker) -> int:
    """A plugin refuses the answer: it is withheld, of a stream its end, and not stored."""
    await first(world, asker)
    world.guard.refuses = "out"
    got = await asker.ask(world.cell.streamed)
    expect_failed(world, got, None if world.cell.streamed else 403)
    if world.cell.streamed:
        world.expect("text", got.text, ANSWER)
        world.expect("the end was withheld", b"[DONE]" in got.body, False)
    world.expect_calls(1, *before(world, "refused"))
    return await _not_refused(world, asker, 1)


async def _not_refused(world: World, asker: Asker, asked: int) -> int:
    world.guard.refuses = ""
    hit = world.cell.hit
    expect_answer(world, asker, await asker.ask(world.cell.streamed), 1 if hit else asked + 1)
    world.expect_calls(1 if hit else asked + 1, *before(world, "refused", "cached" if hit else "answered"))
    return 1


# --- error ----------------------------------------------------------------------------------------------------------


async def bad_request(world: World, asker: Asker) -> int:
    """The provider says no: the caller gets its very answer, and nobody repeats it."""
    if world.cell.hit:
        return await _down(world, asker, Fault.status(400), 400, 1)
    world.fates[1] = [Fault.status(400)]
    got = await asker.ask(world.cell.streamed)
    expect_failed(world, got, 400)
    if world.cell.entrance == "httpx":
        world.expect("bytes", got.body, world.said()[0].body)
    world.expect_calls(1, "failed")
    world.expect_record(None, 400)
    error: Any = world.books.records[-1].error
    world.expect("known", error.category != "unknown", "errors" in world.plugins)
    expect_answer(world, asker, await asker.ask(world.cell.streamed), 2)
    world.expect_calls(2, "failed", "answered")
    return 1


async def down(world: World, asker: Asker) -> int:
    """The provider is down: as many attempts as the policy wants, and then the failure; what is stored is given."""
    attempts = 6 if {"retry", "errors"} <= set(world.plugins) else 1
    if world.cell.hit:
        return await _down(world, asker, Fault.status(503), 503, attempts)
    world.fates[0] = [Fault.status(503)]
    expect_failed(world, await asker.ask(world.cell.streamed), 503)
    world.expect_calls(attempts, "failed")
    world.expect_record(None, *[503] * attempts)
    return 0


async def _down(world: World, asker: Asker, fault: Fault, status: int, attempts: int) -> int:
    await first(world, asker)
    world.fates[0] = [fault]
    expect_answer(world, asker, await asker.ask(world.cell.streamed))
    world.expect_calls(1, "answered", "cached")
    expect_failed(world, await asker.ask(world.cell.streamed, question="Another?"), status)
    world.expect_calls(1 + attempts, "answered", "cached", "failed")
    world.expect_record(None, *[status] * attempts)
    return 1


async def broken_amid(world: World, asker: Asker) -> int:
    """A stream breaks after its second text: the caller has exactly that and the failure; nothing is sent twice."""
    world.fates[1] = [Fault.reset(at_delta=2)]
    got = await asker.ask(True)
    world.expect("pieces of text", got.texts, ["one ", "two "])
    expect_failed(world, got, None)
    partial = getattr(got.error, "partial", None)
    if world.cell.entrance == "client":
        world.expect("partial", partial and partial.text, "one two ")
    if world.cell.entrance == "httpx":
        world.expect("bytes", got.body, world.said()[0].body)
    world.expect_calls(1, "failed")
    world.expect_record("provider", 200)
    expect_answer(world, asker, await asker.ask(True), 2)
    world.expect_calls(2, "failed", "answered")
    return 1


# --- running --------------------------------------------------------------------------------------------------------


def situations(cell: Cell) -> list[Situation]:
    """What is tried in a cell, each in a world of its own."""
    if cell.event == "cancel":
        return [cancelled_by_task, cancelled_by_flow, *([left_early] if cell.streamed else [])]
    if cell.event == "refusal":
        return [refused_in, refused_out]
    if cell.event == "error":
        return [bad_request, down, *([broken_amid] if cell.streamed and not cell.hit else [])]
    if cell.event == "retry":
        return [failed_at_once, *([error_event] if cell.streamed else [])]
    return [plain]


def run(cell: Cell) -> list[str]:
    """What is wrong in a cell; nothing if it is green."""
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, situation in enumerate(situations(cell)):
            place = Path(folder) / str(number)
            place.mkdir()
            try:
                found = _run(cell, place, situation)
            except Exception as error:
                found = [f"raised {error!r}"]
            wrong += [f"{situation.__name__}: {what}" for what in found]
    return wrong


def _run(cell: Cell, folder: Path, situation: Situation) -> list[str]:
    world = World(
        cell,
        folder,
        with_guard=cell.event in ("cancel", "refusal"),
        with_repeats=cell.event == "retry",
    )

    async def work() -> int:
        async with Asker(world) as asker:
            stored = await situation(world, asker)
        await world.expect_quiet()
        return stored

    async def with_loop() -> int:
        async with world.host:
            return await work()

    if cell.colour == "sync":
        with world.host:
            stored = drive(work())
    else:
        stored = anyio.run(with_loop, backend=cell.colour)
    world.expect_closed(stored)
    return world.wrong


# --- the page -------------------------------------------------------------------------------------------------------

HEAD = """# Composition

What becomes of a request under each first-party plugin alone and under all together: a stored answer (hit) or none
(miss), a plain call or a stream, in sync programs, on asyncio and on trio. This page is made by
`python tests/support/composition.py`, which runs every cell. `tests/contract/test_composition.py` runs a part of them
in which any three of these meet (plugins, event, entrance, colour, hit, stream), and holds the page against it.

## What is checked

In each cell, under a virtual clock, with a provider in process:

* the caller's answer is what the provider said: the text, for an HTTP client every byte, of a stream each piece of it;
* the number of requests that reached the provider, and the attempts with their statuses;
* one audit record for each request, with the right outcome and source, and one line in the audit file;
* what each cache holds: nothing that was cancelled, refused or failed; and the next equal call is answered;
* no attempt, lease, task, thread or answer of the provider is left open, and no plugin failed.

Where a plugin alone cannot bring about what a row is about, the test's own stand beside it: a cache in a dict, a policy
that repeats, a classifier, a plugin that refuses. A context window has a conversation to cut; its cut reaches the
provider only.

| event | what happens |
|---|---|
"""


def documentation(situation: Situation) -> str:
    """What a situation is, from its docstring."""
    return " ".join((situation.__doc__ or "").split()).replace("``", "`")


def page(results: Mapping[Cell, list[str]]) -> str:
    """The page that shows *results*: for each cell what was wrong."""
    lines = [HEAD.rstrip("\n")]
    for event in EVENTS:
        every = {one: None for cell in results if cell.event == event for one in situations(cell)}
        lines += [f"| {event} | {documentation(situation)} |" for situation in every]
    lines += ["", "## Not green", ""]
    bad = {cell: wrong for cell, wrong in results.items() if wrong}
    lines += [f"* {cell.name}: {EXPLAINED.get(cell) or '; '.join(wrong)}" for cell, wrong in bad.items()]
    lines += [] if bad else [f"None of {len(results)} cells."]
    lines += ["", "## Our client and an HTTP client", "", "Green cells of six: three colours, two entrances.", ""]
    lines += _table(results, lambda cell: cell.entrance in OURS, list(SETS), lambda cell: cell.plugins)
    lines += [
        "",
        "## Official SDKs",
        "",
        "All plugins together, under wrapped clients; green cells of three colours.",
        "",
    ]
    lines += _table(results, lambda cell: cell.entrance in SDKS, list(SDKS), lambda cell: cell.entrance)
    return "\n".join(lines) + "\n"


def _table(
    results: Mapping[Cell, list[str]], wanted: Callable[[Cell], bool], columns: list[str], column: Callable[[Cell], str]
) -> list[str]:
    lines = [f"| event | | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for event in EVENTS:
        for hit in (False, True):
            for streamed in (False, True):
                row = [
                    cell
                    for cell in results
                    if wanted(cell) and (cell.event, cell.hit, cell.streamed) == (event, hit, streamed)
                ]
                counts = []
                for name in columns:
                    mine = [cell for cell in row if column(cell) == name]
                    green = sum(not results[cell] for cell in mine)
                    counts.append(f"{green}" if green == len(mine) else f"**{green} of {len(mine)}**")
                what = f"{'hit' if hit else 'miss'}, {'stream' if streamed else 'plain call'}"
                lines.append(f"| {event} | {what} | {' | '.join(counts)} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write(page({cell: run(cell) for cell in cells()}))
