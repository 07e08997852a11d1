"""A plugin in use: hostile requests and answers, cancellation, many threads, every colour, forked processes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import anyio
import httpx
from attrs import define, field
from clippy_hookspecs import AuditRecord, Chunk, ClippyError, Outcome, PluginError, Refusal, RequestContext, hookimpl

from ...client import AsyncClient
from ..cancelling import STOPS, quiet, stopped
from ..faults import Fault
from ..script import Reply, Script, call
from .base import Contract, in_threads, require, vital
from .bench import PATHS, Bench, Got, body_for, colours
from .hostile import UNKNOWN, odd_answers, odd_requests
from .processes import in_processes

FAULTS = (
    Fault.status(400), Fault.status(401), Fault.status(429, retry_after=1), Fault.status(500), Fault.status(529),
    Fault.connect_error(), Fault.read_timeout(), Fault.reset(), Fault.reset(at_delta=1), Fault.hangup(at_delta=2),
    Fault.error_event(at_delta=1), Fault.no_terminal(), Fault.truncated_json(), Fault.gzip(), Fault.split_utf8(),
    Fault.content_type(),
)  # fmt: skip
EXPECTED = (ClippyError, httpx.HTTPError, httpx.StreamError)
"""What a call may raise that was not cancelled."""


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


class PluginUse(Contract):
    """The part of the general suite in which the plugin is used."""

    # --- hostile input ------------------------------------------------------------------------------------------------

    @vital
    def test_odd_requests_do_not_make_it_raise(self) -> None:
        """Empty, huge, malformed, of wrong types: whatever a program sends, the plugin fails at none of it."""
        for colour in colours()[:2]:
            bench = self.bench(script=Reply("fine"), colour=colour)
            for what, path, body in odd_requests():
                if colour == "sync" or len(body) < 10_000:
                    bench.post(path, body)
                    self._unblamed(bench, f"{colour}: {what} to {path}")

    @vital
    def test_odd_answers_do_not_make_it_raise(self) -> None:
        """Empty, cut off, of wrong types, streams of garbage: whatever a provider sends."""
        for what, answer in odd_answers():
            bench = self.bench(script=Script(then=answer))
            for got in (bench.chat(f"Hello {what}"), bench.stream(f"Hello {what}")):
                ours = got.error is None or isinstance(got.error, EXPECTED)
                require(ours, f"{what}: the caller got {type(got.error).__name__}: {got.error}")
            for path in PATHS.values():
                bench.post(path, body_for("openai.chat", f"Hello {what}", stream=True))
            self._unblamed(bench, what)

    @vital
    def test_every_failure_of_the_provider_passes(self) -> None:
        """Refused, reset, timed out, cut off, before a stream or amid it: the caller gets a failure or an answer."""
        for fault in FAULTS:
            bench = self.bench(script=Script(then=[fault, Reply("one two three ü 😀")]))
            for got in (bench.chat(f"Hello {fault.kind}"), bench.stream(f"Hello {fault.kind}")):
                ours = got.error is None or isinstance(got.error, ClippyError)
                require(ours, f"{fault.kind}: the caller got {type(got.error).__name__}: {got.error}")
            self._unblamed(bench, fault.kind)

    @vital
    def test_fields_that_it_does_not_know_survive(self) -> None:
        """What a request has beyond the fields that are modelled reaches the provider."""
        for api, path in PATHS.items():
            bench = self.bench(script=Reply("fine"))
            bench.post(path, body_for(api, f"Hello {api}", **UNKNOWN))
            for seen in bench.provider.requests:
                require(
                    seen.fields.get("x_unknown") == UNKNOWN["x_unknown"],
                    f"{api}: a field that no API has was {seen.fields.get('x_unknown')!r} at the provider",
                )

    def test_its_errors_can_be_carried_elsewhere(self) -> None:
        """What callers get from it can be copied and sent to another process: its arguments are all it is made of."""
        raised: list[BaseException] = []
        for fault in (Fault.status(400), Fault.status(503), Fault.reset(at_delta=1)):
            bench = self.bench(script=Script(then=[fault, Reply("one two three")]))
            raised += [got.error for got in (bench.chat(), bench.stream()) if got.error is not None]
        for error in raised:
            if isinstance(error, ClippyError):
                again = copy.copy(error)
                same = type(again) is type(error) and str(again) == str(error)
                require(same, f"{type(error).__name__} changes when it is copied")

    # --- cancellation -------------------------------------------------------------------------------------------------

    @vital
    def test_a_call_can_be_cancelled_at_every_await(self) -> None:
        """On asyncio and trio: one record, each attempt ended once, no task, lease or connection left, no hang."""
        for how in STOPS:
            if how == "trio" and "trio" not in colours():
                continue
            backend = "trio" if how == "trio" else "asyncio"
            for name, work in CALLS.items():
                for fault in (None, Fault.status(503), Fault.reset(at_delta=2)):
                    wrong = anyio.run(self._sweep, how, name, work, fault, backend=backend)
                    require(not wrong, f"{how}, {name}: {'; '.join(wrong[:3])}")

    async def _sweep(self, how: str, name: str, work: Call, fault: Fault | None) -> list[str]:
        books = Books()
        script = Script(then=_once(fault))
        bench = Bench({"tested": self.make(), "yy-books": books}, script, clock=self.clock)
        async with bench.host, AsyncClient(bench.host, bench.provider.async_client()) as client:
            whole = await stopped(how, lambda: work(client, f"{name} whole"), ())
            background = set(await quiet(0.0))
            wrong = [f"not cancelled: {what}" for what in _left(bench, books)]
            for point in range(1, whole.points + 1):
                result = await stopped(how, partial(work, client, f"{name} {point}"), {point})
                found = [what for what in await quiet(2.0 if not background else 0.0) if what not in background]
                found += _left(bench, books)
                if result.hung:
                    found.append("it hangs")
                if not isinstance(result.error, (*EXPECTED, type(None))) or isinstance(result.error, PluginError):
                    found.append(f"the call raised {result.error!r}")
                wrong += [f"at await {point} of {whole.points}: {what}" for what in found]
            again = await stopped(how, lambda: work(client, f"{name} again"), ())
            if not isinstance(again.error, (*EXPECTED, type(None))) or again.hung:
                wrong.append(f"after all of that a call ended with {again}")
            wrong += [f"it raised in {hook}" for hook in bench.blamed]
        return wrong

    # --- many at once -------------------------------------------------------------------------------------------------

    @vital
    def test_eight_threads_use_it_at_once(self) -> None:
        """Each gets what it would get alone, plain and streamed, and nothing raises."""
        prompts = [f"question {number}" for number in range(10)]
        alone = self.bench(script=Reply(echo=True))
        expected = {prompt: (alone.chat(prompt).outcome, alone.stream(prompt).outcome) for prompt in prompts}
        bench = self.bench(self._anew(), Reply(echo=True))

        def work(thread: int) -> list[str]:
            wrong = []
            for number in range(12):
                prompt = prompts[(thread * 3 + number) % 10]
                got: Got = (bench.chat if number % 2 else bench.stream)(prompt)
                if got.outcome != expected[prompt][number % 2 == 0] and not isinstance(got.error, Refusal):
                    wrong.append(f"{prompt!r} gave {got.outcome}, alone {expected[prompt][number % 2 == 0]}")
            return wrong

        wrong = [one for found in in_threads(8, work) for one in found]
        require(not wrong, f"in eight threads {wrong[0] if wrong else ''}")
        self._unblamed(bench, "eight threads")

    @vital
    def test_every_colour_gives_the_same(self) -> None:
        """The same calls end in the same way in sync, asyncio and trio."""
        told = {}
        for colour in colours():
            bench = self.bench(self._anew(), script=Script(then=_by_prompt), colour=colour)
            got = [(bench.chat if plain else bench.stream)(prompt) for prompt in ENDS for plain in (True, False)]
            got_records = [(record.outcome, len(record.attempts), record.stream) for record in bench.records]
            told[colour] = [one.outcome for one in got], got_records
            self._unblamed(bench, colour)
        for colour, said in told.items():
            for mine, sync in zip(said[0], told["sync"][0], strict=True):
                require(mine == sync, f"in {colour} a call gave {mine}, in sync {sync}")
            require(said[1] == told["sync"][1], f"in {colour} the records are other ones than in sync")

    def test_a_forked_process_can_use_it(self) -> None:
        """A child of a process whose host is open makes its own calls, and the parent goes on."""
        bench = self.bench(script=Reply(echo=True))
        before = bench.chat("before the fork").outcome

        def work(_: int) -> Any:
            return [bench.chat("before the fork").outcome, bench.stream("in the child").outcome[0], bench.blamed]

        ((first, streamed, blamed),) = in_processes(1, work)
        require(tuple(first) == before, f"in a forked process {before} became {first}")
        expected = bench.stream("in the child").outcome[0]
        require(streamed == expected, f"in a forked process {expected!r} became {streamed!r}")
        require(not blamed, f"in a forked process the plugin raised in {blamed}")
        require(bench.chat("after the fork").error is None, "after a fork the parent's calls fail")

    # --- how the checks are made --------------------------------------------------------------------------------------

    def _anew(self) -> Any:
        """A new plugin in an empty folder, so that nothing is left of the one before."""
        for file in self.folder.rglob("*"):
            if file.is_file():
                file.unlink()
        return self.make()

    def _unblamed(self, bench: Bench, when: str) -> None:
        require(not bench.blamed, f"{when}: the plugin raised in {', '.join(bench.blamed)}")
        said = [record.error.message for record in bench.records if record.error and record.error.category == "plugin"]
        require(not said, f"{when}: {said[0] if said else ''}")


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
ENDS = ("Hello", "Hello", "fail", "break", "call a tool")


def _by_prompt(seen: Any) -> Any:
    text = seen.last_user_text
    if "fail" in text:
        return Fault.status(400)
    if "break" in text:
        return [Fault.reset(at_delta=2), Reply("one two three four")]
    return Reply("one two three", tool_calls=[call("look", {"a": 1}, "call_1")] if "tool" in text else ())


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
