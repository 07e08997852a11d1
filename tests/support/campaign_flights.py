"""Callers of the openai SDK ask the same at once, and leave, rest or are cancelled at random, over loopback.

    python tests/support/campaign_flights.py --rounds 60 --seed 1

In each round four to twelve callers, threads or tasks of asyncio or trio or all of these on one host, ask one of two
questions, plain or streamed, within some milliseconds of each other, of a provider that takes its time for each chunk
and sometimes breaks.  Printed: the callers by how they ended, the records by outcome, and how many requests reached the
provider.  Exit status 1 and the first violations of each kind if a caller hung, got another answer than its question's,
or had not exactly one record, if an attempt did not end, a connection was left open, or a flight was left over.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import trio  # noqa: F401 (threads that import it for the first time at once get half of it)
from attrs import define, field
from clippy_dedup import Dedup
from clippy_errors import ErrorClassifier
from clippy_hookspecs import AuditRecord, Outcome, hookimpl
from clippy_retry import RetryPolicy
from openai import APIError, AsyncOpenAI, OpenAI
from sdk_colours import Each, value

import clippy_core
from clippy_core.runtime import drive
from clippy_core.testing import FakeServer, Fault, Reply, SeenRequest

HANGS = 60.0
"""Seconds after which a round that does not end stops the campaign, with a traceback of every thread."""
WORDS = {"red": "one two three four five six", "blue": "uno dos tres cuatro cinco seis"}
ENDINGS = ("reads on", "leaves", "cancels", "rests")
COLOURS = ("sync", "asyncio", "trio", "mixed")


@define(eq=False)
class Books:
    """The records, and the attempts that have ended."""

    records: list[AuditRecord] = field(factory=list)
    ended: int = 0
    observes_only = True

    @hookimpl
    def post_attempt(self, outcome: Outcome) -> None:
        self.ended += 1

    @hookimpl
    def audit(self, record: AuditRecord) -> None:
        self.records.append(record)


@define(eq=False)
class Caller:
    """One call, and how it is to end."""

    question: str
    stream: bool
    ending: str
    after: float
    chunks: int
    flow: Any = None
    said: str = ""
    how: str = "hung"

    async def ask(self, client: Any, sleep: Callable[[float], Any]) -> None:
        """Ask, in either colour."""
        await value(sleep(self.after))
        messages: Any = [{"role": "user", "content": self.question}]
        try:
            answer = await value(
                client.chat.completions.create(model="m", messages=messages, temperature=0, stream=self.stream)
            )
            if not self.stream:
                self.said = answer.choices[0].message.content
            else:
                await self._read(answer, sleep)
            self.how = self.how if self.how == "left" else "answered"
        except APIError as error:
            self.how = f"failed: {type(error).__name__}"
        except httpx2.HTTPError as error:
            self.how = f"broke: {type(error).__name__}"

    async def _read(self, stream: Any, sleep: Callable[[float], Any]) -> None:
        flow = stream.response.extensions["clippy"].flow
        count = 0
        async for chunk in Each(stream):
            self.said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
            count += 1
            if count == self.chunks and self.ending == "leaves":
                self.how = "left"
                break
            if count == self.chunks and self.ending == "cancels":
                flow.cancel("by the campaign")
            if count == self.chunks and self.ending == "rests":
                await value(sleep(0.02))
        await value(stream.close())

    def fault(self) -> str | None:
        """What is wrong with what it got."""
        if self.how == "hung":
            return "a caller hung"
        whole = WORDS[self.question]
        if self.how == "answered" and self.ending != "cancels" and self.said != whole:
            return "an answer is not the question's"
        return None if whole.startswith(self.said) else "a part of an answer is not the question's"


@define(eq=False)
class Tally:
    """What the campaign found."""

    callers: Counter[str] = field(factory=Counter)
    outcomes: Counter[str] = field(factory=Counter)
    asked: int = 0
    violations: dict[str, list[str]] = field(factory=lambda: defaultdict(list))


def play(seed: str, colour: str, tally: Tally) -> None:
    """One round."""
    chance = random.Random(seed)
    reply = {question: Reply(text, chunk_delay=0.002) for question, text in WORDS.items()}

    def act(seen: SeenRequest) -> Any:
        question = seen.json["messages"][-1]["content"]
        faults = [Fault.status(503), Fault.reset(at_delta=3)] if chance.random() < 0.15 else []
        return [chance.choice(faults), reply[question]] if faults else reply[question]

    callers = [
        Caller(
            chance.choice(list(WORDS)),
            chance.random() < 0.7,
            chance.choice(ENDINGS),
            chance.uniform(0, 0.012),
            chance.randint(1, 6),
        )
        for _ in range(chance.randint(4, 12))
    ]
    books = Books()
    plugins = {"dedup": Dedup(), "errors": ErrorClassifier(), "retry": RetryPolicy(base=0.001, cap=0.002, budget=0.0)}
    with FakeServer(act) as server, clippy_core.Host({**plugins, "zz-books": books}) as host:
        by_colour: dict[str, list[Caller]] = defaultdict(list)
        for caller in callers:
            by_colour[chance.choice(COLOURS[:3]) if colour == "mixed" else colour].append(caller)
        started = [
            threading.Thread(target=_run, args=(name, host, server.base_url, some)) for name, some in by_colour.items()
        ]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(HANGS)
        flights = host._own.begin_flights()._flights
        _settled(lambda: not flights and len(books.records) >= len(callers))
        _settled(
            lambda: (
                server.counters["requests"]
                == sum(server.counters[end] for end in ("completed", "broken", "closed_early"))
            )
        )
        found = [fault for caller in callers if (fault := caller.fault())]
        if len(books.records) != len(callers):
            found.append(f"{len(books.records)} records of {len(callers)} callers")
        if books.ended != sum(len(record.attempts) for record in books.records):
            found.append("an attempt did not end exactly once")
        if flights:
            found.append("a flight is left over")
        ends = sum(server.counters[end] for end in ("completed", "broken", "closed_early"))
        if server.counters["requests"] != ends:
            found.append("a connection was left open")
        tally.asked += server.calls
    tally.callers.update(caller.how for caller in callers)
    tally.outcomes.update(record.outcome for record in books.records)
    for what in found:
        tally.violations[what].append(f"seed {seed} {colour}")


def _run(colour: str, host: Any, url: str, callers: list[Caller]) -> None:
    settings: Any = {"api_key": "k", "base_url": url, "max_retries": 0}
    if colour == "sync":
        with host.wrap(OpenAI(**settings)) as client:
            threads = [threading.Thread(target=lambda one=one: drive(one.ask(client, time.sleep))) for one in callers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(HANGS)
        return

    async def together() -> None:
        async with host.wrap(AsyncOpenAI(**settings)) as client, anyio.create_task_group() as tasks:
            for one in callers:
                tasks.start_soon(one.ask, client, anyio.sleep)

    anyio.run(together, backend=colour)


def _settled(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 3.0
    while not ready() and time.monotonic() < end:
        time.sleep(0.005)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="rounds of each colour")
    parser.add_argument("--seed", default="1", help="decides every choice; times over loopback are not its to decide")
    parser.add_argument("--only", choices=COLOURS, help="one colour")
    options = parser.parse_args()
    tally, began = Tally(), time.monotonic()
    for colour in COLOURS if options.only is None else (options.only,):
        for number in range(options.rounds):
            faulthandler.dump_traceback_later(2 * HANGS, exit=True)
            play(f"{options.seed}-{colour}-{number}", colour, tally)
    faulthandler.cancel_dump_traceback_later()
    print("callers  ", ", ".join(f"{count} {name}" for name, count in sorted(tally.callers.items())))
    print("records  ", ", ".join(f"{count} {name}" for name, count in sorted(tally.outcomes.items())))
    print(f"requests  {tally.asked} reached the provider for {sum(tally.callers.values())} calls")
    for what, places in sorted(tally.violations.items()):
        print(f"FAILED {len(places)} times: {what}", *places[:3], sep="\n    ")
    print(f"{time.monotonic() - began:.0f} seconds")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
