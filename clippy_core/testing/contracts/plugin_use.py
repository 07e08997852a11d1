"""A plugin in use: hostile requests and answers, cancellation, many threads, every colour, forked processes."""

from __future__ import annotations

import copy
from typing import Any

from clippy_hookspecs import (
    ClippyError,
    Refusal,
)

from ..faults import Fault
from ..script import Reply, Script, call
from .base import Contract, in_threads, require, vital
from .bench import PATHS, Bench, Got, body_for, colours
from .hostile import UNKNOWN, odd_answers, odd_requests
from .processes import in_processes
from .sweeping import EXPECTED, cancelled_everywhere

FAULTS = (
    Fault.status(400), Fault.status(401), Fault.status(429, retry_after=1), Fault.status(500), Fault.status(529),
    Fault.connect_error(), Fault.read_timeout(), Fault.reset(), Fault.reset(at_delta=1), Fault.hangup(at_delta=2),
    Fault.error_event(at_delta=1), Fault.no_terminal(), Fault.truncated_json(), Fault.gzip(), Fault.split_utf8(),
    Fault.content_type(),
)  # fmt: skip


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
        wrong = cancelled_everywhere(self.make, self.clock)
        require(not wrong, "; ".join(wrong[:3]))

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


ENDS = ("Hello", "Hello", "fail", "break", "call a tool")


def _by_prompt(seen: Any) -> Any:
    text = seen.last_user_text
    if "fail" in text:
        return Fault.status(400)
    if "break" in text:
        return [Fault.reset(at_delta=2), Reply("one two three four")]
    return Reply("one two three", tool_calls=[call("look", {"a": 1}, "call_1")] if "tool" in text else ())
